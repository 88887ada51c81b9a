//! Random calls under a deadline and a timeout, with answers and bodies that take their time and readers that take
//! theirs, against [`naive::tell`]: how each ends, when, by which limit, and what stands in the books.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib timeout::tests::model` looks further.

use http::Request;
use proptest::prelude::*;
use tower::{Layer, ServiceExt};

use self::{
    naive::{Books, Counts},
    sender::{Frames, Kind, Sender},
};
use super::*;
use crate::{
    Grpc, Http, Rejected,
    error::BoxError,
    outcome::{BodyProtocol, RequestProtocol},
    test_services::{Cue, Fate, paused, perform},
    timeout::{Deadline, Snapshot, Timeout, TimeoutBody, TimeoutBuilder},
};

mod naive;
mod sender;

/// The limits, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Config {
    is_grpc: bool,
    deadline: Option<Total>,
    timeout: Option<Attempt>,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    total: Option<u64>,
    default_total: Option<u64>,
    through_body: bool,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    attempt: Option<u64>,
    idle: Option<u64>,
    total: Option<u64>,
}

#[derive(Clone, Debug)]
struct Call {
    at: u64,
    gives_up: Option<u64>,
    /// What its `grpc-timeout` says.
    asks: Option<u64>,
    /// Of the context that it carries: so long after it begins, or, if it is less than nothing, before.
    deadline: Option<i64>,
    /// Until the headers are there, if they ever are.
    headers: Option<u64>,
    body: Vec<(u64, Kind)>,
    /// How long its reader waits before it looks for each frame; and how long between a first look and staying there.
    reads: Vec<(u64, Option<u64>)>,
}

/// How a call has ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ended {
    headers: Option<u64>,
    frames: usize,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Whole,
    BodyError,
    /// Refused or cut off by a timeout, or by a deadline.
    TimedOut(By),
    Expired(By),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Timeout,
    Deadline,
}

fn even(most: u64) -> impl Strategy<Value = u64> + Clone {
    (0..most).prop_map(|n| n * 2)
}

fn limit() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(even(40).prop_map(|time| time + 2))
}

fn configs() -> impl Strategy<Value = Config> {
    let total = (limit(), limit(), any::<bool>()).prop_map(|(total, default_total, through_body)| Total {
        // No more than what is allowed at all.
        default_total: default_total.map(|time| total.map_or(time, |total| time.min(total))),
        total,
        through_body,
    });
    let attempt =
        (limit(), limit(), limit()).prop_map(|(attempt, idle, total)| Attempt { attempt, idle, total });
    let policies = (
        prop::option::weighted(0.7, total),
        prop::option::weighted(0.8, attempt),
    );
    (any::<bool>(), policies).prop_map(|(is_grpc, (deadline, timeout))| Config {
        is_grpc,
        deadline,
        timeout,
    })
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let time = || prop_oneof![1 => Just(0), 2 => even(30)];
    let kind = prop_oneof![
        8 => Just(Kind::Data),
        2 => Just(Kind::Trailers),
        1 => Just(Kind::Error),
        2 => Just(Kind::Never),
    ];
    let head = (
        time(),
        prop::option::weighted(0.3, even(100)),
        prop::option::weighted(0.4, even(40).prop_map(|time| time + 2)),
        prop::option::weighted(0.4, (-1..40_i64).prop_map(|n| n * 2)),
        prop::option::weighted(0.9, time()),
    );
    let body = prop::collection::vec((time(), kind), 0..6);
    let reads = prop::collection::vec((time(), prop::option::weighted(0.3, even(20))), 1..4);
    let call = (head, body, reads).prop_map(|((at, gives_up, asks, deadline, headers), body, reads)| Call {
        // One who waits for ever must give up.
        gives_up: Some(at + gives_up.unwrap_or(1000) + 1),
        at,
        asks,
        deadline,
        headers,
        body,
        reads,
    });
    prop::collection::vec(call, 1..5)
}

/// Sets one of the limits.
type Set = fn(TimeoutBuilder, Duration) -> TimeoutBuilder;

fn policies(config: &Config) -> (Option<Deadline>, Option<Timeout>) {
    let deadline = config.deadline.map(|limits| {
        let mut options = Deadline::builder()
            .name("deadline")
            .through_body(limits.through_body);
        if let Some(time) = limits.total {
            options = options.total(millis(time));
        }
        if let Some(time) = limits.default_total {
            options = options.default_total(millis(time));
        }
        options.build().expect("valid")
    });
    let timeout = config.timeout.map(|limits| {
        let options: [(_, Set); 3] = [
            (limits.attempt, TimeoutBuilder::attempt),
            (limits.idle, TimeoutBuilder::body_idle),
            (limits.total, TimeoutBuilder::body_total),
        ];
        let given = options.into_iter().filter_map(|(time, set)| Some((time?, set)));
        let options = given.fold(Timeout::builder().name("timeout"), |options, (time, set)| {
            set(options, millis(time))
        });
        options.build().expect("valid")
    });
    (deadline, timeout)
}

/// Which policy says what.
fn said(error: &Rejected) -> How {
    let by = match error.policy() {
        "timeout" => By::Timeout,
        "deadline" => By::Deadline,
        other => panic!("nobody is called {other}"),
    };
    match error.kind() {
        RejectionKind::TimedOut => How::TimedOut(by),
        RejectionKind::DeadlineExpired => How::Expired(by),
        other => panic!("no limit says {other}"),
    }
}

fn broken(error: &BoxError) -> How {
    error.downcast_ref::<Rejected>().map_or(How::BodyError, said)
}

async fn run<P>(protocol: P, config: Config, calls: &[Call])
where
    P: RequestProtocol<Request<usize>>
        + BodyProtocol<
            http::Response<Frames>,
            Body = Frames,
            Response<TimeoutBody<Frames>> = http::Response<TimeoutBody<Frames>>,
        > + BodyProtocol<
            http::Response<TimeoutBody<Frames>>,
            Body = TimeoutBody<Frames>,
            Response<TimeoutBody<TimeoutBody<Frames>>> = http::Response<TimeoutBody<TimeoutBody<Frames>>>,
        > + Clone
        + 'static,
{
    let (deadline, timeout) = policies(&config);
    let sender = Sender::new(calls.to_vec());
    let inner = crate::timeout::TimeoutLayer::new(timeout.clone(), protocol.clone()).layer(sender.clone());
    let service = crate::timeout::DeadlineLayer::new(deadline.clone(), protocol).layer(inner);
    let cue = |call: &Call| Cue {
        at: call.at,
        gives_up: call.gives_up,
    };
    let cues: Vec<_> = calls.iter().map(cue).collect();
    let fates = perform(&cues, |number| {
        let (service, call) = (service.clone(), calls[number].clone());
        async move {
            let began = clock::now();
            let response = match service.oneshot(call.request(number)).await {
                Ok(response) => response,
                Err(Error::Rejected(rejected)) => {
                    return Ended {
                        headers: None,
                        frames: 0,
                        how: said(&rejected),
                    };
                }
                Err(Error::Inner(never)) => match never {},
            };
            let headers = (clock::now() - began).as_millis() as u64 + call.at;
            let (frames, how) = call.read(response.into_body()).await;
            Ended {
                headers: Some(headers),
                frames,
                how,
            }
        }
    });
    let fates = fates.await;
    let mut books = Books::default();
    for (number, call) in calls.iter().enumerate() {
        let told = naive::tell(&config, call, &mut books);
        let expected = told.over.map_or(Fate::Cancelled, Fate::Over);
        assert_eq!(fates[number], (told.at, expected), "of call {number}");
        let seen = sender.seen(number);
        assert_eq!(
            seen.map(|seen| seen.gone),
            told.is_made.then_some(Some(told.at)),
            "of call {number}"
        );
        if config.is_grpc {
            let sent = seen.and_then(|seen| seen.asked);
            assert_eq!(sent, told.sends.filter(|_| told.is_made), "of call {number}");
        }
    }
    let counts = |seen: Option<Snapshot>| {
        seen.map_or_else(Counts::default, |seen| Counts {
            timed_out: seen.timed_out,
            deadline_expired: seen.deadline_expired,
            body_idle: seen.body_idle,
            body_total: seen.body_total,
        })
    };
    assert_eq!(counts(deadline.map(|d| d.snapshot())), books.deadline);
    assert_eq!(counts(timeout.map(|t| t.snapshot())), books.timeout);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn every_limit_ends_a_call_when_it_should(config in configs(), calls in calls()) {
        paused().block_on(async {
            match config.is_grpc {
                true => run(Grpc::new(), config, &calls).await,
                false => run(Http::new(), config, &calls).await,
            }
        });
    }
}
