use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Balance, Candidates};

/// One endpoint after the other; with weights, as often as those say, and evenly spread.
///
/// Exact over any number of calls, whatever the number of threads: all of its state is one counter. The `n`th call
/// goes to the endpoint at the point `n × φ` (the golden ratio, modulo 1) of the weights laid end to end. Of all such
/// walks this is the one whose points spread most evenly (Weyl's additive recurrence; Knuth, TAOCP vol. 3, 6.4): after
/// any number of calls, no endpoint is more than a few calls from what is its due, and no burst of calls goes to a
/// heavy one, which is what nginx's "smooth" weights achieve by a table of counters and a lock.
///
/// The calls of an endpoint that is not usable go to the others, by their weights, and not all to its neighbour. So do
/// those that fail over.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicU64,
}

/// The golden ratio's fraction, of 2⁶⁴.
const PHI: u64 = 0x9e37_79b9_7f4a_7c15;

impl RoundRobin {
    /// From the beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
        }
    }
}

impl Balance for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    #[inline]
    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        let roster = among.roster;
        let len = roster.nodes.len() as u64;
        if len == 0 {
            return None;
        }
        if !among.is_first_choice() {
            // A second choice takes no turn: of two endpoints, one of which fails, each call would take two, and find
            // the one that fails at its first.
            return among.at_share(among.random());
        }
        let turn = self.next.fetch_add(1, Relaxed);
        let (chosen, rest) = if roster.is_even {
            ((turn % len) as usize, (turn / len).wrapping_mul(PHI))
        } else {
            let product = u128::from(turn.wrapping_mul(PHI)) * u128::from(roster.total());
            let (point, fraction) = ((product >> 64) as u64, product as u64);
            let chosen = roster.sums.partition_point(|sum| *sum <= point);
            let before = roster.sums[chosen] - roster.weight(chosen);
            // How far into the endpoint's own part, of 2⁶⁴.
            let within =
                (u128::from(point - before) << 64 | u128::from(fraction)) / u128::from(roster.weight(chosen));
            (chosen, within as u64)
        };
        if among.is_usable(chosen) {
            return Some(chosen);
        }
        among.at_share(rest as f64 / 2_f64.powi(64))
    }
}
