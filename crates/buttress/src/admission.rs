//! Whether a target may be called, and what it learns from how the calls end: what a pool asks of an endpoint's
//! circuit breaker, whatever breaker that is.
//!
//! An [`Admission`] is a policy that a call passes on its way to one of several targets. The two questions are apart:
//! [`would_admit`](Admission::would_admit) is a look, for those who choose; [`admit`](Admission::admit) is a
//! reservation, for the call that has chosen. So a chooser passes over a target that is down, and of two that choose
//! the last free probe of it one is told to choose again.
//!
//! A target may also be at its limit, which says nothing about it. Calls go to others; where there are none, they
//! [stand in line](Admission::stand_in_line), if those who set the limit have said for how long.
//!
//! It is a trait object, for the targets of one pool may be guarded by different things; and what a call carries of it
//! is a few words by value, [`Admitted`], so that nothing is allocated for a call that need not wait.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{
    clock::{self, Instant},
    config::ConfigError,
    error::Rejected,
    export::Samples,
    outcome::{Head, Outcome},
    registry::{Drill, DrillError, Listener, Policy},
    value::Table,
};

/// A policy that lets calls through to one target, or not: a circuit breaker.
///
/// Its [`listen`](Policy::listen) must tell of every change of its [`standing`](Self::standing), and its
/// [`drill`](Policy::drill) is how an operator drills the target.
pub trait Admission: Policy {
    /// Would a call at `now` be let through? It reserves nothing.
    fn would_admit(&self, now: Instant) -> bool;

    /// When a call may be let through though nothing else happens, if that is known.
    fn next_chance(&self, now: Instant) -> Option<Instant>;

    /// What it thinks of its target.
    fn standing(&self) -> Standing;

    /// The target seems to be back, says somebody who has looked: if it is kept from calls because it failed, it is
    /// given a trial now rather than later. What an operator has shut stays shut.
    fn hasten(&self);

    /// Asks for one call at `now`.
    ///
    /// # Errors
    ///
    /// The refusal of this policy.
    fn admit(&self, now: Instant) -> Result<Admitted, Rejected>;

    /// How long until the turn of a call that comes now, where nothing but a limit is in its way; no time at all if not
    /// even that is. `None` if something else is, or if this knows no limit.
    fn turn_in(&self, now: Instant) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Stands in line for one call that has waited since then and may until `deadline`. `None` if its turn would come
    /// too late, or nobody waits here: then [`admit`](Self::admit) says why not.
    fn stand_in_line(&self, since: Instant, deadline: Option<Instant>) -> Option<Turn> {
        let _ = (since, deadline);
        None
    }

    /// Asks for one call at `now` that is made whatever this thinks of the target, and of whose end it is not told: only
    /// a limit has a say in that.
    ///
    /// # Errors
    ///
    /// The refusal of the limit.
    fn overrule(&self, now: Instant) -> Result<(), Rejected> {
        let _ = now;
        Ok(())
    }

    /// The call was not made after all: what it took goes back.
    fn withdraw(&self, call: Admitted) {
        self.cancel(call);
    }

    /// Good headers have come; see [`Token::head`](crate::Token::head).
    fn head(&self, call: &mut Admitted, head: Head);

    /// The first data has come; see [`Token::data`](crate::Token::data).
    fn data(&self, call: &mut Admitted);

    /// The call is over.
    fn finish(&self, call: Admitted, outcome: Outcome);

    /// The call was dropped before it was over.
    fn cancel(&self, call: Admitted);

    /// Takes calls for slow from then on where its owner did not say from when.
    fn slow_after_if_unset(&self, time: Duration) {
        let _ = time;
    }

    /// Names the policy, if its owner did not.
    fn name_if_unnamed(&self, name: &Arc<str>) {
        let _ = name;
    }
}

/// The policies that a guard consists of, all under the name of their target: those it holds, or else itself.
pub(crate) fn parts(guard: &Arc<dyn Admission>, name: &str) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
    let held = guard.members(name);
    if held.is_empty() {
        vec![(name.into(), guard.clone() as Arc<dyn Policy>)]
    } else {
        held
    }
}

/// What an [`Admission`] thinks of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may be called.
    Sound,
    /// It was down, and is on trial.
    Trial,
    /// It is down.
    Down,
}

/// The leave to make one call, to be given back to the [`Admission`] that granted it: three words of a breaker and one
/// of a limit, that mean something to those alone.
#[derive(Debug)]
#[must_use = "it is to be finished, cancelled or withdrawn"]
pub struct Admitted {
    words: [u64; 3],
    limit: u64,
}

impl Admitted {
    /// A leave with a breaker's words in it.
    #[inline]
    pub const fn new(words: [u64; 3]) -> Self {
        Self { words, limit: 0 }
    }

    /// A leave with a limit's word in it; 0 is none.
    #[inline]
    pub const fn by_limit(limit: u64) -> Self {
        Self { words: [0; 3], limit }
    }

    /// The breaker's words.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        self.words
    }

    /// The limit's word.
    #[inline]
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// What is the limit's part of the leave.
    fn of_limit(&self) -> Self {
        Self::by_limit(self.limit)
    }
}

/// A call that stands in line, from [`Admission::stand_in_line`]: its leave when its turn has come, or the refusal. It
/// leaves the line when it is dropped.
pub type Turn = Pin<Box<dyn Future<Output = Result<Admitted, Rejected>> + Send + Sync>>;

/// What makes an [`Admission`] for each target: a `CircuitBreakerBuilder`, or a closure.
pub trait MakeAdmission: Send + Sync {
    /// A new one, for the target of that name.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense.
    fn make(&self, target: &str) -> Result<Arc<dyn Admission>, ConfigError>;
}

impl<F> MakeAdmission for F
where
    F: Fn(&str) -> Result<Arc<dyn Admission>, ConfigError> + Send + Sync,
{
    fn make(&self, target: &str) -> Result<Arc<dyn Admission>, ConfigError> {
        self(target)
    }
}

/// Two of them in front of one target: a breaker and a limit. Both must let a call through; what the target's
/// [standing](Admission::standing) is, and how its calls end, is the breaker's business.
///
/// A stack with a pool puts its own two together like this. For a pool by itself:
///
/// ```
/// # #[cfg(all(feature = "circuit-breaker", feature = "pool", feature = "rate-limit"))] {
/// use std::{sync::Arc, time::Duration};
///
/// use buttress::{
///     ConfigError, admission::{Admission, Both}, circuit_breaker::CircuitBreaker, pool::Pool, rate_limit::RateLimiter,
/// };
///
/// let breaker = CircuitBreaker::builder().consecutive_failures(3);
/// let limit = RateLimiter::per_second(100).max_wait(Duration::from_millis(50));
/// let pool = Pool::builder()
///     .breaker(move |_: &str| -> Result<Arc<dyn Admission>, ConfigError> {
///         let (breaker, limit) = (breaker.clone().build()?, limit.clone().build()?);
///         Ok(Arc::new(Both::new(Arc::new(breaker), Arc::new(limit))))
///     })
///     .endpoint("a", "http://a")
///     .endpoint("b", "http://b")
///     .build()?;
/// assert!(pool.try_acquire().is_ok());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Both {
    guard: Arc<dyn Admission>,
    limit: Arc<dyn Admission>,
}

impl Both {
    /// Asks the breaker first: a call that it refuses takes nothing of the limit.
    pub fn new(guard: Arc<dyn Admission>, limit: Arc<dyn Admission>) -> Self {
        Self { guard, limit }
    }
}

impl fmt::Debug for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Both")
    }
}

impl Admission for Both {
    fn would_admit(&self, now: Instant) -> bool {
        self.guard.would_admit(now) && self.limit.would_admit(now)
    }

    fn next_chance(&self, now: Instant) -> Option<Instant> {
        Some(self.guard.next_chance(now)?.max(self.limit.next_chance(now)?))
    }

    fn standing(&self) -> Standing {
        self.guard.standing()
    }

    fn hasten(&self) {
        self.guard.hasten();
    }

    fn admit(&self, now: Instant) -> Result<Admitted, Rejected> {
        let admitted = self.guard.admit(now)?;
        match self.limit.admit(now) {
            Ok(limit) => Ok(Admitted {
                limit: limit.limit,
                ..admitted
            }),
            Err(rejected) => {
                self.guard.withdraw(admitted);
                Err(rejected)
            }
        }
    }

    fn turn_in(&self, now: Instant) -> Option<Duration> {
        if !self.guard.would_admit(now) {
            return None;
        }
        self.limit.turn_in(now)
    }

    /// In the line of the limit; the breaker is asked when the turn has come, so nobody holds a probe while they wait.
    fn stand_in_line(&self, since: Instant, deadline: Option<Instant>) -> Option<Turn> {
        Some(Box::pin(TurnOfBoth {
            turn: self.limit.stand_in_line(since, deadline)?,
            both: self.clone(),
        }))
    }

    fn overrule(&self, now: Instant) -> Result<(), Rejected> {
        self.limit.overrule(now)
    }

    fn withdraw(&self, call: Admitted) {
        self.limit.withdraw(call.of_limit());
        self.guard.withdraw(call);
    }

    fn head(&self, call: &mut Admitted, head: Head) {
        self.guard.head(call, head);
    }

    fn data(&self, call: &mut Admitted) {
        self.guard.data(call);
    }

    fn finish(&self, call: Admitted, outcome: Outcome) {
        self.limit.finish(call.of_limit(), outcome);
        self.guard.finish(call, outcome);
    }

    fn cancel(&self, call: Admitted) {
        self.guard.cancel(call);
    }

    fn slow_after_if_unset(&self, time: Duration) {
        self.guard.slow_after_if_unset(time);
    }

    fn name_if_unnamed(&self, name: &Arc<str>) {
        self.guard.name_if_unnamed(name);
        self.limit.name_if_unnamed(name);
    }
}

/// A call in the line of the limit of two.
struct TurnOfBoth {
    turn: Turn,
    both: Both,
}

impl Future for TurnOfBoth {
    type Output = Result<Admitted, Rejected>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let by_limit = ready!(self.turn.as_mut().poll(cx))?;
        Poll::Ready(match self.both.guard.admit(clock::now()) {
            Ok(admitted) => Ok(Admitted {
                limit: by_limit.limit,
                ..admitted
            }),
            Err(rejected) => {
                self.both.limit.withdraw(by_limit);
                Err(rejected)
            }
        })
    }
}

/// Seen as the breaker, in whose state and figures those of the limit stand beside its own.
impl Policy for Both {
    fn concern(&self) -> &'static str {
        self.guard.concern()
    }

    fn identity(&self) -> usize {
        self.guard.identity()
    }

    fn describe(&self, state: &mut Table) {
        self.guard.describe(state);
        self.limit.describe(state);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        self.guard.samples(name, samples);
        self.limit.samples(name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.guard.listen(listener.clone());
        self.limit.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        if let Drill::Reset = drill {
            // One that cannot be reset has nothing to reset.
            let _ = self.limit.drill(drill);
        }
        self.guard.drill(drill)
    }

    /// Each by itself, under the one name.
    fn members(&self, name: &str) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
        [parts(&self.guard, name), parts(&self.limit, name)].concat()
    }
}

impl fmt::Debug for dyn MakeAdmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeAdmission")
    }
}
