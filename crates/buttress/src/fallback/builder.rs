use std::{fmt, sync::Arc};

use super::{Condition, Fallback, Nothing, Whole, condition};
use crate::{
    config::{ConfigError, Problems},
    replay::MAX_BODY,
    size,
};

/// The options of a [`Fallback`], from [`Fallback::value`] and its like or, for one that runs,
/// [`Fallback::options`].
#[must_use = "a builder does nothing until it is built"]
pub struct FallbackBuilder<A, K = Nothing> {
    pub(super) name: Option<Arc<str>>,
    pub(super) on: Vec<Condition>,
    pub(super) answer: Arc<A>,
    pub(super) keeper: Arc<K>,
    /// As the keeper has it: what keeps nothing has none.
    max_body: Option<u64>,
}

impl<A, K> FallbackBuilder<A, K> {
    pub(super) fn new(answer: A, keeper: K) -> Self {
        Self {
            name: None,
            on: condition::DEFAULT.to_vec(),
            answer: Arc::new(answer),
            keeper: Arc::new(keeper),
            max_body: None,
        }
    }

    /// The name in events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the fallback is for: exactly what is named here, as kinds of rejections, verdicts, or any
    /// [`Condition`]s. Without it, whatever keeps the caller from an answer.
    ///
    /// ```
    /// use buttress::{RejectionKind, Verdict, fallback::{Condition, Fallback}};
    ///
    /// let cached = Fallback::value("cached").on([RejectionKind::CircuitOpen, RejectionKind::TimedOut]).build()?;
    /// let busy = Fallback::value("busy").on([Verdict::Throttled]).build()?;
    /// let both = Fallback::value("later").on([Condition::AnyRejection, Condition::HttpStatus(503)]).build()?;
    /// # let _ = (cached, busy, both);
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn on<C: Into<Condition>>(mut self, conditions: impl IntoIterator<Item = C>) -> Self {
        self.on = conditions.into_iter().map(Into::into).collect();
        self
    }

    /// Checks the options and makes the policy.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once: no condition at all, one that is no failure, or more to be
    /// remembered of a body than 1 GiB.
    pub fn build(self) -> Result<Fallback<A, K>, ConfigError> {
        self.check()?;
        Ok(Fallback::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        problems.check(
            !self.on.is_empty(),
            "on",
            "an empty list",
            "at least one thing that the fallback is for; leave it out for all failures and rejections",
        );
        for condition in &self.on {
            condition.check(&mut problems);
        }
        if let Some(bytes) = self.max_body {
            problems.check(bytes <= MAX_BODY, "max_body", size::Human(bytes), "at most 1GiB");
        }
        problems.into_result()
    }
}

/// For a fallback that is a service.
impl<A> FallbackBuilder<A, Whole> {
    /// How many bytes of a request's body are remembered for the other service (64 KiB; at most 1 GiB). A request
    /// with a longer one is not given to it.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        Arc::make_mut(&mut self.keeper).max_body = bytes;
        self
    }

    /// Gives requests that are not [repeatable](crate::RequestProtocol::repeatable) to the other service even if the
    /// first may have done their work (no). Those that a layer refused before are given to it in any case.
    pub fn send_non_idempotent(mut self, on: bool) -> Self {
        Arc::make_mut(&mut self.keeper).send_non_idempotent = on;
        self
    }
}

impl<A, K> Clone for FallbackBuilder<A, K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            on: self.on.clone(),
            answer: self.answer.clone(),
            keeper: self.keeper.clone(),
            max_body: self.max_body,
        }
    }
}

impl<A, K> fmt::Debug for FallbackBuilder<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackBuilder")
            .field("name", &self.name)
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}
