use std::{sync::Arc, time::Duration};

use super::Priority;
use crate::{
    histogram,
    value::{Table, Value},
};

/// What a queue knows of itself at one moment.
///
/// Every call that has come is in exactly one of `running`, `queued`, `completed`, `failed`, `cancelled`, `left` and the
/// four kinds of rejected; read while calls come and go, it may be off by those.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The queue's name.
    pub name: Arc<str>,
    /// How many may run at a time, at present.
    pub limit: u32,
    /// How many run.
    pub running: u32,
    /// How many wait.
    pub queued: usize,
    /// The same by class, the most important first; only classes in which somebody waits.
    pub queued_by_class: Vec<(Priority, usize)>,
    /// Calls that ended in anything but a failure of the service.
    pub completed: u64,
    /// Calls that ended in a failure of the service.
    pub failed: u64,
    /// Calls that were dropped while they ran, and permits that were dropped without a [record](super::Permit::record).
    pub cancelled: u64,
    /// Calls that were dropped while they waited.
    pub left: u64,
    /// Refused because the line was full, or displaced from it by more important ones.
    pub rejected_full: u64,
    /// Refused because they had waited for as long as they may.
    pub rejected_timeout: u64,
    /// Refused because their deadline had passed.
    pub rejected_deadline: u64,
    /// Refused to make room: by hand, for the load, or because the queue is closed.
    pub rejected_shed: u64,
    /// Of those that were refused because the line was full, how many had stood in it.
    pub displaced: u64,
    /// While more is offered than can be served, the class from which on nobody is refused for that.
    pub shed_below: Option<Priority>,
    /// How long those had waited who had to wait and were admitted.
    pub time_in_queue: histogram::Snapshot,
    /// The same by class, the most important first; only classes of which somebody had to wait.
    pub time_in_queue_by_class: Vec<(Priority, histogram::Snapshot)>,
    /// Whether it is closed.
    pub closed: bool,
}

impl Status {
    /// All refusals.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected_full + self.rejected_timeout + self.rejected_deadline + self.rejected_shed
    }
}

impl From<&Status> for Table {
    fn from(s: &Status) -> Self {
        let millis = |d: Duration| Value::Float(d.as_secs_f64() * 1000.0);
        let mut by_class = Table::new();
        for (class, count) in &s.queued_by_class {
            by_class.insert(class.to_string(), *count);
        }
        let time = |waits: &histogram::Snapshot| {
            Table::new()
                .with("count", waits.count())
                .with("mean", waits.mean().map(millis))
                .with("p50", waits.quantile(0.5).map(millis))
                .with("p95", waits.quantile(0.95).map(millis))
                .with("p99", waits.quantile(0.99).map(millis))
        };
        let mut time_by_class = Table::new();
        for (class, waits) in &s.time_in_queue_by_class {
            time_by_class.insert(class.to_string(), time(waits));
        }
        Table::new()
            .with("limit", s.limit)
            .with("running", s.running)
            .with("queued", s.queued)
            .with("queuedByClass", by_class)
            .with("completedCalls", s.completed)
            .with("failedCalls", s.failed)
            .with("cancelledCalls", s.cancelled)
            .with("leftCalls", s.left)
            .with("rejectedFull", s.rejected_full)
            .with("rejectedTimeout", s.rejected_timeout)
            .with("rejectedDeadline", s.rejected_deadline)
            .with("rejectedShed", s.rejected_shed)
            .with("displaced", s.displaced)
            .with("shedBelow", s.shed_below.map(|class| class.to_string()))
            .with("timeInQueue", time(&s.time_in_queue))
            .with("timeInQueueByClass", time_by_class)
            .with("closed", s.closed)
    }
}
