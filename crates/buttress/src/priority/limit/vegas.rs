use super::{
    LimitAlgorithm, Sample,
    knee::{Baseline, Knee},
    round::Round,
};

/// By the queue that calls must stand in somewhere inside: TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's
/// `VegasLimit`.
///
/// With a latency `r` now and `m` when nothing waits, of `n` calls in flight `n × (1 − m/r)` wait. The limit is moved to
/// where about a tenth of them do: a short queue, so that the service never runs dry. Vegas counts those who wait in
/// packets, and Netflix in logarithms of the limit; here it is a share, the tolerance of 10 %, because noise is one as well.
/// While there is less than that the limit grows, by almost a half each round where nothing waits at all; beyond 15 % it
/// shrinks at once to what the service is seen to work on.
///
/// # The least latency
///
/// Everything depends on `m`, and this is what others got wrong: a single answer that was very fast pinned the limit to
/// its minimum for ever, and one that is measured anew under load, as Netflix's is, takes the queue that is there for none,
/// and lets it grow a little each time. Here it is a *mean*, lowered at once where one is lower beyond doubt; and after 30
/// rounds, and 25 calls for each that may be in flight, the limit is lowered for one round to 80 % of what the service is
/// seen to work on, where nothing waits. What is seen then is taken as it is, be it less or more (by a tenth at most). Where
/// the limit stands at its minimum and calls still take longer, for three rounds, that is how long they take.
///
/// # When it fails
///
/// Where latency has more to do with what is asked than with load: if for a while only cheap calls come, those set `m`, and
/// the dear ones that follow look like a queue until the next probe. A queue of their own for each helps, or
/// [`Gradient2`](super::Gradient2). And what varies widely takes many calls to be measured: the limit follows slowly then. A
/// probe costs a fifth of the throughput for a round and a half in thirty or more: less than one percent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vegas {
    _private: (),
}

impl Vegas {
    /// The algorithm.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

/// How much of what is in flight may wait.
const TOLERANCE: f64 = 0.1;

/// From one probe to the next there are so many rounds, and for each call that may be in flight so many calls.
const ROUNDS: u32 = 30;
const CALLS: f64 = 25.0;

#[derive(Debug)]
pub(super) struct State(Knee<Least>);

impl State {
    pub(super) const fn new() -> Self {
        Self(Knee::new(Least { rounds: 0, calls: 0 }, TOLERANCE))
    }
}

impl LimitAlgorithm for State {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        self.0.observe(sample, limit)
    }
}

/// The least latency there is, since the last probe.
#[derive(Debug)]
struct Least {
    rounds: u32,
    calls: u64,
}

impl Baseline for Least {
    fn count(&mut self) {
        self.calls += 1;
    }

    fn learn(&mut self, least: &mut f64, round: &Round) -> bool {
        self.rounds += 1;
        if round.latency + 2.0 * round.error < *least {
            *least = round.latency;
        } else if round.latency < *least {
            // It may be noise: of many means the least is less than any.
            *least += (round.latency - *least) / 20.0;
        }
        self.rounds >= ROUNDS && self.calls as f64 >= CALLS * round.in_flight
    }

    fn probed(&mut self, least: &mut f64, round: &Round) {
        *least = round.latency.min(*least * 1.1);
        (self.rounds, self.calls) = (0, 0);
    }
}
