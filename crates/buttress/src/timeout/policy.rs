use std::{sync::Arc, time::Duration};

use super::{
    Snapshot, TIMEOUT, TimeoutBuilder, TimeoutCall, TimeoutLayer, UNNAMED_TIMEOUT, families,
    ledger::Ledger,
    limit::{self, Limit},
};
use crate::{
    config::ConfigError,
    export::Samples,
    outcome::Plain,
    registry::{Drill, DrillError, Listener, Policy, PolicyChanged},
    value::Table,
};

/// Limits the time of each attempt, and of response bodies. Clones share limits and counts.
///
/// See the [module](self::super) for how it goes together with a [`Deadline`](super::Deadline).
#[derive(Clone, Debug)]
pub struct Timeout {
    pub(super) ledger: Arc<Ledger>,
    pub(super) limits: Arc<Limits>,
}

#[derive(Debug)]
pub(super) struct Limits {
    pub(super) attempt: Limit,
    pub(super) body_idle: Limit,
    pub(super) body_total: Limit,
}

impl Timeout {
    /// A policy without a limit of its own: it has calls obey the deadline that they come with, and sends that on.
    #[must_use]
    pub fn new() -> Self {
        Self::from_checked(TimeoutBuilder::default())
    }

    /// The limits to choose from.
    pub fn builder() -> TimeoutBuilder {
        TimeoutBuilder::default()
    }

    /// An attempt may take that long. What more there is to choose is in the builder that this returns.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::timeout::Timeout;
    ///
    /// let timeout = Timeout::after(Duration::from_secs(2)).name("payments").build()?;
    /// assert!(Timeout::after(Duration::ZERO).build().is_err());
    /// # let _ = timeout;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn after(attempt: Duration) -> TimeoutBuilder {
        TimeoutBuilder::default().attempt(attempt)
    }

    pub(super) fn from_checked(options: TimeoutBuilder) -> Self {
        Self {
            limits: Arc::new(Limits {
                attempt: Limit::new(options.attempt),
                body_idle: Limit::new(options.body_idle),
                body_total: Limit::new(options.body_total),
            }),
            ledger: Ledger::open(&UNNAMED_TIMEOUT, options.name.as_ref()),
        }
    }

    // ===== calls =====

    /// Runs `future` under the attempt's limit and the deadline of the [current](crate::CallContext::current)
    /// context, whichever ends first: for those who have no tower service.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`](crate::Error::Rejected) if the time is over, or if the deadline had passed before (then
    /// the future is dropped unpolled); [`Error::Inner`](crate::Error::Inner) with the future's own error.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`: it is dropped with the returned one, and the timer with it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), buttress::ConfigError> {
    /// use std::{future::pending, time::Duration};
    /// use buttress::{Error, RejectionKind, timeout::Timeout};
    ///
    /// let timeout = Timeout::after(Duration::from_millis(10)).build()?;
    /// let answer: Result<(), Error<std::io::Error>> = timeout.call(pending()).await;
    /// assert_eq!(answer.unwrap_err().rejected().map(|r| r.kind()), Some(RejectionKind::TimedOut));
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> TimeoutCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        TimeoutCall::under_timeout(self, future)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> TimeoutLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`: it knows where a request carries its deadline, whether there
    /// is a body to be limited, and for gRPC how the time left is sent on.
    pub fn layer_for<P>(&self, protocol: P) -> TimeoutLayer<P> {
        TimeoutLayer::new(self.clone(), protocol)
    }

    // ===== reading and steering =====

    /// The name in rejections and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.ledger.name()
    }

    /// How often each limit was hit since the last [reset](Drill::Reset).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot()
    }

    /// The limits in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> TimeoutBuilder {
        TimeoutBuilder {
            name: self.ledger.given_name(),
            attempt: self.limits.attempt.get(),
            body_idle: self.limits.body_idle.get(),
            body_total: self.limits.body_total.get(),
        }
    }

    /// Changes the limits while it runs, for calls that begin from now on. The name cannot be changed.
    ///
    /// # Errors
    ///
    /// Every limit that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: TimeoutBuilder) -> Result<(), ConfigError> {
        options.check()?;
        self.limits.attempt.set(options.attempt);
        self.limits.body_idle.set(options.body_idle);
        self.limits.body_total.set(options.body_total);
        self.ledger.events.emit(TIMEOUT, &self.name(), || PolicyChanged);
        Ok(())
    }

    /// How long an attempt may take.
    #[allow(dead_code)]
    pub(crate) fn attempt_limit(&self) -> Option<Duration> {
        self.limits.attempt.get()
    }

    /// Names a policy that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.ledger.name_if_unnamed(name);
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self::new()
    }
}

/// In a snapshot: `timeout: {attempt, bodyIdle, bodyTotal, timedOut, ..}`, limits as people write them. It
/// understands [`Drill::Reset`].
impl Policy for Timeout {
    fn concern(&self) -> &'static str {
        TIMEOUT
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.ledger) as usize
    }

    fn describe(&self, state: &mut Table) {
        let table = state.table(TIMEOUT);
        limit::describe(table, "attempt", &self.limits.attempt);
        limit::describe(table, "bodyIdle", &self.limits.body_idle);
        limit::describe(table, "bodyTotal", &self.limits.body_total);
        self.snapshot().describe(table);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.ledger.totals(), TIMEOUT, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.ledger.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.ledger.reset();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}
