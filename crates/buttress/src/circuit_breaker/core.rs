//! What a breaker shares among its clones, and every decision it takes.

mod admit;
mod by_hand;
mod decide;
mod history;
mod read;
mod settings;

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use arc_swap::ArcSwap;

use self::history::History;
pub(super) use self::settings::Settings;
use super::{
    builder::CircuitBreakerBuilder,
    gate::Waiters,
    hot::Hot,
    policy::{from_ticks, to_ticks},
    probes::Probes,
    state::{Generation, Machine, State},
    transition::{Cause, Transition},
    window::LIFETIME,
};
use crate::{
    clock::{self, Instant},
    histogram::nanos,
    name::{Name, Unnamed},
    outcome::Verdict,
    registry::Emitter,
    striped::Striped,
};

static UNNAMED: Unnamed = Unnamed::new(super::CONCERN);

pub(super) struct Core {
    pub(super) machine: Machine,
    hot: Hot,
    pub(super) settings: ArcSwap<Settings>,
    // Not on the way of a call: held while what is hot and the settings are changed, which belong together. Nothing
    // foreign runs under it.
    changing: Mutex<()>,
    pub(super) probes: Probes,
    pub(super) waiters: Waiters,
    pub(super) events: Emitter,
    pub(super) name: Name,
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

impl Core {
    pub(super) fn new(options: CircuitBreakerBuilder) -> Self {
        let name = Name::new(options.name.as_ref());
        let settings = Settings::new(options, None);
        Self {
            machine: Machine::new(),
            hot: Hot::new(&settings),
            settings: ArcSwap::from_pointee(settings),
            changing: Mutex::new(()),
            probes: Probes::new(),
            waiters: Waiters::default(),
            events: Emitter::default(),
            name,
            born: clock::now(),
            history: History::default(),
            books: Striped::new(),
        }
    }

    #[inline]
    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
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
        self.hot.is_timed()
    }

    /// The time since the breaker was made, in nanoseconds, one more than it is.
    #[inline(never)]
    pub(super) fn nanos(&self) -> NonZeroU64 {
        self.nanos_at(clock::now())
    }

    pub(super) fn nanos_at(&self, now: Instant) -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(nanos(now.saturating_duration_since(self.born)))
    }

    /// Is a call that began then slow by now?
    pub(super) fn is_slow(&self, started: NonZeroU64) -> bool {
        let taken = self.nanos().get().saturating_sub(started.get());
        taken >= self.hot.slow_after()
    }

    // ===== books =====

    /// Books a call of `generation` that ended as nearly all do, in the closed state, where no rate is watched: a
    /// success, or a failure that is not one too many. Does nothing and returns `false` if it is not so, or if another
    /// call gets in the way.
    #[inline]
    pub(super) fn book_as_usual(&self, generation: Generation, verdict: Verdict) -> bool {
        let word = self.machine.glance();
        if !word.is_closed_in(generation) || !self.hot.watches_only_streaks() {
            return false;
        }
        let (index, streak) = match verdict {
            Verdict::Success => (book::SUCCESS, 0),
            Verdict::Failure => (book::FAILURE, word.payload() + 1),
            Verdict::Throttled | Verdict::Neutral => return false,
        };
        let usual = !self.hot.is_too_long(streak) && self.machine.set_streak(word, streak);
        if usual {
            self.books.add(index, 1);
        }
        usual
    }

    #[inline]
    pub(super) fn book(&self, verdict: Verdict, slow: bool, current: bool) {
        let index = if !current {
            book::STALE
        } else {
            match verdict {
                Verdict::Success => book::SUCCESS,
                Verdict::Failure => book::FAILURE,
                Verdict::Throttled => book::THROTTLED,
                Verdict::Neutral => book::NEUTRAL,
            }
        };
        self.books.add(index, 1);
        // As for the rate: what says nothing about the service does not say that it is slow.
        if slow && current && verdict != Verdict::Neutral {
            self.books.add(book::SLOW, 1);
        }
    }

    /// Everything that a change of state entails, once the machine has made it.
    #[cold]
    fn entered(&self, from: State, to: State, cause: Cause) {
        let now = self.now();
        self.history.entered(to, now);
        self.history.entries[to as usize].fetch_add(1, Relaxed);
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
        let _changing = self.changing();
        let options = self.settings.load().options.clone();
        self.put_in_force(Settings::new(options, None));
    }

    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By one at a time: who [is changing](Self::changing) them.
    fn put_in_force(&self, settings: Settings) {
        self.hot.set(&settings);
        self.settings.store(Arc::new(settings));
    }
}
