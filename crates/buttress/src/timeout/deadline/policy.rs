use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{DeadlineBuilder, DeadlineLayer};
use crate::{
    clock::{self, Instant},
    config::ConfigError,
    context::{self, WithDeadline, nearest},
    error::Rejected,
    export::Samples,
    outcome::{Plain, RequestProtocol},
    registry::{Drill, DrillError, Listener, Policy, PolicyChanged},
    timeout::{
        DEADLINE, Snapshot, TimeoutCall, UNNAMED_DEADLINE, families,
        ledger::{self, Ledger},
        limit::{self, Limit, Until},
        timer,
    },
    value::Table,
};

/// Sets the deadline of a whole call, with all its attempts and everything that it has to wait for, and ends it
/// there. Clones share limits and counts.
///
/// The deadline is the earliest of: the one that the call comes with in its [`CallContext`](crate::CallContext); the time that its
/// request asks for (`grpc-timeout`), or the [`default`](DeadlineBuilder::default_total) if it asks for none; the
/// [`total`](DeadlineBuilder::total).
#[derive(Clone, Debug)]
pub struct Deadline {
    pub(in crate::timeout) ledger: Arc<Ledger>,
    limits: Arc<Limits>,
}

#[derive(Debug)]
struct Limits {
    total: Limit,
    default_total: Limit,
    through_body: AtomicBool,
}

/// What becomes of a call.
pub(in crate::timeout) enum Admission {
    /// Nothing says when it has to be over.
    Unlimited,
    Limited {
        until: Until,
        moment: Instant,
    },
    Refused(Rejected),
}

impl Deadline {
    /// A policy without a limit of its own: it ends calls at the deadline that they come with.
    #[must_use]
    pub fn new() -> Self {
        Self::from_checked(DeadlineBuilder::default())
    }

    /// The limits to choose from.
    pub fn builder() -> DeadlineBuilder {
        DeadlineBuilder::default()
    }

    /// A call may take that long in total. What more there is to choose is in the builder that this returns.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::timeout::Deadline;
    ///
    /// let total = Deadline::after(Duration::from_secs(10)).build()?;
    /// // A server that believes its clients up to a minute, and gives those that ask for nothing 15 seconds.
    /// let server = Deadline::after(Duration::from_secs(60)).default_total(Duration::from_secs(15)).build()?;
    /// # let _ = (total, server);
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn after(total: Duration) -> DeadlineBuilder {
        DeadlineBuilder::default().total(total)
    }

    pub(super) fn from_checked(options: DeadlineBuilder) -> Self {
        Self {
            limits: Arc::new(Limits {
                total: Limit::new(options.total),
                default_total: Limit::new(options.default_total),
                through_body: AtomicBool::new(options.through_body),
            }),
            ledger: Ledger::open(&UNNAMED_DEADLINE, options.name.as_ref()),
        }
    }

    // ===== calls =====

    /// Runs `future` until the deadline, which its [current](crate::CallContext::current) context knows: for those who have
    /// no tower service.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`](crate::Error::Rejected) if the time is over, or if the deadline of the
    /// [current](crate::CallContext::current) context had passed before (then the future is dropped unpolled);
    /// [`Error::Inner`](crate::Error::Inner) with the future's own error.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`: it is dropped with the returned one, and the timer with it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), buttress::ConfigError> {
    /// use std::time::Duration;
    /// use buttress::{CallContext, timeout::Deadline};
    ///
    /// let deadline = Deadline::after(Duration::from_secs(10)).build()?;
    /// let answer = deadline.call(async {
    ///     Ok::<_, std::io::Error>(CallContext::current().and_then(|context| context.deadline()))
    /// });
    /// assert!(answer.await.expect("in time").is_some());
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> TimeoutCall<WithDeadline<F>>
    where
        F: Future<Output = Result<T, E>>,
    {
        TimeoutCall::under_deadline(self, future)
    }

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> DeadlineLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`: it knows where a request carries its context, and for gRPC
    /// how much time it asks for.
    pub fn layer_for<P>(&self, protocol: P) -> DeadlineLayer<P> {
        DeadlineLayer::new(self.clone(), protocol)
    }

    /// Sets the deadline of a call.
    #[inline]
    pub(in crate::timeout) fn admit<P, Request>(&self, protocol: &P, request: &mut Request) -> Admission
    where
        P: RequestProtocol<Request>,
    {
        let known = match protocol.context(request) {
            Some(context) => context.deadline(),
            None => context::current_deadline(),
        };
        let asked = protocol.timeout(request);
        let total = self.limits.total(asked.is_some() || known.is_some());
        if asked.is_none() && known.is_none() && total.is_none() {
            return Admission::Unlimited;
        }
        let now = clock::now();
        let after = |time| timer::after(now, time);
        let wanted = nearest(known, asked.map(after));
        let (until, moment) = match (total.map(after), wanted) {
            (Some(own), wanted) if wanted.is_none_or(|wanted| own <= wanted) => (Until::at(own), own),
            (_, Some(wanted)) => {
                let left = wanted.saturating_duration_since(now);
                (Until::left(wanted, left, total), wanted)
            }
            (_, None) => return Admission::Unlimited,
        };
        if moment <= now {
            return Admission::Refused(self.ledger.refuse(ledger::Hit::DeadlineExpired));
        }
        // Who knows it already need not be told.
        if known != Some(moment) {
            protocol.limit_deadline(request, moment);
        }
        Admission::Limited { until, moment }
    }

    /// How long a call may take, whatever it asks for.
    #[allow(dead_code)]
    pub(crate) fn total_limit(&self) -> Option<Duration> {
        self.limits.total.get()
    }

    pub(super) fn is_through_body(&self) -> bool {
        self.limits.through_body.load(Relaxed)
    }

    // ===== reading and steering =====

    /// The name in rejections and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.ledger.name()
    }

    /// How often the deadline was hit since the last [reset](Drill::Reset).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot()
    }

    /// The limits in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> DeadlineBuilder {
        DeadlineBuilder {
            name: self.ledger.given_name(),
            total: self.limits.total.get(),
            default_total: self.limits.default_total.get(),
            through_body: self.is_through_body(),
        }
    }

    /// Changes the limits while it runs, for calls that begin from now on. The name cannot be changed.
    ///
    /// # Errors
    ///
    /// Every limit that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: DeadlineBuilder) -> Result<(), ConfigError> {
        options.check()?;
        self.limits.total.set(options.total);
        self.limits.default_total.set(options.default_total);
        self.limits.through_body.store(options.through_body, Relaxed);
        self.ledger.events.emit(DEADLINE, &self.name(), || PolicyChanged);
        Ok(())
    }

    /// Names a policy that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.ledger.name_if_unnamed(name);
    }
}

impl Limits {
    /// How long a call may take, whatever it wants.
    #[inline]
    fn total(&self, wants: bool) -> Option<Duration> {
        let (total, default) = (self.total.get(), self.default_total.get().filter(|_| !wants));
        match (total, default) {
            (Some(total), Some(default)) => Some(total.min(default)),
            (total, default) => total.or(default),
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

/// In a snapshot: `deadline: {total, defaultTotal, throughBody, timedOut, ..}`, limits as people write them. It
/// understands [`Drill::Reset`].
impl Policy for Deadline {
    fn concern(&self) -> &'static str {
        DEADLINE
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.ledger) as usize
    }

    fn describe(&self, state: &mut Table) {
        let table = state.table(DEADLINE);
        limit::describe(table, "total", &self.limits.total);
        limit::describe(table, "defaultTotal", &self.limits.default_total);
        table.insert("throughBody", self.is_through_body());
        self.snapshot().describe(table);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.ledger.totals(), DEADLINE, name, samples);
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
