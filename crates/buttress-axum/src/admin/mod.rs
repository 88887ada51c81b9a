//! The operators' routes: how things are, figures for Prometheus, and drills.
//!
//! ```
//! use axum::Router;
//! use buttress::{Registry, circuit_breaker::CircuitBreaker};
//!
//! let registry = Registry::new();
//! registry.register("payments", &CircuitBreaker::new());
//!
//! let operators: Router = buttress_axum::admin(&registry).token("from the environment").into_router();
//! # let _ = operators;
//! ```
//!
//! | | |
//! |---|---|
//! | `GET /state` | every policy of the registry, as JSON |
//! | `GET /metrics` | the same for Prometheus (with the `prometheus` feature): OpenMetrics, or the text format 0.0.4 for who would rather have that, by its `Accept` |
//! | `POST /circuit-breakers/{name}/open`, `force-open`, `close`, `reset` | does that to a breaker, and to nothing else of that name |
//! | `POST /circuit-breakers/{name}/record?failures=10` | has it record outcomes; `successes=N` too |
//! | `POST /endpoints/{name}/drain`, `resume`, `weight/{n}` | of a [pool](Admin::pool), and the drills of the endpoint's breaker |
//!
//! Drills are off, 403, unless there is a token; then they want it as `Authorization: Bearer`. What may be read is for
//! everybody who reaches the port: let that be operators.
//!
//! An answer that is no success is `{"error":{"kind":..,"message":..}}`, and the message says what there is.

#[cfg(feature = "prometheus")]
mod accept;
mod answer;
mod endpoints;
#[cfg(test)]
mod tests;
mod token;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State, rejection::PathRejection},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
#[cfg(feature = "prometheus")]
use buttress::export::Export;
use buttress::{
    Outcome, Registry, Verdict,
    outcome::Reason,
    pool::Pool,
    registry::{Drill, DrillError},
    value::{Table, Value},
};
#[cfg(feature = "prometheus")]
use http::HeaderMap;
#[cfg(feature = "prometheus")]
use http::header::CONTENT_TYPE;
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
};
#[cfg(feature = "prometheus")]
use prometheus_client::{encoding::text, registry::Registry as Page};

use endpoints::Endpoints;
pub use token::AdminToken;

/// The concern of circuit breakers, in a registry.
const BREAKER: &str = "circuit_breaker";

/// The most outcomes that one drill records.
const MOST: u32 = 10_000;

/// The operators' routes over the policies of `registry`.
pub fn admin(registry: &Registry) -> Admin {
    Admin {
        registry: registry.clone(),
        pool: None,
        token: None,
        #[cfg(feature = "prometheus")]
        export: Export::of(registry),
    }
}

/// The operators' routes being put together; see the [module](self).
#[must_use = "it does nothing until it is a router"]
pub struct Admin {
    registry: Registry,
    pool: Option<Arc<dyn Endpoints>>,
    token: Option<AdminToken>,
    #[cfg(feature = "prometheus")]
    export: Export,
}

impl Admin {
    /// Lets who has the token drill. `None`, or an empty one, lets nobody.
    pub fn token(mut self, token: impl Into<AdminToken>) -> Self {
        self.token = Some(token.into()).filter(AdminToken::is_some);
        self
    }

    /// Lets who has the token drain, weigh and drill the endpoints of `pool`, too.
    pub fn pool<T: Send + Sync + 'static>(mut self, pool: &Pool<T>) -> Self {
        self.pool = Some(Arc::new(pool.clone()));
        self
    }

    /// What `/metrics` shows, in place of all that the registry has under its own names.
    #[cfg(feature = "prometheus")]
    pub fn export(mut self, export: Export) -> Self {
        self.export = export;
        self
    }

    /// The routes, to be served on a port of their own, nested or merged. A path that is none of them is the other
    /// router's business.
    pub fn into_router<S>(self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let office = Office {
            #[cfg(feature = "prometheus")]
            page: {
                let mut page = Page::default();
                page.register_collector(Box::new(self.export.clone()));
                Arc::new(page)
            },
            #[cfg(feature = "prometheus")]
            export: self.export,
            registry: self.registry,
            pool: self.pool,
            token: self.token.map(Arc::new),
        };
        let drills = Router::new()
            .route("/circuit-breakers/{name}/record", post(record))
            .route("/circuit-breakers/{name}/{drill}", post(drill))
            .route("/endpoints/{name}/weight/{weight}", post(endpoints::weigh))
            .route("/endpoints/{name}/{drill}", post(endpoints::drill))
            // Only where a route and its method are right: who asks for neither learns nothing of tokens.
            .route_layer(middleware::from_fn_with_state(office.clone(), authorize));
        let router = Router::new().route("/state", get(state));
        #[cfg(feature = "prometheus")]
        let router = router.route("/metrics", get(metrics));
        router
            .merge(drills)
            .method_not_allowed_fallback(wrong_method)
            .with_state(office)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("registry", &self.registry)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Office {
    registry: Registry,
    pool: Option<Arc<dyn Endpoints>>,
    #[cfg(feature = "prometheus")]
    page: Arc<Page>,
    #[cfg(feature = "prometheus")]
    export: Export,
    token: Option<Arc<AdminToken>>,
}

/// Lets in who knows the token.
async fn authorize(State(office): State<Office>, request: Request, next: Next) -> Response {
    let Some(token) = &office.token else {
        let message = "Drills are off: no token has been set.";
        return answer::refusal(StatusCode::FORBIDDEN, "drills_off", message);
    };
    let presented = request.headers().get(AUTHORIZATION);
    if presented.is_some_and(|value| token.admits(value.as_bytes())) {
        return next.run(request).await;
    }
    let message = "Drills need `Authorization: Bearer` with the administrator's token.";
    let mut response = answer::refusal(StatusCode::UNAUTHORIZED, "unauthorized", message);
    let challenge = HeaderValue::from_static("Bearer realm=\"admin\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

async fn state(State(office): State<Office>) -> Response {
    fresh(StatusCode::OK, office.registry.snapshot())
}

/// What Prometheus scrapes, in the format that it would rather have.
#[cfg(feature = "prometheus")]
async fn metrics(State(office): State<Office>, headers: HeaderMap) -> Response {
    let (text, content_type) = if accept::prefers_text(&headers) {
        let text = office.export.read().to_string();
        (text, "text/plain; version=0.0.4; charset=utf-8")
    } else {
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &office.page) {
            tracing::error!(%error, "no metrics");
            let message = "The metrics cannot be written.";
            return answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "no_metrics", message);
        }
        (text, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    };
    let mut response = axum::response::IntoResponse::into_response(text);
    for (name, value) in [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn wrong_method() -> Response {
    let message = "There is nothing here for that method: `Allow` says for which.";
    answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// The parts of a path, if they are text.
type Names<T> = Result<Path<T>, PathRejection>;

async fn drill(State(office): State<Office>, path: Names<(String, String)>) -> Response {
    let (name, drill) = match path {
        Ok(Path(names)) => names,
        Err(rejection) => return answer::malformed(&rejection),
    };
    let drill = match drill.as_str() {
        "open" => Drill::Open,
        "force-open" => Drill::ForceOpen,
        "close" => Drill::Close,
        "reset" => Drill::Reset,
        _ => {
            let message = "There is open, force-open, close, reset, and record?failures=10.";
            return answer::refusal(StatusCode::NOT_FOUND, "unknown_drill", message);
        }
    };
    office.carry_out(&name, &[drill])
}

async fn record(State(office): State<Office>, path: Names<String>, RawQuery(query): RawQuery) -> Response {
    let name = match path {
        Ok(Path(name)) => name,
        Err(rejection) => return answer::malformed(&rejection),
    };
    match recorded(query.as_deref().unwrap_or_default()) {
        Ok(drills) => office.carry_out(&name, &drills),
        Err(message) => answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message),
    }
}

/// What `failures=10&successes=2` is to record, the failures first.
fn recorded(query: &str) -> Result<Vec<Drill>, String> {
    let (mut failures, mut successes) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, number) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "failures" => &mut failures,
            "successes" => &mut successes,
            _ => return Err("There is only failures=N and successes=N to record.".to_owned()),
        };
        let times = number.parse().ok().filter(|times| (1..=MOST).contains(times));
        let Some(times) = times.filter(|_| number.bytes().all(|b| b.is_ascii_digit())) else {
            return Err(format!("`{name}` must be a whole number, 1 to {MOST}."));
        };
        if slot.replace(times).is_some() {
            return Err(format!("`{name}` is there twice."));
        }
    }
    let drill = |verdict: Verdict, times: Option<u32>| {
        let outcome = Outcome::new(verdict, Reason::Custom("recorded by hand"));
        times.map(|times| Drill::Record { outcome, times })
    };
    let drills: Vec<_> = [
        drill(Verdict::Failure, failures),
        drill(Verdict::Success, successes),
    ]
    .into_iter()
    .flatten()
    .collect();
    match drills.is_empty() {
        true => Err(format!(
            "Say what to record: failures=N or successes=N, N from 1 to {MOST}."
        )),
        false => Ok(drills),
    }
}

impl Office {
    /// Carries them out and answers with the state that the breaker is in then.
    fn carry_out(&self, name: &str, drills: &[Drill]) -> Response {
        for drill in drills {
            match self.registry.drill_concern(BREAKER, name, drill) {
                Ok(()) => tracing::info!(policy = name, ?drill, "a drill"),
                Err(DrillError::UnknownName { known, .. }) => return unknown(&known),
                Err(error) => {
                    let message = error.to_string();
                    return answer::refusal(StatusCode::CONFLICT, "refused", message);
                }
            }
        }
        let snapshot = self.registry.snapshot();
        let breaker = snapshot.at(&[name, "circuitBreaker"]).cloned();
        let state = Table::new()
            .with("name", name.to_owned())
            .with("circuitBreaker", breaker);
        fresh(StatusCode::OK, state)
    }
}

fn unknown(known: &[Arc<str>]) -> Response {
    let message = match known {
        [] => "There is no circuit breaker.".to_owned(),
        known => format!(
            "There is no such circuit breaker. There is: {}.",
            known.join(", ")
        ),
    };
    answer::refusal(StatusCode::NOT_FOUND, "unknown_name", message)
}

/// JSON that is true now and not to be kept.
fn fresh(status: StatusCode, value: impl Into<Value>) -> Response {
    let mut response = answer::json(status, value);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
