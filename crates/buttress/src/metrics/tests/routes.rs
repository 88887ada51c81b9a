//! Books for each route.

use http::{Request, Response};
use http_body_util::Empty;

use super::*;
use crate::{
    Grpc,
    export::{Export, Point},
};

const PATHS: usize = 1_000_000;

async fn call(metrics: &Metrics, path: &str) {
    let service = metrics.layer_for(Grpc::new()).layer(service_fn(|_: Request<()>| {
        let response = Response::builder().header("grpc-status", "0");
        let response = response.body(Empty::<bytes::Bytes>::new());
        ready(Ok::<_, Error<&str>>(response.expect("valid")))
    }));
    let request = Request::post(path).body(()).expect("valid");
    service.oneshot(request).await.expect("it answers");
}

/// Successes by route.
fn successes(registry: &Registry) -> Vec<(String, u64)> {
    let reading = Export::of(registry).read();
    let requests = reading.metrics().iter().find(|m| &*m.name == "buttress_requests");
    let series = requests.expect("there are some").series.iter();
    let successes = series.filter(|s| s.labels.iter().any(|(_, v)| &**v == "success"));
    let routes = successes.map(|s| {
        let route = s
            .labels
            .iter()
            .find(|(k, _)| *k == "route")
            .map_or("none", |(_, v)| v);
        match s.point {
            Point::Counter(count) => (route.to_owned(), count),
            _ => panic!("a counter"),
        }
    });
    routes.collect()
}

#[tokio::test]
async fn a_call_is_in_the_books_of_its_route_and_of_its_stack() {
    let metrics = Metrics::by_route(10);
    let registry = Registry::new();
    registry.register("api", &metrics);
    for path in [
        "/echo.Echo/Say",
        "/echo.Echo/Say",
        "/echo.Echo/Hear",
        "/not-a-method",
        "/",
    ] {
        call(&metrics, path).await;
    }
    drop(metrics.start());
    let named = |route: &str, count| (route.to_owned(), count);
    assert_eq!(
        successes(&registry),
        [
            named("/echo.Echo/Hear", 1),
            named("/echo.Echo/Say", 2),
            named("other", 0),
            named("unmatched", 2)
        ]
    );
    let snapshot = assert_balanced(&metrics);
    assert_eq!((snapshot.outcomes.success, snapshot.outcomes.cancelled), (5, 1));
    assert_eq!(
        registry
            .snapshot()
            .at(&["api", "requests"])
            .and_then(Value::as_u64),
        Some(6)
    );
}

#[tokio::test]
async fn any_number_of_paths_are_as_many_series_as_there_is_room() {
    let metrics = Metrics::by_route(20);
    let registry = Registry::new();
    registry.register("api", &metrics);
    // While there is room.
    call(&metrics, &format!("/echo.Echo/{}", "x".repeat(1000))).await;
    for n in 0..PATHS {
        let path = format!("/echo.Echo/Say{n}");
        metrics.start_by(|| Some(&path)).finish(Outcome::SUCCESS);
    }
    let successes = successes(&registry);
    assert_eq!(successes.len(), 22);
    assert_eq!(
        successes.iter().map(|(_, count)| *count as usize).sum::<usize>(),
        PATHS + 1
    );
    let other = successes.iter().find(|(route, _)| route == "other");
    assert_eq!(other.map(|(_, count)| *count as usize), Some(PATHS - 20 + 1));
    assert!(successes.iter().all(|(route, _)| route.len() < 100));
}

#[tokio::test]
async fn without_routes_there_is_no_such_label() {
    let metrics = Metrics::new();
    let registry = Registry::new();
    registry.register("api", &metrics);
    call(&metrics, "/echo.Echo/Say").await;
    assert_eq!(successes(&registry), [("none".to_owned(), 1)]);
}

#[test]
fn a_known_route_costs_no_allocation() {
    let metrics = Metrics::by_route(4);
    let start = || {
        metrics
            .start_by(|| Some("/echo.Echo/Say"))
            .finish(Outcome::SUCCESS)
    };
    start();
    assert_eq!(allocation_counter::measure(start).count_total, 0);
}
