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
    let answer = answered_in(metrics, path, ready(Ok(0))).await;
    answer.expect("it answers");
}

type Answered =
    Result<Response<crate::http::Observed<Empty<bytes::Bytes>, MetricsToken, Grpc>>, Error<&'static str>>;

/// By a status, or not at all.
fn answered_in(
    metrics: &Metrics,
    path: &str,
    answer: impl Future<Output = Result<u16, Error<&'static str>>>,
) -> impl Future<Output = Answered> {
    let mut answer = Some(answer);
    let mut service = metrics
        .layer_for(Grpc::new())
        .layer(service_fn(move |_: Request<()>| {
            let answer = answer.take();
            async move {
                let status = answer.expect("called once").await?;
                let response = Response::builder().header("grpc-status", status);
                Ok(response.body(Empty::new()).expect("valid"))
            }
        }));
    service.call(Request::post(path).body(()).expect("valid"))
}

fn books(metrics: &Metrics) -> Vec<Snapshot> {
    let routes = metrics.shared.routes.as_ref().expect("by route");
    routes.snapshots()
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

/// Of what a server says to that, nothing tells a method that is not there from one that fails.
#[tokio::test]
async fn a_method_that_somebody_made_up_has_no_series() {
    const UNIMPLEMENTED: u16 = 12;
    let metrics = Metrics::by_route(100);
    let registry = Registry::new();
    registry.register("api", &metrics);
    let refused = || Error::from(Rejected::new(RejectionKind::RateLimited, "p"));
    for n in 0..100 {
        let path = format!("/h4x/{n}");
        let answer = answered_in(&metrics, &path, ready(Ok(UNIMPLEMENTED))).await;
        answer.expect("it answers");
        // In an interceptor, in a proxy, in a layer of ours, and not at all.
        for code in [3, 7, 13, 14, 16] {
            let answer = answered_in(&metrics, &path, ready(Ok(code))).await;
            answer.expect("it answers");
        }
        assert!(answered_in(&metrics, &path, ready(Err(refused()))).await.is_err());
        assert!(
            answered_in(&metrics, &path, ready(Err(Error::Inner("broken"))))
                .await
                .is_err()
        );
        assert_pending!(task::spawn(answered_in(&metrics, &path, pending())).poll());
        drop(answered_in(&metrics, &path, pending()));
    }
    call(&metrics, "/shop.Shop/Buy").await;
    let (buy, other, unmatched) = (
        "/shop.Shop/Buy".to_owned(),
        "other".to_owned(),
        "unmatched".to_owned(),
    );
    assert_eq!(successes(&registry), [(buy, 1), (other, 0), (unmatched, 0)]);
    let expected = Outcomes {
        neutral: 400,
        failure: 300,
        rejected: 100,
        cancelled: 200,
        ..NO_ENDING
    };
    let others = &books(&metrics)[1];
    assert_eq!((others.outcomes, others.in_flight), (expected, 0));
    // An answer that was given up before there was any took no time that is known.
    assert_eq!((others.to_end.count(), others.to_headers.count()), (1000, 800));
    let all = assert_balanced(&metrics);
    assert_eq!((all.requests(), all.to_headers.count()), (1001, 801));
}

#[test]
fn a_method_has_its_series_from_its_first_message_on() {
    let metrics = Metrics::by_route(1);
    let start = || metrics.start_by_claimed(|| Some("/shop.Shop/Watch"));
    // In flight, ended, and durations to the headers.
    let of = |route: &str| {
        let books = books(&metrics).into_iter().find(|books| &*books.name == route);
        books.map(|books| {
            assert_eq!(books.started, books.requests() + books.in_flight);
            assert_eq!(books.to_end.count(), books.requests());
            (books.in_flight, books.requests(), books.to_headers.count())
        })
    };
    let both = || (of("/shop.Shop/Watch"), of("other").expect("always there"));
    let mut first = start();
    let mut second = start();
    assert_eq!(both(), (None, (2, 0, 0)));
    first.head(Head::Promising);
    first.head(Head::Promising);
    assert_eq!(both().0, None, "what comes may be that there is no such method");
    first.data();
    assert_eq!(both(), (Some((1, 0, 1)), (1, 0, 0)));
    // From now on all of them are there from their beginning, and those that are under way come.
    let third = start();
    assert_eq!(both(), (Some((2, 0, 1)), (1, 0, 0)));
    second.head(Head::Promising);
    second.finish(Outcome::SUCCESS);
    assert_eq!(both(), (Some((2, 1, 2)), (0, 0, 0)));
    drop(first);
    third.finish(Outcome::failure(Reason::GrpcStatus(13)));
    assert_eq!(both(), (Some((0, 3, 3)), (0, 0, 0)));
    // There is no room for another, and one that goes badly is where it was.
    for good in [true, false] {
        let mut call = metrics.start_by_claimed(|| Some("/shop.Shop/Buy"));
        call.head(Head::Promising);
        if good {
            call.data();
        }
        call.finish(Outcome::failure(Reason::GrpcStatus(13)));
    }
    assert_eq!(of("other"), Some((0, 2, 2)));
    assert_eq!(books(&metrics).len(), 3);
    let all = assert_balanced(&metrics);
    assert_eq!((all.requests(), all.to_headers.count()), (5, 5));
}

/// It was under way when the last place was taken.
#[test]
fn a_method_without_room_for_its_series_stays_among_the_others() {
    let metrics = Metrics::by_route(1);
    let start = |path: &'static str| metrics.start_by_claimed(move || Some(path));
    let mut calls = [start("/a.A/B"), start("/a.A/C")];
    for call in &mut calls {
        call.head(Head::Promising);
        call.data();
    }
    let in_flight: Vec<_> = books(&metrics)
        .iter()
        .map(|books| (books.in_flight, books.to_headers.count()))
        .collect();
    assert_eq!(in_flight, [(1, 1), (1, 1), (0, 0)]);
    calls.into_iter().for_each(|call| call.finish(Outcome::SUCCESS));
    assert_balanced(&metrics);
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
    let start = || {
        metrics
            .start_by_claimed(|| Some("/echo.Echo/Say"))
            .finish(Outcome::SUCCESS)
    };
    assert_eq!(allocation_counter::measure(start).count_total, 0);
}
