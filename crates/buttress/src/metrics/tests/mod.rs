mod durations;
mod exemplars;
mod layer;
#[cfg(all(feature = "http", feature = "recover"))]
mod model;
#[cfg(all(feature = "keyed", feature = "http"))]
mod routes;

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
    Error, Outcome, Registry, Rejected, RejectionKind, Token, Verdict,
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

#[test]
fn a_name_is_given_once() {
    let metrics = Metrics::new();
    assert_eq!(&*metrics.name(), "metrics");
    assert_eq!(&*metrics.snapshot().name, "metrics");
    metrics.name_if_unnamed(&"stack".into());
    metrics.name_if_unnamed(&"other".into());
    assert_eq!(&*metrics.clone().named("late").name(), "stack");
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

#[test]
fn the_books_stay_within_their_memory_and_a_token_is_small() {
    assert!(size_of::<Account>() <= 8 * 1024 + 512, "{}", size_of::<Account>());
    assert!(size_of::<MetricsToken>() <= 32);
    assert!(
        size_of::<Option<MetricsToken>>() <= 32,
        "a policy that is off costs no more"
    );
}
