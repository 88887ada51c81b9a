use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{task::unconstrained, time::Sleep};

use super::{
    Permit, Priority,
    shared::{Entered, Shared, Wait},
};
use crate::{clock::Instant, context, error::Rejected};

pin_project! {
    /// A call on its way to a slot, from [`PriorityQueue::acquire`](super::PriorityQueue::acquire).
    ///
    /// It stands in the line from its first poll on.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the line, and its place goes to those behind it. A slot that it was just about to get goes to
    /// the next. Awaited anew, it stands behind all others.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        // None once it is over.
        shared: Option<Arc<Shared>>,
        class: Priority,
        deadline: Option<Instant>,
        wait: Option<Wait>,
        #[pin]
        timer: Option<Sleep>,
    }

    impl PinnedDrop for Acquire {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(shared), Some(wait)) = (this.shared, this.wait.take()) {
                shared.abandon(wait);
            }
        }
    }
}

impl Acquire {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, class: Priority, deadline: Option<Instant>) -> Self {
        Self {
            shared: Some(shared),
            class,
            deadline,
            wait: None,
            timer: None,
        }
    }

    /// Waits no longer than to that moment, or to an earlier one that has been set already.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self
    }

    /// The permit, and how long it was waited for.
    #[inline]
    pub(super) fn poll_permit(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Permit, Option<Duration>), Rejected>> {
        let this = self.project();
        let Some(queue) = this.shared.as_ref() else {
            panic!("`Acquire` polled after it was ready");
        };
        let result = if this.wait.is_some() {
            ready!(poll_waiting(queue, this.wait, this.timer, cx))
        } else if !queue.load_admits(*this.class) {
            Err(queue.refuse_for_load())
        } else if let Some(admission) = queue.admit(*this.class) {
            Ok(admission)
        } else {
            match queue.enter(*this.class, *this.deadline, cx.waker()) {
                Entered::Admitted(admission) => Ok(admission),
                Entered::Refused(rejected) => Err(rejected),
                Entered::Waits(wait) => {
                    let mut timer = this.timer;
                    if let Some(until) = wait.until {
                        timer.set(Some(tokio::time::sleep_until(until)));
                    }
                    *this.wait = Some(wait);
                    ready!(poll_waiting(queue, this.wait, timer, cx))
                }
            }
        };
        Poll::Ready(match (result, this.shared.take()) {
            (Ok(admission), Some(shared)) => Ok((Permit::new(shared, admission), admission.waited)),
            (Err(rejected), _) => Err(rejected),
            (Ok(_), None) => unreachable!("it was there a moment ago"),
        })
    }
}

/// Apart, so that it is not on the way of a call that need not wait.
#[inline(never)]
fn poll_waiting(
    queue: &Shared,
    wait: &mut Option<Wait>,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<super::shared::Admission, Rejected>> {
    if let Some(result) = queue.look(wait, cx.waker()) {
        timer.set(None);
        return Poll::Ready(result);
    }
    let Some(sleep) = timer.as_mut().as_pin_mut() else {
        return Poll::Pending;
    };
    // Outside of tokio's cooperative budget: a task that has used it up is not one that came too late.
    ready!(pin!(unconstrained(sleep)).poll(cx));
    timer.set(None);
    match wait.take() {
        Some(wait) => Poll::Ready(Err(queue.expire(wait))),
        None => Poll::Pending,
    }
}

impl Future for Acquire {
    type Output = Result<Permit, Rejected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (permit, waited) = ready!(self.poll_permit(cx))?;
        if let Some(waited) = waited {
            context::add_queued(waited);
        }
        Poll::Ready(Ok(permit))
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("class", &self.class)
            .field("waits", &self.wait.is_some())
            .finish_non_exhaustive()
    }
}
