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

/// How it stands with a call after a first look.
pub(super) enum First {
    Admitted(Permit),
    Refused(Rejected),
    Waits(Pin<Box<Acquire>>),
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

    /// What a first poll would say of a call that was not simply admitted. Nothing is allocated but for one that waits.
    #[inline(never)]
    pub(super) fn first(
        shared: Arc<Shared>,
        class: Priority,
        deadline: Option<Instant>,
        waker: &Waker,
    ) -> First {
        match shared.arrive(class, deadline, waker) {
            Entered::Admitted(admission) => First::Admitted(Permit::new(shared, admission)),
            Entered::Refused(rejected) => First::Refused(rejected),
            Entered::Waits(wait) => {
                let until = wait.until;
                let mut acquire = Box::pin(Self {
                    shared: Some(shared),
                    class,
                    stage: Stage::Waiting(wait),
                    timer: None,
                });
                // Not before somebody has the ticket: it panics in a runtime without time.
                let timer = until.map(tokio::time::sleep_until);
                acquire.as_mut().project().timer.set(timer);
                First::Waits(acquire)
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
                let at_once = match queue.is_by_load() {
                    true => None,
                    false => queue.admit(*this.class),
                };
                match at_once {
                    Some(admission) => Ok(admission),
                    None => {
                        let entered = queue.arrive(*this.class, *deadline, cx.waker());
                        ready!(poll_entered(queue, entered, this.stage, this.timer, cx))
                    }
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
