use std::{fmt, sync::Arc, time::Duration};

use super::{
    builder::CircuitBreakerBuilder, call::CircuitBreakerCall, core::Core, families,
    layer::CircuitBreakerLayer, permit::Permit, snapshot::Snapshot, state::State,
};
use crate::{
    clock::Instant,
    config::ConfigError,
    error::Rejected,
    export::Samples,
    outcome::{Outcome, Plain},
    registry::{Drill, DrillError, Listener, Policy},
    value::Table,
};

/// A circuit breaker: the state behind an [`Arc`], to be read, driven and tested with no service in sight.
///
/// # Clone
///
/// Clones share the state. So do all layers and services made from them.
///
/// ```
/// use buttress::{Outcome, circuit_breaker::{CircuitBreaker, State}, outcome::Reason};
///
/// let breaker = CircuitBreaker::builder().name("payments").consecutive_failures(2).build()?;
/// for _ in 0..2 {
///     let permit = breaker.try_acquire()?;
///     permit.record(Outcome::failure(Reason::Error));
/// }
/// assert_eq!(breaker.state(), State::Open);
///
/// let rejected = breaker.try_acquire().unwrap_err();
/// assert!(rejected.retry_after().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    pub(super) core: Arc<Core>,
}

impl CircuitBreaker {
    /// The default policy: five failures in a row open it for a minute.
    #[must_use]
    pub fn new() -> Self {
        Self::from_checked(CircuitBreakerBuilder::default())
    }

    /// The options to choose from.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::default()
    }

    /// The policy of [`CircuitBreakerBuilder::high_concurrency`].
    #[must_use]
    pub fn high_concurrency() -> Self {
        Self::from_checked(CircuitBreakerBuilder::high_concurrency())
    }

    /// The policy of [`CircuitBreakerBuilder::low_latency`].
    #[must_use]
    pub fn low_latency() -> Self {
        Self::from_checked(CircuitBreakerBuilder::low_latency())
    }

    pub(super) fn from_checked(options: CircuitBreakerBuilder) -> Self {
        Self {
            core: Arc::new(Core::new(options)),
        }
    }

    // ===== calls =====

    /// Asks for one call. The permit must be told how the call ended; dropped untold, the call was cancelled.
    ///
    /// # Errors
    ///
    /// [`CircuitOpen`](crate::RejectionKind::CircuitOpen) while the circuit is open, or half-open with every
    /// probe's slot taken.
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        let mut permit = self.admit();
        match permit.take_refusal() {
            Some(rejected) => Err(rejected),
            None => {
                permit.start();
                Ok(permit)
            }
        }
    }

    /// [`try_acquire`](Self::try_acquire) for a call whose start is noted only once that matters: when it is
    /// first found pending. It may be a [refusal](Permit::refused).
    #[inline]
    pub(super) fn admit(&self) -> Permit {
        Core::admit(&self.core)
    }

    /// Runs `future` through the breaker: for those who have no tower service. `Ok` is a success and `Err` a
    /// failure.
    ///
    /// The permit is taken at once, not at the first poll.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`](crate::Error::Rejected) if the circuit is open (the future is dropped unpolled),
    /// [`Error::Inner`](crate::Error::Inner) with the future's own error.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a cancelled call: the permit goes back and nothing is decided, unless it had been running for
    /// longer than [`slow_after`](CircuitBreakerBuilder::slow_after), which is a slow failure of the service. One that
    /// was never polled has not been running.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use buttress::{Error, circuit_breaker::CircuitBreaker};
    ///
    /// let breaker = CircuitBreaker::new();
    /// let answer = breaker.call(async { Ok::<_, std::io::Error>(42) }).await;
    /// assert_eq!(answer.ok(), Some(42));
    /// # })
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> CircuitBreakerCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        CircuitBreakerCall::new(self, Plain::new(), future)
    }

    /// [`call`](Self::call) with a judgement of the user's own, see [`Plain::classify`].
    pub fn call_with<F, T, E, C>(&self, protocol: Plain<C>, future: F) -> CircuitBreakerCall<F, C>
    where
        F: Future<Output = Result<T, E>>,
    {
        CircuitBreakerCall::new(self, protocol, future)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> CircuitBreakerLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`, which decides how their answers count.
    pub fn layer_for<P>(&self, protocol: P) -> CircuitBreakerLayer<P> {
        CircuitBreakerLayer::new(Some(self.clone()), protocol)
    }

    // ===== reading =====

    /// The name in rejections, events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.core.name().clone()
    }

    /// The state, by one relaxed load. An open breaker whose time is over still reads open here, until a call
    /// comes that can probe.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.core.machine.glance().state()
    }

    /// Would a call at `now` be let through? A hint: it reserves nothing.
    #[must_use]
    pub fn would_admit(&self, now: Instant) -> bool {
        self.core.would_admit(self.core.ticks(now))
    }

    /// The state and the books.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.core.snapshot()
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> CircuitBreakerBuilder {
        self.core.settings.load().options.clone()
    }

    // ===== steering =====

    /// Changes the options while it runs. State, counts, the run of failures and the end of an open time that
    /// has begun stay as they are; the window is kept if its shape is, else it starts empty. The name cannot be
    /// changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: CircuitBreakerBuilder) -> Result<(), ConfigError> {
        options.check()?;
        self.core.reconfigure(options);
        Ok(())
    }

    /// Puts it into `state`, with a new generation: what is in flight decides nothing any more.
    ///
    /// `Open` recovers by itself after `open_for`; for the others see the methods of their name.
    pub fn transition_to(&self, state: State) {
        self.core.force(state);
    }

    /// Refuses every call until [`close`](Self::close) or [`reset`](Self::reset).
    pub fn force_open(&self) {
        self.core.force(State::ForcedOpen);
    }

    /// Lets every call through and records nothing, until [`close`](Self::close) or [`reset`](Self::reset).
    pub fn disable(&self) {
        self.core.force(State::Disabled);
    }

    /// Lets every call through and records it, until [`close`](Self::close) or [`reset`](Self::reset).
    pub fn metrics_only(&self) {
        self.core.force(State::MetricsOnly);
    }

    /// Closes it; the counts stay. Nothing happens if it is closed.
    pub fn close(&self) {
        if self.state() != State::Closed {
            self.core.force(State::Closed);
        }
    }

    /// Closes it from any state and clears the counts, the run of failures and the growth of the open time.
    /// What is in flight decides nothing any more.
    pub fn reset(&self) {
        self.core.reset();
    }

    /// Records an outcome by hand, as if a call of the present generation had ended so. While it is open or
    /// disabled this decides nothing.
    pub fn record(&self, outcome: Outcome) {
        self.core.record_by_hand(outcome);
    }

    /// Has `listener` called with every event, on the task in which it happened. It is called with no lock held,
    /// so it may ask or steer the breaker.
    pub fn listen(&self, listener: impl Fn(&crate::registry::Event) + Send + Sync + 'static) {
        self.core.events.listen(Arc::new(listener));
    }

    /// Names a breaker that its owner did not.
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.core.name.give(name);
    }

    /// Takes calls for slow from then on where its owner did not say from when.
    pub(crate) fn slow_after_if_unset(&self, time: Duration) {
        self.core.assume_slow_after(time);
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", self.core.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Policy for CircuitBreaker {
    fn concern(&self) -> &'static str {
        super::CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.core) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert("circuitBreaker", Table::from(&self.snapshot()));
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.core, self.snapshot().state, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.core.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Open => self.transition_to(State::Open),
            Drill::ForceOpen => self.force_open(),
            Drill::Close => self.close(),
            Drill::Reset => self.reset(),
            Drill::Disable => self.disable(),
            Drill::Record { outcome, times } => (0..*times).for_each(|_| self.record(*outcome)),
        }
        Ok(())
    }
}

/// Ticks are what the machine counts time in: 10 µs, so that 45 bits last eleven years.
pub(super) const TICKS_PER_SECOND: u64 = 100_000;
pub(super) const NANOS_PER_TICK: u32 = 10_000;

pub(super) fn to_ticks(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(TICKS_PER_SECOND)
        .saturating_add((time.subsec_nanos() / NANOS_PER_TICK).into())
}

pub(super) fn from_ticks(ticks: u64) -> Duration {
    Duration::new(
        ticks / TICKS_PER_SECOND,
        (ticks % TICKS_PER_SECOND) as u32 * NANOS_PER_TICK,
    )
}
