//! What a limiter shares among its clones.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

#[cfg(feature = "keyed")]
use super::keys::Keys;
use super::{
    CONCERN, Limit, Snapshot, builder::RateLimiterBuilder, quota::Refusal, spot::Spot, tariff::Tariff,
};
use crate::{
    clock,
    config::ConfigError,
    directory::{Directory, Id},
    error::{Rejected, RejectionKind},
    name::{Name, Unnamed},
    registry::{Emitter, PolicyChanged},
    striped::Striped,
};

/// Where a permit that is given back finds its limiter.
pub(super) static DIRECTORY: Directory<Shared> = Directory::new();

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Shared {
    pub(super) id: Id,
    /// The limit of all, or with keys of those that have none of their own.
    pub(super) one: Arc<Spot>,
    /// What that is under. A clock is read before a limit is looked at: by way of the limit itself, the line that all
    /// threads write would be fetched, be written by another while the clock is read, and have to be fetched again.
    tariff: Arc<Tariff>,
    #[cfg(feature = "keyed")]
    pub(super) keys: Option<Keys>,
    pub(super) disabled: AtomicBool,
    pub(super) headers: AtomicBool,
    /// Nanoseconds.
    max_wait: AtomicU64,
    pub(super) waiting: AtomicUsize,
    pub(super) books: Striped<4>,
    /// What was taken before that moment a reset has given back. 0: there was none.
    reset_before: AtomicU64,
    /// When a call was last refused, in seconds of the limiter's life, counted from 1.
    refused: AtomicU64,
    pub(super) events: Emitter,
    name: Name,
    // Not on the way of a call: held while the options are changed.
    options: Mutex<RateLimiterBuilder>,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const ALLOWED: usize = 0;
    pub(in super::super) const LIMITED: usize = 1;
    pub(in super::super) const WAITED: usize = 2;
    pub(in super::super) const REFUNDED: usize = 3;
}

/// For how long nothing must have been refused before the next refusal is news.
const QUIET_SECONDS: u64 = 10;

impl Shared {
    pub(super) fn new(id: Id, options: RateLimiterBuilder, limit: Limit) -> Self {
        let name = Name::new(options.name.as_ref());
        let (algorithm, origin) = (options.algorithm, clock::now());
        let tariff = |limit| Tariff::new(limit, algorithm, origin);
        let of_one = Arc::new(tariff(limit));
        let one = Arc::new(Spot::new(of_one.clone()));
        Self {
            id,
            #[cfg(feature = "keyed")]
            keys: options
                .keys
                .as_ref()
                .map(|keys| Keys::new(keys, one.clone(), &tariff)),
            one,
            tariff: of_one,
            disabled: AtomicBool::new(false),
            headers: AtomicBool::new(options.headers),
            max_wait: AtomicU64::new(nanos(options.max_wait)),
            waiting: AtomicUsize::new(0),
            books: Striped::new(),
            reset_before: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            events: Emitter::default(),
            name,
            options: Mutex::new(options),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    pub(super) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.name.give(name);
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.tariff.nanos(clock::now())
    }

    #[inline]
    pub(super) fn max_wait(&self) -> u64 {
        self.max_wait.load(Relaxed)
    }

    #[inline]
    pub(super) fn may_wait(&self, nanos: u64) -> bool {
        let most = self.max_wait();
        most > 0 && nanos <= most
    }

    /// Counts, and says no.
    #[cold]
    pub(super) fn refuse(&self, now: u64, refusal: Refusal) -> Rejected {
        self.books.add(book::LIMITED, 1);
        let second = now / 1_000_000_000 + 1;
        if self.refused.load(Relaxed) != second {
            let before = self.refused.swap(second, Relaxed);
            if before == 0 || second >= before + QUIET_SECONDS {
                self.events.emit(CONCERN, self.name(), || LimitReached);
            }
        }
        let rejected = Rejected::new(RejectionKind::RateLimited, self.name().clone());
        match refusal {
            Refusal::Until(nanos) => rejected.with_retry_after(Duration::from_nanos(nanos)),
            Refusal::Never(most) => rejected.beyond(most),
        }
    }

    pub(super) fn give_back(&self, spot: Option<&Arc<Spot>>, at: u64, permits: u32) {
        // A reset has given them back already.
        if at < self.reset_before.load(Relaxed) {
            return;
        }
        self.books.add(book::REFUNDED, 1);
        spot.unwrap_or(&self.one).give_back(self.now(), at, permits);
    }

    /// Lets everybody through, those in the lines too.
    pub(super) fn disable(&self) {
        self.disabled.store(true, Relaxed);
        // Also a line in which nobody seems to wait is opened: who is just entering it either sees the mark or is told.
        self.for_each(|spot| spot.line.open().tell_first_again());
    }

    /// As if none had been used.
    pub(super) fn reset(&self) {
        self.disabled.store(false, Relaxed);
        self.books.rebase();
        let now = self.note_reset();
        self.for_each(|spot| spot.clear(now));
        // What was taken from the last of them until it was cleared.
        self.note_reset();
    }

    fn note_reset(&self) -> u64 {
        let now = self.now();
        self.reset_before.fetch_max(now + 1, Relaxed);
        now
    }

    pub(super) fn options(&self) -> RateLimiterBuilder {
        let options = self
            .options
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        #[cfg(feature = "keyed")]
        if let Some(keys) = &self.keys {
            let mut options = options;
            if let Some(of_keys) = &mut options.keys {
                of_keys.limits = keys.limits();
            }
            return options;
        }
        options
    }

    pub(super) fn reconfigure(&self, mut next: RateLimiterBuilder) -> Result<(), ConfigError> {
        let limit = next.check()?;
        {
            let mut present = self.options.lock().unwrap_or_else(PoisonError::into_inner);
            present.check_change(&next)?;
            next.name = present.name.clone();
            let before = self.tariff.limit();
            if limit != before {
                self.tariff.change(limit);
                self.refresh();
            }
            self.headers.store(next.headers, Relaxed);
            self.max_wait.store(nanos(next.max_wait), Relaxed);
            *present = next;
        }
        // With the lock free, for this may run whatever a waker does.
        self.for_each(Spot::tell_first);
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
        Ok(())
    }

    /// Puts `key` under a limit of its own, or back under that of all.
    #[cfg(feature = "keyed")]
    pub(super) fn set_limit_for(&self, key: &super::Key<'_>, limit: Option<Limit>) {
        let Some(keys) = &self.keys else { return };
        {
            let _changing = self.options.lock().unwrap_or_else(PoisonError::into_inner);
            if keys.set(key, limit.map(|limit| self.tariff.sibling(limit))) {
                self.refresh();
            }
        }
        self.for_each(Spot::tell_first);
    }

    /// So that no state is left that is older by more than one change of its rule.
    fn refresh(&self) {
        let now = self.now();
        self.for_each(|spot| spot.refresh(now));
    }

    fn for_each(&self, f: impl Fn(&Spot)) {
        f(&self.one);
        #[cfg(feature = "keyed")]
        if let Some(keys) = &self.keys {
            keys.for_each(f);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let [allowed, limited, waited, refunded] = self.books.read();
        #[cfg(feature = "keyed")]
        let keys = self.keys.as_ref().map(|keys| super::snapshot::KeySnapshot {
            keys: keys.len(),
            max_keys: keys.capacity(),
            overflowed: keys.overflowed(),
        });
        #[cfg(not(feature = "keyed"))]
        let keys = None;
        Snapshot {
            name: self.name().clone(),
            algorithm: self.tariff.algorithm,
            limit: self.tariff.limit(),
            quota: self.one.quota(self.now()),
            allowed,
            limited,
            waited,
            refunded,
            waiting: self.waiting.load(Relaxed) as u64,
            keys,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        DIRECTORY.leave(self.id, None);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A limit was reached and a call refused, for the first time in ten seconds or ever. Refusals are counted, not
/// announced one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitReached;

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the limit is reached, calls are refused")
    }
}
