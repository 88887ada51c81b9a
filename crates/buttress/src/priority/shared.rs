//! What a queue shares among its clones: the slots, the line, and every decision about who runs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{
    CONCERN, Priority,
    builder::PriorityQueueBuilder,
    class::BANDS,
    limit::Controller,
    offered::Offered,
    order::{CLASSES, Order, Standing},
    pace::Pace,
    slots::{Slots, Word},
};
use crate::{
    clock::{self, Instant},
    error::{Rejected, RejectionKind},
    histogram::{Histogram, nanos},
    name::{Name, Unnamed},
    registry::Emitter,
    striped::Striped,
    sync::Mutex,
    wait_line::{Heads, Left, Line, Standing as Stands, Ticket, WaitLine, Waiter},
};

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Shared {
    pub(super) slots: Slots,
    pub(super) hot: Hot,
    pub(super) line: WaitLine,
    pub(super) standing: Standing,
    pub(super) offered: Offered,
    pub(super) options: ArcSwap<PriorityQueueBuilder>,
    // Not on the way of a call: one that finds it taken does without.
    pub(super) controller: Mutex<Option<Controller>>,
    pub(super) pace: Pace,
    /// When somebody last waited, and nobody after that; in nanoseconds of the queue's life. Written with the line open.
    pub(super) emptied: AtomicU64,
    /// When a call was last refused, in seconds of the queue's life, counted from 1.
    pub(super) refused: AtomicU64,
    pub(super) drained: Notify,
    pub(super) books: Striped<8>,
    pub(super) displaced: Striped<1>,
    /// By the class that they came with.
    pub(super) waits: [Histogram; BANDS],
    pub(super) events: Emitter,
    pub(super) name: Name,
    pub(super) born: Instant,
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
pub(super) struct Hot {
    pub(super) reserved: AtomicU32,
    /// Calls are timed, for an adaptive limit.
    pub(super) timed: AtomicBool,
    /// The load that is offered is counted, and refused by class.
    pub(super) by_load: AtomicBool,
    /// The options say nothing about requests.
    pub(super) plain: AtomicBool,
}

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
        let name = Name::new(options.name.as_ref());
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
            drained: Notify::new(),
            books: Striped::new(),
            displaced: Striped::new(),
            waits: std::array::from_fn(|_| Histogram::new()),
            events: Emitter::default(),
            name,
            born,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    /// The present moment, in nanoseconds of the queue's life, counted from 1.
    pub(super) fn nanos(&self) -> u64 {
        self.nanos_at(clock::now())
    }

    pub(super) fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.born)) + 1
    }

    // ===== admission =====

    /// A slot, if one is free and nobody waits, for a call for which the load need not be asked. One compare-and-swap.
    #[inline]
    pub(super) fn admit(&self, class: Priority) -> Option<Admission> {
        let word = self.slots.take(self.left_free_by(class))?;
        Some(self.admission(word, None))
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
        if !self.is_by_load() {
            return true;
        }
        let count = self.offered.count(class);
        // What the threshold says may be long over: nobody need have come since.
        self.offered.admits(class, count) || self.renew_threshold() && self.offered.admits(class, count)
    }

    /// All that there is to ask about a call that comes.
    pub(super) fn arrive(&self, class: Priority, deadline: Option<Instant>, waker: &Waker) -> Entered {
        if !self.load_admits(class) {
            return Entered::Refused(self.refuse(RejectionKind::Shed));
        }
        match self.slots.take(self.left_free_by(class)) {
            Some(word) => Entered::Admitted(self.begin(word, None)),
            None => self.enter(class, deadline, waker),
        }
    }

    /// Takes a slot with the line open, or stands in the line, or is refused.
    fn enter(&self, class: Priority, deadline: Option<Instant>, waker: &Waker) -> Entered {
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
            // Who looked meanwhile has seen somebody waiting.
            self.tell_if_drained();
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
        self.displaced.add(0, 1);
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
                self.waits[Priority::new(waiter.class).index()].record(waited);
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
        let left = self.left_free_by(class);
        if let Some(word) = self.slots.take(left) {
            return Some(self.begin(word, None));
        }
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
        self.tell_if_drained();
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
        self.tell_if_drained();
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
    pub(super) fn settle(&self, line: &Line<'_>, now: Instant) {
        if line.is_empty() {
            self.slots.note_empty();
            self.emptied.store(self.nanos_at(now), Relaxed);
            self.pace.stop();
        }
    }

    fn calibrate(&self, now: Instant) {
        if self.is_by_load() {
            let now = self.nanos_at(now);
            if self.offered.is_due(now) {
                self.offered.calibrate(now, self.emptied.load(Relaxed));
            }
        }
    }

    /// Sets the threshold of the load if it is time, without anybody who waits or is served. Says whether it was.
    #[cold]
    pub(super) fn renew_threshold(&self) -> bool {
        if !self.offered.is_due(self.nanos()) {
            return false;
        }
        let line = self.line.open();
        let now = clock::now();
        if line.is_empty() {
            self.emptied.store(self.nanos_at(now), Relaxed);
        }
        self.calibrate(now);
        true
    }

    /// A call begins that may have been counted as offered: one that [`admit`](Self::admit) takes never has.
    fn begin(&self, word: Word, waited: Option<Duration>) -> Admission {
        if self.is_by_load() {
            self.offered.begin();
        }
        self.admission(word, waited)
    }

    #[inline]
    fn admission(&self, word: Word, waited: Option<Duration>) -> Admission {
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
