use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Ageing, Classifier, Concurrency, Discipline, Hold, Priority, PriorityQueue, class::BANDS, slots::MOST,
};
use crate::{
    config::{ConfigError, Problems},
    duration::Human,
};

/// The options of a [`PriorityQueue`], from [`PriorityQueue::builder`] or, for one that runs,
/// [`PriorityQueue::options`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct PriorityQueueBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) concurrency: Concurrency,
    pub(super) queue: u32,
    pub(super) reserved: u32,
    pub(super) ageing: Ageing,
    pub(super) discipline: Discipline,
    pub(super) max_queue_time: [Option<Duration>; BANDS],
    pub(super) shed_by_load: Option<bool>,
    pub(super) classifier: Classifier,
    pub(super) hold: Hold,
    pub(super) hold_routes: BTreeMap<Arc<str>, Hold>,
}

/// The longest line there can be: what is longer is not a queue, but a leak.
pub(super) const LONGEST: u32 = 10_000_000;

/// The longest time that can be set, a year.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for PriorityQueueBuilder {
    fn default() -> Self {
        Self {
            name: None,
            concurrency: Concurrency::Fixed(64),
            queue: 1024,
            reserved: 0,
            ageing: Ageing::promote(),
            discipline: Discipline::Fifo,
            max_queue_time: [None; BANDS],
            shed_by_load: None,
            classifier: Classifier::default(),
            hold: Hold::Auto,
            hold_routes: BTreeMap::new(),
        }
    }
}

impl PriorityQueueBuilder {
    /// The name in rejections, events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many calls run at a time (64): a number, or an [`Adaptive`](super::limit::Adaptive) limit that finds it out.
    pub fn concurrency(mut self, concurrency: impl Into<Concurrency>) -> Self {
        self.concurrency = concurrency.into();
        self
    }

    /// How many may wait (1024). With 0 nobody waits: a call that finds no slot is refused.
    pub fn queue(mut self, waiting: u32) -> Self {
        self.queue = waiting;
        self
    }

    /// How many of the slots only [`CRITICAL`](Priority::CRITICAL) calls may take (0). Less than the concurrency; of an
    /// adaptive limit, one slot is always for everybody.
    pub fn reserved(mut self, slots: u32) -> Self {
        self.reserved = slots;
        self
    }

    /// What becomes of those who have waited for long (promoted, after each 2 s).
    pub fn ageing(mut self, ageing: Ageing) -> Self {
        self.ageing = ageing;
        self
    }

    /// Who goes first among equals (first come, first served).
    pub fn discipline(mut self, discipline: Discipline) -> Self {
        self.discipline = discipline;
        self
    }

    /// How long the calls of a class, and of those between it and the next one, may wait (for ever); `None` is for ever.
    pub fn max_queue_time(mut self, class: Priority, time: impl Into<Option<Duration>>) -> Self {
        self.max_queue_time[class.index()] = time.into();
        self
    }

    /// Whether calls are refused by class as soon as they come, while more is offered than can be served (where the
    /// limit is adaptive). The line is kept short for those who do get in, and a refusal costs no look at it. Calls of the
    /// highest class are not refused so.
    pub fn shed_by_load(mut self, shed: bool) -> Self {
        self.shed_by_load = Some(shed);
        self
    }

    /// How the class of a request is found out, where the layer has no [closure](super::PriorityLayer::classify) for it.
    pub fn classifier(mut self, classifier: Classifier) -> Self {
        self.classifier = classifier;
        self
    }

    /// How long a call keeps its slot ([`Hold::Auto`]).
    pub fn hold(mut self, hold: Hold) -> Self {
        self.hold = hold;
        self
    }

    /// How long the calls of a route keep their slot, where that differs. Routes are what the layer's
    /// [protocol](crate::RequestProtocol::route) says they are: methods of gRPC, matched routes.
    pub fn hold_route(mut self, route: impl Into<Arc<str>>, hold: Hold) -> Self {
        self.hold_routes.insert(route.into(), hold);
        self
    }

    /// Checks the options and makes the queue.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<PriorityQueue, ConfigError> {
        self.check()?;
        Ok(PriorityQueue::from_checked(self))
    }

    pub(super) fn sheds_by_load(&self) -> bool {
        let is_adaptive = matches!(self.concurrency, Concurrency::Adaptive(_));
        self.shed_by_load.unwrap_or(is_adaptive)
    }

    /// Whether nothing is said about requests.
    pub(super) fn is_plain(&self) -> bool {
        self.classifier == Classifier::new() && self.hold == Hold::Auto && self.hold_routes.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        let time = |problems: &mut Problems, key: &str, time: Duration| {
            let right = !time.is_zero() && time <= LONGEST_TIME;
            problems.check(right, key, Human(time), "above zero, up to 365d");
        };
        let slots = match &self.concurrency {
            Concurrency::Fixed(slots) => {
                problems.check(
                    (1..=MOST).contains(slots),
                    "concurrency",
                    slots,
                    "1 to 1000000, or adaptive",
                );
                *slots
            }
            Concurrency::Adaptive(adaptive) => {
                adaptive.check(&mut problems);
                adaptive.most()
            }
        };
        problems.check(self.queue <= LONGEST, "queue", self.queue, "0 to 10000000");
        problems.check(
            self.reserved == 0 || self.reserved < slots,
            "reserved",
            self.reserved,
            "fewer than `concurrency`: the others could never run",
        );
        match self.ageing {
            Ageing::Off => {}
            Ageing::Promote { after } => time(&mut problems, "ageing.promote_after", after),
            Ageing::Demote { after, .. } => time(&mut problems, "ageing.demote_after", after),
        }
        match self.discipline {
            Discipline::Fifo => {}
            Discipline::AdaptiveLifo { after } => {
                time(&mut problems, "discipline.adaptive_lifo.after", after)
            }
            Discipline::CoDel { target, interval } => {
                time(&mut problems, "discipline.codel.target", target);
                time(&mut problems, "discipline.codel.interval", interval);
            }
        }
        for (name, class) in Priority::bands() {
            if let Some(limit) = self.max_queue_time[class.index()] {
                time(&mut problems, &format!("max_queue_time.{name}"), limit);
            }
        }
        self.classifier.check(&mut problems);
        problems.into_result()
    }
}
