//! The gateway put together: two stacks, two ports, one registry.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use buttress::{
    ConfigError, Registry, Stack, export::Export, metrics::Metrics, recover::Recover, stack::ServerConfig,
};
use http::Request;
use hyper::body::Incoming;
use tower::{service_fn, util::MapRequest};

use crate::{
    admin,
    config::{Config, FRONT},
    proxy::Proxy,
    server::Server,
};

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    registry: Registry,
    front: Server,
    admin: Option<Server>,
}

impl Gateway {
    /// Opens the ports.
    ///
    /// # Errors
    ///
    /// If one of them cannot be had.
    pub(crate) async fn start(config: Config) -> Result<Self, StartError> {
        let registry = Registry::new();
        let export = config.policies.export.clone().build(&registry);
        // It was checked when the file was read.
        let export = export.unwrap_or_else(|_| Export::of(&registry));
        let proxy = Arc::new(Proxy::new(&config, &registry).map_err(StartError::Unusable)?);
        let pool = proxy.pool();
        let stack = Stack::http_server(FRONT)
            .registry(&registry)
            .config(in_front(&config))
            // What the policies further in refuse comes up as it is, and is answered here.
            .keep_error()
            .build();
        // In a box: every layer moves the future of what is inside of it, and this one has room for all that stands
        // around the upstream.
        let service = stack.service(service_fn(move |request| {
            Box::pin(proxy.clone().forward(request))
        }));
        let routes = config.routes.clone();
        // Outside of all: the stacks count by the route, and log it.
        let service = MapRequest::new(service, move |mut request: Request<Incoming>| {
            if let Some(route) = routes.find(request.uri().path()) {
                request.extensions_mut().insert(route);
            }
            request
        });
        let front = Server::start(config.listen, service)
            .await
            .map_err(|error| StartError::new("listen", config.listen, error))?;
        let admin = match config.admin {
            None => None,
            Some(address) => {
                let router = admin::router(
                    &registry,
                    pool.as_ref(),
                    export,
                    config.admin_token,
                    front.watch(),
                );
                let admin = Server::start(address, router).await;
                Some(admin.map_err(|error| StartError::new("admin", address, error))?)
            }
        };
        Ok(Self {
            registry,
            front,
            admin,
        })
    }

    /// The policies and their books.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where clients come in.
    pub(crate) fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Where operators come in.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::address)
    }

    /// Lets what is in flight end for at most `grace`. Operators can look on until then. Returns whether all has
    /// ended by itself.
    pub(crate) async fn stop(self, grace: Duration) -> bool {
        let drained = self.front.stop(grace).await;
        if let Some(admin) = self.admin {
            admin.stop(Duration::from_secs(1)).await;
        }
        drained
    }
}

/// What stands in front: the rate limit; ids, books and panic recovery of its own, where the file has them on. The breaker
/// stands around the upstream, or one around each endpoint, whose state it is about, and so does the queue.
fn in_front(gateway: &Config) -> ServerConfig {
    let behind = &gateway.policies;
    let mut config = ServerConfig::default();
    config.rate_limit.clone_from(&gateway.rate_limit);
    config.trace_id = behind.trace_id.as_ref().and_then(|ids| {
        // Options of a policy that there is were checked.
        ids.options().name(FRONT).build().ok()
    });
    config.metrics = behind.metrics.as_ref().map(Metrics::another);
    config.recover = behind.recover.as_ref().map(|_| Recover::new());
    config
}

/// Why it does not start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// A port that cannot be had.
    Port {
        key: &'static str,
        address: SocketAddr,
        error: io::Error,
    },
    /// What the file says makes no sense after all.
    Unusable(ConfigError),
}

impl StartError {
    fn new(key: &'static str, address: SocketAddr, error: io::Error) -> Self {
        Self::Port { key, address, error }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { key, address, error } => write!(f, "{key}: cannot listen on {address}: {error}"),
            Self::Unusable(error) => error.fmt(f),
        }
    }
}
