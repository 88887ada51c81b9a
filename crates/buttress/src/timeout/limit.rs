use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::timer;
use crate::{
    clock::Instant,
    config::Problems,
    duration::Human,
    value::{Table, Value},
};

/// The longest that can be set, a year: whoever means "for ever" leaves the limit out.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) const ALLOWED: &str = "above zero, up to 365d; leave it out for no limit";

/// A time limit that may be off and may be changed while calls read it.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// Zero is off.
    nanos: AtomicU64,
}

impl Limit {
    pub(super) fn new(time: Option<Duration>) -> Self {
        let limit = Self::default();
        limit.set(time);
        limit
    }

    pub(super) fn set(&self, time: Option<Duration>) {
        let nanos = time.map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX));
        self.nanos.store(nanos, Relaxed);
    }

    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        self.nanos.load(Relaxed)
    }

    #[inline]
    pub(super) fn get(&self) -> Option<Duration> {
        match self.nanos() {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// When something has to be over: so many nanoseconds after it has begun, or at a moment that is known; else never. The
/// moment may be that up to which the caller waits, and before the time is over that the policy itself allows.
///
/// Two fields and not an enum: a call would write that in halves and read it as a whole, for which the processor
/// has to wait, and this is half of what a timeout costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Until {
    after: u64,
    at: Option<Instant>,
}

impl Until {
    pub(super) const NEVER: Self = Self { after: 0, at: None };

    #[inline]
    pub(super) fn after(nanos: u64) -> Self {
        Self {
            after: nanos,
            at: None,
        }
    }

    #[inline]
    pub(super) fn at(moment: Instant) -> Self {
        Self {
            after: 0,
            at: Some(moment),
        }
    }

    /// At a moment up to which there is that much time left, if the policy itself allows `own`.
    ///
    /// Who has no patience has learnt nothing of the service: what is cut short by its caller is no failure. But where
    /// the caller leaves nearly all of the time that the policy does, as one does that is set to the same length, it has
    /// had that.
    pub(super) fn left(moment: Instant, left: Duration, own: Option<Duration>) -> Self {
        let is_callers = own.is_none_or(|own| left < own / 10 * 9);
        Self {
            after: if is_callers { CALLERS } else { 0 },
            at: Some(moment),
        }
    }

    #[inline]
    pub(super) fn is_callers(self) -> bool {
        self.after == CALLERS && self.at.is_some()
    }

    /// The moment, if it begins now.
    #[inline]
    pub(super) fn moment(self) -> Option<Instant> {
        match (self.at, self.after) {
            (Some(moment), _) => Some(moment),
            (None, 0) => None,
            (None, nanos) => Some(timer::in_nanos(nanos)),
        }
    }
}

/// In place of the nanoseconds, beside a moment: there are none then.
const CALLERS: u64 = u64::MAX;

/// The limits on a response's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Nanoseconds of silence; zero is off.
    pub(super) idle: u64,
    pub(super) total: Until,
}

impl BodyLimits {
    pub(super) const NONE: Self = Self {
        idle: 0,
        total: Until::NEVER,
    };
}

pub(super) fn check(problems: &mut Problems, key: &str, time: Option<Duration>) {
    if let Some(time) = time {
        problems.check(!time.is_zero() && time <= LONGEST, key, Human(time), ALLOWED);
    }
}

pub(super) fn describe(table: &mut Table, key: &'static str, limit: &Limit) {
    let text = limit.get().map(|time| Human(time).to_string());
    table.insert(key, text.map_or(Value::Null, Value::from));
}
