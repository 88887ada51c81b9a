use std::{fmt, sync::Arc};

use super::{
    builder::HedgeBuilder, call::HedgeCall, families, layer::HedgeLayer, shared::Shared, snapshot::Snapshot,
};
use crate::{
    config::ConfigError,
    export::Samples,
    outcome::{AnyError, Plain, Protocol},
    registry::{Drill, DrillError, Listener, Policy},
    replay::Same,
    value::Table,
};

/// Makes calls a second time that are slow, within bounds: the options, the budget, the recent latencies and the books
/// behind an [`Arc`].
///
/// # Clone
///
/// Clones share all of it. So do all layers and services made from them.
#[derive(Clone)]
pub struct Hedge {
    pub(super) shared: Arc<Shared>,
}

impl Hedge {
    /// The default policy: a second attempt at the 95th percentile, for at most 5 % of the calls and one a second.
    #[must_use]
    pub fn new() -> Self {
        Self::from_checked(HedgeBuilder::default())
    }

    /// The options to choose from.
    pub fn builder() -> HedgeBuilder {
        HedgeBuilder::default()
    }

    pub(super) fn from_checked(options: HedgeBuilder) -> Self {
        Self {
            shared: Arc::new(Shared::new(options)),
        }
    }

    // ===== calls =====

    /// Calls `attempt`, and a second time if the first is slow or fails: for those who have no tower service. It is
    /// given 1, and then 2. The first answer is returned, and the other attempt dropped.
    ///
    /// `Ok` is an answer, and `Err` a failure, or what the [rejection](crate::Rejected) in it or in one of its causes
    /// says. For errors that are no [`std::error::Error`], or another judgement, see [`call_with`](Self::call_with).
    ///
    /// # Errors
    ///
    /// That of the first attempt, if neither succeeds.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops both attempts, which is what happens to the one that comes second as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), buttress::ConfigError> {
    /// use std::time::Duration;
    /// use buttress::hedge::Hedge;
    ///
    /// let hedge = Hedge::builder().after(Duration::from_millis(50)).build()?;
    /// let answer = hedge.call(async |attempt| {
    ///     if attempt == 1 {
    ///         tokio::time::sleep(Duration::from_secs(1)).await; // it has hit the slow replica
    ///     }
    ///     Ok::<_, std::io::Error>(attempt)
    /// });
    /// assert_eq!(answer.await.ok(), Some(2));
    /// # Ok(()) }
    /// ```
    pub fn call<A, F, T, E>(&self, attempt: A) -> HedgeCall<A, F, Plain<AnyError>, T, E>
    where
        A: FnMut(u32) -> F,
        F: Future<Output = Result<T, E>>,
        E: std::error::Error + 'static,
    {
        HedgeCall::new(self, AnyError::protocol(), attempt)
    }

    /// [`call`](Self::call) with another judgement: [`Plain::new`] for errors that
    /// [can carry a rejection](crate::CallError), such as boxed ones, or [`Plain::classify`] for any.
    pub fn call_with<P, A, F, T, E>(&self, protocol: P, attempt: A) -> HedgeCall<A, F, P, T, E>
    where
        P: Protocol<T, E>,
        A: FnMut(u32) -> F,
        F: Future<Output = Result<T, E>>,
    {
        HedgeCall::new(self, protocol, attempt)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> HedgeLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol` and take the body type that the caller has; see
    /// [`HedgeLayer::new`] for others.
    pub fn layer_for<P>(&self, protocol: P) -> HedgeLayer<P> {
        HedgeLayer::new(Some(self.clone()), protocol, Same)
    }

    // ===== reading and steering =====

    /// The name in events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// The books, the present delay, and what is left of the budget.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> HedgeBuilder {
        self.shared.options.load().as_ref().clone()
    }

    /// Changes the options while it runs, for second attempts that are not due yet. Books, budget and latencies stay.
    /// The name cannot be changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: HedgeBuilder) -> Result<(), ConfigError> {
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

impl Default for Hedge {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("name", self.shared.name())
            .finish_non_exhaustive()
    }
}

/// It understands [`Drill::Reset`]: counts and latencies are forgotten, what is left of the budget is not.
impl Policy for Hedge {
    fn concern(&self) -> &'static str {
        super::CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert("hedge", Table::from(&self.snapshot()));
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
                self.shared.reset();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}
