use std::{fmt, sync::Arc, task::Waker};

use super::{
    Acquire, CONCERN, CallAll, Permit, Priority, PriorityCall, PriorityLayer, PriorityQueueBuilder, Status,
    acquire::First,
    families,
    shared::{Shared, book},
};
use crate::{
    clock::Instant,
    config::ConfigError,
    context,
    error::{Rejected, RejectionKind},
    export::Samples,
    histogram,
    outcome::Plain,
    registry::{Drill, DrillError, Listener, Policy},
    value::Table,
};

/// Lets so many calls run at a time, and has the others wait, the most important first.
///
/// # Clone
///
/// Clones share the slots, the line and the books. So do all layers and services made from them.
#[derive(Clone)]
pub struct PriorityQueue {
    shared: Arc<Shared>,
}

impl PriorityQueue {
    /// The default queue: 64 slots, and 1024 may wait.
    #[must_use]
    pub fn new() -> Self {
        Self::from_checked(PriorityQueueBuilder::default())
    }

    /// The options to choose from.
    pub fn builder() -> PriorityQueueBuilder {
        PriorityQueueBuilder::default()
    }

    pub(super) fn from_checked(options: PriorityQueueBuilder) -> Self {
        Self {
            shared: Arc::new(Shared::new(options)),
        }
    }

    // ===== calls =====

    /// Waits for a slot, no longer than the deadline of the [current](crate::CallContext::current) context allows, and
    /// than [`max_queue_time`](PriorityQueueBuilder::max_queue_time).
    ///
    /// # Errors
    ///
    /// * [`QueueFull`](RejectionKind::QueueFull), at once if so many wait already, and later if a more important call
    ///   needs the place;
    /// * [`QueueTimeout`](RejectionKind::QueueTimeout) when it has waited for as long as it may;
    /// * [`DeadlineExpired`](RejectionKind::DeadlineExpired) when the deadline has passed, at once if it has already;
    /// * [`Shed`](RejectionKind::Shed) by hand, for the load, or because the queue is closed.
    ///
    /// All but the third say when it is worth coming back.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use buttress::priority::{Priority, PriorityQueue};
    ///
    /// let queue = PriorityQueue::builder().concurrency(8).build()?;
    /// let permit = queue.acquire(Priority::HIGH).await?;
    /// // ... the work ...
    /// permit.record(buttress::Outcome::SUCCESS);
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self, priority: impl Into<Priority>) -> Acquire {
        Acquire::new(self.shared.clone(), priority.into(), context::current_deadline())
    }

    /// A slot, if there is one right now.
    ///
    /// # Errors
    ///
    /// [`QueueFull`](RejectionKind::QueueFull) if there is none, [`Shed`](RejectionKind::Shed) if the queue is closed or
    /// the load does not let the class pass.
    #[inline]
    pub fn try_acquire(&self, priority: impl Into<Priority>) -> Result<Permit, Rejected> {
        let priority = priority.into();
        if !self.shared.is_by_load() {
            if let Some(admission) = self.shared.admit(priority) {
                return Ok(Permit::new(self.shared.clone(), admission));
            }
        }
        self.try_acquire_slowly(priority)
    }

    #[inline(never)]
    fn try_acquire_slowly(&self, priority: Priority) -> Result<Permit, Rejected> {
        if !self.shared.load_admits(priority) {
            return Err(self.shared.refuse(RejectionKind::Shed));
        }
        match self.shared.try_enter(priority) {
            Some(admission) => Ok(Permit::new(self.shared.clone(), admission)),
            None if self.shared.is_closed() => Err(self.shared.refuse(RejectionKind::Shed)),
            None => Err(self.shared.refuse(RejectionKind::QueueFull)),
        }
    }

    /// A slot, if one is free, nobody waits, and there is nothing else to ask; else the queue again.
    #[inline]
    pub(super) fn admit(self, class: Priority) -> Result<Permit, Self> {
        if self.shared.is_by_load() {
            return Err(self);
        }
        match self.shared.admit(class) {
            Some(admission) => Ok(Permit::new(self.shared, admission)),
            None => Err(self),
        }
    }

    /// The way of a call that was not [admitted](Self::admit) so.
    pub(super) fn first(self, class: Priority, deadline: Option<Instant>, waker: &Waker) -> First {
        Acquire::first(self.shared, class, deadline, waker)
    }

    /// Runs `future` once there is a slot for it: for those who have no tower service. `Ok` is a success of the service,
    /// `Err` a failure; inside, the [current](crate::CallContext::current) context, if there is one, has the priority.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`](crate::Error::Rejected) as [`acquire`](Self::acquire) says, and the future is dropped
    /// unpolled; [`Error::Inner`](crate::Error::Inner) with the future's own error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use buttress::priority::{Priority, PriorityQueue};
    ///
    /// let queue = PriorityQueue::new();
    /// let answer = queue.call(Priority::LOW, async { Ok::<_, std::io::Error>(42) }).await?;
    /// assert_eq!(answer, 42);
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, priority: impl Into<Priority>, future: F) -> PriorityCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        let priority = priority.into();
        PriorityCall::new(self.acquire(priority), priority, future)
    }

    /// Runs a batch of futures, each as its [`call`](Self::call) in its class would be, all at the same time as far as
    /// there are slots; the results come in the order of the batch, when all are there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use buttress::priority::{Priority, PriorityQueue};
    ///
    /// let queue = PriorityQueue::builder().concurrency(2).build()?;
    /// let batch = (0..5_u8).map(|n| {
    ///     let class = if n == 4 { Priority::CRITICAL } else { Priority::LOW };
    ///     (class, async move { Ok::<_, std::io::Error>(n) })
    /// });
    /// let results = queue.call_all(batch).await;
    /// assert_eq!(results.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn call_all<I, C, F, T, E>(&self, batch: I) -> CallAll<F, T, E>
    where
        I: IntoIterator<Item = (C, F)>,
        C: Into<Priority>,
        F: Future<Output = Result<T, E>>,
    {
        let call = |(priority, future): (C, F)| self.call(priority, future);
        CallAll::new(batch.into_iter().map(call))
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> PriorityLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`: it knows what a request says of its priority, and when its answer
    /// is over.
    pub fn layer_for<P>(&self, protocol: P) -> PriorityLayer<P> {
        PriorityLayer::new(self.clone(), protocol)
    }

    // ===== steering =====

    /// Refuses all who wait below that class, at once, and says how many they were. Those who come later are not
    /// concerned.
    pub fn shed_below(&self, class: impl Into<Priority>) -> usize {
        self.shared.shed(Some(class.into()))
    }

    /// Refuses all who wait, at once, and says how many they were.
    pub fn clear(&self) -> usize {
        self.shared.shed(None)
    }

    /// Lets so many calls run at a time from now on; an adaptive limit gives way to that number. If fewer than now, those
    /// that run end, and nobody takes their place.
    ///
    /// # Errors
    ///
    /// A number that makes no sense, or that leaves nothing beside the [reserved](PriorityQueueBuilder::reserved) slots.
    pub fn set_concurrency(&self, concurrency: u32) -> Result<(), ConfigError> {
        self.reconfigure(self.options().concurrency(concurrency))
    }

    /// Lets nobody new in; those inside, and those who wait, end as they would have. See [`drained`](Self::drained).
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until the queue is [closed](Self::close) and nobody is inside any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn drained(&self) {
        self.shared.drained().await;
    }

    // ===== reading =====

    /// The name in rejections, events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// How many calls may run at a time, at present. One load.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.word().limit()
    }

    /// Who runs, who waits, and what became of the others.
    #[must_use]
    pub fn status(&self) -> Status {
        let books = self.shared.books.read();
        let word = self.shared.word();
        let queued_by_class = self.shared.queued();
        let by_class = Priority::bands().zip(&self.shared.waits);
        let mut time_in_queue_by_class: Vec<_> = by_class
            .map(|((_, class), waits)| (class, waits.snapshot()))
            .filter(|(_, waits)| waits.count() > 0)
            .collect();
        time_in_queue_by_class.reverse();
        let mut time_in_queue = histogram::Snapshot::default();
        for (_, waits) in &time_in_queue_by_class {
            time_in_queue.merge(waits);
        }
        Status {
            name: self.name(),
            limit: word.limit(),
            running: word.taken(),
            queued: queued_by_class.iter().map(|(_, count)| count).sum(),
            queued_by_class,
            completed: books[book::COMPLETED],
            failed: books[book::FAILED],
            cancelled: books[book::CANCELLED],
            left: books[book::LEFT],
            rejected_full: books[book::FULL],
            rejected_timeout: books[book::LATE],
            rejected_deadline: books[book::EXPIRED],
            rejected_shed: books[book::SHED],
            displaced: self.shared.displaced(),
            shed_below: self.shared.load_threshold(),
            time_in_queue,
            time_in_queue_by_class,
            closed: word.is_closed(),
        }
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> PriorityQueueBuilder {
        self.shared.options.load().as_ref().clone()
    }

    /// Whether the options say nothing about requests.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.shared.is_plain()
    }

    #[inline]
    pub(super) fn options_in_force(&self) -> arc_swap::Guard<Arc<PriorityQueueBuilder>> {
        self.shared.options.load()
    }

    /// Changes the options while it runs. Those who wait stay where they are, even if the line is longer than it may be
    /// now, and under the time limit that they came with; who goes first is decided by the new ones. An adaptive limit
    /// goes on where it is unless it is changed itself. The name cannot be changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: PriorityQueueBuilder) -> Result<(), ConfigError> {
        options.check()?;
        self.shared.reconfigure(options);
        Ok(())
    }

    /// Has `listener` called with every event, on the task in which it happened. It is called with no lock held,
    /// so it may ask or steer the policy.
    pub fn listen(&self, listener: impl Fn(&crate::registry::Event) + Send + Sync + 'static) {
        self.shared.events.listen(Arc::new(listener));
    }

    /// Names a policy that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.name.give(name);
    }
}

impl Default for PriorityQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PriorityQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PriorityQueue").field(&self.shared).finish()
    }
}

/// In a snapshot: `priority: {limit, running, queued, queuedByClass, ..}`. It understands [`Drill::Reset`], which sets
/// the books to zero.
impl Policy for PriorityQueue {
    fn concern(&self) -> &'static str {
        CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert("priority", Table::from(&self.status()));
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.shared, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.shared.books.rebase();
                self.shared.displaced.rebase();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}
