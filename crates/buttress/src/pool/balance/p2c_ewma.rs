use super::{Balance, Candidates};

/// The better of two endpoints at random: that whose latency, times its calls in flight, over its weight, is less.
///
/// Two choices are nearly as good as a look at all (Mitzenmacher, "The Power of Two Choices in Randomized Load
/// Balancing", 2001), and clients that know nothing of each other do not all run to the same idle endpoint. The
/// latency is Finagle's Peak-EWMA: it rises to the worst answer at once and falls slowly, so an endpoint that begins
/// to stall is avoided within one call.
///
/// Unlike tower's and Finagle's, a failure is no quick answer: it counts as one that takes twenty times what usually
/// stands in an endpoint's queue, at least 100 ms more than it took. And an answer that says nothing, a 404, a refusal, a call that was
/// dropped, can make an endpoint look slower but never faster.
///
/// Of two of which nothing is known of one, that is taken which has not failed, or the less busy: an endpoint that is
/// new is not flooded.
#[derive(Clone, Copy, Debug, Default)]
pub struct P2cEwma;

/// Latencies below this are all alike, in microseconds: an endpoint of which there is but a faded memory is not a
/// thousand times better than one that is known to answer in a millisecond.
const LEAST: f32 = 100.0;

impl Balance for P2cEwma {
    fn name(&self) -> &'static str {
        "p2c_ewma"
    }

    #[inline]
    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        let one = among.draw_usable(None)?;
        if among.len() == 1 {
            return Some(one);
        }
        let Some(other) = among.draw_usable(Some(one)) else {
            return Some(one);
        };
        let (known, known_other) = (among.peak_micros(one), among.peak_micros(other));
        let (latency, latency_other) = match (known, known_other) {
            (Some(one), Some(other)) => (one.max(LEAST), other.max(LEAST)),
            _ => {
                let (rate, rate_other) = (among.success_rate(one), among.success_rate(other));
                if rate != rate_other {
                    return Some(if rate_other > rate { other } else { one });
                }
                (LEAST, LEAST)
            }
        };
        let cost =
            |i: usize, latency: f32| f64::from(latency) * (among.in_flight(i) + 1) as f64 / among.weight(i);
        Some(if cost(other, latency_other) < cost(one, latency) {
            other
        } else {
            one
        })
    }
}
