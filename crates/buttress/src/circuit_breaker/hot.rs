use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{core::Settings, window::Window};
use crate::histogram::nanos;

/// What a call in the closed state has to know of the options, so that it need not fetch them.
///
/// While the options are being changed a call may see some of the new and some of the old.
pub(super) struct Hot {
    flags: AtomicU32,
    /// 0 is off.
    consecutive_failures: AtomicU32,
    failure_rate: Rate,
    slow_call_rate: Rate,
    minimum_calls: AtomicU32,
    slow_after: AtomicU64,
    /// What its stack takes for slow.
    assumed_slow_after: OnceLock<Duration>,
    /// The window that the breaker was made with. Hardly any is ever given another.
    window: Option<Arc<Window>>,
}

/// Every call must be timed.
const TIMED: u32 = 1;
/// There is a window.
const WINDOWED: u32 = 2;
/// It is the first.
const FIRST_WINDOW: u32 = 4;

impl Hot {
    pub(super) fn new(settings: &Settings) -> Self {
        let hot = Self {
            flags: AtomicU32::new(0),
            consecutive_failures: AtomicU32::new(0),
            failure_rate: Rate::off(),
            slow_call_rate: Rate::off(),
            minimum_calls: AtomicU32::new(0),
            slow_after: AtomicU64::new(0),
            assumed_slow_after: OnceLock::new(),
            window: settings.window.clone(),
        };
        hot.set(settings);
        hot
    }

    pub(super) fn set(&self, settings: &Settings) {
        let options = &settings.options;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let first = match (&self.window, &settings.window) {
            (Some(first), Some(window)) => Arc::ptr_eq(first, window),
            _ => false,
        };
        self.flags.store(
            flag(options.slow_call_rate.is_some(), TIMED)
                | flag(options.uses_window(), WINDOWED)
                | flag(first, FIRST_WINDOW),
            Relaxed,
        );
        self.consecutive_failures
            .store(options.consecutive_failures.unwrap_or(0), Relaxed);
        self.failure_rate.set(options.failure_rate);
        self.slow_call_rate.set(options.slow_call_rate);
        self.minimum_calls.store(options.effective_minimum(), Relaxed);
        let assumed = self.assumed_slow_after.get().copied();
        self.slow_after
            .store(nanos(options.effective_slow_after(assumed)), Relaxed);
    }

    /// Whoever says it first is believed.
    pub(super) fn assume_slow_after(&self, time: Duration, settings: &Settings) {
        if self.assumed_slow_after.set(time).is_ok() {
            self.set(settings);
        }
    }

    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.flags.load(Relaxed) & TIMED != 0
    }

    #[inline]
    pub(super) fn is_windowed(&self) -> bool {
        self.flags.load(Relaxed) & WINDOWED != 0
    }

    #[inline]
    pub(super) fn watches_only_streaks(&self) -> bool {
        self.flags.load(Relaxed) & (TIMED | WINDOWED) == 0
    }

    /// The window, if it is still the first: what has replaced it is in the settings.
    #[inline]
    pub(super) fn first_window(&self) -> Option<&Window> {
        if self.flags.load(Relaxed) & FIRST_WINDOW == 0 {
            return None;
        }
        self.window.as_deref()
    }

    /// In nanoseconds.
    pub(super) fn slow_after(&self) -> u64 {
        self.slow_after.load(Relaxed)
    }

    /// Have so many failed in a row that the circuit opens?
    #[inline]
    pub(super) fn is_too_long(&self, streak: u64) -> bool {
        let limit = u64::from(self.consecutive_failures.load(Relaxed));
        limit != 0 && streak >= limit
    }

    pub(super) fn minimum_calls(&self) -> u64 {
        self.minimum_calls.load(Relaxed).into()
    }

    pub(super) fn has_failed(&self, failed: u64, calls: u64) -> bool {
        self.failure_rate.is_reached_by(failed, calls)
    }

    pub(super) fn is_too_slow(&self, slow: u64, calls: u64) -> bool {
        self.slow_call_rate.is_reached_by(slow, calls)
    }
}

/// A share of calls in millionths: exact for rates of up to six decimals, where a product of floats would call 3 of 10
/// less than 0.3.
struct Rate(AtomicU32);

impl Rate {
    const OFF: u32 = u32::MAX;

    const fn off() -> Self {
        Self(AtomicU32::new(Self::OFF))
    }

    fn set(&self, rate: Option<f64>) {
        let millionths = rate.map_or(Self::OFF, |rate| (rate * 1e6).round() as u32);
        self.0.store(millionths, Relaxed);
    }

    /// Is `part / whole` at or above it? A rate that rounds to nothing still wants one.
    fn is_reached_by(&self, part: u64, whole: u64) -> bool {
        let rate = self.0.load(Relaxed);
        rate != Self::OFF && part > 0 && part * 1_000_000 >= u64::from(rate) * whole
    }
}
