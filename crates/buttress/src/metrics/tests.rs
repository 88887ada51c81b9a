use std::{
    cell::RefCell,
    future::{Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{
    CallContext, Error, Outcome, Registry, Rejected, RejectionKind, Token, Verdict,
    context::Trace,
    export::Exemplar,
    outcome::{Head, Reason},
    value::Value,
};

type Answer = Result<u32, Error<&'static str>>;

const NO_ENDING: Outcomes = Outcomes {
    success: 0,
    failure: 0,
    neutral: 0,
    rejected: 0,
    timed_out: 0,
    cancelled: 0,
    panicked: 0,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Through the layer, an inner service that gives `answer`.
async fn answered(metrics: &Metrics, answer: Answer) {
    let service = metrics.layer().layer(service_fn(move |()| ready(answer.clone())));
    let _ = service.oneshot(()).await;
}

/// The invariant of quiescent books: begun is ended and running, and nothing ended without a duration.
#[track_caller]
fn assert_balanced(metrics: &Metrics) -> Snapshot {
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.started, snapshot.requests() + snapshot.in_flight);
    assert_eq!(snapshot.to_end.count(), snapshot.requests());
    snapshot
}

#[tokio::test]
async fn every_way_to_end_is_counted_as_what_it_is() {
    let rejection = |kind| Err(Rejected::new(kind, "p").into());
    let metrics = Metrics::new();
    answered(&metrics, Ok(1)).await;
    answered(&metrics, Err(Error::Inner("broken"))).await;
    answered(&metrics, rejection(RejectionKind::TimedOut)).await;
    answered(&metrics, rejection(RejectionKind::Panicked)).await;
    for kind in [
        RejectionKind::CircuitOpen,
        RejectionKind::RateLimited,
        RejectionKind::QueueFull,
        RejectionKind::QueueTimeout,
        RejectionKind::DeadlineExpired,
        RejectionKind::NoEndpoint,
        RejectionKind::Shed,
        RejectionKind::Custom,
    ] {
        answered(&metrics, rejection(kind)).await;
    }
    metrics.start().finish(Outcome::neutral(Reason::HttpStatus(404)));
    metrics
        .start()
        .finish(Outcome::new(Verdict::Throttled, Reason::HttpStatus(429)));
    drop(metrics.start());

    let snapshot = assert_balanced(&metrics);
    assert_eq!(
        snapshot.outcomes,
        Outcomes {
            success: 1,
            failure: 2, // the error, and the throttled one
            neutral: 1,
            rejected: 8,
            timed_out: 1,
            cancelled: 1,
            panicked: 1,
        }
    );
    assert_eq!((snapshot.requests(), snapshot.in_flight), (15, 0));
    assert_eq!(snapshot.errors(), 12);
    assert_eq!(snapshot.success_rate(), 1.0 / 13.0);
    assert_eq!(
        snapshot.to_headers.count(),
        14,
        "all but the one that was dropped"
    );
}

#[test]
fn a_call_is_in_flight_until_it_is_dropped_unpolled() {
    let metrics = Metrics::new();
    let mut service = metrics.layer().layer(service_fn(|()| pending::<Answer>()));
    let call = service.call(());
    assert_eq!(assert_balanced(&metrics).in_flight, 1);
    drop(call);
    let snapshot = assert_balanced(&metrics);
    assert_eq!((snapshot.in_flight, snapshot.outcomes.cancelled), (0, 1));
}

#[test]
fn a_call_dropped_between_polls_is_cancelled_and_did_not_panic() {
    let metrics = Metrics::new();
    let mut service = metrics.layer().layer(service_fn(|()| pending::<Answer>()));
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    drop(call);
    let snapshot = assert_balanced(&metrics);
    assert_eq!(
        snapshot.outcomes,
        Outcomes {
            cancelled: 1,
            ..NO_ENDING
        }
    );
    assert_eq!(snapshot.to_headers.count(), 0);
    assert_eq!(snapshot.recent_latency, None);
}

#[test]
fn a_panic_in_call_or_in_the_future_is_counted_as_one() {
    fn in_call((): ()) -> Ready<Answer> {
        panic!("in call")
    }
    let metrics = Metrics::new();
    let mut service = metrics.layer().layer(service_fn(in_call));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(())))).is_err());
    assert_eq!(assert_balanced(&metrics).outcomes.panicked, 1);

    let mut call = task::spawn(metrics.call(async {
        tokio::task::yield_now().await;
        if true {
            panic!("in the future");
        }
        Answer::Ok(0)
    }));
    assert_pending!(call.poll());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).is_err());
    // At once, however long the future is kept.
    let snapshot = assert_balanced(&metrics);
    drop(call);
    assert_eq!(
        snapshot.outcomes,
        Outcomes {
            panicked: 2,
            ..NO_ENDING
        }
    );
}

#[test]
fn a_finished_call_is_not_counted_again_when_its_future_is_dropped() {
    let metrics = Metrics::new();
    let mut call = task::spawn(metrics.call(ready(Answer::Ok(7))));
    assert_eq!(assert_ready!(call.poll()), Ok(7));
    assert_eq!(assert_balanced(&metrics).requests(), 1);
    drop(call);
    assert_eq!(assert_balanced(&metrics).requests(), 1);
}

/// `within` the precision of a histogram.
#[track_caller]
fn assert_close(read: Option<Duration>, exact: Duration) {
    let (read, exact) = (read.expect("recorded").as_secs_f64(), exact.as_secs_f64());
    assert!((read - exact).abs() <= exact * 0.0625, "{read} for {exact}");
}

#[tokio::test(start_paused = true)]
async fn headers_and_end_have_durations_of_their_own() {
    let metrics = Metrics::new();
    let mut token = metrics.start();
    tokio::time::advance(ms(20)).await;
    token.head(Head::Promising);
    let at_headers = metrics.snapshot();
    assert_eq!(at_headers.recent_latency, Some(ms(20)), "known before the end");
    assert_eq!((at_headers.in_flight, at_headers.to_end.count()), (1, 0));

    tokio::time::advance(ms(300)).await;
    token.head(Head::Good); // said again, it changes nothing
    token.data();
    tokio::time::advance(ms(700)).await;
    token.finish(Outcome::SUCCESS);

    let snapshot = assert_balanced(&metrics);
    assert_eq!(
        (snapshot.to_headers.count(), snapshot.to_headers.sum()),
        (1, ms(20))
    );
    assert_eq!((snapshot.to_end.count(), snapshot.to_end.sum()), (1, ms(1020)));
    assert_close(snapshot.to_headers.quantile(0.5), ms(20));
    assert_close(snapshot.to_end.quantile(0.5), ms(1020));
    assert_eq!(snapshot.recent_latency, Some(ms(20)));
    assert_eq!(snapshot.outcomes.success, 1);
}

#[tokio::test(start_paused = true)]
async fn without_headers_the_answer_is_both() {
    let metrics = Metrics::new();
    let slow = metrics.call(async {
        tokio::time::sleep(ms(40)).await;
        Answer::Ok(0)
    });
    assert_eq!(slow.await, Ok(0));
    let snapshot = assert_balanced(&metrics);
    assert_eq!(snapshot.to_headers, snapshot.to_end);
    assert_eq!(snapshot.to_end.sum(), ms(40));
    assert_eq!(snapshot.recent_latency, Some(ms(40)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_given_up_midway_has_headers_and_is_cancelled() {
    let metrics = Metrics::new();
    let mut token = metrics.start();
    tokio::time::advance(ms(5)).await;
    token.head(Head::Good);
    tokio::time::advance(ms(95)).await;
    drop(token);
    let snapshot = assert_balanced(&metrics);
    assert_eq!(snapshot.outcomes.cancelled, 1);
    assert_eq!(snapshot.to_headers.sum(), ms(5));
    assert_eq!(snapshot.to_end.sum(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn the_average_forgets_all_but_the_last_hundred() {
    let metrics = Metrics::new();
    let call = async |millis| {
        let token = metrics.start();
        tokio::time::advance(ms(millis)).await;
        token.finish(Outcome::SUCCESS);
    };
    call(500).await;
    call(100).await;
    assert_eq!(metrics.snapshot().recent_latency, Some(ms(300)));
    for _ in 0..98 {
        call(300).await;
    }
    assert_eq!(metrics.snapshot().recent_latency, Some(ms(300)));
    call(300).await; // in the place of the 500
    assert_eq!(metrics.snapshot().recent_latency, Some(ms(298)));
    for _ in 0..100 {
        call(0).await;
    }
    assert_eq!(
        metrics.snapshot().recent_latency,
        Some(ms(0)),
        "no time is a time too"
    );
}

#[test]
fn a_duration_that_does_not_fit_is_the_longest_that_does() {
    let recent = recent::Recent::new();
    recent.record(u64::MAX);
    let most = Duration::from_micros(u64::from(u32::MAX) - 1);
    assert_eq!(recent.average(), Some(most));
}

#[test]
fn many_threads_lose_no_call() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 5_000;
    let metrics = Metrics::new();
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for i in 0..CALLS {
                    let mut token = metrics.start();
                    match i % 5 {
                        0 => token.finish(Outcome::SUCCESS),
                        1 => token.finish(Outcome::failure(Reason::Error)),
                        2 => drop(token),
                        3 => {
                            token.head(Head::Good);
                            token.finish(Outcome::SUCCESS);
                        }
                        // Ended on another thread than it began on.
                        _ => s
                            .spawn(|| token.finish(Outcome::neutral(Reason::Error)))
                            .join()
                            .expect("no panic"),
                    }
                    let torn = metrics.snapshot();
                    assert!(torn.in_flight <= THREADS * CALLS && torn.started <= THREADS * CALLS);
                }
            });
        }
    });
    let snapshot = assert_balanced(&metrics);
    let fifth = THREADS * CALLS / 5;
    assert_eq!(
        snapshot.outcomes,
        Outcomes {
            success: 2 * fifth,
            failure: fifth,
            neutral: fifth,
            cancelled: fifth,
            ..NO_ENDING
        }
    );
    assert_eq!(snapshot.in_flight, 0);
    assert_eq!(snapshot.to_headers.count(), 4 * fifth);
}

#[tokio::test]
async fn off_counts_nothing_and_keeps_the_types() {
    let metrics = Metrics::new();
    let inner = service_fn(|()| ready(Answer::Ok(3)));
    let mut services =
        [Some(metrics.clone()), None].map(|metrics| MetricsLayer::new(metrics, Plain::new()).layer(inner));
    assert_eq!(services[1].ready().await.expect("ready").call(()).await, Ok(3));
    assert_eq!(metrics.snapshot().started, 0);
    assert_eq!(services[0].ready().await.expect("ready").call(()).await, Ok(3));
    assert_eq!(metrics.snapshot().started, 1);
}

#[tokio::test]
async fn applied_twice_the_books_are_one() {
    let metrics = Metrics::new();
    let layer = metrics.layer();
    for _ in 0..2 {
        let service = layer.clone().layer(service_fn(|()| ready(Answer::Ok(0))));
        service.oneshot(()).await.expect("it answers");
    }
    assert_eq!(metrics.clone().snapshot().requests(), 2);
}

#[tokio::test]
async fn any_request_and_any_error_will_do() {
    // Neither `Send`, `Clone` nor `'static`; an error that knows nothing of rejections.
    struct Request<'a>(&'a RefCell<u32>, Rc<()>);
    struct Opaque;
    let seen = RefCell::new(0);
    let metrics = Metrics::new();
    let judge = Plain::classify(|result: &Result<(), Opaque>| match result {
        Ok(()) => Outcome::SUCCESS,
        Err(Opaque) => Outcome::neutral(Reason::Error),
    });
    let mut service = metrics
        .layer_for(judge)
        .layer(service_fn(|Request(cell, unsendable)| {
            drop::<Rc<()>>(unsendable);
            *cell.borrow_mut() += 1;
            ready(Err::<(), _>(Opaque))
        }));
    let request = Request(&seen, Rc::new(()));
    assert!(service.ready().await.is_ok());
    assert!(service.call(request).await.is_err());
    assert_eq!(*seen.borrow(), 1);
    assert_eq!(metrics.snapshot().outcomes.neutral, 1);
}

#[test]
fn readiness_is_the_inner_ones_and_no_call() {
    struct NeverReady;
    impl Service<()> for NeverReady {
        type Response = u32;
        type Error = Error<&'static str>;
        type Future = Ready<Answer>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Pending
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok(0))
        }
    }
    let metrics = Metrics::new();
    let mut service = task::spawn(metrics.layer().layer(NeverReady));
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(metrics.snapshot().started, 0);
}

#[test]
fn a_name_is_given_once() {
    let metrics = Metrics::new();
    assert_eq!(metrics.name(), "metrics");
    assert_eq!(&*metrics.snapshot().name, "metrics");
    metrics.name_if_unnamed(&"stack".into());
    metrics.name_if_unnamed(&"other".into());
    assert_eq!(metrics.clone().named("late").name(), "stack");
    assert_eq!(&*metrics.snapshot().name, "stack");
}

#[tokio::test(start_paused = true)]
async fn the_registry_shows_the_promised_keys() {
    let metrics = Metrics::new();
    let registry = Registry::new();
    registry.register("upstream", &metrics);
    registry.register("upstream", &metrics);
    let empty = registry.snapshot();
    assert_eq!(empty.at(&["upstream", "successRate"]), Some(&Value::Float(1.0)));
    assert_eq!(empty.at(&["upstream", "avgLatency"]), Some(&Value::Float(0.0)));
    assert_eq!(empty.at(&["upstream", "latency", "p99"]), Some(&Value::Null));

    for outcome in [
        Outcome::SUCCESS,
        Outcome::SUCCESS,
        Outcome::SUCCESS,
        Outcome::failure(Reason::Error),
    ] {
        let token = metrics.start();
        tokio::time::advance(ms(8)).await;
        token.finish(outcome);
    }
    let running = metrics.start();
    let state = registry.snapshot();
    let at = |path: &[&str]| {
        let path = [&["upstream"], path].concat();
        state.at(&path).and_then(Value::as_f64).expect("a number")
    };
    assert_eq!(at(&["successRate"]), 0.75);
    assert_eq!(at(&["avgLatency"]), 8.0);
    assert_eq!((at(&["requests"]), at(&["errors"])), (4.0, 1.0));
    assert_eq!(at(&["inFlight"]), 1.0);
    assert_eq!(
        (at(&["outcomes", "success"]), at(&["outcomes", "timedOut"])),
        (3.0, 0.0)
    );
    for table in ["latency", "latencyToEnd"] {
        for quantile in ["p50", "p95", "p99"] {
            assert!((at(&[table, quantile]) / 8.0 - 1.0).abs() <= 0.0625);
        }
    }
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn of_each_outcome_the_newest_recorded_trace_is_kept_if_that_is_asked_for() {
    let call = async |metrics: &Metrics, trace: &Trace, outcome| {
        let mut context = CallContext::new();
        context.set_trace(trace.clone());
        let token = metrics.start();
        tokio::time::advance(ms(250)).await;
        context.sync_scope(|| token.finish(outcome));
    };
    let [first, second] = [Trace::new(), Trace::new()];
    let unrecorded = Trace::new().with_flags(Trace::RANDOM);
    let plain = Metrics::new();
    call(&plain, &first, Outcome::SUCCESS).await;
    assert_eq!(plain.snapshot().exemplars().count(), 0);

    let asked = Metrics::new().with_exemplars();
    for metrics in [&asked, &asked.another()] {
        call(metrics, &first, Outcome::SUCCESS).await;
        call(metrics, &second, Outcome::SUCCESS).await;
        call(metrics, &unrecorded, Outcome::SUCCESS).await;
        call(metrics, &first, Outcome::failure(Reason::Error)).await;
        metrics.start().finish(Outcome::SUCCESS);
        let found: Vec<_> = metrics.snapshot().exemplars().collect();
        let expected = [("success", second.id()), ("failure", first.id())];
        assert_eq!(
            found,
            expected.map(|(outcome, id)| (outcome, Exemplar::new(id, 0.25)))
        );
    }
}

#[test]
fn exemplars_cost_no_allocation() {
    let metrics = Metrics::new().with_exemplars();
    let mut context = CallContext::new();
    context.set_trace(Trace::new());
    let count = context.sync_scope(|| {
        metrics.start().finish(Outcome::SUCCESS);
        allocation_counter::measure(|| metrics.start().finish(Outcome::SUCCESS))
    });
    assert_eq!(count.count_total, 0);
    assert_eq!(metrics.snapshot().exemplars().count(), 1);
}

#[cfg(feature = "keyed")]
#[test]
fn a_route_has_exemplars_of_its_own() {
    let metrics = Metrics::by_route(2).with_exemplars();
    let trace = Trace::new();
    let mut context = CallContext::new();
    context.set_trace(trace.clone());
    context.sync_scope(|| {
        for route in [None, Some("/a"), Some("/b"), Some("/c")] {
            metrics.start_by(|| route).finish(Outcome::SUCCESS);
        }
    });
    let routes = metrics.shared.routes.as_ref().expect("by route").snapshots();
    assert_eq!(routes.len(), 4);
    for books in routes.into_iter().chain([metrics.snapshot()]) {
        let found: Vec<_> = books.exemplars().map(|(_, found)| found.trace_id).collect();
        assert_eq!(found, [trace.id()], "{}", books.name);
    }
}

#[test]
fn the_books_stay_within_their_memory_and_a_token_is_small() {
    assert!(size_of::<Account>() <= 8 * 1024 + 512, "{}", size_of::<Account>());
    assert!(size_of::<MetricsToken>() <= 32);
    assert!(
        size_of::<Option<MetricsToken>>() <= 32,
        "a policy that is off costs no more"
    );
}

#[cfg(all(feature = "keyed", feature = "http"))]
mod routes {
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
}
