//! How many calls there were, how they ended, and how long they took.
//!
//! [`Metrics`] keeps the books of one stack, or of anything else that makes calls. Every exporter *reads* them
//! (the JSON of the [`Registry`](crate::Registry) is one), so no two can disagree, and a call pays for two clock
//! reads and a few additions, whoever reads and however many.
//!
//! ```
//! use buttress::{Error, ErrorLayer, metrics::Metrics};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error<std::io::Error>> {
//! let metrics = Metrics::new().named("upstream");
//! let mut service = ServiceBuilder::new()
//!     .layer(metrics.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(|name: String| async move { Ok::<_, std::io::Error>(name.len()) }));
//!
//! service.ready().await?.call("hello".to_owned()).await?;
//!
//! let snapshot = metrics.snapshot();
//! assert_eq!((snapshot.requests(), snapshot.in_flight), (1, 0));
//! assert_eq!(snapshot.outcomes.success, 1);
//! assert!(snapshot.to_headers.quantile(0.99).is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Without tower, [`Metrics::call`] counts one future, and [`Metrics::start`] gives the [`MetricsToken`] itself.
//!
//! # How a call ends
//!
//! In one of seven ways, the fields of [`Outcomes`]. The [`Protocol`] judges; a rejection from a layer further in
//! keeps its kind (`timed_out`, `panicked`, else `rejected`); a throttled call (429, `RESOURCE_EXHAUSTED`)
//! is a `failure`, because the caller did not get what it asked for; a call that was given up before its end,
//! in mid-stream too, is `cancelled`. One in which the inner service panicked, in `call` or while its future was
//! polled, is `panicked` even where no `recover` layer turned the panic into an error. So is one whose response's
//! *body* panicked, unless a `recover` layer further in caught it: what is seen here then is a body that broke, a
//! `failure`, and the panic is in the counts of that layer.
//!
//! # What the durations cover
//!
//! Every duration begins when the layer was called: waiting in the layers further in is part of it.
//!
//! * **To the headers** ([`Snapshot::to_headers`], and the average over the [last 100](Snapshot::recent_latency)):
//!   calls whose headers came, and those that ended with some answer to the caller without any, refusals and
//!   timeouts included, for the caller waited that long for them. Calls dropped before either are not here: how
//!   long they would have taken is not known.
//! * **To the end** ([`Snapshot::to_end`]): every call that has ended, cancelled ones too. So its count *is* the
//!   number of requests.
//!
//! # What it costs
//!
//! About 8 KiB for each `Metrics`, whatever the traffic. A call allocates nothing and takes no lock; it reads the
//! clock at its beginning and end, and once more only if the headers came before the end.
//!
//! With [`Metrics::by_route`] each route has books of its own as well, and a call is booked twice.
//!
//! # What it does not do
//!
//! The books only ever grow, as exporters need it, so [`Drill::Reset`](crate::registry::Drill::Reset) means nothing
//! to them. Clones of a `Metrics` share one set of books, and so does every application of its layers.

use std::{fmt, sync::Arc};

use crate::{
    export::Samples,
    name::{Name, Unnamed},
    outcome::{Plain, Protocol},
    registry::Policy,
    value::Table,
};

mod account;
mod books;
mod config;
mod exemplars;
mod families;
mod future;
mod layer;
mod recent;
#[cfg(feature = "keyed")]
mod routes;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;
mod token;
#[cfg(feature = "keyed")]
mod trial;

use account::Account;
pub(crate) use families::FAMILIES;
pub use future::MetricsFuture;
pub use layer::MetricsLayer;
#[cfg(feature = "keyed")]
use routes::Routes;
pub use service::MetricsService;
pub use snapshot::{Outcomes, Snapshot};
pub use token::MetricsToken;

static UNNAMED: Unnamed = Unnamed::new("metrics");

/// The books of the calls of one stack; clones share them. See the [module](self).
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    name: Name,
    account: Arc<Account>,
    #[cfg(feature = "keyed")]
    routes: Option<Arc<Routes>>,
}

impl Metrics {
    /// Empty books, without a name: the stack they are put into gives them its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                name: Name::default(),
                account: Arc::new(Account::of_stack()),
                #[cfg(feature = "keyed")]
                routes: None,
            }),
        }
    }

    /// The same, with books for each route beside those of the stack: what the protocol says that a request's
    /// [route](crate::RequestProtocol::route) is, never its path. Exporters then show `route` as a label.
    ///
    /// Books are opened for the first `most` routes, about 8 KiB each, and never closed. Calls by any other route are
    /// counted under `other`, those without one under `unmatched`.
    ///
    /// A gRPC method is called what its caller calls it, and whoever makes one up must not get books for it. So there are
    /// none before a call by it has a message for an answer, or ends well: until then its calls are counted, and in
    /// flight, under `other`, for ever if each of them fails. That holds for clients too, since a proxy's call what
    /// they were asked for. The route of HTTP is one that somebody has matched, and has its books from the first call.
    #[cfg(feature = "keyed")]
    #[must_use]
    pub fn by_route(most: usize) -> Self {
        let account = Arc::new(Account::of_stack());
        Self {
            shared: Arc::new(Shared {
                name: Name::default(),
                routes: Some(Arc::new(Routes::new(most, &account))),
                account,
            }),
        }
    }

    /// Empty books of the same kind, without a name: for another stack that counts as this one does.
    #[must_use]
    pub fn another(&self) -> Self {
        #[cfg(feature = "keyed")]
        let another = match &self.shared.routes {
            Some(routes) => Self::by_route(routes.most()),
            None => Self::new(),
        };
        #[cfg(not(feature = "keyed"))]
        let another = Self::new();
        if self.shared.account.keeps_exemplars() {
            another.with_exemplars()
        } else {
            another
        }
    }

    /// Has the books remember, for each [outcome](Outcomes), the newest call that was part of a trace that is recorded
    /// ([sampled](crate::context::Trace::is_sampled)): an exporter that can show exemplars then leads from a number to one
    /// of the calls in it.
    ///
    /// The trace is that of the [current](crate::CallContext::current) context when a call ends, which the layers of
    /// `trace_id` see to: in servers, in plain calls, and in whatever calls are made in the course of these. A client's
    /// call over HTTP that is made in the course of nothing has none, nor has one that is dropped from outside. It costs
    /// a call that has one four more stores, and no allocation.
    #[must_use]
    pub fn with_exemplars(self) -> Self {
        self.shared.account.keep_exemplars();
        #[cfg(feature = "keyed")]
        if let Some(routes) = &self.shared.routes {
            routes.keep_exemplars();
        }
        self
    }

    /// Gives the books a name, unless they have one: a name is given once.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        self.name_if_unnamed(&name.into());
        self
    }

    /// The name: the one it was given, or `metrics`.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name.or(&UNNAMED).clone()
    }

    /// What a stack does with its own name.
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.name.give(name);
    }

    /// The layer for a plain service, whose error is a [`CallError`](crate::CallError).
    #[must_use]
    pub fn layer(&self) -> MetricsLayer<Plain> {
        self.layer_for(Plain::new())
    }

    /// The layer for a service of that protocol: `Http`, `Grpc`, or a [`Plain`] with a judgement of its own.
    #[must_use]
    pub fn layer_for<P>(&self, protocol: P) -> MetricsLayer<P> {
        MetricsLayer::new(Some(self.clone()), protocol)
    }

    /// Counts a call that begins now and ends when the token is [finished](crate::Token::finish) or dropped.
    ///
    /// ```
    /// use buttress::{Outcome, Token, metrics::Metrics};
    ///
    /// let metrics = Metrics::new();
    /// let call = metrics.start();
    /// assert_eq!(metrics.snapshot().in_flight, 1);
    /// call.finish(Outcome::SUCCESS);
    /// assert_eq!(metrics.snapshot().outcomes.success, 1);
    ///
    /// drop(metrics.start());
    /// assert_eq!(metrics.snapshot().outcomes.cancelled, 1);
    /// ```
    #[inline]
    pub fn start(&self) -> MetricsToken {
        self.start_by(|| None)
    }

    /// The same for a call by that route.
    #[inline]
    fn start_by<'a>(&self, route: impl FnOnce() -> Option<&'a str>) -> MetricsToken {
        #[cfg(feature = "keyed")]
        if let Some(routes) = &self.shared.routes {
            return MetricsToken::begin(routes.account(route()));
        }
        let _ = route;
        MetricsToken::begin(self.shared.account.clone())
    }

    /// The same for a route that is what the caller calls it, who may have made it up.
    #[inline]
    fn start_by_claimed<'a>(&self, route: impl FnOnce() -> Option<&'a str>) -> MetricsToken {
        #[cfg(feature = "keyed")]
        if let Some(routes) = &self.shared.routes {
            return match routes.claimed(route()) {
                Ok(account) => MetricsToken::begin(account),
                Err(route) => MetricsToken::begin_on_trial(routes, route),
            };
        }
        self.start_by(route)
    }

    /// Counts one future as a call that begins now, for those without tower.
    ///
    /// # Errors
    ///
    /// The future's own.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is done drops the inner future and counts the call as cancelled.
    ///
    /// ```
    /// use buttress::{Error, metrics::Metrics};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let metrics = Metrics::new();
    /// let answer: Result<u32, Error<std::io::Error>> = metrics.call(async { Ok(42) }).await;
    /// assert!(answer.is_ok());
    /// assert_eq!(metrics.snapshot().outcomes.success, 1);
    /// # }
    /// ```
    pub fn call<F, R, E>(&self, future: F) -> MetricsFuture<F, Plain>
    where
        F: Future<Output = Result<R, E>>,
        Plain: Protocol<R, E>,
    {
        self.call_for(Plain::new(), future)
    }

    /// The same for an answer of that protocol, or for an error that is no [`CallError`](crate::CallError):
    ///
    /// ```
    /// use buttress::{Verdict, metrics::Metrics, outcome::Plain};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let metrics = Metrics::new();
    /// let judge = Plain::classify(|result: &Result<u32, std::fmt::Error>| match result {
    ///     Ok(_) => Verdict::Success.into(),
    ///     Err(_) => Verdict::Failure.into(),
    /// });
    /// let _ = metrics.call_for(judge, async { Err(std::fmt::Error) }).await;
    /// assert_eq!(metrics.snapshot().outcomes.failure, 1);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The future's own.
    pub fn call_for<F, P, R, E>(&self, protocol: P, future: F) -> MetricsFuture<F, P>
    where
        F: Future<Output = Result<R, E>>,
        P: Protocol<R, E>,
    {
        MetricsFuture::new(future, protocol, Some(self.start()))
    }

    /// What the books say now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.account.books.snapshot(self.name())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The state goes into the name's own table, beside the tables of other concerns: [`Snapshot::describe`].
impl Policy for Metrics {
    fn concern(&self) -> &'static str {
        "metrics"
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    fn describe(&self, state: &mut Table) {
        self.snapshot().describe(state);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        #[cfg(feature = "keyed")]
        if let Some(routes) = &self.shared.routes {
            for route in routes.snapshots() {
                families::write(&route, name, Some(&route.name), samples);
            }
            return;
        }
        families::write(&self.snapshot(), name, None, samples);
    }
}
