use std::{fmt, sync::Arc};

use super::{
    builder::RetryBuilder,
    call::RetryCall,
    families,
    layer::RetryLayer,
    shared::{Plan, Shared},
    snapshot::Snapshot,
};
use crate::{
    config::ConfigError,
    export::Samples,
    outcome::{AnyError, Plain, Protocol},
    registry::{Listener, Policy},
    replay::Same,
    value::Table,
};

/// Repeats calls that fail, within bounds: the options, the budget and the books behind an [`Arc`].
///
/// # Clone
///
/// Clones share all of it. So do all layers and services made from them.
#[derive(Clone)]
pub struct Retry {
    pub(super) shared: Arc<Shared>,
}

macro_rules! presets {
    ($($name:ident)*) => {$(
        #[doc = concat!("The policy of [`RetryBuilder::", stringify!($name), "`].")]
        #[must_use]
        pub fn $name() -> Self {
            Self::from_checked(RetryBuilder::$name())
        }
    )*};
}

impl Retry {
    /// The default policy: [`standard`](Self::standard).
    #[must_use]
    pub fn new() -> Self {
        Self::standard()
    }

    /// The options to choose from.
    pub fn builder() -> RetryBuilder {
        RetryBuilder::default()
    }

    presets! { standard aggressive conservative high_concurrency low_latency none }

    pub(super) fn from_checked(options: RetryBuilder) -> Self {
        Self {
            shared: Arc::new(Shared::new(options)),
        }
    }

    // ===== calls =====

    /// Calls `attempt`, with the number of the attempt, until what it returns succeeds or is not to be repeated: for
    /// those who have no tower service. The last result is returned as it is.
    ///
    /// `Ok` is a success, and `Err` a failure, or what the [rejection](crate::Rejected) in it or in one of its causes
    /// says; so a [breaker](crate::circuit_breaker) inside is understood. For errors that are no
    /// [`std::error::Error`], or another judgement, see [`call_with`](Self::call_with).
    ///
    /// # Errors
    ///
    /// That of the last attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the attempt, or the wait, that is going on. Nothing goes on after that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use buttress::retry::Retry;
    ///
    /// let answer = Retry::standard().call(async |attempt| match attempt {
    ///     1 => Err(std::io::Error::other("not yet")),
    ///     n => Ok(n),
    /// });
    /// assert_eq!(answer.await.ok(), Some(2));
    /// # }
    /// ```
    pub fn call<A, F, T, E>(&self, attempt: A) -> RetryCall<A, F, Plain<AnyError>>
    where
        A: FnMut(u32) -> F,
        F: Future<Output = Result<T, E>>,
        E: std::error::Error + 'static,
    {
        RetryCall::new(self, AnyError::protocol(), attempt)
    }

    /// [`call`](Self::call) with another judgement: [`Plain::new`] for errors that
    /// [can carry a rejection](crate::CallError), such as boxed ones, or [`Plain::classify`] for any.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use buttress::{Outcome, Plain, outcome::Reason, retry::Retry};
    ///
    /// let judge = Plain::classify(|result: &Result<u32, &'static str>| match result {
    ///     Ok(_) => Outcome::SUCCESS,
    ///     Err("no such item") => Outcome::neutral(Reason::Error),
    ///     Err(_) => Outcome::failure(Reason::Error),
    /// });
    /// let answer = Retry::standard().call_with(judge, async |_| Err("no such item"));
    /// assert_eq!(answer.await, Err("no such item"));
    /// # })
    /// ```
    pub fn call_with<P, A, F, T, E>(&self, protocol: P, attempt: A) -> RetryCall<A, F, P>
    where
        P: Protocol<T, E>,
        A: FnMut(u32) -> F,
        F: Future<Output = Result<T, E>>,
    {
        RetryCall::new(self, protocol, attempt)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> RetryLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol` and take the body type that the caller has; see
    /// [`RetryLayer::new`] for others.
    pub fn layer_for<P>(&self, protocol: P) -> RetryLayer<P> {
        RetryLayer::new(Some(self.clone()), protocol, Same)
    }

    #[inline]
    pub(super) fn begin(&self) -> Option<Plan> {
        self.shared.begin()
    }

    // ===== reading and steering =====

    /// The name in events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// The books, and what is left of the budget.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> RetryBuilder {
        self.shared.options.load().as_ref().clone()
    }

    /// Changes the options while it runs; calls that are on their way go on under the new ones. Books and budget stay.
    /// The name and the seed cannot be changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: RetryBuilder) -> Result<(), ConfigError> {
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

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", self.shared.name())
            .finish_non_exhaustive()
    }
}

impl Policy for Retry {
    fn concern(&self) -> &'static str {
        super::CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert("retry", Table::from(&self.snapshot()));
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.shared, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }
}
