//! What a queue shares among its clones: the slots, the line, and every decision about who runs.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{
    CONCERN, Priority,
    builder::PriorityQueueBuilder,
    event::{LimitChanged, Saturated},
    limit::Controller,
    offered::Offered,
    order::{CLASSES, Order, Standing},
    permit::Measure,
    slots::{Slots, Word},
};
use crate::{
    clock::{self, Instant},
    error::{Rejected, RejectionKind},
    histogram::{Histogram, nanos},
    registry::{Emitter, PolicyChanged},
    striped::Striped,
    sync::Mutex,
    wait_line::{Heads, Left, Line, Standing as Stands, Ticket, WaitLine, Waiter},
};

pub(super) struct Shared {
    slots: Slots,
    hot: Hot,
    line: WaitLine,
    standing: Standing,
    offered: Offered,
    pub(super) options: ArcSwap<PriorityQueueBuilder>,
    // Not on the way of a call: one that finds it taken does without.
    controller: Mutex<Option<Controller>>,
    pace: Pace,
    /// When somebody last waited, and nobody after that; in nanoseconds of the queue's life. Written with the line open.
    emptied: AtomicU64,
    /// When a call was last refused, in seconds of the queue's life, counted from 1.
    refused: AtomicU64,
    idle: Notify,
    pub(super) books: Striped<8>,
    displaced: AtomicU64,
    pub(super) waits: Histogram,
    pub(super) events: Emitter,
    pub(super) name: OnceLock<Arc<str>>,
    born: Instant,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const COMPLETED: usize = 0;
    pub(in super::super) const FAILED: usize = 1;
    pub(in super::super) const CANCELLED: usize = 2;
    /// Left the line before it was their turn.
    pub(in super::super) const LEFT: usize = 3;
    pub(in super::super) const FULL: usize = 4;
    pub(in super::super) const LATE: usize = 5;
    pub(in super::super) const SHED: usize = 6;
    pub(in super::super) const EXPIRED: usize = 7;
}

/// What a call that need not wait has to know of the options.
struct Hot {
    reserved: AtomicU32,
    /// Calls are timed, for an adaptive limit.
    timed: AtomicBool,
    /// The load that is offered is counted, and refused by class.
    by_load: AtomicBool,
    /// The options say nothing about requests.
    plain: AtomicBool,
}

/// How fast the line moves: the time between two who leave it with a slot, smoothed. Written with the line open.
#[derive(Default)]
struct Pace {
    last: AtomicU64,
    between: AtomicU64,
}

/// For how long nothing must have been refused before the next refusal is news.
const QUIET_SECONDS: u64 = 10;

/// What is asked of those who are refused before anybody knows how fast the line moves.
const UNKNOWN_PACE: Duration = Duration::from_secs(1);

/// The most and the least that is asked of them.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A slot that was taken: whoever gets it makes a [`Permit`](super::Permit) of it.
#[derive(Clone, Copy, Debug)]
#[must_use = "the slot is not given back otherwise"]
pub(super) struct Admission {
    /// In nanoseconds of the queue's life; 0 where nobody wants to know.
    pub(super) started: u64,
    pub(super) word: Word,
    /// How long the call has waited for it.
    pub(super) waited: Option<Duration>,
}

/// What became of a call that found no slot at once.
pub(super) enum Entered {
    Admitted(Admission),
    Waits(Wait),
    Refused(Rejected),
}

/// A call in the line.
pub(super) struct Wait {
    pub(super) ticket: Ticket,
    pub(super) until: Option<Instant>,
    /// Whether `until` is the call's own deadline, rather than the queue's limit.
    pub(super) is_deadline: bool,
}

impl Shared {
    pub(super) fn new(options: PriorityQueueBuilder) -> Self {
        let name = OnceLock::new();
        if let Some(given) = &options.name {
            let _ = name.set(given.clone());
        }
        let born = clock::now();
        let controller = options.concurrency.controller();
        Self {
            slots: Slots::new(options.concurrency.initial()),
            hot: Hot {
                reserved: AtomicU32::new(options.reserved),
                timed: AtomicBool::new(controller.is_some()),
                by_load: AtomicBool::new(options.sheds_by_load()),
                plain: AtomicBool::new(options.is_plain()),
            },
            line: WaitLine::new(CLASSES, Heads::Untold),
            standing: Standing::new(born),
            offered: Offered::new(),
            options: ArcSwap::from_pointee(options),
            controller: Mutex::new(controller),
            pace: Pace::default(),
            emptied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            idle: Notify::new(),
            books: Striped::new(),
            displaced: AtomicU64::new(0),
            waits: Histogram::new(),
            events: Emitter::default(),
            name,
            born,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.get().unwrap_or_else(|| unnamed())
    }

    /// The present moment, in nanoseconds of the queue's life, counted from 1.
    pub(super) fn nanos(&self) -> u64 {
        self.nanos_at(clock::now())
    }

    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.born)) + 1
    }

    // ===== admission =====

    /// A slot, if one is free and nobody waits. One compare-and-swap.
    #[inline]
    pub(super) fn admit(&self, class: Priority) -> Option<Admission> {
        let word = self.slots.take(self.left_free_by(class))?;
        Some(self.begin(word, None))
    }

    #[inline]
    pub(super) fn is_by_load(&self) -> bool {
        self.hot.by_load.load(Relaxed)
    }

    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.hot.plain.load(Relaxed)
    }

    /// Whether the load lets a call of that class pass. Ask it once for each call.
    #[inline]
    pub(super) fn load_admits(&self, class: Priority) -> bool {
        !self.hot.by_load.load(Relaxed) || self.offered.admits(class)
    }

    /// Takes a slot with the line open, or stands in the line, or is refused.
    pub(super) fn enter(&self, class: Priority, deadline: Option<Instant>, waker: &Waker) -> Entered {
        let now = clock::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Entered::Refused(self.refuse(RejectionKind::DeadlineExpired));
        }
        let options = self.options.load();
        let order = self.order(&options, now);
        let mut line = self.line.open();
        if self.slots.note_waiting().is_closed() {
            self.settle(&line, now);
            drop(line);
            return Entered::Refused(self.refuse(RejectionKind::Shed));
        }
        self.serve(&mut line, &order);
        if let Some(word) = self.slots.take_for_waiter(self.left_free_by(class)) {
            // Nobody is in front: those who could have had the slot have just been served.
            self.settle(&line, now);
            drop(line);
            return Entered::Admitted(self.begin(word, None));
        }
        if line.len() >= options.queue as usize && !self.make_room(&mut line, &order, class) {
            self.settle(&line, now);
            drop(line);
            return Entered::Refused(self.refuse(RejectionKind::QueueFull));
        }
        let allowed = options.max_queue_time[class.index()].map(|time| now + time);
        let is_deadline = deadline.is_some_and(|deadline| allowed.is_none_or(|allowed| deadline <= allowed));
        let until = if is_deadline { deadline } else { allowed };
        self.standing.enter(&line, class.get(), now);
        let mut ticket = Some(line.enter(Waiter {
            class: class.get(),
            weight: 1,
            entered: now,
            until,
        }));
        line.look(&mut ticket, waker);
        self.calibrate(now);
        drop(line);
        match ticket {
            Some(ticket) => Entered::Waits(Wait {
                ticket,
                until,
                is_deadline,
            }),
            None => Entered::Refused(self.refuse(RejectionKind::Shed)),
        }
    }

    /// Sends away the least important of those who wait, if it is less important than `class`.
    fn make_room(&self, line: &mut Line<'_>, order: &Order<'_>, class: Priority) -> bool {
        let Some((last, effective)) = order.last(line) else {
            return false;
        };
        if effective >= class.get() {
            return false;
        }
        line.dismiss(last, RejectionKind::QueueFull);
        self.displaced.fetch_add(1, Relaxed);
        true
    }

    /// How it stands with one in the line: it goes on waiting, or it is over.
    pub(super) fn look(&self, wait: Wait, waker: &Waker) -> Result<Wait, Result<Admission, Rejected>> {
        let Wait {
            ticket,
            until,
            is_deadline,
        } = wait;
        let mut ticket = Some(ticket);
        let stands = self.line.look(&mut ticket, waker);
        if let Some(ticket) = ticket {
            return Ok(Wait {
                ticket,
                until,
                is_deadline,
            });
        }
        Err(match stands {
            Stands::Granted(waiter) => {
                let now = clock::now();
                if until.is_some_and(|until| until <= now) {
                    // It was granted in time and its task was slow: nothing that is over is started.
                    self.give_back();
                    return Err(Err(self.refuse(late(is_deadline))));
                }
                let waited = now.saturating_duration_since(waiter.entered);
                self.waits.record(waited);
                Ok(self.begin(self.slots.load(), Some(waited)))
            }
            Stands::Dismissed(RejectionKind::QueueTimeout) => {
                let is_over = until.is_some_and(|until| until <= clock::now());
                Err(self.refuse(late(is_deadline && is_over)))
            }
            Stands::Dismissed(kind) => Err(self.refuse(kind)),
            Stands::Waiting | Stands::First => unreachable!("who waits has a ticket"),
        })
    }

    /// Takes one out of the line whose time is over.
    pub(super) fn expire(&self, wait: Wait) -> Rejected {
        match self.leave(wait.ticket) {
            Left::Dismissed(RejectionKind::QueueFull) => self.refuse(RejectionKind::QueueFull),
            Left::Dismissed(RejectionKind::Shed) => self.refuse(RejectionKind::Shed),
            _ => self.refuse(late(wait.is_deadline)),
        }
    }

    /// Takes one out of the line that does not want any more.
    pub(super) fn abandon(&self, wait: Wait) {
        self.leave(wait.ticket);
        self.books.add(book::LEFT, 1);
    }

    /// A slot, if that class may have one at once.
    pub(super) fn try_enter(&self, class: Priority) -> Option<Admission> {
        if let Some(admission) = self.admit(class) {
            return Some(admission);
        }
        let left = self.left_free_by(class);
        let word = self.slots.load();
        if word.is_closed() || !word.has_room(left) {
            return None;
        }
        // There is one, and somebody waits: it may be kept for this class, or is just about to be handed out.
        let now = clock::now();
        let options = self.options.load();
        let mut line = self.line.open();
        self.serve(&mut line, &self.order(&options, now));
        let word = self.slots.take_for_waiter(left);
        self.settle(&line, now);
        drop(line);
        word.map(|word| self.begin(word, None))
    }

    fn leave(&self, ticket: Ticket) -> Left {
        let left = {
            let mut line = self.line.open();
            let left = line.leave(ticket);
            if line.is_empty() && left == Left::Waiting {
                self.settle(&line, clock::now());
            }
            left
        };
        if matches!(left, Left::Granted(_)) {
            // It did not live to see it: to the next.
            self.give_back();
        }
        self.tell_if_closed();
        left
    }

    // ===== slots that become free =====

    /// Gives a slot back, to the next in the line if there is one.
    #[inline]
    pub(super) fn give_back(&self) {
        let word = self.slots.give_back();
        if word.anybody_waits() || word.is_closed() {
            self.pass_on(word);
        }
    }

    #[cold]
    fn pass_on(&self, before: Word) {
        if before.anybody_waits() {
            self.hand_out();
        }
        self.tell_if_closed();
    }

    /// Gives what slots there are to those who wait.
    pub(super) fn hand_out(&self) {
        let now = clock::now();
        let options = self.options.load();
        let mut line = self.line.open();
        self.serve(&mut line, &self.order(&options, now));
        self.settle(&line, now);
        self.calibrate(now);
    }

    fn serve(&self, line: &mut Line<'_>, order: &Order<'_>) {
        while !line.is_empty() {
            let word = self.slots.load();
            let reserved = self.hot.reserved.load(Relaxed);
            let next = if word.has_room(reserved) {
                order.next(line)
            } else if word.has_room(0) {
                order.next_critical(line)
            } else {
                None
            };
            let Some(place) = next else { return };
            let class = line.waiter(place).map_or(0, |waiter| waiter.class);
            let left = if word.has_room(reserved) {
                reserved
            } else {
                self.left_free_by(class.into())
            };
            if self.slots.take_for_waiter(left).is_none() {
                // Somebody has lowered the limit: look again.
                continue;
            }
            line.grant(place);
            self.pace.step(self.nanos_at(order.now));
        }
    }

    /// Before the line is closed: if nobody waits, those who come next need not open it.
    fn settle(&self, line: &Line<'_>, now: Instant) {
        if line.is_empty() {
            self.slots.note_empty();
            self.emptied.store(self.nanos_at(now), Relaxed);
            self.pace.stop();
        }
    }

    fn calibrate(&self, now: Instant) {
        if self.hot.by_load.load(Relaxed) {
            let now = self.nanos_at(now);
            if self.offered.is_due(now) {
                self.offered
                    .calibrate(now, self.begun(), self.emptied.load(Relaxed));
            }
        }
    }

    fn begun(&self) -> u64 {
        let over: u64 = [book::COMPLETED, book::FAILED, book::CANCELLED]
            .iter()
            .map(|index| self.books.total(*index))
            .sum();
        over + u64::from(self.slots.load().taken())
    }

    #[inline]
    fn begin(&self, word: Word, waited: Option<Duration>) -> Admission {
        let started = if self.hot.timed.load(Relaxed) {
            self.nanos()
        } else {
            0
        };
        Admission {
            started,
            word,
            waited,
        }
    }

    /// So many slots a call of that class leaves to others.
    #[inline]
    fn left_free_by(&self, class: Priority) -> u32 {
        match class {
            Priority::CRITICAL => 0,
            _ => self.hot.reserved.load(Relaxed),
        }
    }

    fn order(&self, options: &PriorityQueueBuilder, now: Instant) -> Order<'_> {
        Order {
            ageing: options.ageing,
            discipline: options.discipline,
            standing: &self.standing,
            now,
        }
    }

    // ===== refusals =====

    /// Counts a refusal, and says when to come back.
    pub(super) fn refuse(&self, kind: RejectionKind) -> Rejected {
        let index = match kind {
            RejectionKind::QueueFull => book::FULL,
            RejectionKind::QueueTimeout => book::LATE,
            RejectionKind::DeadlineExpired => book::EXPIRED,
            _ => book::SHED,
        };
        self.books.add(index, 1);
        let rejected = Rejected::new(kind, self.name().clone());
        if kind == RejectionKind::DeadlineExpired {
            return rejected;
        }
        self.notice_refusal(kind);
        rejected.with_retry_after(self.time_to_come_back())
    }

    /// A refusal for the load: without a look at the line, but for the first of an interval.
    pub(super) fn refuse_for_load(&self) -> Rejected {
        if self.offered.is_due(self.nanos()) {
            let line = self.line.open();
            if line.is_empty() {
                self.emptied.store(self.nanos(), Relaxed);
            }
            self.calibrate(clock::now());
        }
        self.refuse(RejectionKind::Shed)
    }

    /// How long those who wait now will need, at the pace of late.
    fn time_to_come_back(&self) -> Duration {
        match self.pace.between.load(Relaxed) {
            0 => UNKNOWN_PACE,
            between => {
                let ahead = self.line.len() as u64 + 1;
                Duration::from_nanos(between.saturating_mul(ahead)).clamp(SHORTEST, LONGEST)
            }
        }
    }

    fn notice_refusal(&self, kind: RejectionKind) {
        let second = self.nanos() / 1_000_000_000 + 1;
        // Mostly it is the same second, and nothing is written.
        if self.refused.load(Relaxed) == second {
            return;
        }
        let before = self.refused.swap(second, Relaxed);
        if before == 0 || second >= before + QUIET_SECONDS {
            self.events
                .emit(CONCERN, self.name(), || Saturated { first: kind });
        }
    }

    // ===== the limit =====

    /// Tells an adaptive limit of a call.
    pub(super) fn learn(&self, measure: Measure) {
        let (limit, before) = {
            // One that finds it taken does without: a sample more or less is no matter, waiting would be.
            let Ok(mut controller) = self.controller.try_lock() else {
                return;
            };
            let Some(controller) = controller.as_mut() else {
                return;
            };
            let limit = controller.observe(&measure.into());
            (limit, self.slots.load().limit())
        };
        if limit != before {
            self.set_limit(limit);
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        let before = self.slots.set_limit(limit);
        if limit > before && self.slots.load().anybody_waits() {
            self.hand_out();
        }
        if limit != before {
            self.events.emit(CONCERN, self.name(), || LimitChanged {
                from: before,
                to: limit,
            });
        }
    }

    pub(super) fn reconfigure(&self, mut options: PriorityQueueBuilder) {
        let present = self.options.load_full();
        options.name = present.name.clone();
        self.hot.reserved.store(options.reserved, Relaxed);
        self.hot.by_load.store(options.sheds_by_load(), Relaxed);
        self.hot.plain.store(options.is_plain(), Relaxed);
        let concurrency = (options.concurrency != present.concurrency).then(|| options.concurrency.clone());
        self.options.store(Arc::new(options));
        if let Some(concurrency) = concurrency {
            let controller = concurrency.controller();
            self.hot.timed.store(controller.is_some(), Relaxed);
            *self
                .controller
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = controller;
            self.set_limit(concurrency.initial());
        }
        // A smaller reserve, or another order, may let somebody in.
        if self.slots.load().anybody_waits() {
            self.hand_out();
        }
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
    }

    // ===== by hand =====

    /// Sends away whoever waits below that class, or everybody.
    pub(super) fn shed(&self, below: Option<Priority>) -> usize {
        let count = {
            let mut line = self.line.open();
            let count = line.dismiss_below(below.map_or(CLASSES, Priority::get), RejectionKind::Shed);
            if count > 0 {
                self.settle(&line, clock::now());
            }
            count
        };
        self.tell_if_closed();
        count
    }

    pub(super) fn close(&self) {
        self.slots.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.slots.load().is_closed()
    }

    /// Waits until nobody is inside.
    pub(super) async fn drained(&self) {
        loop {
            let told = self.idle.notified();
            if self.is_idle() {
                return;
            }
            told.await;
        }
    }

    fn is_idle(&self) -> bool {
        let word = self.slots.load();
        word.taken() == 0 && !word.anybody_waits()
    }

    fn tell_if_closed(&self) {
        if self.is_closed() && self.is_idle() {
            self.idle.notify_waiters();
        }
    }

    // ===== reading =====

    pub(super) fn word(&self) -> Word {
        self.slots.load()
    }

    pub(super) fn displaced(&self) -> u64 {
        self.displaced.load(Relaxed)
    }

    pub(super) fn load_threshold(&self) -> Option<Priority> {
        self.offered.threshold()
    }

    pub(super) fn queued(&self) -> Vec<(Priority, usize)> {
        if self.line.is_empty() {
            return Vec::new();
        }
        let line = self.line.open();
        let queued = line.classes().map(|class| (class.into(), line.len_of(class)));
        queued.collect()
    }
}

impl Pace {
    /// Somebody leaves the line with a slot.
    fn step(&self, now: u64) {
        let last = self.last.swap(now, Relaxed);
        if last == 0 {
            return;
        }
        let between = now.saturating_sub(last);
        let smoothed = match self.between.load(Acquire) {
            0 => between,
            old => old - old / 16 + between / 16,
        };
        self.between.store(smoothed.max(1), Release);
    }

    /// The line is empty: what comes next says nothing about how fast it moved.
    fn stop(&self) {
        self.last.store(0, Relaxed);
    }
}

fn late(is_deadline: bool) -> RejectionKind {
    if is_deadline {
        RejectionKind::DeadlineExpired
    } else {
        RejectionKind::QueueTimeout
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.slots.load();
        f.debug_struct("Shared")
            .field("name", self.name())
            .field("running", &word.taken())
            .field("limit", &word.limit())
            .field("queued", &self.line.len())
            .finish_non_exhaustive()
    }
}

/// The name of a queue that nobody named.
fn unnamed() -> &'static Arc<str> {
    static UNNAMED: OnceLock<Arc<str>> = OnceLock::new();
    UNNAMED.get_or_init(|| CONCERN.into())
}
