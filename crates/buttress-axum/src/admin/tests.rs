//! What operators can do, and what they are told.

use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use buttress::{
    circuit_breaker::{CircuitBreaker, KeyedCircuitBreaker, State as Breaker},
    rate_limit::RateLimiter,
};
use http::header::ALLOW;
use tower::ServiceExt;

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

async fn ask(routes: &Router, method: &str, path: &str) -> (StatusCode, Response<Body>) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, "Bearer secret")
        .body(Body::empty())
        .expect("a request");
    let answer: Result<_, Infallible> = routes.clone().oneshot(request).await;
    let Ok(answer) = answer;
    (answer.status(), answer)
}

async fn text(answer: Response<Body>) -> String {
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(bytes.into()).expect("a text")
}

/// Drills by that path and returns the status and the answer.
async fn post_to(routes: &Router, path: &str) -> (u16, String) {
    let (status, answer) = ask(routes, "POST", path).await;
    (status.as_u16(), text(answer).await)
}

fn routes(registry: &Registry) -> Router {
    admin(registry).token("secret").into_router()
}

fn used_up() -> RateLimiter {
    let limit = RateLimiter::per_minute(1).build().expect("valid");
    drop(limit.try_acquire(1));
    assert_eq!(limit.peek().remaining, 0);
    limit
}

const DRILLS: [&str; 5] = ["open", "force-open", "close", "reset", "record?failures=1"];

#[tokio::test]
async fn what_is_no_breaker_is_not_drilled() {
    let registry = Registry::new();
    let (limit, other) = (used_up(), CircuitBreaker::new());
    registry.register("gateway", &limit);
    registry.register("payments", &other);
    let keyed = KeyedCircuitBreaker::builder("tenant").build().expect("valid");
    keyed.get("a").force_open();
    registry.register("tenants", &keyed);
    let pool = Pool::builder()
        .breaker(CircuitBreaker::builder())
        .endpoint("a", 1)
        .build()
        .expect("valid");
    pool.drill("a", &Drill::ForceOpen).expect("it has a breaker");
    registry.register("upstream", &pool);
    let routes = routes(&registry);
    for name in ["gateway", "upstream", "tenants", "nobody"] {
        for drill in DRILLS {
            let (status, answer) = post_to(&routes, &format!("/circuit-breakers/{name}/{drill}")).await;
            assert_eq!(status, 404, "{name}/{drill}: {answer}");
            let there_is = "There is: payments, tenants:a, tenants:*, upstream:a.";
            assert!(answer.contains(there_is), "{answer}");
        }
    }
    assert_eq!(limit.peek().remaining, 0);
    assert_eq!(keyed.state("a"), Some(Breaker::ForcedOpen));
    assert_eq!(pool.snapshot().usable(), 0);
}

#[tokio::test]
async fn drills_of_a_breaker_leave_what_else_has_its_name() {
    let registry = Registry::new();
    let (breaker, limit) = (CircuitBreaker::new(), used_up());
    registry.register("payments", &breaker);
    registry.register("payments", &limit);
    let routes = routes(&registry);
    for (drill, state) in DRILLS
        .into_iter()
        .zip(["OPEN", "FORCED_OPEN", "CLOSED", "CLOSED", "CLOSED"])
    {
        let (status, answer) = post_to(&routes, &format!("/circuit-breakers/payments/{drill}")).await;
        assert_eq!(status, 200, "{answer}");
        assert!(
            answer.contains(&format!("\"state\":\"{state}\"")),
            "{drill}: {answer}"
        );
        assert_eq!(limit.peek().remaining, 0, "{drill}");
    }
    assert_eq!(breaker.snapshot().failure, 1);
}

/// An endpoint's breaker and limit are of one name as well.
#[tokio::test]
async fn an_endpoints_breaker_is_reset_and_its_limit_is_not() {
    use buttress::admission::Both;
    let registry = Registry::new();
    let (breaker, limit) = (CircuitBreaker::new(), used_up());
    let both = Both::new(Arc::new(breaker.clone()), Arc::new(limit.clone()));
    let pool = Pool::builder()
        .push(buttress::pool::Endpoint::new("a", 1).breaker(both))
        .build()
        .expect("valid");
    registry.register("upstream", &pool);
    breaker.force_open();
    let (status, answer) = post_to(&routes(&registry), "/circuit-breakers/upstream:a/reset").await;
    assert_eq!((status, breaker.state()), (200, Breaker::Closed), "{answer}");
    assert_eq!(limit.peek().remaining, 0);
}

#[tokio::test]
async fn an_endpoint_is_shown_though_its_pool_has_another_name_in_the_registry() {
    let registry = Registry::new();
    let pool = || {
        let pool = Pool::builder().name("db").breaker(CircuitBreaker::builder());
        pool.endpoint("a", 1).build().expect("valid")
    };
    let (one, other) = (pool(), pool());
    registry.register("db", &one);
    registry.register("db", &other);
    let routes = admin(&registry).pool(&other).token("secret").into_router();
    let (status, answer) = post_to(&routes, "/endpoints/a/force-open").await;
    assert_eq!(status, 200);
    assert!(answer.contains("\"state\":\"FORCED_OPEN\""), "{answer}");
    assert!(answer.contains("\"state\":\"FAILED\""), "{answer}");
    assert_eq!(one.snapshot().usable(), 1);
}

#[tokio::test]
async fn every_answer_that_is_no_success_says_why_in_json() {
    let registry = Registry::new();
    registry.register("payments", &CircuitBreaker::new());
    let pool = Pool::builder().endpoint("a", 1).build().expect("valid");
    let routes = admin(&registry).pool(&pool).token("secret").into_router();
    for (method, path, status) in [
        ("POST", "/circuit-breakers/%ff/open", 400),
        ("POST", "/circuit-breakers/%ff/record?failures=1", 400),
        ("POST", "/circuit-breakers/payments/%ff", 400),
        ("POST", "/endpoints/%ff/drain", 400),
        ("POST", "/endpoints/%ff/weight/1", 400),
        ("POST", "/endpoints/a/weight/%ff", 400),
        ("POST", "/endpoints/a/open", 409),
        ("GET", "/circuit-breakers/payments/open", 405),
        ("DELETE", "/state", 405),
    ] {
        let (found, answer) = ask(&routes, method, path).await;
        let allow = answer.headers().contains_key(ALLOW);
        let answer = text(answer).await;
        assert_eq!(found.as_u16(), status, "{method} {path}: {answer}");
        assert_eq!(allow, status == 405, "{method} {path}");
        assert!(
            answer.starts_with("{\"error\":{\"kind\":\""),
            "{method} {path}: {answer}"
        );
    }
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    use http::header::ACCEPT;
    let registry = Registry::new();
    registry.register("payments", &CircuitBreaker::new());
    let routes = routes(&registry);
    for (accept, content_type, is_text) in [
        (
            "text/plain;version=0.0.4",
            "text/plain; version=0.0.4; charset=utf-8",
            true,
        ),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            false,
        ),
        (
            "*/*",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            false,
        ),
    ] {
        let request = http::Request::builder().uri("/metrics").header(ACCEPT, accept);
        let request = request.body(Body::empty()).expect("a request");
        let Ok(answer) = routes.clone().oneshot(request).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], content_type, "{accept}");
        let page = text(answer).await;
        assert_eq!(page.ends_with("# EOF\n"), !is_text, "{page}");
        let of_counter = "# TYPE buttress_circuit_breaker_rejected_total counter\n";
        assert_eq!(page.contains(of_counter), is_text, "{page}");
        assert!(page.contains("buttress_circuit_breaker_rejected_total{name=\"payments\"} 0\n"));
    }
}
