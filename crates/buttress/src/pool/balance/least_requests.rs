use super::{Balance, Candidates};

/// The endpoint with the fewest calls in flight, for its weight; among equals, any.
///
/// It looks at every endpoint, so it suits dozens rather than hundreds. One that fails at once has never a call in
/// flight and would get them all: so those whose [success rate](Candidates::success_rate) is worse than the best by
/// more than 5 % come last.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequests;

/// An endpoint whose success rate is below that of the best by more than this comes after it, however idle it is.
const WORSE: f64 = 0.05;

impl Balance for LeastRequests {
    fn name(&self) -> &'static str {
        "least_requests"
    }

    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        let len = among.len();
        let start = among.draw();
        let mut best: Option<(usize, f64, f64)> = None;
        // From anywhere on, so that of equals it is not always the same.
        for i in (start..len).chain(0..start) {
            if !among.is_usable(i) {
                continue;
            }
            let load = (among.in_flight(i) + 1) as f64 / among.weight(i);
            let rate = among.success_rate(i);
            let is_better = match best {
                None => true,
                Some((_, _, best_rate)) if rate > best_rate + WORSE => true,
                Some((_, _, best_rate)) if rate < best_rate - WORSE => false,
                Some((_, best_load, _)) => load < best_load,
            };
            if is_better {
                best = Some((i, load, rate));
            }
        }
        best.map(|(i, ..)| i)
    }
}
