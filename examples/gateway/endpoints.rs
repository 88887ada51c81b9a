//! Several endpoints behind the gateway: from the file to a pool.

use std::time::Duration;

use buttress::{
    ConfigError,
    config::Section,
    pool::{
        Address, Endpoint as Member, HealthConfig, Pool, PoolOptions, Probe, ToAuthority,
        health::{Check, GrpcCheck, HealthCheck, HttpCheck},
    },
    value::Value,
};
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::config::Endpoint;

/// What an endpoint's address looks like.
pub(crate) const URL: &str = "an address, as in \"http://127.0.0.1:9001\"";

/// What stands where a single URL has no use for it.
pub(crate) const ONLY_FOR_A_POOL: &str =
    "nothing, for it is for a pool: `endpoints = [{ name = \"a\", url = \"http://..\" }]`";

/// The options of a pool beside its endpoints.
pub(crate) const KEYS: [&str; 7] = [
    "balance",
    "failover",
    "budget",
    "max_body",
    "panic_mode",
    "slow_start",
    "max_retry_after",
];

/// How long an idle connection for checks is kept.
const IDLE: Duration = Duration::from_secs(15);

/// The endpoints of a pool, and what the file says of it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) options: PoolOptions,
    members: Vec<Member<Authority>>,
    pub(crate) health: Option<HealthConfig>,
}

/// Are the endpoints of the file those of a pool? A mere URL is not.
pub(crate) fn is_pool(upstream: &mut Section<'_, '_>) -> bool {
    let listed = upstream.setting("endpoints");
    listed.is_some_and(|listed| match listed.value() {
        Value::List(items) => items.iter().any(|item| matches!(item, Value::Table(_))),
        _ => false,
    })
}

/// Notes that the section of checks is known, though nothing can be made of it.
pub(crate) fn skip_health(root: &mut Section<'_, '_>) {
    if let Some(mut section) = root.section("health_check") {
        let _ = read_checks(&mut section);
    }
}

/// Reads `[health_check]`, and sees that its path is one that a request can have.
fn read_checks(section: &mut Section<'_, '_>) -> Option<HealthConfig> {
    let health = HealthConfig::read(section)?;
    match &health.probe {
        // A fragment would be left out without a word.
        Probe::Path(path) if path.contains('#') || HttpCheck::<Full<Bytes>>::path(path).is_err() => {
            section.refuse(
                "path",
                "a path as a request has it, where a blank is %20 and there is no #",
            );
            None
        }
        _ => Some(health),
    }
}

impl Endpoints {
    /// Reads `[upstream]`.
    pub(crate) fn read(upstream: &mut Section<'_, '_>) -> Self {
        let options = PoolOptions::read(upstream);
        let address = |url: &str| url.parse::<Endpoint>().map(Endpoint::into_authority);
        let endpoints = Self {
            options,
            members: Member::read_list(upstream, URL, address),
            health: None,
        };
        // What is wrong with them is noted; that is no reason not to look at the rest.
        upstream.accept(endpoints.builder().build());
        endpoints
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Authority> {
        self.members.iter().map(Member::target)
    }

    /// Reads `[health_check]`.
    pub(crate) fn read_health(&mut self, root: &mut Section<'_, '_>) {
        let Some(mut section) = root.section("health_check") else {
            return;
        };
        let Some(health) = read_checks(&mut section) else {
            return;
        };
        if let Some(time) = health.slow_start {
            self.options = self.options.clone().slow_start(time);
        }
        section.finish();
        let unused = |_| std::future::ready(true);
        let checks = Pool::builder()
            .health_check(health.options.clone(), unused)
            .build();
        root.accept::<Pool<Authority>>(checks);
        self.health = Some(health);
    }

    fn builder(&self) -> buttress::pool::PoolBuilder<Authority> {
        Pool::builder()
            .options(self.options.clone())
            .extend(self.members.iter().cloned())
    }

    /// The pool. Its checks run in the present runtime.
    ///
    /// # Errors
    ///
    /// None that were not found when the file was read.
    pub(crate) fn pool(&self) -> Result<Pool<Authority>, ConfigError> {
        let builder = self.builder();
        let Some(HealthConfig { options, probe, .. }) = &self.health else {
            return builder.build();
        };
        match probe {
            Probe::Path(path) => {
                let check = HttpCheck::path(path)
                    .map_err(|error| ConfigError::one("health_check.path", path, error.to_string()))?;
                checked(builder, options, check, false)
            }
            Probe::Grpc(service) => {
                let check = GrpcCheck::new(service, Full::<Bytes>::new);
                checked(builder, options, check, true)
            }
            other => Err(ConfigError::one(
                "health_check",
                format!("{other:?}"),
                "a path or a service",
            )),
        }
    }
}

/// Connections of their own are checked, not those of the calls, so that a full one is not taken for a dead endpoint.
type Checker = Client<HttpConnector, Full<Bytes>>;

/// Such a client at one endpoint.
type At = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, legacy::Error>;

/// With each endpoint checked over the network. gRPC is HTTP/2 without TLS.
fn checked<C>(
    builder: buttress::pool::PoolBuilder<Authority>,
    options: &HealthCheck,
    check: C,
    grpc: bool,
) -> Result<Pool<Authority>, ConfigError>
where
    C: Check<At>,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Checker = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_only(grpc)
        .build(connector);
    let probe = move |authority: Authority| {
        let addressed = client.clone().map_request(move |mut request| {
            ToAuthority.address(&authority, &mut request);
            request
        });
        check.check(At::new(addressed))
    };
    builder.health_check(options.clone(), probe).build()
}
