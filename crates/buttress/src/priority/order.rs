//! Who is next: classes, ageing and the discipline within a class, over a line that stands by class and arrival.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::Priority;
use crate::{
    clock::Instant,
    error::RejectionKind,
    histogram::nanos,
    wait_line::{Line, Place, Waiter},
};

/// What becomes of those who have waited for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ageing {
    /// Nothing: the more important go first, for ever if need be.
    Off,
    /// They become more important, by one named class (20) for each such time that they have waited, up to
    /// [`CRITICAL`](Priority::CRITICAL). Among equals the one that came first goes first: so nobody starves.
    Promote {
        /// For each such time.
        after: Duration,
    },
    /// They become less important: whoever would still want the answer is more likely to be among the others.
    Demote {
        /// Once they have waited so long.
        after: Duration,
        /// To this class, behind those who are in it. Who is below it already stays there.
        to: Priority,
    },
}

impl Ageing {
    /// [`Promote`](Self::Promote) after each 2 s.
    #[must_use]
    pub const fn promote() -> Self {
        Self::Promote {
            after: Duration::from_secs(2),
        }
    }

    /// [`Demote`](Self::Demote) after 5 s, to [`LOW`](Priority::LOW).
    #[must_use]
    pub const fn demote() -> Self {
        Self::Demote {
            after: Duration::from_secs(5),
            to: Priority::LOW,
        }
    }
}

/// Who goes first among equals.
///
/// Under lasting overload a line that is served in the order of arrival makes everybody wait as long as anybody is
/// ready to, and serves those who are about to give up. The two other disciplines are the order of arrival as long as
/// all goes well; once somebody has waited in a class at every moment of the last `after` or `interval`, it is overloaded.
/// (Ben Maurer, *Fail at Scale*, ACM Queue 13(8), 2015, describes both as they are used at Facebook.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discipline {
    /// First come, first served.
    Fifo,
    /// In an overloaded class the last to come goes first: those who wait longest have likely given up.
    AdaptiveLifo {
        /// From when on a class is overloaded.
        after: Duration,
    },
    /// In an overloaded class those who have waited for longer than `target` are sent away when it would be their turn,
    /// unless nobody else is there. It is the *controlled delay* of Nichols and Jacobson (RFC 8289) with their square
    /// root left out: that is for senders which slow down when a packet of theirs is dropped.
    CoDel {
        /// So long may they have waited.
        target: Duration,
        /// From when on a class is overloaded.
        interval: Duration,
    },
}

impl Discipline {
    /// [`AdaptiveLifo`](Self::AdaptiveLifo) after 100 ms.
    #[must_use]
    pub const fn adaptive_lifo() -> Self {
        Self::AdaptiveLifo {
            after: Duration::from_millis(100),
        }
    }

    /// [`CoDel`](Self::CoDel) with a target of 5 ms and an interval of 100 ms.
    #[must_use]
    pub const fn codel() -> Self {
        Self::CoDel {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
        }
    }
}

/// So many numbers a priority can be.
pub(super) const CLASSES: u8 = 101;

const CRITICAL: u8 = Priority::CRITICAL.get();

/// A step of promotion: from one named class to the next.
const STEP: u8 = 20;

/// Since when somebody waits in each class, in nanoseconds after the queue was made. Written with the line open.
pub(super) struct Standing {
    born: Instant,
    since: [AtomicU64; CLASSES as usize],
}

/// The rules in force, and what they need to know.
pub(super) struct Order<'a> {
    pub(super) ageing: Ageing,
    pub(super) discipline: Discipline,
    pub(super) standing: &'a Standing,
    pub(super) now: Instant,
}

impl Standing {
    pub(super) fn new(born: Instant) -> Self {
        Self {
            born,
            since: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Somebody is about to enter the class.
    pub(super) fn enter(&self, line: &Line<'_>, class: u8, now: Instant) {
        if line.len_of(class) == 0 {
            let since = nanos(now.saturating_duration_since(self.born));
            self.since[usize::from(class.min(CRITICAL))].store(since, Relaxed);
        }
    }

    fn is_overloaded(&self, class: u8, for_longer_than: Duration, now: Instant) -> bool {
        let since = self.since[usize::from(class.min(CRITICAL))].load(Relaxed);
        nanos(now.saturating_duration_since(self.born)).saturating_sub(since) > nanos(for_longer_than)
    }
}

impl Order<'_> {
    /// Who is next, if anybody. Those whose time is over, or who are no good any more, are sent away on the way there.
    pub(super) fn next(&self, line: &mut Line<'_>) -> Option<Place> {
        self.demote(line);
        loop {
            let class = self.best_class(line)?;
            let place = self.next_of(line, class)?;
            if !self.is_late(line, place) {
                return Some(place);
            }
            line.dismiss(place, RejectionKind::QueueTimeout);
        }
    }

    /// Who is next among those of the highest class, for slots that are kept for them.
    pub(super) fn next_critical(&self, line: &mut Line<'_>) -> Option<Place> {
        loop {
            let place = self.next_of(line, CRITICAL)?;
            if !self.is_late(line, place) {
                return Some(place);
            }
            line.dismiss(place, RejectionKind::QueueTimeout);
        }
    }

    /// Who has to make room first: the youngest of the least important. And how important that one is.
    pub(super) fn last(&self, line: &mut Line<'_>) -> Option<(Place, u8)> {
        self.demote(line);
        let mut worst: Option<(Place, u8, Instant)> = None;
        for class in line.classes().rev() {
            // Nobody there is less important than their class says.
            if worst.is_some_and(|(_, effective, _)| effective < class) {
                break;
            }
            let place = line.youngest(class)?;
            let waiter = line.waiter(place)?;
            let effective = self.effective(waiter);
            let worse = |(_, other, entered): (Place, u8, Instant)| {
                effective < other || effective == other && waiter.entered > entered
            };
            if worst.is_none_or(worse) {
                worst = Some((place, effective, waiter.entered));
            }
        }
        worst.map(|(place, effective, _)| (place, effective))
    }

    /// The class whose oldest is the most important, and among equals has come first.
    fn best_class(&self, line: &Line<'_>) -> Option<u8> {
        if !matches!(self.ageing, Ageing::Promote { .. }) {
            return line.classes().next();
        }
        let mut best: Option<(u8, u8, Instant)> = None;
        for class in line.classes() {
            let waiter = line.waiter(line.oldest(class)?)?;
            let effective = self.effective(waiter);
            let better = |(_, other, entered): (u8, u8, Instant)| {
                effective > other || effective == other && waiter.entered < entered
            };
            if best.is_none_or(better) {
                best = Some((class, effective, waiter.entered));
            }
        }
        best.map(|(class, ..)| class)
    }

    fn next_of(&self, line: &mut Line<'_>, class: u8) -> Option<Place> {
        let oldest = line.oldest(class)?;
        match self.discipline {
            Discipline::Fifo => Some(oldest),
            Discipline::AdaptiveLifo { after } => {
                let aged = self.effective(line.waiter(oldest)?) > class;
                if aged || !self.standing.is_overloaded(class, after, self.now) {
                    return Some(oldest);
                }
                line.youngest(class)
            }
            Discipline::CoDel { target, interval } => {
                let mut place = oldest;
                if self.standing.is_overloaded(class, interval, self.now) {
                    while self.waited(line.waiter(place)?) > target && line.len_of(class) > 1 {
                        line.dismiss(place, RejectionKind::QueueTimeout);
                        place = line.oldest(class)?;
                    }
                }
                Some(place)
            }
        }
    }

    /// How important somebody is by now.
    fn effective(&self, waiter: Waiter) -> u8 {
        let Ageing::Promote { after } = self.ageing else {
            return waiter.class;
        };
        let steps = nanos(self.waited(waiter)) / nanos(after).max(1);
        let steps = u8::try_from(steps).unwrap_or(u8::MAX);
        waiter
            .class
            .saturating_add(steps.saturating_mul(STEP))
            .min(CRITICAL)
    }

    /// Moves those who have waited for too long. In a class they stand in the order in which they came, so whoever has
    /// to go stands in front, and everybody is moved at most once.
    fn demote(&self, line: &mut Line<'_>) {
        let Ageing::Demote { after, to } = self.ageing else {
            return;
        };
        for class in line.classes().take_while(|class| *class > to.get()) {
            while let Some(place) = line.oldest(class) {
                if line
                    .waiter(place)
                    .is_none_or(|waiter| self.waited(waiter) < after)
                {
                    break;
                }
                self.standing.enter(line, to.get(), self.now);
                line.reclassify(place, to.get());
            }
        }
    }

    fn is_late(&self, line: &Line<'_>, place: Place) -> bool {
        let until = line.waiter(place).and_then(|waiter| waiter.until);
        until.is_some_and(|until| until <= self.now)
    }

    fn waited(&self, waiter: Waiter) -> Duration {
        self.now.saturating_duration_since(waiter.entered)
    }
}
