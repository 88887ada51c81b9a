//! Drills of a pool's endpoints.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use buttress::{
    Registry,
    pool::Pool,
    registry::{Drill, DrillError},
    value::Table,
};
use http::StatusCode;

use super::{Names, Office, answer, fresh, recorded};

/// A pool, whatever its endpoints are.
pub(super) trait Endpoints: Send + Sync {
    /// The name that the registry has for it.
    fn name_in(&self, registry: &Registry) -> Option<Arc<str>>;
    fn names(&self) -> Vec<Arc<str>>;
    fn drain(&self, name: &str);
    fn resume(&self, name: &str);
    /// Whether that is a weight.
    fn set_weight(&self, name: &str, weight: u32) -> bool;
    fn drill(&self, name: &str, drill: &Drill) -> Result<(), DrillError>;
}

impl<T: Send + Sync + 'static> Endpoints for Pool<T> {
    fn name_in(&self, registry: &Registry) -> Option<Arc<str>> {
        registry.name_of(self)
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.endpoints()
    }

    fn drain(&self, name: &str) {
        self.drain(name);
    }

    fn resume(&self, name: &str) {
        self.resume(name);
    }

    fn set_weight(&self, name: &str, weight: u32) -> bool {
        self.set_weight(name, weight).is_ok()
    }

    fn drill(&self, name: &str, drill: &Drill) -> Result<(), DrillError> {
        self.drill(name, drill)
    }
}

/// Drills of an endpoint, its breaker's among them.
pub(super) async fn drill(
    State(office): State<Office>,
    path: Names<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let (name, drill) = match path {
        Ok(Path(names)) => names,
        Err(rejection) => return answer::malformed(&rejection),
    };
    let Some(pool) = pool_with(&office, &name) else {
        return unknown(&office);
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
            Err(message) => return answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message),
        },
        _ => {
            let message =
                "There is drain, resume, weight/N, open, force-open, close, reset, and record?failures=10.";
            return answer::refusal(StatusCode::NOT_FOUND, "unknown_drill", message);
        }
    };
    for drill in &drills {
        if let Err(error) = pool.drill(&name, drill) {
            let message = match error {
                DrillError::Unsupported => "The endpoint has no circuit breaker.".into(),
                other => other.to_string(),
            };
            return answer::refusal(StatusCode::CONFLICT, "refused", message);
        }
    }
    tracing::info!(endpoint = name, drill, "a drill");
    as_it_is(&office, pool, &name)
}

/// Gives an endpoint another weight.
pub(super) async fn weigh(State(office): State<Office>, path: Names<(String, String)>) -> Response {
    let (name, weight) = match path {
        Ok(Path(names)) => names,
        Err(rejection) => return answer::malformed(&rejection),
    };
    let Some(pool) = pool_with(&office, &name) else {
        return unknown(&office);
    };
    // What is no number is as wrong as 0.
    if pool.set_weight(&name, weight.parse().unwrap_or(0)) {
        tracing::info!(endpoint = name, weight, "a drill");
        as_it_is(&office, pool, &name)
    } else {
        let message = "A weight is a whole number, 1 to 10000; to take an endpoint out, drain it.";
        answer::refusal(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

/// The pool, if it has an endpoint of that name.
fn pool_with<'a>(office: &'a Office, name: &str) -> Option<&'a dyn Endpoints> {
    let pool = office.pool.as_deref()?;
    let is_there = pool.names().iter().any(|known| **known == *name);
    is_there.then_some(pool)
}

fn unknown(office: &Office) -> Response {
    let message = match &office.pool {
        None => "There are no endpoints by name: there is no pool.".to_owned(),
        Some(pool) => format!(
            "There is no such endpoint. There is: {}.",
            pool.names().join(", ")
        ),
    };
    answer::refusal(StatusCode::NOT_FOUND, "unknown_name", message)
}

/// The state that an endpoint and its breaker are in.
fn as_it_is(office: &Office, pool: &dyn Endpoints, name: &str) -> Response {
    let snapshot = office.registry.snapshot();
    // One that is in no registry has no state there.
    let pool = pool.name_in(&office.registry).unwrap_or_default();
    let endpoint = snapshot.at(&[&pool, "pool", "endpoints", name]).cloned();
    let breaker = snapshot
        .at(&[&format!("{pool}:{name}"), "circuitBreaker"])
        .cloned();
    let state = Table::new()
        .with("name", name.to_owned())
        .with("endpoint", endpoint)
        .with("circuitBreaker", breaker);
    fresh(StatusCode::OK, state)
}
