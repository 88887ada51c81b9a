//! Which endpoint gets a call.

mod candidates;
mod least_requests;
mod p2c_ewma;
mod random;
mod round_robin;
mod score;
mod weighted_random;

use std::{fmt, sync::Arc};

pub use candidates::Candidates;
pub(super) use candidates::score;
pub use least_requests::LeastRequests;
pub use p2c_ewma::P2cEwma;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use score::Score;
pub use weighted_random::WeightedRandom;

/// Chooses an endpoint for a call. Implement it for a strategy of your own.
///
/// It is asked on the way of every call, by many threads at a time: it should not lock, and need not allocate.
///
/// ```
/// use buttress::pool::{Balance, Candidates, Pool, Strategy};
///
/// /// The first that may be used: one works, the others stand by.
/// #[derive(Debug)]
/// struct FirstOf;
///
/// impl Balance for FirstOf {
///     fn name(&self) -> &'static str {
///         "first_of"
///     }
///
///     fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
///         among.usable().next()
///     }
/// }
///
/// let pool = Pool::builder().balance(Strategy::custom(FirstOf)).endpoint("a", 1).endpoint("b", 2).build()?;
/// assert_eq!(*pool.try_acquire()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Balance: fmt::Debug + Send + Sync {
    /// What it is called, in `snake_case`.
    fn name(&self) -> &'static str;

    /// The index of a [usable](Candidates::is_usable) endpoint. If it answers with none, or with another, the call
    /// goes to the first that is usable, if there is one.
    fn choose(&self, among: &Candidates<'_>) -> Option<usize>;
}

/// How a pool chooses; see each for what it is good for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The better of two at random, by latency and calls in flight. The default.
    #[default]
    P2cEwma,
    /// One after the other, by weight.
    RoundRobin,
    /// Any.
    Random,
    /// Any, by weight.
    WeightedRandom,
    /// The one with the fewest calls in flight, by weight.
    LeastRequests,
    /// The one that does best.
    Score,
    /// A strategy of the user's own.
    Custom(Arc<dyn Balance>),
}

impl Strategy {
    /// A strategy of the user's own.
    pub fn custom(balance: impl Balance + 'static) -> Self {
        Self::Custom(Arc::new(balance))
    }

    /// What it is called in configuration and JSON, in `snake_case`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Custom(balance) => balance.name(),
            Self::P2cEwma => "p2c_ewma",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::WeightedRandom => "weighted_random",
            Self::LeastRequests => "least_requests",
            Self::Score => "score",
        }
    }

    /// `turn` is the pool's own, for the strategies that go round.
    #[inline]
    pub(super) fn choose(&self, turn: &RoundRobin, among: &Candidates<'_>) -> Option<usize> {
        match self {
            Self::P2cEwma => P2cEwma.choose(among),
            Self::RoundRobin => turn.choose(among),
            Self::Random => Random.choose(among),
            Self::WeightedRandom => WeightedRandom.choose(among),
            Self::LeastRequests => LeastRequests.choose(among),
            Self::Score => Score.choose(among),
            Self::Custom(balance) => balance.choose(among),
        }
    }
}

/// Two of the user's own are equal if they are the same one.
impl PartialEq for Strategy {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}
