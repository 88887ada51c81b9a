//! Long random histories, driven through the breaker and through [`naive::Naive`], must never tell them apart.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --lib circuit_breaker::tests::model` looks further.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config as Runs, TestCaseError, TestCaseResult, TestRunner},
};

use self::naive::{Call, Config, Naive, Role, Shape, Ticks};
use super::*;
use crate::outcome::{Head, Token};

mod naive;

/// Something that happens. Where a call is meant, the number chooses among those under way.
#[derive(Clone, Debug)]
enum Step {
    /// A call that begins and ends at once.
    Call(Verdict),
    /// Many of them.
    Calls(u8, Verdict),
    Begin,
    End(usize, Verdict, Option<Ticks>),
    Drop(usize),
    Panic(usize),
    Head(usize, bool),
    Data(usize),
    Wait(Wait),
    Record(Verdict),
    Force(State),
    Close,
    Reset,
    Reconfigure(Config),
}

/// For how long. The named moments are met exactly, or missed by a tick to either side.
#[derive(Clone, Debug)]
enum Wait {
    For(Ticks),
    OpenEnd(i64),
    LeaseEnd(i64),
    SlowAfter(usize, i64),
    BucketEnd(i64),
    Steady(i64),
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        5 => Just(Verdict::Success),
        5 => Just(Verdict::Failure),
        1 => Just(Verdict::Throttled),
        1 => Just(Verdict::Neutral),
    ]
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Open),
        3 => Just(State::HalfOpen),
        2 => Just(State::MetricsOnly),
        1 => Just(State::Closed),
        1 => Just(State::ForcedOpen),
        1 => Just(State::Disabled),
    ]
}

fn waits() -> impl Strategy<Value = Wait> {
    let off = -1..=1_i64;
    prop_oneof![
        4 => (0..300_u64).prop_map(Wait::For),
        1 => (0..200_000_u64).prop_map(Wait::For),
        5 => off.clone().prop_map(Wait::OpenEnd),
        2 => off.clone().prop_map(Wait::LeaseEnd),
        2 => (any::<usize>(), off.clone()).prop_map(|(n, o)| Wait::SlowAfter(n, o)),
        2 => off.clone().prop_map(Wait::BucketEnd),
        1 => off.prop_map(Wait::Steady),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let percent = || option::of(prop_oneof![1..=100_u64, Just(50), Just(100)]);
    let window = prop_oneof![
        (1..=12_u32).prop_map(Shape::Calls),
        (1000..=3000_u64).prop_map(Shape::Time),
    ];
    let triggers = (
        option::of(1..=6_u32),
        percent(),
        percent(),
        1..=400_u64,
        window,
        option::of(1..=12_u32),
    );
    let opening = (
        1..=500_u64,
        1..=3_u64,
        option::of(0..=2000_u64),
        option::of(1..=1000_u64),
    );
    let probing = (
        prop_oneof![3 => 1..=3_usize, 1 => 8..=16_usize],
        1..=4_u64,
        option::of(1..=400_u64),
    );
    (triggers, opening, probing).prop_map(|(t, o, p)| Config {
        consecutive_failures: t.0,
        failure_rate: t.1,
        slow_call_rate: t.2,
        slow_after: t.3,
        window: t.4,
        minimum_calls: t.5.map(|n| match t.4 {
            Shape::Calls(calls) => n.min(calls),
            Shape::Time(_) => n,
        }),
        open_for: o.0,
        open_growth: o.1,
        max_open_for: o.2.map(|more| o.0 + more),
        steady_after: o.3,
        half_open_probes: p.0,
        success_threshold: p.1,
        probe_lease: p.2,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        30 => verdicts().prop_map(Step::Call),
        4 => (1..40_u8, verdicts()).prop_map(|(n, v)| Step::Calls(n, v)),
        18 => Just(Step::Begin),
        12 => (which(), verdicts(), option::weighted(0.2, 0..3000_u64)).prop_map(|(n, v, t)| Step::End(n, v, t)),
        5 => which().prop_map(Step::Drop),
        2 => which().prop_map(Step::Panic),
        6 => (which(), any::<bool>()).prop_map(|(n, good)| Step::Head(n, good)),
        6 => which().prop_map(Step::Data),
        18 => waits().prop_map(Step::Wait),
        2 => verdicts().prop_map(Step::Record),
        1 => states().prop_map(Step::Force),
        1 => Just(Step::Close),
        1 => Just(Step::Reset),
        1 => configs().prop_map(Step::Reconfigure),
    ]
}

fn time(ticks: Ticks) -> Duration {
    TICK * u32::try_from(ticks).expect("short enough")
}

fn options(config: &Config) -> CircuitBreakerBuilder {
    let share = |percent: Option<u64>| percent.map(|p| p as f64 / 100.0);
    let mut options = exact()
        .consecutive_failures(config.consecutive_failures)
        .failure_rate(share(config.failure_rate))
        .slow_call_rate(share(config.slow_call_rate))
        .slow_after(time(config.slow_after))
        .open_for(time(config.open_for))
        .open_growth(config.open_growth as f64)
        .half_open_probes(config.half_open_probes as u32)
        .success_threshold(config.success_threshold as u32);
    options = match config.window {
        Shape::Calls(calls) => options.count_window(calls),
        Shape::Time(ticks) => options.time_window(time(ticks)),
    };
    if let Some(calls) = config.minimum_calls {
        options = options.minimum_calls(calls);
    }
    if let Some(ticks) = config.max_open_for {
        options = options.max_open_for(time(ticks));
    }
    if let Some(ticks) = config.steady_after {
        options = options.steady_after(time(ticks));
    }
    if let Some(ticks) = config.probe_lease {
        options = options.probe_lease(time(ticks));
    }
    options
}

fn outcome(verdict: Verdict, asked: Option<Ticks>) -> Outcome {
    Outcome::from(verdict).with_retry_after(asked.map(time))
}

/// The breaker and the model, side by side.
struct Pair {
    real: CircuitBreaker,
    model: Naive,
    under_way: Vec<(Permit, Call)>,
}

impl Pair {
    fn begin(&mut self) -> Result<Option<(Permit, Call)>, TestCaseError> {
        match (self.real.try_acquire(), self.model.acquire()) {
            (Ok(permit), Ok(call)) => {
                prop_assert_eq!(permit.is_probe(), call.role == Role::Probe);
                Ok(Some((permit, call)))
            }
            (Err(rejected), Err(left)) => {
                prop_assert_eq!(rejected.retry_after(), left.map(time));
                Ok(None)
            }
            (real, model) => Err(TestCaseError::fail(format!(
                "admission: {real:?}, but the model {model:?}"
            ))),
        }
    }

    fn call(&mut self, verdict: Verdict) -> TestCaseResult {
        if let Some((permit, call)) = self.begin()? {
            permit.record(outcome(verdict, None));
            self.model.finish(call, verdict, None);
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Option<(Permit, Call)> {
        let len = self.under_way.len();
        (len > 0).then(|| self.under_way.swap_remove(n % len))
    }

    async fn wait(&mut self, wait: &Wait) {
        let now = self.model.now;
        let until = |moment: Ticks, off: i64| moment.saturating_add_signed(off).saturating_sub(now);
        let ticks = match *wait {
            Wait::For(ticks) => ticks,
            Wait::OpenEnd(off) => until(self.model.open_until, off),
            Wait::LeaseEnd(off) => self
                .model
                .leases()
                .filter(|&end| end >= now)
                .min()
                .map_or(0, |end| until(end, off)),
            Wait::SlowAfter(n, off) => self
                .under_way
                .get(n % self.under_way.len().max(1))
                .and_then(|(_, call)| call.started)
                .map_or(0, |started| until(started + self.model.config.slow_after, off)),
            Wait::BucketEnd(off) => match self.model.config.window {
                Shape::Calls(_) => 0,
                Shape::Time(ticks) => {
                    let width = ticks.div_ceil(10);
                    until((now / width + 1) * width, off)
                }
            },
            Wait::Steady(off) => {
                let steady = self
                    .model
                    .config
                    .steady_after
                    .unwrap_or(self.model.config.open_for);
                until(self.model.entered + steady, off)
            }
        };
        advance(time(ticks)).await;
        self.model.now += ticks;
    }

    async fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Call(verdict) => self.call(*verdict)?,
            Step::Calls(n, verdict) => {
                for _ in 0..*n {
                    self.call(*verdict)?;
                }
            }
            Step::Begin => {
                let begun = self.begin()?;
                self.under_way.extend(begun);
            }
            Step::End(n, verdict, asked) => {
                if let Some((permit, call)) = self.take(*n) {
                    permit.record(outcome(*verdict, *asked));
                    self.model.finish(call, *verdict, *asked);
                }
            }
            Step::Drop(n) => {
                if let Some((permit, call)) = self.take(*n) {
                    drop(permit);
                    self.model.cancel(call);
                }
            }
            Step::Panic(n) => {
                if let Some((mut permit, call)) = self.take(*n) {
                    permit.set_inside(true);
                    drop(permit);
                    self.model.finish(call, Verdict::Failure, None);
                }
            }
            Step::Head(n, good) => {
                if let Some((mut permit, mut call)) = self.take(*n) {
                    if !call.has_head {
                        permit.head(if *good { Head::Good } else { Head::Promising });
                        self.model.head(&mut call, *good);
                    }
                    self.under_way.push((permit, call));
                }
            }
            Step::Data(n) => {
                if let Some((mut permit, mut call)) = self.take(*n) {
                    permit.data();
                    self.model.data(&mut call);
                    prop_assert_eq!(permit.is_probe(), call.role == Role::Probe);
                    self.under_way.push((permit, call));
                }
            }
            Step::Wait(wait) => self.wait(wait).await,
            Step::Record(verdict) => {
                self.real.record(outcome(*verdict, None));
                self.model.record(*verdict);
            }
            Step::Force(state) => {
                self.real.transition_to(*state);
                self.model.force(*state);
            }
            Step::Close => {
                self.real.close();
                self.model.close();
            }
            Step::Reset => {
                self.real.reset();
                self.model.reset();
            }
            Step::Reconfigure(config) => {
                self.real
                    .reconfigure(options(config))
                    .map_err(|e| TestCaseError::fail(e.to_string()))?;
                self.model.reconfigure(config.clone());
            }
        }
        self.compare()
    }

    fn compare(&self) -> TestCaseResult {
        let (s, m) = (self.real.snapshot(), &self.model);
        prop_assert_eq!(self.real.state(), m.state);
        prop_assert_eq!(s.state, m.told_state());
        prop_assert_eq!(s.consecutive_failures, m.told_streak());
        prop_assert_eq!(s.failure_rate.zip(s.slow_rate), m.rates());
        prop_assert_eq!(s.retry_after, m.retry_after().map(time));
        prop_assert_eq!(s.time_in_state, time(m.now - m.entered));
        prop_assert_eq!(s.times_opened, m.times_opened);
        prop_assert_eq!(s.mean_time_to_recover, m.mean_time_to_recover().map(time));
        let books = naive::Books {
            success: s.success,
            failure: s.failure,
            throttled: s.throttled,
            neutral: s.neutral,
            cancelled: s.cancelled,
            stale: s.stale,
            rejected: s.rejected,
            slow: s.slow,
        };
        prop_assert_eq!(&books, &m.books);
        let parts = [
            s.success,
            s.failure,
            s.throttled,
            s.neutral,
            s.cancelled,
            s.stale,
            s.rejected,
        ];
        prop_assert_eq!(s.total, parts.iter().sum::<u64>());
        let now = crate::clock::now();
        for ahead in [0, 1, 100, 10_000] {
            prop_assert_eq!(
                self.real.would_admit(now + time(ahead)),
                m.would_admit(m.now + ahead),
                "{} ticks ahead",
                ahead
            );
        }
        Ok(())
    }
}

fn agree(config: &Config, steps: &[Step]) -> TestCaseResult {
    let runtime = crate::test_services::paused();
    runtime.block_on(async {
        let mut pair = Pair {
            real: built(options(config)),
            model: Naive::new(config.clone()),
            under_way: Vec::new(),
        };
        // Tick 0 is no moment: the breaker's history writes it for "never".
        pair.wait(&Wait::For(1)).await;
        for (n, step) in steps.iter().enumerate() {
            pair.step(step)
                .await
                .map_err(|e| TestCaseError::fail(format!("after step {n}, {step:?}: {e}")))?;
        }
        // Whatever is still under way gives everything back.
        pair.under_way.clear();
        pair.real.transition_to(State::HalfOpen);
        let held: Vec<_> = std::iter::from_fn(|| pair.real.try_acquire().ok()).collect();
        prop_assert_eq!(held.len(), pair.model.config.half_open_probes);
        Ok(())
    })
}

#[test]
fn the_breaker_agrees_with_a_naive_model() {
    let runs = Runs {
        failure_persistence: None,
        ..Runs::default()
    };
    let histories = (configs(), vec(steps(), 100..600));
    let result = TestRunner::new(runs).run(&histories, |(config, steps)| agree(&config, &steps));
    if let Err(error) = result {
        panic!("{error}");
    }
}
