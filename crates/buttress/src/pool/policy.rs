use std::{fmt, sync::Arc};

use super::{
    balance::Strategy,
    builder::PoolBuilder,
    choose::Search,
    events::{Alert, PoolEvent, Severity},
    families,
    future::PoolFuture,
    hub::book,
    layer::PoolLayer,
    lease::Lease,
    options::PoolOptions,
    reach::{Operation, Own},
    service::PoolService,
    shared::Shared,
    snapshot::{EndpointSnapshot, Snapshot},
    tried::Tried,
};
use crate::{
    admission::{MakeAdmission, parts},
    clock,
    config::ConfigError,
    context,
    error::{Rejected, RejectionKind},
    export::Samples,
    outcome::Plain,
    registry::{Drill, DrillError, Event, Listener, Policy, PolicyChanged},
    replay::Same,
    value::Table,
};

/// Several endpoints that behave as one.
///
/// What stands behind an endpoint is a `T`: a tower service, an address, a database handle, any client at all. Each
/// call gets a clone of it.
///
/// # Clone
///
/// Clones are handles to the same pool. So are the services and layers made from it.
///
/// # Send and Sync
///
/// It is `Send` and `Sync` if `T` is both: threads share what stands behind an endpoint, and clone it from where it is.
/// A service that is not `Sync` needs a `BoxCloneSyncService`, or an address behind [`layer`](Self::layer).
pub struct Pool<T> {
    pub(super) shared: Arc<Shared<T>>,
}

/// The future of [`Pool::run`].
pub type Run<T, F, P = Plain> = PoolFuture<T, Operation<F>, P, Same, ()>;

impl<T> Pool<T> {
    /// The options to choose from.
    pub fn builder() -> PoolBuilder<T> {
        PoolBuilder::default()
    }

    // ===== calls =====

    /// Runs `operation` with the client of an endpoint; if it fails, with that of another, as often as
    /// [`failover`](PoolOptions::failover) says. So it should be something that may be done twice: for what may not, see
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// `Ok` is a success, and `Err` a failure, or what the [rejection](crate::Rejected) in it says.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`](crate::RejectionKind::NoEndpoint) if there is none that may be used,
    /// [`RateLimited`](crate::RejectionKind::RateLimited) if all that may are at their limits for too long, else the last
    /// operation's own error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a cancelled call.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use buttress::{Error, pool::Pool};
    ///
    /// let pool = Pool::builder().endpoint("a", "http://a").endpoint("b", "http://b").build()?;
    /// let answer = pool.run(async |url: &str| match url {
    ///     "http://a" => Err(std::io::Error::other("down")),
    ///     url => Ok(format!("hello from {url}")),
    /// });
    /// assert_eq!(answer.await.ok().as_deref(), Some("hello from http://b"));
    /// # Ok::<(), buttress::ConfigError>(())
    /// # });
    /// ```
    pub fn run<F, Fut, R, E>(&self, operation: F) -> Run<T, F>
    where
        T: Clone,
        F: Fn(T) -> Fut + Clone,
        Fut: Future<Output = Result<R, E>>,
    {
        self.operate(None, Plain::new(), operation)
    }

    /// [`run`](Self::run), choosing by another strategy than the pool's.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with<F, Fut, R, E>(&self, strategy: Strategy, operation: F) -> Run<T, F>
    where
        T: Clone,
        F: Fn(T) -> Fut + Clone,
        Fut: Future<Output = Result<R, E>>,
    {
        self.operate(Some(strategy), Plain::new(), operation)
    }

    /// [`run`](Self::run), with a judgement of the user's own over how it ended: see
    /// [`Plain::classify`]. The error that it judges is an [`Error<E>`](crate::Error).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_as<F, Fut, R, E, C>(&self, judge: Plain<C>, operation: F) -> Run<T, F, Plain<C>>
    where
        T: Clone,
        F: Fn(T) -> Fut + Clone,
        Fut: Future<Output = Result<R, E>>,
    {
        self.operate(None, judge, operation)
    }

    fn operate<F, Fut, R, E, C>(
        &self,
        strategy: Option<Strategy>,
        judge: Plain<C>,
        operation: F,
    ) -> Run<T, F, Plain<C>>
    where
        T: Clone,
        F: Fn(T) -> Fut + Clone,
        Fut: Future<Output = Result<R, E>>,
    {
        let reach = Operation { operation };
        PoolFuture::new(self.shared.clone(), strategy, reach, judge, Same, ())
    }

    /// The client of an endpoint, for one call. It must be told how the call ended; dropped untold, the call was
    /// cancelled.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`](crate::RejectionKind::NoEndpoint) if there is none that may be used,
    /// [`RateLimited`](crate::RejectionKind::RateLimited) if all that may are at their limits.
    pub fn try_acquire(&self) -> Result<Lease<T>, Rejected>
    where
        T: Clone,
    {
        self.acquire(None)
    }

    /// [`try_acquire`](Self::try_acquire), choosing by another strategy than the pool's.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`](crate::RejectionKind::NoEndpoint) if there is none that may be used,
    /// [`RateLimited`](crate::RejectionKind::RateLimited) if all that may are at their limits.
    pub fn try_acquire_with(&self, strategy: &Strategy) -> Result<Lease<T>, Rejected>
    where
        T: Clone,
    {
        self.acquire(Some(strategy))
    }

    fn acquire(&self, strategy: Option<&Strategy>) -> Result<Lease<T>, Rejected>
    where
        T: Clone,
    {
        let shared = &self.shared;
        shared.ensure_watched();
        shared.hub.begin(&shared.set.load().options);
        let now = clock::now();
        let mut refused = Tried::default();
        loop {
            let set = shared.set.load();
            let search = Search {
                strategy,
                tried: &Tried::default(),
                refused: &refused,
                waiting: &[],
                avoid: context::tried(),
                now,
            };
            let Some(choice) = shared.choose(&set, &search) else {
                break;
            };
            let node = &set.roster.nodes[choice.index];
            if let Some(token) = node.admit(now, choice.overrule) {
                return Ok(Lease::new(node, &set.targets[choice.index], token));
            }
            refused.push(node.id);
        }
        let Some(node) = shared.first_turn(&Tried::default(), &[], now) else {
            return Err(shared.no_endpoint(now));
        };
        // It is at its limit, and says so, unless a permit has come back just now.
        let admitted = match node.guard().map(|guard| guard.admit(now)) {
            Some(Err(rejected)) if rejected.kind() == RejectionKind::RateLimited => return Err(rejected),
            Some(Ok(admitted)) => node.take_in(now, Some(admitted)),
            _ => None,
        };
        match (admitted, shared.target(&node)) {
            (Some(token), Some(target)) => Ok(Lease::new(&node, &target, token)),
            _ => Err(shared.no_endpoint(now)),
        }
    }

    /// The pool as a service over plain services; see [`service_for`](Self::service_for) for HTTP and gRPC.
    #[must_use]
    pub fn service(&self) -> PoolService<T> {
        self.service_for(Plain::new())
    }

    /// The pool as a service whose endpoints are services that speak `protocol`, and take the body type that the
    /// caller has; see [`PoolService::new`] for others.
    pub fn service_for<P>(&self, protocol: P) -> PoolService<T, Own, P> {
        PoolService::new(self.clone(), Own, protocol, Same)
    }

    /// The layer for one transport that reaches all endpoints: `address` writes an endpoint's address into a request.
    /// See [`layer_for`](Self::layer_for) for HTTP and gRPC.
    pub fn layer<F>(&self, address: F) -> PoolLayer<T, F> {
        self.layer_for(Plain::new(), address)
    }

    /// The layer for one transport that speaks `protocol`, and takes the body type that the caller has; see
    /// [`PoolLayer::new`] for others.
    pub fn layer_for<P, F>(&self, protocol: P, address: F) -> PoolLayer<T, F, P> {
        PoolLayer::new(self.clone(), address, protocol, Same)
    }

    // ===== reading and steering =====

    /// The name in rejections, events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.hub.name().clone()
    }

    /// The state of every endpoint, and the books.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = clock::now();
        let set = self.shared.set.load();
        let roster = &set.roster;
        let endpoint = |(i, node): (usize, &Arc<_>)| EndpointSnapshot::of(node, roster.weight(i), now);
        let books = &self.shared.hub.books;
        Snapshot {
            name: self.name(),
            balance: set.options.strategy.name(),
            endpoints: roster.nodes.iter().enumerate().map(endpoint).collect(),
            calls: books.total(book::CALLS),
            no_endpoint: books.total(book::NO_ENDPOINT),
            failovers: books.total(book::FAILOVERS),
            recoveries: books.total(book::RECOVERIES),
            out_of_budget: books.total(book::OUT_OF_BUDGET),
            budget_balance: self.shared.hub.budget_balance(&set.options, now),
        }
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> PoolOptions {
        self.shared.set.load().options.as_ref().clone()
    }

    /// Changes the options while it runs: the endpoints and all that is known of them stay. The name cannot be
    /// changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: PoolOptions) -> Result<(), ConfigError> {
        self.shared.reconfigure(options.checked()?);
        let hub = &self.shared.hub;
        hub.events.emit(super::CONCERN, hub.name(), || PolicyChanged);
        Ok(())
    }

    /// Has `listener` called with every event of the pool, and of the breakers and limits of its endpoints, on the task in
    /// which it happened. It is called with no lock held, so it may ask or steer the pool.
    pub fn listen(&self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        self.shared.hub.events.listen(Arc::new(listener));
    }

    /// Has `alarm` called with every event that is at least as urgent as `least`, as [`listen`](Self::listen) does.
    pub fn on_alert(&self, least: Severity, alarm: impl Fn(&Alert) + Send + Sync + 'static) {
        self.listen(move |event| {
            let Some(detail) = event.detail::<PoolEvent>() else {
                return;
            };
            if let Some(severity) = detail.severity().filter(|severity| *severity >= least) {
                alarm(&Alert {
                    severity,
                    pool: event.policy.clone(),
                    event: detail.clone(),
                });
            }
        });
    }

    /// Gives each endpoint that has no breaker one that `make` makes, those that are added later too, unless the pool
    /// makes them itself.
    #[allow(dead_code)]
    pub(crate) fn guard_if_unguarded(&self, make: &Arc<dyn MakeAdmission>) {
        self.shared.guard_if_unguarded(make);
    }

    /// Names a pool that its owner did not, and the breakers of its endpoints after it.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.hub.name.give(name);
        self.shared
            .nodes()
            .iter()
            .for_each(|node| self.shared.name_guard(node));
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", self.shared.hub.name())
            .field("endpoints", &self.shared.set.load().roster)
            .finish_non_exhaustive()
    }
}

/// The breakers and limits of its endpoints are members of it, so each can be read and drilled as `{pool}:{endpoint}`, by
/// the name that the registry has for the pool.
impl<T: Send + Sync + 'static> Policy for Pool<T> {
    fn concern(&self) -> &'static str {
        super::CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.snapshot(), name, samples);
        // Its endpoints are few and come from its owner, so their breakers may be series of their own.
        for (name, guard) in self.members(name) {
            guard.samples(&name, samples);
        }
    }

    fn describe(&self, state: &mut Table) {
        state.insert("pool", Table::from(&self.snapshot()));
    }

    fn listen(&self, listener: Listener) {
        self.shared.hub.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.reset_all();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }

    fn members(&self, name: &str) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
        let nodes = self.shared.nodes().into_iter();
        let guarded = nodes.filter_map(|node| Some((format!("{name}:{}", node.name), node.guard()?.clone())));
        guarded.flat_map(|(name, guard)| parts(&guard, &name)).collect()
    }
}
