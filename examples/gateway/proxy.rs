//! The way of a request to the upstream, and of the answer back.

use std::{convert::Infallible, error::Error as StdError, io, net::IpAddr, sync::Arc, time::Duration};

use buttress::{
    BoxError, ConfigError, Error, Http, Registry, Rejected, RejectionKind, Stack,
    http::{PeerAddr, ReplayBody},
    pool::Pool,
    replay::Bare,
    stack::FullClient,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{ALLOW, HOST},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::{Layer, ServiceExt, layer::util::Identity, util::MapErr};

use crate::{
    answer,
    config::{self, Config, Endpoint},
    headers::{self, Origin},
    pseudonym::Pseudonym,
};

/// How long the upstream may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long an idle connection to the upstream is kept. Shorter than most servers keep theirs: who is sent a
/// request just as it hangs up cannot answer it.
const IDLE: Duration = Duration::from_secs(15);

/// What was said of an answer that never came.
type Failure = Error<legacy::Error>;

/// hyper's client, with errors that can be a rejection.
type Transport = MapErr<Client<HttpConnector, ReplayBody<Incoming>>, fn(legacy::Error) -> Failure>;

/// The transport with the policies of the file around it. One type, whichever of them are on, and no box.
type One = <FullClient<Http, Bare, Identity> as Layer<Transport>>::Service;

/// The same, to several endpoints.
type Several =
    <FullClient<Http, Bare, Identity, Identity, Identity, Pool<Authority>> as Layer<Transport>>::Service;

enum Upstream {
    One(One, Endpoint),
    Several(Several, Pool<Authority>),
}

/// Sends requests to the upstream.
pub(crate) struct Proxy {
    upstream: Upstream,
    name: Arc<str>,
    me: Pseudonym,
}

impl Proxy {
    /// A proxy to the upstream of that file, whose policies are listed in `registry`.
    ///
    /// # Errors
    ///
    /// None that were not found when the file was read.
    pub(crate) fn new(config: &Config, registry: &Registry) -> Result<Self, ConfigError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let transport = client.map_err(blame as fn(legacy::Error) -> Failure);
        let stack = Stack::http_client(config.name.clone())
            .registry(registry)
            .any_request_body()
            .keep_error();
        let upstream = match &config.upstream {
            config::Upstream::One(endpoint) => {
                let stack = stack.config(config.policies.clone()).build();
                Upstream::One(stack.service(transport), endpoint.clone())
            }
            config::Upstream::Pool(endpoints) => {
                let pool = endpoints.pool()?;
                let stack = stack.pool(pool.clone()).config(config.policies.clone()).build();
                Upstream::Several(stack.service(transport), pool)
            }
        };
        Ok(Self {
            upstream,
            name: config.name.clone(),
            me: Pseudonym::draw(),
        })
    }

    /// The endpoints, if there are several.
    pub(crate) fn pool(&self) -> Option<Pool<Authority>> {
        match &self.upstream {
            Upstream::One(..) => None,
            Upstream::Several(_, pool) => Some(pool.clone()),
        }
    }

    /// Forwards a request and answers with what comes of it.
    ///
    /// # Errors
    ///
    /// What the policies around the upstream refuse. The stack in front makes a response of it, and its metrics see
    /// it for what it is.
    pub(crate) async fn forward(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<impl Body<Data = Bytes, Error = BoxError> + Send>, Error<Infallible>> {
        let request = match self.redirected(request) {
            Ok(request) => request,
            Err(unforwardable) => {
                if unforwardable == Unforwardable::Loop {
                    tracing::warn!(
                        upstream = &*self.name,
                        "a request came back: an endpoint leads to this gateway"
                    );
                }
                return Ok(unforwardable.answer().map(Either::Right));
            }
        };
        let answer = match &self.upstream {
            Upstream::One(one, _) => one.clone().oneshot(request).await.map(|r| r.map(Either::Left)),
            Upstream::Several(several, _) => several
                .clone()
                .oneshot(request)
                .await
                .map(|r| r.map(Either::Right)),
        };
        match answer {
            // We ask for no upgrade, so what would follow is not for this client, and not HTTP.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Ok(answer::bad_gateway(
                "upstream_error",
                "The upstream broke the protocol.",
            )
            .map(Either::Right)),
            Ok(mut response) => {
                headers::strip(response.headers_mut());
                // The version is that of each hop.
                *response.version_mut() = Version::HTTP_11;
                Ok(response.map(Either::Left))
            }
            Err(Error::Rejected(rejected)) if rejected.kind() == RejectionKind::Custom => {
                let message = "The body of the request broke off.";
                Ok(answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message).map(Either::Right))
            }
            Err(Error::Rejected(rejected)) => Err(rejected.into()),
            Err(Error::Inner(error)) => Ok(unanswered(&self.name, &error).map(Either::Right)),
        }
    }

    /// Makes a client's request one to the upstream.
    fn redirected(&self, request: Request<Incoming>) -> Result<Request<Incoming>, Unforwardable> {
        let (mut parts, body) = request.into_parts();
        if self.me.is_in(&parts.headers) {
            return Err(Unforwardable::Loop);
        }
        if [Method::CONNECT, Method::TRACE].contains(&parts.method) {
            return Err(Unforwardable::Method);
        }
        let host = host(&parts)?;
        let path = match parts.uri.path_and_query() {
            Some(path) if path.as_str() == "*" && parts.method != Method::OPTIONS => {
                return Err(Unforwardable::Target);
            }
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        let one = match &self.upstream {
            Upstream::One(_, endpoint) => Some(endpoint.authority()),
            // The pool writes that of each attempt's endpoint.
            Upstream::Several(..) => None,
        };
        let mut target = Uri::builder().path_and_query(path);
        if let Some(authority) = one {
            target = target.scheme(Scheme::HTTP).authority(authority.clone());
        }
        let target = target.build().map_err(|_| Unforwardable::Target)?;
        let origin = Origin {
            peer: peer(&parts),
            host: host.as_ref(),
            version: parts.version,
        };
        headers::to_upstream(&mut parts.headers, &origin, &self.me, one);
        parts.uri = target;
        parts.version = Version::HTTP_11;
        Ok(Request::from_parts(parts, body))
    }
}

/// Why a request cannot be forwarded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unforwardable {
    /// A reverse proxy tunnels nothing, and `TRACE` would show a client what it may not see.
    Method,
    /// It names no host, or two, or a thing that is no host.
    Host,
    /// It asks for what is no path.
    Target,
    /// It has been here before, and would go round and round until there is no socket left.
    Loop,
}

impl Unforwardable {
    fn answer(self) -> Response<Full<Bytes>> {
        let bad = |message| answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message);
        match self {
            Self::Method => {
                let message = "This method is not forwarded.";
                let mut response =
                    answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
                let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                response.headers_mut().insert(ALLOW, allowed);
                response
            }
            Self::Host => bad("The request must name one host."),
            Self::Target => bad("The target of the request cannot be forwarded."),
            Self::Loop => {
                let message = "The request has come back to where it was: it goes round in circles.";
                answer::refusal(StatusCode::LOOP_DETECTED, "loop_detected", message)
            }
        }
    }
}

/// The answer in place of the one that the upstream did not give. Why is the operator's business.
fn unanswered(upstream: &str, error: &legacy::Error) -> Response<Full<Bytes>> {
    let why: Vec<_> = causes(error).map(ToString::to_string).collect();
    tracing::warn!(upstream, error = why.join(": "), "no answer from the upstream");
    let mut io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    if io.any(|error| error.kind() == io::ErrorKind::TimedOut) {
        let message = "The upstream did not answer in time.";
        answer::refusal(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
    } else if error.is_connect() {
        answer::bad_gateway("upstream_unreachable", "The upstream cannot be reached.")
    } else {
        answer::bad_gateway("upstream_error", "The upstream broke off before it answered.")
    }
}

/// Whose fault it is that there is no answer. A client whose upload breaks off says nothing about the upstream: as
/// a rejection it is neutral, so that nobody opens the breaker for all others by hanging up a few times.
fn blame(error: legacy::Error) -> Failure {
    let by_the_request = |cause: &hyper::Error| cause.is_user();
    if causes(&error).any(|cause| cause.downcast_ref().is_some_and(by_the_request)) {
        tracing::debug!(%error, "the body of a request broke off");
        Rejected::new(RejectionKind::Custom, "client").into()
    } else {
        Error::Inner(error)
    }
}

/// The error, what caused it, and so on.
fn causes(error: &legacy::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The host that the client asked for. That of the target counts before the header (RFC 9112, section 3.2.2); what
/// names two, or a thing that is no host, is how caches and upstreams are led astray.
fn host(parts: &http::request::Parts) -> Result<Option<Authority>, Unforwardable> {
    let plain = |authority: Authority| match authority.as_str().contains('@') {
        true => Err(Unforwardable::Host),
        false => Ok(Some(authority)),
    };
    if let Some(authority) = parts.uri.authority() {
        return plain(authority.clone());
    }
    let mut named = parts.headers.get_all(HOST).iter();
    match (named.next(), named.next()) {
        (None, _) if parts.version == Version::HTTP_11 => Err(Unforwardable::Host),
        (None, _) => Ok(None),
        (Some(host), None) if host.is_empty() => Ok(None),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) => plain(authority),
            Err(_) => Err(Unforwardable::Host),
        },
        (Some(_), Some(_)) => Err(Unforwardable::Host),
    }
}

/// Whom the request is from.
fn peer(parts: &http::request::Parts) -> IpAddr {
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    parts.extensions.get().map_or(unspecified, |PeerAddr(peer)| *peer)
}
