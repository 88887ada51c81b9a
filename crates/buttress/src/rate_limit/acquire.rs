use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{Permit, RateLimiter, cell::NotNow, policy::Now, quota::Refusal, shared::book, spot::Spot};
use crate::{
    clock::Instant,
    error::Rejected,
    wait_line::{Line, Standing, Ticket, Waiter},
};

pin_project! {
    /// Permits, if need be when one's turn has come; from [`RateLimiter::acquire`].
    ///
    /// It does nothing until it is polled. Then it has its permits at once if there are enough and nobody waits, is
    /// refused at once if its turn cannot come within [`max_wait`](super::RateLimiterBuilder::max_wait) or before the
    /// deadline of the call, or stands in the line. Only the first in the line has a timer.
    ///
    /// # Errors
    ///
    /// [`RateLimited`](crate::RejectionKind::RateLimited), with the time that the turn would have taken; without one if
    /// more is asked for than there can ever be at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it leaves the line, and those behind it move up. Permits are taken by the poll that
    /// returns them, so none can be lost.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        place: Place,
        // There while it is the first in the line.
        #[pin]
        timer: Option<Sleep>,
    }
}

/// Where the future stands in the line. It leaves it when it is dropped.
struct Place {
    limiter: RateLimiter,
    spot: Option<Arc<Spot>>,
    permits: u32,
    deadline: Option<Instant>,
    ticket: Option<Ticket>,
    /// When it came, and until when it waits, once it has a ticket.
    entered: u64,
    until: u64,
}

/// How it stands.
enum Turn {
    Granted(Permit),
    Refused(Rejected),
    /// It will be woken when it is the first.
    Waiting,
    /// It is the first, and its turn comes then.
    Due(u64),
}

impl Acquire {
    pub(super) fn new(
        limiter: RateLimiter,
        spot: Option<Arc<Spot>>,
        permits: u32,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            place: Place {
                limiter,
                spot,
                permits,
                deadline,
                ticket: None,
                entered: 0,
                until: 0,
            },
            timer: None,
        }
    }
}

impl Future for Acquire {
    type Output = Result<Permit, Rejected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let due = match this.place.turn(cx.waker()) {
                Turn::Granted(permit) => return Poll::Ready(Ok(permit)),
                Turn::Refused(rejected) => return Poll::Ready(Err(rejected)),
                Turn::Waiting => {
                    this.timer.set(None);
                    return Poll::Pending;
                }
                Turn::Due(due) => this.place.spot().tariff.instant(due),
            };
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) if timer.deadline() == due => {}
                Some(timer) => timer.reset(due),
                None => this.timer.set(Some(tokio::time::sleep_until(due))),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
        }
    }
}

impl Place {
    fn spot(&self) -> &Spot {
        self.spot.as_ref().unwrap_or(&self.limiter.shared.one)
    }

    fn turn(&mut self, waker: &Waker) -> Turn {
        if self.ticket.is_some() {
            return self.look(waker);
        }
        match self.limiter.take_from(self.spot.as_ref(), self.permits) {
            Now::Granted(permit) => Turn::Granted(permit),
            Now::Refused(refusal) => self.refuse(refusal),
            Now::Later => self.enter(waker),
        }
    }

    /// Stands in the line, if the turn can come in time.
    fn enter(&mut self, waker: &Waker) -> Turn {
        let shared = &*self.limiter.shared;
        let spot = self.spot.as_deref().unwrap_or(&shared.one);
        let mut line = spot.line.open();
        let now = shared.now();
        let wait = match spot.wait_behind(now, line.weight(), self.permits) {
            Refusal::Until(wait) => wait,
            never @ Refusal::Never(_) => {
                drop(line);
                return self.refuse(never);
            }
        };
        let patience = self.deadline.map_or(u64::MAX, |deadline| {
            spot.tariff.nanos(deadline).saturating_sub(now)
        });
        let patience = patience.min(shared.max_wait());
        if wait > patience {
            drop(line);
            return self.refuse(Refusal::Until(wait));
        }
        (self.entered, self.until) = (now, now.saturating_add(patience));
        self.ticket = Some(line.enter(Waiter {
            class: 0,
            weight: self.permits,
            entered: spot.tariff.instant(now),
            until: Some(spot.tariff.instant(self.until)),
        }));
        shared.waiting.fetch_add(1, Relaxed);
        // Seen by newcomers from now on.
        drop(line);
        self.look(waker)
    }

    /// How it stands in the line.
    fn look(&mut self, waker: &Waker) -> Turn {
        let shared = &*self.limiter.shared;
        let spot = self.spot.as_deref().unwrap_or(&shared.one);
        let mut line = spot.line.open();
        // With the line open: whoever disables the limiter opens it after that, and has the first woken who has looked
        // before.
        if self.limiter.is_free(self.permits) {
            leave(&mut line, self.ticket.take());
            drop(line);
            shared.waiting.fetch_sub(1, Relaxed);
            return Turn::Granted(Permit::free());
        }
        match line.look(&mut self.ticket, waker) {
            Standing::Waiting => return Turn::Waiting,
            Standing::First => {}
            Standing::Granted(_) | Standing::Dismissed(_) => {
                drop(line);
                shared.waiting.fetch_sub(1, Relaxed);
                return self.refuse(Refusal::Until(0));
            }
        }
        let now = shared.now();
        let refusal = match spot.charge_first(now, self.entered, self.permits) {
            Ok(at) => {
                leave(&mut line, self.ticket.take());
                drop(line);
                shared.waiting.fetch_sub(1, Relaxed);
                shared.books.add(book::WAITED, 1);
                return Turn::Granted(self.limiter.granted(self.spot.clone(), at, self.permits));
            }
            Err(NotNow::Refused(Refusal::Until(wait))) if now.saturating_add(wait) <= self.until => {
                return Turn::Due(now + wait);
            }
            Err(NotNow::Refused(refusal)) => refusal,
            Err(NotNow::Sealed) => Refusal::Until(0),
        };
        leave(&mut line, self.ticket.take());
        drop(line);
        shared.waiting.fetch_sub(1, Relaxed);
        self.refuse(refusal)
    }

    fn refuse(&self, refusal: Refusal) -> Turn {
        let shared = &self.limiter.shared;
        Turn::Refused(shared.refuse(shared.now(), refusal))
    }
}

fn leave(line: &mut Line<'_>, ticket: Option<Ticket>) {
    if let Some(ticket) = ticket {
        // Nothing is ever granted to those who wait for time: they help themselves.
        let _ = line.leave(ticket);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            leave(&mut self.spot().line.open(), Some(ticket));
            self.limiter.shared.waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("permits", &self.place.permits)
            .field("waits", &self.place.ticket.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
impl Acquire {
    pub(super) fn has_timer(&self) -> bool {
        self.timer.is_some()
    }
}
