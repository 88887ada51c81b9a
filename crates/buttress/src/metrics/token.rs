use std::{fmt, mem::ManuallyDrop, sync::Arc};

use super::account::Account;
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
    running: Option<Arc<Account>>,
    began: Instant,
    headers_came: bool,
    inner_is_running: bool,
}

impl MetricsToken {
    #[inline]
    pub(super) fn begin(account: Arc<Account>) -> Self {
        account.started();
        Self {
            running: Some(account),
            began: clock::now(),
            headers_came: false,
            inner_is_running: false,
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
fn end_dropped(account: Arc<Account>, began: Instant, inner_is_running: bool) {
    let ending = if inner_is_running {
        Ending::Panicked
    } else {
        Ending::Cancelled
    };
    account.ended(ending, nanos_since(began));
}

impl Token for MetricsToken {
    #[inline]
    fn head(&mut self, _: Head) {
        if let (Some(account), false) = (&self.running, self.headers_came) {
            account.headers_came(nanos_since(self.began));
            self.headers_came = true;
        }
    }

    // Always: by a call of it the token would have to be in memory.
    #[inline(always)]
    fn finish(self, outcome: Outcome) {
        // Once the `Arc` is taken there is nothing left to drop.
        let mut this = ManuallyDrop::new(self);
        if let Some(account) = this.running.take() {
            let ending = Ending::of(&outcome);
            if this.headers_came {
                account.ended(ending, nanos_since(this.began));
            } else {
                account.ended_at_once(ending, nanos_since(this.began));
            }
        }
    }
}

impl Drop for MetricsToken {
    #[inline]
    fn drop(&mut self) {
        if let Some(account) = self.running.take() {
            end_dropped(account, self.began, self.inner_is_running);
        }
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsToken")
            .field("began", &self.began)
            .field("headers_came", &self.headers_came)
            .finish_non_exhaustive()
    }
}
