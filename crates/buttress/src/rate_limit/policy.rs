use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    Acquire, CONCERN, Key, Limit, Permit, Quota, RateLimitCall, RateLimitLayer, RateLimiterBuilder, Snapshot,
    Taken,
    cell::NotNow,
    families,
    quota::Refusal,
    shared::{DIRECTORY, Shared, book},
    spot::Spot,
};
use crate::{
    clock::Instant,
    config::ConfigError,
    context,
    error::Rejected,
    export::Samples,
    outcome::Plain,
    registry::{Drill, DrillError, Listener, Policy},
    value::Table,
};

/// A rate limit: one for all calls, or one for each key. See the [module](self::super).
///
/// # Clone
///
/// Clones share the limit. So do all layers and services made from them, whatever clones, threads and connections they
/// end up in.
///
/// ```
/// use buttress::rate_limit::RateLimiter;
///
/// let limiter = RateLimiter::per_second(2).name("api").build()?;
/// let first = limiter.try_acquire(1)?;
/// limiter.try_acquire(1)?;
/// let refused = limiter.try_acquire(1).unwrap_err();
/// assert!(refused.retry_after() <= Some(std::time::Duration::from_millis(500)));
///
/// // The first call was not made after all.
/// first.give_back();
/// assert_eq!(limiter.peek().remaining, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    pub(super) shared: Arc<Shared>,
}

/// What there is to say without waiting.
pub(super) enum Now {
    Granted(Permit),
    Refused(Refusal),
    /// It may wait.
    Later,
}

impl RateLimiter {
    /// So many permits a second: `per_second(5)` is five a second. The other options are in the builder.
    pub fn per_second(permits: u64) -> RateLimiterBuilder {
        Self::builder().limit(Limit::per_second(permits))
    }

    /// So many permits a minute.
    pub fn per_minute(permits: u64) -> RateLimiterBuilder {
        Self::builder().limit(Limit::per_minute(permits))
    }

    /// So many permits an hour.
    pub fn per_hour(permits: u64) -> RateLimiterBuilder {
        Self::builder().limit(Limit::per_hour(permits))
    }

    /// The options to choose from.
    pub fn builder() -> RateLimiterBuilder {
        RateLimiterBuilder::default()
    }

    pub(super) fn from_checked(options: RateLimiterBuilder, limit: Limit) -> Self {
        Self {
            shared: DIRECTORY.enter(|id| Shared::new(id, options, limit)),
        }
    }

    // ===== calls =====

    /// Takes permits, if there are enough, without waiting; with keys, from the limit of those without one. Those who
    /// wait already go first.
    ///
    /// # Errors
    ///
    /// [`RateLimited`](crate::RejectionKind::RateLimited), with the time after which there would be enough; without one
    /// if more is asked for than there can ever be at once.
    #[inline]
    pub fn try_acquire(&self, permits: u32) -> Result<Permit, Rejected> {
        self.try_take(None, permits)
    }

    /// Takes permits, if need be when one's turn has come: see [`Acquire`].
    pub fn acquire(&self, permits: u32) -> Acquire {
        Acquire::new(self.clone(), None, permits, context::current_deadline())
    }

    /// Runs `future` once a permit has been had, waiting for one up to
    /// [`max_wait`](RateLimiterBuilder::max_wait): for those who have no tower service.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`](crate::Error::Rejected) if there is none (the future is dropped unpolled),
    /// [`Error::Inner`](crate::Error::Inner) with the future's own error.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`. Dropped while it waits it takes nothing.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use buttress::rate_limit::RateLimiter;
    ///
    /// let limiter = RateLimiter::per_second(100).build()?;
    /// let answer = limiter.call(async { Ok::<_, std::io::Error>(42) }).await;
    /// assert_eq!(answer.ok(), Some(42));
    /// # Ok::<(), buttress::ConfigError>(())
    /// # });
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> RateLimitCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        RateLimitCall::new(self.acquire(1), future)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> RateLimitLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`, which knows where keys are found in a request and how a response
    /// says what is left.
    pub fn layer_for<P>(&self, protocol: P) -> RateLimitLayer<P> {
        RateLimitLayer::new(Some(self.clone()), protocol)
    }

    // ===== reading =====

    /// The name in rejections, events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// What is left, without taking any; with keys, for those without one.
    #[must_use]
    pub fn peek(&self) -> Quota {
        self.shared.one.quota(self.shared.now())
    }

    /// The state and the books.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> RateLimiterBuilder {
        self.shared.options()
    }

    // ===== steering =====

    /// Changes the options while it runs. What was taken stays taken, those who wait go on waiting under the new rate,
    /// and limits of single keys stay as they are. Name, algorithm and what belongs to the map of keys cannot be
    /// changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense or cannot be changed, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: RateLimiterBuilder) -> Result<(), ConfigError> {
        self.shared.reconfigure(options)
    }

    /// Lets every call through and records nothing, until [`reset`](Self::reset): those who wait as well.
    pub fn disable(&self) {
        self.shared.disable();
    }

    /// Makes every limit as if it had never been used, and clears the counts.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Has `listener` called with every event, on the task in which it happened. It is called with no lock held, so it
    /// may ask or steer the limiter.
    pub fn listen(&self, listener: impl Fn(&crate::registry::Event) + Send + Sync + 'static) {
        self.shared.events.listen(Arc::new(listener));
    }

    /// Is there one for each key?
    #[allow(dead_code)]
    pub(crate) fn is_keyed(&self) -> bool {
        #[cfg(feature = "keyed")]
        return self.shared.keys.is_some();
        #[cfg(not(feature = "keyed"))]
        false
    }

    /// Names a limiter that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.name_if_unnamed(name);
    }

    // ===== the way of a call =====

    #[inline]
    pub(super) fn try_take(&self, key: Option<&Key<'_>>, permits: u32) -> Result<Permit, Rejected> {
        if self.is_free(permits) {
            return Ok(Permit::free());
        }
        let now = self.shared.now();
        if let Some(permit) = self.charge_at_once(key, permits, now) {
            return Ok(permit);
        }
        let (spot, result) = self.charge(key, permits, now);
        match result {
            Ok(at) => Ok(self.granted(spot, at, permits)),
            Err(refusal) => Err(self.shared.refuse(now, refusal)),
        }
    }

    #[inline]
    pub(super) fn take_or_wait(
        &self,
        key: Option<&Key<'_>>,
        permits: u32,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Taken<Permit, Acquire> {
        if self.is_free(permits) {
            return Taken::Granted(Permit::free());
        }
        let now = self.shared.now();
        if let Some(permit) = self.charge_at_once(key, permits, now) {
            return Taken::Granted(permit);
        }
        let (spot, result) = self.charge(key, permits, now);
        match result {
            Ok(at) => Taken::Granted(self.granted(spot, at, permits)),
            Err(Refusal::Until(wait)) if self.shared.may_wait(wait) => {
                Taken::Wait(Acquire::new(self.clone(), spot, permits, deadline()))
            }
            Err(refusal) => Taken::Refused(self.shared.refuse(now, refusal)),
        }
    }

    /// From a limit that has been found already.
    pub(super) fn take_from(&self, spot: Option<&Arc<Spot>>, permits: u32) -> Now {
        if self.is_free(permits) {
            return Now::Granted(Permit::free());
        }
        let here = spot.unwrap_or(&self.shared.one);
        match here.charge(self.shared.now(), permits) {
            Ok(at) => Now::Granted(self.granted(spot.cloned(), at, permits)),
            Err(NotNow::Refused(Refusal::Until(_))) if self.shared.max_wait() > 0 => Now::Later,
            Err(NotNow::Refused(refusal)) => Now::Refused(refusal),
            Err(NotNow::Sealed) => Now::Refused(Refusal::Until(0)),
        }
    }

    #[inline]
    pub(super) fn is_free(&self, permits: u32) -> bool {
        permits == 0 || self.shared.disabled.load(Relaxed)
    }

    /// The usual way of a call, short enough to be where it is called from.
    #[inline]
    fn charge_at_once(&self, key: Option<&Key<'_>>, permits: u32, now: u64) -> Option<Permit> {
        #[cfg(feature = "keyed")]
        if key.is_some() && self.shared.keys.is_some() {
            return None;
        }
        let _ = key;
        let at = self.shared.one.charge_at_once(now, permits)?;
        Some(self.granted(None, at, permits))
    }

    #[inline(never)]
    fn charge(
        &self,
        key: Option<&Key<'_>>,
        permits: u32,
        now: u64,
    ) -> (Option<Arc<Spot>>, Result<u64, Refusal>) {
        #[cfg(feature = "keyed")]
        if let (Some(key), Some(keys)) = (key, &self.shared.keys) {
            return super::by_key::charge_key(keys, key, permits, now);
        }
        let _ = key;
        match self.shared.one.charge(now, permits) {
            Ok(at) => (None, Ok(at)),
            Err(NotNow::Refused(refusal)) => (None, Err(refusal)),
            // It is in no map, so nobody gives it up.
            Err(NotNow::Sealed) => (None, Err(Refusal::Until(0))),
        }
    }

    #[inline]
    pub(super) fn granted(&self, spot: Option<Arc<Spot>>, at: u64, permits: u32) -> Permit {
        let shared = &*self.shared;
        shared.books.add(book::ALLOWED, 1);
        Permit::new(shared.id, spot, at, permits, shared.headers.load(Relaxed))
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", self.shared.name())
            .field("limit", &self.shared.one.tariff.limit())
            .finish_non_exhaustive()
    }
}

/// In a snapshot: `rateLimit: {algorithm, rate, per, remaining, allowed, limited, ..}`. It understands
/// [`Drill::Reset`] and [`Drill::Disable`].
impl Policy for RateLimiter {
    fn concern(&self) -> &'static str {
        CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert("rateLimit", Table::from(&self.snapshot()));
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.shared, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => self.reset(),
            Drill::Disable => self.disable(),
            _ => return Err(DrillError::Unsupported),
        }
        Ok(())
    }
}
