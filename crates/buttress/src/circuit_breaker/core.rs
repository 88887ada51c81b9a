//! What a breaker shares among its clones, and every decision it takes.

use std::{
    num::NonZeroU64,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU16, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    builder::{CircuitBreakerBuilder, WindowShape},
    gate::Waiters,
    permit::Permit,
    policy::{NANOS_PER_TICK, from_ticks, to_ticks, unnamed},
    probes::Probes,
    snapshot::Snapshot,
    state::{Generation, Machine, Probation, State, Word},
    transition::{Cause, Transition},
    window::{CountWindow, LIFETIME, Sample, Tally, TimeWindow, Window},
};
use crate::{
    clock::{self, Instant},
    histogram::nanos,
    outcome::{Outcome, Verdict},
    random,
    registry::{Emitter, PolicyChanged},
    striped::Striped,
};

pub(super) struct Core {
    pub(super) machine: Machine,
    /// What a call in the closed state has to know of the options, so that it need not fetch them.
    hot: Hot,
    /// What its stack takes for slow.
    assumed_slow_after: OnceLock<Duration>,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) probes: Probes,
    pub(super) waiters: Waiters,
    pub(super) events: Emitter,
    pub(super) name: OnceLock<Arc<str>>,
    born: Instant,
    history: History,
    pub(super) books: Striped<8>,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const SUCCESS: usize = 0;
    pub(in super::super) const FAILURE: usize = 1;
    pub(in super::super) const THROTTLED: usize = 2;
    pub(in super::super) const NEUTRAL: usize = 3;
    pub(in super::super) const CANCELLED: usize = 4;
    pub(in super::super) const STALE: usize = 5;
    pub(in super::super) const REJECTED: usize = 6;
    pub(in super::super) const SLOW: usize = 7;
}

pub(super) struct Settings {
    pub(super) options: CircuitBreakerBuilder,
    window: Option<Arc<Window>>,
}

struct Hot {
    flags: AtomicU32,
    /// 0 is off.
    consecutive_failures: AtomicU32,
    slow_after: AtomicU64,
}

/// Every call must be timed.
const TIMED: u32 = 1;
/// There is a window.
const WINDOWED: u32 = 2;

/// What is written only when the state changes, in ticks.
#[derive(Default)]
struct History {
    entered: AtomicU64,
    /// When it opened, if it has not closed since; 0 if it has.
    outage: AtomicU64,
    failed_probations: AtomicU32,
    /// The generation in which the window was last made new.
    window_born: AtomicU16,
    opened: AtomicU64,
    recoveries: AtomicU64,
    recovery_time: AtomicU64,
}

impl Core {
    pub(super) fn new(options: CircuitBreakerBuilder) -> Self {
        let name = OnceLock::new();
        if let Some(given) = &options.name {
            let _ = name.set(given.clone());
        }
        let settings = Settings::new(options, None);
        Self {
            machine: Machine::new(),
            hot: Hot::new(&settings.options),
            assumed_slow_after: OnceLock::new(),
            settings: ArcSwap::from_pointee(settings),
            probes: Probes::new(),
            waiters: Waiters::default(),
            events: Emitter::default(),
            name,
            born: clock::now(),
            history: History::default(),
            books: Striped::new(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.get().unwrap_or_else(|| unnamed())
    }

    pub(super) fn ticks(&self, now: Instant) -> u64 {
        to_ticks(now.saturating_duration_since(self.born))
    }

    pub(super) fn now(&self) -> u64 {
        self.ticks(clock::now())
    }

    pub(super) fn instant(&self, ticks: u64) -> Instant {
        self.born + from_ticks(ticks)
    }

    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.hot.flags.load(Relaxed) & TIMED != 0
    }

    /// The time since the breaker was made, in nanoseconds, one more than it is.
    pub(super) fn nanos(&self) -> NonZeroU64 {
        self.nanos_at(clock::now())
    }

    fn nanos_at(&self, now: Instant) -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(nanos(now.saturating_duration_since(self.born)))
    }

    /// Is a call that began then slow by now?
    pub(super) fn is_slow(&self, started: NonZeroU64) -> bool {
        let taken = self.nanos().get().saturating_sub(started.get());
        taken >= self.hot.slow_after.load(Relaxed)
    }

    // ===== admission =====

    /// The leave for one call, or a [refusal](Permit::refused).
    pub(super) fn admit(this: &Arc<Self>) -> Permit {
        Self::admit_if_closed(this).unwrap_or_else(|| Self::admit_unless_open(this))
    }

    #[inline]
    pub(super) fn admit_if_closed(this: &Arc<Self>) -> Option<Permit> {
        let word = this.machine.glance();
        word.is_closed().then(|| {
            let started = this.is_timed().then(|| this.nanos());
            Permit::ordinary(this.clone(), word.generation(), started)
        })
    }

    fn admit_unless_open(this: &Arc<Self>) -> Permit {
        let now = clock::now();
        let ticks = this.ticks(now);
        let mut word = this.machine.load();
        loop {
            match word.state() {
                State::Closed | State::MetricsOnly => {
                    let started = this.is_timed().then(|| this.nanos_at(now));
                    return Permit::ordinary(this.clone(), word.generation(), started);
                }
                State::Disabled => return Permit::unrecorded(),
                State::ForcedOpen => return Self::refuse(this, 0),
                State::Open => {
                    let until = word.payload();
                    if ticks < until {
                        return Self::refuse(this, until - ticks);
                    }
                    word = match this.machine.advance(word, State::HalfOpen, 0) {
                        Ok(next) => {
                            this.entered(State::Open, State::HalfOpen, Cause::OpenTimeOver);
                            next
                        }
                        Err(next) => next,
                    };
                }
                State::HalfOpen => match this.reserve_probe(word, ticks) {
                    Ok(Some(probe)) => {
                        return Permit::probe(this.clone(), word.generation(), probe, this.nanos_at(now));
                    }
                    Ok(None) => return Self::refuse(this, 0),
                    Err(next) => word = next,
                },
            }
        }
    }

    /// A probe's slot; `Err` with the present word if the probation ended meanwhile.
    fn reserve_probe(&self, word: Word, now: u64) -> Result<Option<super::probes::Reservation>, Word> {
        let settings = self.settings.load();
        let lease = now.saturating_add(to_ticks(settings.options.effective_lease()).max(1));
        let capacity = settings.options.half_open_probes;
        let Some(probe) = self.probes.reserve(word.generation(), now, lease, capacity) else {
            return Ok(None);
        };
        let after = self.machine.load();
        if after.generation() == word.generation() {
            Ok(Some(probe))
        } else {
            self.probes.release(probe);
            Err(after)
        }
    }

    /// For so many ticks, where that is known.
    fn refuse(this: &Arc<Self>, ticks: u64) -> Permit {
        this.books.add(book::REJECTED, 1);
        Permit::refused(
            this.clone(),
            NonZeroU64::new(ticks.saturating_mul(NANOS_PER_TICK.into())),
        )
    }

    pub(super) fn would_admit(&self, now: u64) -> bool {
        let word = self.machine.load();
        match word.state() {
            State::Closed | State::Disabled | State::MetricsOnly => true,
            State::ForcedOpen => false,
            State::Open => now >= word.payload(),
            State::HalfOpen => {
                let capacity = self.settings.load().options.half_open_probes;
                self.probes.has_free(word.generation(), now, capacity)
            }
        }
    }

    /// The tick at which a call may be admitted though nothing else happens.
    pub(super) fn next_chance(&self, now: u64) -> Option<u64> {
        let word = self.machine.load();
        match word.state() {
            State::Closed | State::Disabled | State::MetricsOnly => Some(now),
            State::ForcedOpen => None,
            State::Open => Some(word.payload()),
            State::HalfOpen => {
                let capacity = self.settings.load().options.half_open_probes;
                self.probes.next_free(word.generation(), now, capacity)
            }
        }
    }

    // ===== decisions =====

    /// Does a result of `generation` still count?
    #[inline]
    pub(super) fn is_current(&self, generation: Generation) -> bool {
        self.machine.glance().generation() == generation
    }

    /// What the outcome of a call of `generation` does to the state. `false` if it comes too late to do
    /// anything.
    #[inline]
    pub(super) fn decide(&self, generation: Generation, outcome: Outcome, slow: bool) -> bool {
        let word = self.machine.glance();
        if word.generation() != generation {
            return false;
        }
        match word.state() {
            State::Closed | State::MetricsOnly => self.weigh(generation, outcome, slow),
            State::HalfOpen => self.probe_ended(generation, outcome),
            State::Open | State::ForcedOpen | State::Disabled => true,
        }
    }

    #[inline]
    fn weigh(&self, generation: Generation, outcome: Outcome, slow: bool) -> bool {
        match outcome.verdict() {
            Verdict::Success => {
                if !self.machine.clear_streak(generation) {
                    return false;
                }
            }
            Verdict::Failure => match self.machine.extend_streak(generation) {
                None => return false,
                Some(failures) => {
                    let limit = u64::from(self.hot.consecutive_failures.load(Relaxed));
                    if limit != 0 && failures >= limit {
                        self.trip(generation, outcome, |open_for| Cause::ConsecutiveFailures {
                            failures,
                            last: outcome.reason(),
                            open_for,
                        });
                    }
                }
            },
            Verdict::Throttled => {}
            Verdict::Neutral => return true,
        }
        if self.hot.flags.load(Relaxed) & WINDOWED != 0 {
            self.weigh_rates(generation, outcome, slow);
        }
        true
    }

    #[inline(never)]
    fn weigh_rates(&self, generation: Generation, outcome: Outcome, slow: bool) {
        let settings = self.settings.load();
        let Some(window) = &settings.window else { return };
        let sample = Sample {
            failed: matches!(outcome.verdict(), Verdict::Failure | Verdict::Throttled),
            slow,
        };
        // A count window needs no clock.
        let now = match **window {
            Window::Count(_) => 0,
            Window::Time(_) => self.now(),
        };
        let Some(Tally { calls, failed, slow }) = window.record(generation, now, sample) else {
            return;
        };
        let options = &settings.options;
        if calls < options.effective_minimum() {
            return;
        }
        if options
            .failure_rate
            .is_some_and(|rate| reaches(failed, calls, rate))
        {
            self.trip(generation, outcome, |open_for| Cause::FailureRate {
                failed,
                calls,
                open_for,
            });
        } else if options
            .slow_call_rate
            .is_some_and(|rate| reaches(slow, calls, rate))
        {
            self.trip(generation, outcome, |open_for| Cause::SlowCallRate {
                slow,
                calls,
                open_for,
            });
        }
    }

    /// From closed to open.
    #[cold]
    fn trip(&self, generation: Generation, outcome: Outcome, cause: impl FnOnce(Duration) -> Cause) {
        let settings = self.settings.load();
        self.open(
            generation,
            State::Closed,
            self.growth_after_closed(&settings.options),
            outcome,
            &settings.options,
            cause,
        );
    }

    /// How many failed probations the open time has grown by, if the closed state ends now.
    fn growth_after_closed(&self, options: &CircuitBreakerBuilder) -> u32 {
        let closed_for = self.now().saturating_sub(self.history.entered.load(Relaxed));
        if closed_for >= to_ticks(options.effective_steady()) {
            0
        } else {
            self.history.failed_probations.load(Relaxed)
        }
    }

    /// A probe, or an outcome recorded by hand, during a probation.
    fn probe_ended(&self, generation: Generation, outcome: Outcome) -> bool {
        match outcome.verdict() {
            Verdict::Success => self.probe_succeeded(generation),
            Verdict::Neutral => self.is_current(generation),
            Verdict::Failure | Verdict::Throttled => {
                let settings = self.settings.load();
                let failed_probations = self.history.failed_probations.load(Relaxed).saturating_add(1);
                self.open(
                    generation,
                    State::HalfOpen,
                    failed_probations,
                    outcome,
                    &settings.options,
                    |open_for| Cause::ProbeFailed {
                        reason: outcome.reason(),
                        open_for,
                    },
                )
            }
        }
    }

    pub(super) fn probe_succeeded(&self, generation: Generation) -> bool {
        let threshold = self.settings.load().options.success_threshold;
        match self.machine.pass_probe(generation, threshold.into()) {
            Probation::GoesOn => true,
            Probation::Passed => {
                self.entered(State::HalfOpen, State::Closed, Cause::ProbesSucceeded);
                true
            }
            Probation::Stale => false,
        }
    }

    fn open(
        &self,
        generation: Generation,
        from: State,
        failed_probations: u32,
        outcome: Outcome,
        options: &CircuitBreakerBuilder,
        cause: impl FnOnce(Duration) -> Cause,
    ) -> bool {
        let open_for = options.open_time(failed_probations, random::unit(), outcome.retry_after());
        let until = self.now().saturating_add(to_ticks(open_for));
        let opened = self.machine.leave(generation, from, State::Open, until);
        if opened {
            self.history.failed_probations.store(failed_probations, Relaxed);
            self.entered(from, State::Open, cause(open_for));
        }
        opened
    }

    // ===== by hand =====

    pub(super) fn force(&self, to: State) {
        let settings = self.settings.load();
        if self.machine.glance().is_closed() {
            let growth = self.growth_after_closed(&settings.options);
            self.history.failed_probations.store(growth, Relaxed);
        }
        let until = match to {
            State::Open => {
                let grown = self.history.failed_probations.load(Relaxed);
                let open_for = settings.options.open_time(grown, random::unit(), None);
                self.now().saturating_add(to_ticks(open_for))
            }
            _ => 0,
        };
        let from = self.machine.force(to, until);
        self.entered(from, to, Cause::ByHand);
    }

    pub(super) fn reset(&self) {
        let from = self.machine.force(State::Closed, 0);
        self.books.rebase();
        self.history.clear();
        self.entered(from, State::Closed, Cause::ByHand);
    }

    pub(super) fn record_by_hand(&self, outcome: Outcome) {
        let word = self.machine.load();
        if word.state() == State::Disabled {
            return;
        }
        let current = self.decide(word.generation(), outcome, false);
        self.book(outcome, false, current);
    }

    pub(super) fn reconfigure(&self, options: CircuitBreakerBuilder) {
        let before = self.settings.load_full();
        let settings = Settings::new(options, Some(&before));
        self.hot
            .set(&settings.options, self.assumed_slow_after.get().copied());
        self.settings.store(Arc::new(settings));
        // More probes may be allowed now.
        self.waiters.wake();
        tracing::info!(target: "buttress::circuit_breaker", policy = %self.name(), "policy changed");
        self.events.emit(super::CONCERN, self.name(), || PolicyChanged);
    }

    /// What is slow where the options do not say it. Whoever says it first is believed.
    pub(super) fn assume_slow_after(&self, time: Duration) {
        if self.assumed_slow_after.set(time).is_ok() {
            self.hot.set(&self.settings.load().options, Some(time));
        }
    }

    // ===== books =====

    /// Books a success of `generation`, if that is all there is to do: it is closed, with no failures in a row, and
    /// no rate is watched. Else does nothing and returns `false`.
    #[inline]
    pub(super) fn book_success_as_usual(&self, generation: Generation) -> bool {
        let unaffected = self.machine.glance().is_closed_without_failures(generation)
            && self.hot.flags.load(Relaxed) & (TIMED | WINDOWED) == 0;
        if unaffected {
            self.books.add(book::SUCCESS, 1);
        }
        unaffected
    }

    #[inline]
    pub(super) fn book(&self, outcome: Outcome, slow: bool, current: bool) {
        let index = if !current {
            book::STALE
        } else {
            match outcome.verdict() {
                Verdict::Success => book::SUCCESS,
                Verdict::Failure => book::FAILURE,
                Verdict::Throttled => book::THROTTLED,
                Verdict::Neutral => book::NEUTRAL,
            }
        };
        self.books.add(index, 1);
        if slow && current {
            self.books.add(book::SLOW, 1);
        }
    }

    /// Everything that a change of state entails, once the machine has made it.
    #[cold]
    fn entered(&self, from: State, to: State, cause: Cause) {
        let now = self.now();
        self.history.entered(to, now);
        self.renew_window();
        self.waiters.wake();
        let name = self.name();
        match to {
            State::Open | State::ForcedOpen => {
                tracing::warn!(target: "buttress::circuit_breaker", policy = %name, %from, %to, %cause, "circuit opened");
            }
            _ => {
                tracing::info!(target: "buttress::circuit_breaker", policy = %name, %from, %to, %cause, "circuit changed");
            }
        }
        self.events
            .emit(super::CONCERN, name, || Transition { from, to, cause });
    }

    /// Replaces a window that has seen so many generations that it might take a new one for an old one.
    fn renew_window(&self) {
        let generation = self.machine.load().generation();
        let born = self.history.window_born.load(Relaxed);
        if generation.wrapping_sub(born) < LIFETIME {
            return;
        }
        self.history.window_born.store(generation, Relaxed);
        self.settings
            .rcu(|settings| Arc::new(Settings::new(settings.options.clone(), None)));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let word = self.machine.load();
        let open_until = (word.state() == State::Open).then_some(word.payload());
        let state = match open_until {
            Some(until) if now >= until => State::HalfOpen,
            _ => word.state(),
        };
        let counted = matches!(word.state(), State::Closed | State::MetricsOnly);
        let settings = self.settings.load();
        let tally = match &settings.window {
            Some(window) if counted => window.tally(word.generation(), now),
            _ => Tally::default(),
        };
        let rate = |part: u64| (tally.calls > 0).then(|| part as f64 / tally.calls as f64);
        let read = self.books.read();
        let recoveries = self.history.recoveries.load(Relaxed);
        Snapshot {
            name: self.name().clone(),
            state,
            total: read[..book::SLOW].iter().sum(),
            success: read[book::SUCCESS],
            failure: read[book::FAILURE],
            throttled: read[book::THROTTLED],
            neutral: read[book::NEUTRAL],
            cancelled: read[book::CANCELLED],
            rejected: read[book::REJECTED],
            stale: read[book::STALE],
            slow: read[book::SLOW],
            consecutive_failures: if counted { word.payload() } else { 0 },
            failure_rate: rate(tally.failed),
            slow_rate: rate(tally.slow),
            time_in_state: from_ticks(now.saturating_sub(self.history.entered.load(Relaxed))),
            retry_after: open_until
                .filter(|&until| until > now)
                .map(|until| from_ticks(until - now)),
            times_opened: self.history.opened.load(Relaxed),
            mean_time_to_recover: self
                .history
                .recovery_time
                .load(Relaxed)
                .checked_div(recoveries)
                .map(from_ticks),
        }
    }
}

/// Is `part / whole` at or above `rate`? Exactly so for rates of up to six decimals: a product of floats would
/// call 3 of 10 less than 0.3.
fn reaches(part: u64, whole: u64, rate: f64) -> bool {
    const MILLION: f64 = 1_000_000.0;
    // A rate that rounds to nothing still wants one.
    part > 0 && part * 1_000_000 >= (rate * MILLION).round() as u64 * whole
}

impl Settings {
    fn new(options: CircuitBreakerBuilder, before: Option<&Self>) -> Self {
        let kept = before
            .filter(|b| b.options.window == options.window)
            .and_then(|b| b.window.clone());
        let window = options.uses_window().then(|| {
            kept.unwrap_or_else(|| {
                Arc::new(match options.window {
                    WindowShape::Calls(calls) => Window::Count(CountWindow::new(calls)),
                    WindowShape::Time(time) => Window::Time(TimeWindow::new(to_ticks(time))),
                })
            })
        });
        Self { options, window }
    }
}

impl Hot {
    fn new(options: &CircuitBreakerBuilder) -> Self {
        let hot = Self {
            flags: AtomicU32::new(0),
            consecutive_failures: AtomicU32::new(0),
            slow_after: AtomicU64::new(0),
        };
        hot.set(options, None);
        hot
    }

    fn set(&self, options: &CircuitBreakerBuilder, assumed_slow_after: Option<Duration>) {
        let timed = if options.slow_call_rate.is_some() {
            TIMED
        } else {
            0
        };
        let windowed = if options.uses_window() { WINDOWED } else { 0 };
        self.flags.store(timed | windowed, Relaxed);
        self.consecutive_failures
            .store(options.consecutive_failures.unwrap_or(0), Relaxed);
        let slow_after = options.effective_slow_after(assumed_slow_after).as_nanos();
        self.slow_after
            .store(u64::try_from(slow_after).unwrap_or(u64::MAX), Relaxed);
    }
}

impl History {
    fn entered(&self, to: State, now: u64) {
        self.entered.store(now, Relaxed);
        match to {
            State::Open | State::ForcedOpen => {
                self.opened.fetch_add(1, Relaxed);
                // One outage from the first opening to the closing, however many probations fail in between.
                let _ = self.outage.compare_exchange(0, now.max(1), AcqRel, Acquire);
            }
            State::Closed => {
                let since = self.outage.swap(0, AcqRel);
                if since != 0 {
                    self.recovery_time.fetch_add(now.saturating_sub(since), Relaxed);
                    self.recoveries.fetch_add(1, Relaxed);
                }
            }
            _ => {}
        }
    }

    fn clear(&self) {
        for count in [&self.opened, &self.recoveries, &self.recovery_time, &self.outage] {
            count.store(0, Relaxed);
        }
        self.failed_probations.store(0, Relaxed);
    }
}
