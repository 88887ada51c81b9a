//! What the algorithms that keep their state in one word have in common.
//!
//! Each is plain arithmetic: from the state and the moment to the next state. Moments are nanoseconds since the limiter
//! was made and are handed in, so that a test may have any clock.

use super::{
    quota::{Quota, Refusal},
    rules::Rule,
};

/// How many bits a state has: the word has two more, see [`Rules`](super::rules::Rules).
pub(super) const STATE_BITS: u32 = 62;

/// The arithmetic of an algorithm under a rule. The state of one that was never used is 0.
pub(super) trait Meter: Copy {
    fn of(rule: Rule) -> Self;

    /// The state after so many permits were taken, and the moment at which they count as taken, if they can be had.
    fn charge(self, state: u64, now: u64, permits: u32) -> Option<(u64, u64)>;

    /// How long it takes until that many can be had, after `ahead` others.
    fn wait(self, state: u64, now: u64, ahead: u64, permits: u32) -> Refusal;

    /// The state with permits given back that count as taken at `at`. The calls that go on are then within the limit as
    /// if the one that does not had never been; what of its permits would have come back by itself in the meantime is
    /// not given twice.
    fn give_back(self, state: u64, now: u64, at: u64, permits: u32) -> u64;

    fn quota(self, state: u64, now: u64) -> Quota;

    /// Is the state as good as new?
    #[cfg_attr(not(feature = "keyed"), allow(dead_code))]
    fn is_idle(self, state: u64, now: u64) -> bool;

    /// The state as it would be had the calls that it stands for been made under another rule, at least about so.
    fn convert(self, state: u64, to: Self, now: u64) -> u64;
}
