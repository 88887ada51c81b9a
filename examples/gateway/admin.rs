//! The operators' port: how things are, figures for Prometheus, and drills.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use buttress::{
    Outcome, Registry, Verdict,
    export::Export,
    outcome::Reason,
    pool::Pool,
    registry::{Drill, DrillError},
    value::{Table, Value},
};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
    uri::Authority,
};
use prometheus_client::{encoding::text, registry::Registry as Page};

use crate::{answer, server::Stopping, token::AdminToken};

/// The most outcomes that one drill records.
const MOST: u32 = 10_000;

#[derive(Clone)]
struct Office {
    registry: Registry,
    pool: Option<Pool<Authority>>,
    page: Arc<Page>,
    token: Option<Arc<AdminToken>>,
    stopping: Stopping,
}

/// The routes of the operators' port.
pub(crate) fn router(
    registry: Registry,
    pool: Option<Pool<Authority>>,
    export: Export,
    token: Option<AdminToken>,
    stopping: Stopping,
) -> Router {
    let mut page = Page::default();
    page.register_collector(Box::new(export));
    let office = Office {
        registry,
        pool,
        page: Arc::new(page),
        token: token.map(Arc::new),
        stopping,
    };
    let drills = Router::new()
        .route("/circuit-breakers/{name}/record", post(record))
        .route("/circuit-breakers/{name}/{drill}", post(drill))
        .route("/endpoints/{name}/weight/{weight}", post(weigh))
        .route("/endpoints/{name}/{drill}", post(drill_endpoint))
        // Only where a route and its method are right: who asks for neither learns nothing of tokens.
        .route_layer(middleware::from_fn_with_state(office.clone(), authorize));
    Router::new()
        .route("/healthz", get(health))
        .route("/state", get(state))
        .route("/metrics", get(metrics))
        .merge(drills)
        .fallback(async || {
            let known = "GET /healthz, GET /state, GET /metrics, POST /circuit-breakers/{name}/{drill}, POST \
                         /endpoints/{name}/{drill}";
            answer::refusal(StatusCode::NOT_FOUND, "not_found", format!("There is {known}.")).into_response()
        })
        .method_not_allowed_fallback(async || {
            let message = "This path does not know the method.";
            answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
        })
        .with_state(office)
}

/// Lets in who knows the token.
async fn authorize(State(office): State<Office>, request: Request, next: Next) -> Response {
    let Some(token) = &office.token else {
        let message = "Drills are off: set `admin_token` in the configuration.";
        return answer::refusal(StatusCode::FORBIDDEN, "drills_off", message).into_response();
    };
    let presented = request.headers().get(AUTHORIZATION);
    if presented.is_some_and(|value| token.admits(value.as_bytes())) {
        return next.run(request).await;
    }
    let message = "Drills need `Authorization: Bearer` with the `admin_token` of the configuration.";
    let mut response = answer::refusal(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"gateway\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Whether it runs; while it drains, it wants no more traffic.
async fn health(State(office): State<Office>) -> Response {
    let (status, word) = match office.stopping.is() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    fresh(status, Table::new().with("status", word))
}

async fn state(State(office): State<Office>) -> Response {
    fresh(StatusCode::OK, office.registry.snapshot())
}

/// What Prometheus scrapes, in the OpenMetrics format.
async fn metrics(State(office): State<Office>) -> Response {
    let mut text = String::new();
    if let Err(error) = text::encode(&mut text, &office.page) {
        tracing::error!(%error, "no metrics");
        let message = "The metrics cannot be written.";
        return answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "no_metrics", message).into_response();
    }
    let mut response = text.into_response();
    for (name, value) in [
        (
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn drill(State(office): State<Office>, Path((name, drill)): Path<(String, String)>) -> Response {
    let drill = match drill.as_str() {
        "open" => Drill::Open,
        "force-open" => Drill::ForceOpen,
        "close" => Drill::Close,
        "reset" => Drill::Reset,
        _ => {
            let message = "There is open, force-open, close, reset, and record?failures=10.";
            return answer::refusal(StatusCode::NOT_FOUND, "unknown_drill", message).into_response();
        }
    };
    office.carry_out(&name, &[drill])
}

async fn record(
    State(office): State<Office>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match recorded(query.as_deref().unwrap_or_default()) {
        Ok(drills) => office.carry_out(&name, &drills),
        Err(message) => answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message).into_response(),
    }
}

/// Drills of an endpoint of the pool, its breaker's among them.
async fn drill_endpoint(
    State(office): State<Office>,
    Path((name, drill)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(pool) = office.pool_with(&name) else {
        return office.unknown_endpoint();
    };
    let drills = match drill.as_str() {
        "drain" => {
            pool.drain(&name);
            Vec::new()
        }
        "resume" => {
            pool.resume(&name);
            Vec::new()
        }
        "open" => vec![Drill::Open],
        "force-open" => vec![Drill::ForceOpen],
        "close" => vec![Drill::Close],
        "reset" => vec![Drill::Reset],
        "record" => match recorded(query.as_deref().unwrap_or_default()) {
            Ok(drills) => drills,
            Err(message) => {
                return answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message).into_response();
            }
        },
        _ => {
            let message =
                "There is drain, resume, weight/N, open, force-open, close, reset, and record?failures=10.";
            return answer::refusal(StatusCode::NOT_FOUND, "unknown_drill", message).into_response();
        }
    };
    for drill in &drills {
        if let Err(error) = pool.drill(&name, drill) {
            let message = match error {
                DrillError::Unsupported => {
                    "The endpoint has no circuit breaker: the configuration has none.".into()
                }
                other => other.to_string(),
            };
            return answer::refusal(StatusCode::CONFLICT, "refused", message).into_response();
        }
    }
    tracing::info!(endpoint = name, drill, "a drill");
    office.endpoint(pool, &name)
}

/// Gives an endpoint another weight.
async fn weigh(State(office): State<Office>, Path((name, weight)): Path<(String, String)>) -> Response {
    let Some(pool) = office.pool_with(&name) else {
        return office.unknown_endpoint();
    };
    // What is no number is as wrong as 0.
    match pool.set_weight(&name, weight.parse().unwrap_or(0)) {
        Ok(()) => {
            tracing::info!(endpoint = name, weight, "a drill");
            office.endpoint(pool, &name)
        }
        Err(_) => {
            let message = "A weight is a whole number, 1 to 10000; to take an endpoint out, drain it.";
            answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message).into_response()
        }
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
            match self.registry.drill(name, drill) {
                Ok(()) => tracing::info!(policy = name, ?drill, "a drill"),
                Err(DrillError::UnknownName { .. } | DrillError::Unsupported) => return self.unknown(),
                Err(error) => {
                    let message = error.to_string();
                    return answer::refusal(StatusCode::CONFLICT, "refused", message).into_response();
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

    /// The pool, if it has an endpoint of that name.
    fn pool_with(&self, name: &str) -> Option<&Pool<Authority>> {
        let pool = self.pool.as_ref()?;
        pool.endpoints()
            .iter()
            .any(|known| **known == *name)
            .then_some(pool)
    }

    fn unknown_endpoint(&self) -> Response {
        let message = match &self.pool {
            None => "There are no endpoints by name: the configuration has none.".to_owned(),
            Some(pool) => format!(
                "There is no such endpoint. There is: {}.",
                pool.endpoints().join(", ")
            ),
        };
        answer::refusal(StatusCode::NOT_FOUND, "unknown_name", message).into_response()
    }

    /// The state that an endpoint and its breaker are in.
    fn endpoint(&self, pool: &Pool<Authority>, name: &str) -> Response {
        let snapshot = self.registry.snapshot();
        let of_pool = snapshot.at(&[&pool.name(), "pool", "endpoints", name]).cloned();
        let breaker = snapshot
            .at(&[&format!("{}:{name}", pool.name()), "circuitBreaker"])
            .cloned();
        let state = Table::new()
            .with("name", name.to_owned())
            .with("endpoint", of_pool)
            .with("circuitBreaker", breaker);
        fresh(StatusCode::OK, state)
    }

    fn unknown(&self) -> Response {
        let snapshot = self.registry.snapshot();
        let mut known = self.registry.names();
        known.retain(|name| snapshot.at(&[name, "circuitBreaker"]).is_some());
        let message = match known.as_slice() {
            [] => "There is no circuit breaker: the configuration has none.".to_owned(),
            known => format!(
                "There is no such circuit breaker. There is: {}.",
                known.join(", ")
            ),
        };
        answer::refusal(StatusCode::NOT_FOUND, "unknown_name", message).into_response()
    }
}

/// JSON that is true now and not to be kept.
fn fresh(status: StatusCode, value: impl Into<Value>) -> Response {
    let mut response = answer::json(status, value).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_successes_are_recorded_in_bounds() {
        let times = |query: &str| {
            recorded(query).map(|drills| {
                let one = |drill: &Drill| match drill {
                    Drill::Record { outcome, times } => (outcome.verdict(), *times),
                    other => unreachable!("{other:?}"),
                };
                drills.iter().map(one).collect::<Vec<_>>()
            })
        };
        assert_eq!(times("failures=10"), Ok(vec![(Verdict::Failure, 10)]));
        assert_eq!(times("successes=1"), Ok(vec![(Verdict::Success, 1)]));
        assert_eq!(
            times("successes=2&failures=10000"),
            Ok(vec![(Verdict::Failure, 10_000), (Verdict::Success, 2)])
        );
        for wrong in [
            "",
            "failures",
            "failures=",
            "failures=0",
            "failures=10001",
            "failures=-1",
            "failures=+1",
            "failures=1.5",
            "failures=99999999999999999999",
            "failures=1&failures=1",
            "failure=1",
        ] {
            assert!(times(wrong).is_err(), "{wrong}");
        }
    }
}
