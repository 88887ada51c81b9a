//! The service in front of the accounts.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use buttress::{
    BoxError, Error, Http, Outcome, Registry, Rejected, Stack,
    circuit_breaker::CircuitBreaker,
    http::ReplayBody,
    metrics::Metrics,
    outcome::Reason,
    pool::{Endpoint, Pool, PoolBy, Strategy},
    registry::{Drill, DrillError},
    replay::Bare,
    stack::FullClient,
};
use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, layer::util::Identity};

use crate::{
    account::{self, Account},
    provider::IDEMPOTENCY_KEY,
};

/// A longer request is none.
const LONGEST: usize = 1 << 20;

type SentBody = ReplayBody<Full<Bytes>>;
type Provider = Client<HttpConnector, SentBody>;
type Accounts = PoolBy<Account, fn(&Account, &mut Request<SentBody>)>;
type Messages =
    <FullClient<Http, Bare, buttress::ErrorLayer, Identity, Identity, Accounts> as Layer<Provider>>::Service;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) accounts: Pool<Account>,
    registry: Registry,
    client: Messages,
}

impl Service {
    pub(crate) fn new(accounts: impl IntoIterator<Item = Endpoint<Account>>) -> Result<Self, BoxError> {
        let registry = Registry::new();
        let accounts = Pool::builder()
            .name("accounts")
            // The one that does best: success rate × (1 − average latency / 10 s).
            .balance(Strategy::Score)
            .failover(2)
            .extend(accounts)
            .build()?;
        let stack = Stack::http_client("messages")
            .registry(&registry)
            .metrics(Metrics::new())
            .pool(accounts.addressed_by(account::address::<SentBody> as fn(&Account, &mut Request<SentBody>)))
            .circuit_breaker(
                CircuitBreaker::builder()
                    .consecutive_failures(3)
                    .open_for(Duration::from_secs(60))
                    .build()?,
            )
            .attempt_timeout(Duration::from_secs(30))?
            .recover()
            .any_request_body()
            .full()
            .build();
        let provider = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self {
            client: stack.service(provider),
            accounts,
            registry,
        })
    }

    /// Serves on a port of loopback.
    pub(crate) async fn start(self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/v1/messages", post(message))
            .route("/metrics", get(metrics))
            .route("/accounts/{name}/{drill}", post(drill))
            .with_state(Arc::new(self));
        tokio::spawn(async { axum::serve(listener, routes).await });
        Ok(address)
    }
}

/// Passes a message on by the account that does best.
async fn message(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    // Whole: so that it can be sent again by another account.
    let Ok(body) = axum::body::to_bytes(request.into_body(), LONGEST).await else {
        return refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "A request has 1 MiB at most.",
        );
    };
    let json = HeaderValue::from_static("application/json");
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/v1/messages");
    request.headers_mut().insert(CONTENT_TYPE, json);
    // A failed POST may go to another account only with this. The provider has not answered it, or has said no.
    request.headers_mut().insert(&IDEMPOTENCY_KEY, key_of_a_call());
    match service.client.clone().oneshot(request).await {
        Ok(response) => response
            .map(|body| Body::new(body.map_err(BoxError::from)))
            .into_response(),
        Err(Error::Rejected(rejected)) => refused(&rejected),
        Err(Error::Inner(_)) => refusal(
            StatusCode::BAD_GATEWAY,
            "unreachable",
            "The provider cannot be reached.",
        ),
    }
}

/// One for each call, and the same for all its attempts: to who finds a key again a message is one that it has answered.
fn key_of_a_call() -> HeaderValue {
    // Std's keys for hashing are random, and no two `RandomState`s have the same.
    let half = || RandomState::new().hash_one(IDEMPOTENCY_KEY.as_str());
    let key = HeaderValue::try_from(format!("{:016x}{:016x}", half(), half()));
    // Hexadecimal digits are always a value.
    key.unwrap_or(HeaderValue::from_static(""))
}

/// What a policy refused: 503 with `Retry-After` where no account is left.
fn refused(rejected: &Rejected) -> Response {
    let status = StatusCode::from_u16(rejected.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = refusal(status, rejected.kind().as_str(), "No account can take the call.");
    if let Some(after) = rejected.retry_after() {
        let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    let json_type = HeaderValue::from_static("application/json");
    let error = json!({"error": {"type": kind, "message": message}});
    (status, [(CONTENT_TYPE, json_type)], error.to_string()).into_response()
}

/// Each account, its books and its breaker, in JSON.
async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], service.registry.snapshot().to_string()).into_response()
}

async fn drill(State(service): State<Arc<Service>>, Path((name, drill)): Path<(String, String)>) -> Response {
    let failure = Outcome::failure(Reason::Custom("recorded by hand"));
    let drill = match drill.as_str() {
        "open" => Drill::ForceOpen,
        "fail" => Drill::Record {
            outcome: failure,
            times: 1,
        },
        "reset" => Drill::Reset,
        _ => {
            return refusal(
                StatusCode::NOT_FOUND,
                "unknown_drill",
                "There is open, fail, reset.",
            );
        }
    };
    match (name.as_str(), drill) {
        ("all", Drill::Reset) => {
            service.accounts.reset_all();
            StatusCode::NO_CONTENT.into_response()
        }
        (name, drill) => match service.accounts.drill(name, &drill) {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error @ DrillError::UnknownName { .. }) => {
                refusal(StatusCode::NOT_FOUND, "unknown_account", &error.to_string())
            }
            Err(error) => refusal(StatusCode::CONFLICT, "refused", &error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashMap, HashSet},
        sync::Mutex,
    };

    use http::{HeaderMap, uri::Authority};

    use super::*;

    /// Which keys, and how often, each message came with.
    type Seen = Arc<Mutex<HashMap<String, Vec<String>>>>;

    /// Fails each message once.
    async fn provider(State(seen): State<Seen>, headers: HeaderMap, message: String) -> StatusCode {
        let key = headers[&IDEMPOTENCY_KEY].to_str().expect("a text").to_owned();
        let mut seen = seen.lock().expect("no panic");
        let keys = seen.entry(message).or_default();
        keys.push(key);
        match keys.len() {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    }

    #[tokio::test]
    async fn two_messages_have_two_keys_and_the_attempts_of_one_have_one() {
        let seen = Seen::default();
        let routes = Router::new()
            .route("/v1/messages", post(provider))
            .with_state(seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async { axum::serve(listener, routes).await });
        let address: Authority = address.parse().expect("an authority");
        let account = |key| Account::new(address.clone(), key).expect("a key");
        let accounts = ["ada", "bob", "cyd"].map(|name| Endpoint::new(name, account(name)));
        let service = Arc::new(Service::new(accounts).expect("a service"));
        for text in ["one", "two"] {
            let request = Request::new(Body::from(text));
            assert_eq!(
                message(State(service.clone()), request).await.status(),
                200,
                "{text}"
            );
        }

        let seen = seen.lock().expect("no panic");
        let of = |text: &str| seen[text].iter().collect::<HashSet<_>>();
        let (one, two) = (of("one"), of("two"));
        assert_eq!((seen["one"].len(), seen["two"].len()), (2, 2), "{seen:?}");
        assert_eq!((one.len(), two.len()), (1, 1), "{seen:?}");
        assert!(one.is_disjoint(&two), "{seen:?}");
    }
}
