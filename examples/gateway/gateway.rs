//! The gateway put together: two stacks, two ports, one registry.

use std::{fmt, io, net::SocketAddr, time::Duration};

use buttress::{
    Http, Registry, Stack,
    export::Export,
    metrics::Metrics,
    recover::Recover,
    stack::{ClientConfig, ServerConfig},
};
use tower::service_fn;

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
        let proxy = Proxy::new(&config, &registry);
        let stack = Stack::http_server(FRONT)
            .registry(&registry)
            .config(in_front(&config.policies))
            // What the policies further in refuse comes up as it is, and is answered here.
            .keep_error()
            .build();
        let service = stack.service(service_fn(move |request| proxy.clone().forward(request)));
        let front = Server::start(config.listen, service)
            .await
            .map_err(|error| StartError::new("listen", config.listen, error))?;
        let admin = match config.admin {
            None => None,
            Some(address) => {
                let router = admin::router(&registry, export, config.admin_token, front.watch());
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

/// What stands in front: ids, books and panic recovery of its own, where the file has them on. The breaker stands
/// around the upstream, whose state it is about.
fn in_front(behind: &ClientConfig<Http>) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.trace_id = behind.trace_id.as_ref().and_then(|ids| {
        // Options of a policy that there is were checked.
        ids.options().name(FRONT).build().ok()
    });
    config.metrics = behind.metrics.as_ref().map(Metrics::another);
    config.recover = behind.recover.as_ref().map(|_| Recover::new());
    config
}

/// A port that cannot be had.
#[derive(Debug)]
pub(crate) struct StartError {
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

impl StartError {
    fn new(key: &'static str, address: SocketAddr, error: io::Error) -> Self {
        Self { key, address, error }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: cannot listen on {}: {}",
            self.key, self.address, self.error
        )
    }
}
