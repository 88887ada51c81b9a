use std::{fmt, mem::ManuallyDrop, sync::Arc};

use super::account::Account;
#[cfg(feature = "keyed")]
use super::{routes::Routes, trial::Trial};
use crate::{
    clock::{self, Instant},
    histogram::nanos,
    outcome::{Ending, Head, Outcome, Token},
};

/// One call in the books of a [`Metrics`](super::Metrics), from [`start`](super::Metrics::start) until it is
/// [finished](Token::finish). Dropped before that, the call was cancelled.
#[must_use = "a token that is dropped is a call that was cancelled"]
pub struct MetricsToken {
    /// Taken when the call has ended.
    running: Option<Running>,
    headers_came: bool,
    inner_is_running: bool,
}

// The second fits where the first has no values.
enum Running {
    Booked {
        account: Arc<Account>,
        began: Instant,
    },
    #[cfg(feature = "keyed")]
    OnTrial(Box<Trial>),
}

impl MetricsToken {
    #[inline]
    pub(super) fn begin(account: Arc<Account>) -> Self {
        account.started();
        Self::of(Running::Booked {
            account,
            began: clock::now(),
        })
    }

    /// A call by a route of which it is not known whether there is one.
    #[cfg(feature = "keyed")]
    #[cold]
    pub(super) fn begin_on_trial(routes: &Arc<Routes>, route: &str) -> Self {
        Self::of(Running::OnTrial(Trial::begin(routes, route, clock::now())))
    }

    #[inline]
    fn of(running: Running) -> Self {
        Self {
            running: Some(running),
            headers_came: false,
            inner_is_running: false,
        }
    }

    /// The route of a call on trial exists.
    #[cfg(feature = "keyed")]
    #[cold]
    fn passed(&mut self) {
        if let Some(Running::OnTrial(trial)) = &mut self.running {
            let (account, began) = (trial.passed(), trial.began);
            self.running = Some(Running::Booked { account, began });
        }
    }

    /// Notes that control goes to the inner service, or is back from it. A token that is dropped in between is
    /// being unwound past: the inner service panicked.
    #[inline]
    pub(super) fn inner_is_running(&mut self, is: bool) {
        self.inner_is_running = is;
    }
}

#[inline]
fn nanos_since(began: Instant) -> u64 {
    nanos(clock::now().saturating_duration_since(began))
}

/// A call that was dropped.
#[cold]
#[inline(never)]
fn end_dropped(running: Running, inner_is_running: bool) {
    let ending = if inner_is_running {
        Ending::Panicked
    } else {
        Ending::Cancelled
    };
    match running {
        Running::Booked { account, began } => account.ended(ending, nanos_since(began)),
        #[cfg(feature = "keyed")]
        Running::OnTrial(mut trial) => {
            let nanos = nanos_since(trial.began);
            trial.ended(ending, nanos, false);
        }
    }
}

/// A call by a route of which it is known only now whether there is one: a good end is one by which there is.
#[cfg(feature = "keyed")]
#[cold]
#[inline(never)]
fn end_trial(trial: &mut Trial, ending: Ending, headers_came: bool) {
    let nanos = nanos_since(trial.began);
    if ending != Ending::Success {
        return trial.ended(ending, nanos, true);
    }
    let account = trial.passed();
    if headers_came {
        account.ended(ending, nanos);
    } else {
        account.ended_at_once(ending, nanos);
    }
}

impl Token for MetricsToken {
    #[inline]
    fn head(&mut self, _: Head) {
        match &mut self.running {
            Some(Running::Booked { account, began }) if !self.headers_came => {
                account.headers_came(nanos_since(*began));
            }
            #[cfg(feature = "keyed")]
            Some(Running::OnTrial(trial)) if !self.headers_came => {
                trial.headers_came(nanos_since(trial.began));
            }
            _ => return,
        }
        self.headers_came = true;
    }

    /// No method that is not there has anything to say.
    #[cfg(feature = "keyed")]
    #[inline]
    fn data(&mut self) {
        if let Some(Running::OnTrial(_)) = self.running {
            self.passed();
        }
    }

    // Always: by a call of it the token would have to be in memory.
    #[inline(always)]
    fn finish(self, outcome: Outcome) {
        // Once the `Arc` is taken there is nothing left to drop.
        let mut this = ManuallyDrop::new(self);
        let ending = Ending::of(&outcome);
        match this.running.take() {
            Some(Running::Booked { account, began }) => {
                if this.headers_came {
                    account.ended(ending, nanos_since(began));
                } else {
                    account.ended_at_once(ending, nanos_since(began));
                }
            }
            #[cfg(feature = "keyed")]
            Some(Running::OnTrial(mut trial)) => end_trial(&mut trial, ending, this.headers_came),
            None => {}
        }
    }
}

impl Drop for MetricsToken {
    #[inline]
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            end_dropped(running, self.inner_is_running);
        }
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsToken")
            .field("headers_came", &self.headers_came)
            .finish_non_exhaustive()
    }
}
