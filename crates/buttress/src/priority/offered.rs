//! Refusing by class before the line is even asked: from what is *offered*, not from what is admitted.
//!
//! While somebody waits at every moment of an interval, more comes than can be served. What was offered in that interval
//! is counted by band, refused calls too, and so is what was begun; the next interval refuses the difference, the least
//! important first: whole bands, and of one band a share.
//!
//! What was begun is counted as it begins. To add up what runs and what is over would miss the streams that go on after
//! their slot went back at the headers: the more of them there were, the fewer calls would be let in.
//!
//! A threshold taken from admitted calls feeds on itself: what it refuses is not seen any more, so the admitted look too
//! many again, and a third too much load ends with two thirds refused. Offered load does not change by being refused.
//!
//! The threshold is of the interval before, and of no other: it is set anew by those who wait and those who are served,
//! and where there are none, by whoever it is about to refuse, or whoever wants to see it.
//!
//! A tenth more than was begun is let through, so that the line does not run dry, which would waste slots and, one
//! interval later, open the gate again.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{Priority, class::BANDS};
use crate::striped::Striped;

/// How often the threshold is set.
const INTERVAL: u64 = Duration::from_millis(250).as_nanos() as u64;

/// A whole band.
const ALL: u64 = 1 << 16;

/// In the counts, after what was offered by band: what was begun.
const BEGUN: usize = BANDS;

pub(super) struct Offered {
    counts: Striped<{ BANDS + 1 }>,
    /// The band of which a share is refused, and the share; what is below is refused. 0: nobody is.
    threshold: AtomicU64,
    /// When the interval began, in nanoseconds of the queue's life. The rest is written with the line open.
    since: AtomicU64,
    begun: AtomicU64,
    before: [AtomicU64; BANDS],
}

impl Offered {
    pub(super) fn new() -> Self {
        Self {
            counts: Striped::new(),
            threshold: AtomicU64::new(0),
            since: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            before: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts a call, and says the how manieth of its band it is.
    #[inline]
    pub(super) fn count(&self, class: Priority) -> u64 {
        self.counts.count(class.index(), 1)
    }

    /// Whether a call that was counted so may go on.
    #[inline]
    pub(super) fn admits(&self, class: Priority, count: u64) -> bool {
        let threshold = self.threshold.load(Relaxed);
        threshold == 0 || admits(threshold, class.index(), count)
    }

    /// A call that was counted is begun.
    pub(super) fn begin(&self) {
        self.counts.add(BEGUN, 1);
    }

    pub(super) fn is_due(&self, now: u64) -> bool {
        now.saturating_sub(self.since.load(Relaxed)) >= INTERVAL
    }

    /// Sets the threshold, if it is time. The line is open, and nobody was waiting at `emptied`.
    pub(super) fn calibrate(&self, now: u64, emptied: u64) {
        if !self.is_due(now) {
            return;
        }
        let since = self.since.swap(now, Relaxed);
        let begun = self.counts.total(BEGUN);
        let begun = begun.wrapping_sub(self.begun.swap(begun, Relaxed));
        let offered: [u64; BANDS] = std::array::from_fn(|band| {
            let total = self.counts.total(band);
            total.wrapping_sub(self.before[band].swap(total, Relaxed))
        });
        // Calls are rare: what the last interval said is of another time.
        let stale = now - since > 4 * INTERVAL;
        let threshold = if emptied >= since || stale {
            0
        } else {
            threshold(offered, begun + begun / 10)
        };
        self.threshold.store(threshold, Relaxed);
    }

    /// From which band on nobody is refused for the load: below it, some or all are.
    pub(super) fn threshold(&self) -> Option<Priority> {
        // Where no share of a band is refused, nobody in it is.
        let band = self.threshold.load(Relaxed).div_ceil(ALL) as usize;
        let classes = Priority::bands().map(|(_, class)| class);
        classes.skip(1).nth(band.checked_sub(1)?)
    }
}

/// Which part of what is offered is to be refused, so that so many are left. Those in the highest band never are.
fn threshold(offered: [u64; BANDS], keep: u64) -> u64 {
    let mut excess = offered.iter().sum::<u64>().saturating_sub(keep);
    for (band, offered) in (0_u64..).zip(offered).take(BANDS - 1) {
        if excess < offered {
            return band * ALL + (excess * ALL).div_ceil(offered).min(ALL - 1);
        }
        excess -= offered;
    }
    (BANDS as u64 - 1) * ALL
}

fn admits(threshold: u64, band: usize, count: u64) -> bool {
    let (limit, share) = (threshold / ALL, threshold % ALL);
    match (band as u64).cmp(&limit) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        // Evenly: of each run of calls the same share.
        std::cmp::Ordering::Equal => {
            let refused = |n: u64| n.wrapping_mul(share) / ALL;
            refused(count.wrapping_add(1)) == refused(count)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_are_refused_first_and_of_one_band_a_share() {
        let refused = |offered: [u64; BANDS], keep: u64| {
            let threshold = threshold(offered, keep);
            let refused = |band: usize| {
                let of = offered[band];
                (0..of).filter(|n| !admits(threshold, band, *n)).count() as u64
            };
            std::array::from_fn::<_, BANDS, _>(refused)
        };
        assert_eq!(refused([50, 0, 100, 0, 20], 170), [0, 0, 0, 0, 0]);
        assert_eq!(refused([50, 0, 100, 0, 20], 150), [20, 0, 0, 0, 0]);
        assert_eq!(refused([50, 0, 100, 0, 20], 120), [50, 0, 0, 0, 0]);
        let [background, _, normal, _, critical] = refused([50, 0, 100, 0, 20], 50);
        assert!(
            background == 50 && (70..=71).contains(&normal) && critical == 0,
            "{normal}"
        );
        assert_eq!(
            refused([50, 0, 100, 0, 20], 10),
            [50, 0, 100, 0, 0],
            "never the highest"
        );
    }
}
