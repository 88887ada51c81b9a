//! What it took to hide the failures of an act.

use std::fmt;

use super::{load::Tally, upstream::Seen};

/// The calls of a while, as the upstream and the callers counted them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toll {
    /// Requests that arrived for the first time.
    first: u64,
    /// Requests that arrived again.
    again: u64,
    /// Answers that were a 503.
    failed: u64,
    /// Those of them that a caller got.
    noticed: u64,
}

impl Toll {
    pub(crate) fn between(before: (Seen, Tally), after: (Seen, Tally)) -> Self {
        let count = |count: fn(&Seen) -> u64| count(&after.0) - count(&before.0);
        Self {
            first: count(|seen| seen.all - seen.again),
            again: count(|seen| seen.again),
            failed: count(|seen| seen.flaky),
            noticed: after.1.unavailable - before.1.unavailable,
        }
    }

    /// Whether hardly a caller has noticed, and the upstream had little more to do.
    pub(crate) fn is_bearable(&self) -> bool {
        self.failed > 0 && self.noticed * 100 <= self.first && self.again * 5 <= self.first
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            again,
            failed,
            noticed,
        } = self;
        let more = 100.0 * *again as f64 / *first as f64;
        write!(
            f,
            "{failed} answers were a 503, {noticed} reached a caller; {again} requests more for the upstream than {first}, \
             {more:.1} %"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_notice_is_too_much_and_so_is_much_more_work() {
        let toll = Toll {
            first: 500,
            again: 55,
            failed: 55,
            noticed: 0,
        };
        assert!(toll.is_bearable());
        assert!(!Toll { failed: 0, ..toll }.is_bearable(), "nothing to hide");
        assert!(!Toll { noticed: 6, ..toll }.is_bearable());
        assert!(!Toll { again: 101, ..toll }.is_bearable());
        assert_eq!(
            toll.to_string(),
            "55 answers were a 503, 0 reached a caller; 55 requests more for the upstream than 500, 11.0 %"
        );
    }
}
