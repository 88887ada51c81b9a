use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{task::unconstrained, time::Sleep};

use super::{
    Permit, Priority,
    shared::{Admission, Entered, Shared, Wait},
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
        stage: Stage,
        #[pin]
        timer: Option<Sleep>,
    }

    impl PinnedDrop for Acquire {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(shared), Stage::Waiting(wait)) = (this.shared, this.stage.take()) {
                shared.abandon(wait);
            }
        }
    }
}

/// What a call that had no slot at once has instead.
pub(super) enum Begun {
    Waits(Pin<Box<Acquire>>),
    Refused(Rejected),
}

enum Stage {
    /// It has not been polled; its deadline.
    New(Option<Instant>),
    Waiting(Wait),
    Over,
}

impl Stage {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Over)
    }
}

impl Acquire {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, class: Priority, deadline: Option<Instant>) -> Self {
        Self {
            shared: Some(shared),
            class,
            stage: Stage::New(deadline),
            timer: None,
        }
    }

    /// Says at once what can be said at once, so that only a call that waits needs a place to be kept in.
    #[inline(never)]
    pub(super) fn begin(
        shared: Arc<Shared>,
        class: Priority,
        deadline: Option<Instant>,
        waker: &Waker,
    ) -> Result<Permit, Begun> {
        if !shared.load_admits(class) {
            return Err(Begun::Refused(shared.refuse_for_load()));
        }
        if let Some(admission) = shared.admit(class) {
            return Ok(Permit::new(shared, admission));
        }
        match shared.enter(class, deadline, waker) {
            Entered::Admitted(admission) => Ok(Permit::new(shared, admission)),
            Entered::Refused(rejected) => Err(Begun::Refused(rejected)),
            Entered::Waits(wait) => {
                let until = wait.until;
                // It is in the line: from here on it leaves it when it is dropped.
                let mut acquire = Self::new(shared, class, None);
                acquire.stage = Stage::Waiting(wait);
                acquire.timer = until.map(tokio::time::sleep_until);
                Err(Begun::Waits(Box::pin(acquire)))
            }
        }
    }

    /// Waits no longer than to that moment, or to an earlier one that has been set already.
    pub fn until(mut self, deadline: Instant) -> Self {
        if let Stage::New(until) = &mut self.stage {
            *until = Some(until.map_or(deadline, |earlier| earlier.min(deadline)));
        }
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
        let result = match this.stage {
            Stage::New(deadline) => {
                if !queue.load_admits(*this.class) {
                    Err(queue.refuse_for_load())
                } else if let Some(admission) = queue.admit(*this.class) {
                    Ok(admission)
                } else {
                    let entered = queue.enter(*this.class, *deadline, cx.waker());
                    ready!(poll_entered(queue, entered, this.stage, this.timer, cx))
                }
            }
            _ => ready!(poll_waiting(queue, this.stage, this.timer, cx)),
        };
        Poll::Ready(match (result, this.shared.take()) {
            (Ok(admission), Some(shared)) => Ok((Permit::new(shared, admission), admission.waited)),
            (Err(rejected), _) => Err(rejected),
            (Ok(_), None) => unreachable!("it was there a moment ago"),
        })
    }
}

// Apart, so that they are not on the way of a call that need not wait.

#[inline(never)]
fn poll_entered(
    queue: &Shared,
    entered: Entered,
    stage: &mut Stage,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Admission, Rejected>> {
    match entered {
        Entered::Admitted(admission) => Poll::Ready(Ok(admission)),
        Entered::Refused(rejected) => Poll::Ready(Err(rejected)),
        Entered::Waits(wait) => {
            let until = wait.until;
            *stage = Stage::Waiting(wait);
            match until {
                None => Poll::Pending,
                Some(until) => {
                    timer.set(Some(tokio::time::sleep_until(until)));
                    poll_waiting(queue, stage, timer, cx)
                }
            }
        }
    }
}

#[inline(never)]
fn poll_waiting(
    queue: &Shared,
    stage: &mut Stage,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Admission, Rejected>> {
    let Stage::Waiting(wait) = stage.take() else {
        panic!("`Acquire` polled after it was ready");
    };
    let wait = match queue.look(wait, cx.waker()) {
        Ok(wait) => wait,
        Err(result) => {
            timer.set(None);
            return Poll::Ready(result);
        }
    };
    if let Some(sleep) = timer.as_mut().as_pin_mut() {
        // Outside of tokio's cooperative budget: a task that has used it up is not one that came too late.
        if pin!(unconstrained(sleep)).poll(cx).is_ready() {
            timer.set(None);
            return Poll::Ready(Err(queue.expire(wait)));
        }
    }
    *stage = Stage::Waiting(wait);
    Poll::Pending
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
            .field("waits", &matches!(self.stage, Stage::Waiting(_)))
            .finish_non_exhaustive()
    }
}
