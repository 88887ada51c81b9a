use super::{Balance, Candidates};

/// The endpoint that does best: `success rate × (1 − average latency / 10 s)`, of about its last 20 calls.
///
/// Those within 5 % of the best are taken as equals, and one of them is chosen at random, by weight: a difference of
/// a few milliseconds is no reason for all calls to run to one endpoint. What an endpoint has done is forgotten in
/// time, so one that did badly is tried again.
///
/// It looks at every endpoint, twice, so it suits dozens rather than hundreds; and services whose answers take seconds
/// and whose failures are their own: accounts with a provider, keys with
/// quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score;

/// Scores that are at least this part of the best are as good.
const EQUAL: f64 = 0.95;

impl Balance for Score {
    fn name(&self) -> &'static str {
        "score"
    }

    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        let best = among.usable().map(|i| among.score(i)).fold(0.0, f64::max);
        // One by one, each takes the place of the one before with the chance that its weight has among those so far.
        let mut weights = 0.0;
        let equals = among.usable().filter(|&i| among.score(i) >= best * EQUAL);
        equals.fold(None, |chosen, i| {
            weights += among.weight(i);
            match chosen {
                Some(chosen) if among.random() * weights >= among.weight(i) => Some(chosen),
                _ => Some(i),
            }
        })
    }
}
