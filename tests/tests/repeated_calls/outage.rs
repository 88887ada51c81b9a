//! Load on an upstream that fails: what its callers notice, and what it has to bear.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use buttress::{
    Stack,
    circuit_breaker::{CircuitBreaker, State},
    hedge::Hedge,
    retry::{Budget, Retry},
};
use buttress_tests::scripted::Version;
use bytes::Bytes;
use http_body_util::Full;
use tokio::time::sleep;

use super::{
    load::offer,
    upstream::{status, upstream},
};

/// Whether one in `n` is due, by a draw that is the same in each run.
fn one_in(n: u64) -> impl Fn() -> bool + Clone {
    let state = Arc::new(AtomicU64::new(1));
    move || {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).is_multiple_of(n)
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_in_twenty_is_hardly_noticed_by_callers_and_hardly_felt_upstream() {
    let fails = one_in(20);
    let upstream = upstream(move |_| {
        let answer = status(if fails() { 503 } else { 200 });
        async { answer }
    });
    let client = Stack::http_client("upstream")
        .retry(Retry::standard())
        .any_request_body()
        .build()
        .service(upstream.client(Version::Http1));
    let answers = offer(client, RATE, Duration::from_secs(12)).await;

    let offered = answers.all.len();
    assert_eq!(offered, 6000);
    let failed = offered - answers.with_status(200);
    assert!(failed * 1000 < offered, "{failed} of {offered} failed");
    let share = upstream.calls() as f64 / offered as f64;
    assert!((1.03..=1.1).contains(&share), "{share} x the load");
}

const RATE: u32 = 500;
const OUTAGE: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_made_worse_by_more_than_the_budget() {
    let upstream = upstream(async |_| status(503));
    let client = Stack::http_client("upstream")
        .retry(Retry::standard())
        .any_request_body()
        .build()
        .service(upstream.client(Version::Http1));
    let answers = offer(client, RATE, OUTAGE).await;

    let offered = answers.all.len();
    assert_eq!(offered, 1500);
    // Backoffs go on after the last call.
    let allowed = 1.2 * offered as f64 + 10.0 * (OUTAGE.as_secs() + 1) as f64;
    assert!(
        upstream.calls() as f64 <= allowed,
        "{} of {allowed}",
        upstream.calls()
    );
    assert!(
        upstream.calls() > offered + offered / 10,
        "the budget is there to be used"
    );
    for answer in &answers.all {
        let (status, text) = answer.response.as_ref().expect("an answer");
        assert_eq!((*status, &text[..]), (503, &b"the upstream's own 503"[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_an_outage_is_three_times_the_load() {
    let upstream = upstream(async |_| status(503));
    let retry = Retry::builder()
        .budget(None::<Budget>)
        .build()
        .expect("good options");
    let client = Stack::http_client("upstream")
        .retry(retry)
        .any_request_body()
        .build()
        .service(upstream.client(Version::Http1));
    let answers = offer(client, RATE, OUTAGE).await;
    assert_eq!(answers.with_status(503), 1500);
    assert_eq!(upstream.calls(), 3 * 1500);
}

#[tokio::test(start_paused = true)]
async fn an_outage_opens_the_breaker_through_the_retry() {
    let upstream = upstream(async |_| status(503));
    let breaker = CircuitBreaker::new();
    let client = Stack::http_client("upstream")
        .retry(Retry::standard())
        .circuit_breaker(breaker.clone())
        .any_request_body()
        .build()
        .service(upstream.client(Version::Http1));
    let answers = offer(client, RATE, OUTAGE).await;
    assert_eq!(breaker.state(), State::Open);
    // Those on their way when the fifth had failed may still come.
    assert!(upstream.calls() <= 10, "{} calls", upstream.calls());
    let refused = answers.all.iter().filter(|answer| answer.response.is_none());
    assert!(refused.count() >= 1490);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_cuts_the_tail_for_a_few_more_calls() {
    let slow = || {
        let slow = one_in(50);
        upstream(move |_| {
            let time = if slow() {
                Duration::from_secs(1)
            } else {
                Duration::from_millis(10)
            };
            async move {
                sleep(time).await;
                status(200)
            }
        })
    };
    let time = Duration::from_secs(6);
    let plain = slow();
    let alone = Stack::http_client("upstream")
        .build()
        .service(plain.client::<Full<Bytes>>(Version::Http1));
    let alone = offer(alone, RATE, time).await;
    assert!(alone.all_but_one_in(100) >= Duration::from_secs(1));

    let hedged = slow();
    let client = Stack::http_client("upstream")
        .hedge(Hedge::new())
        .any_request_body()
        .build()
        .service(hedged.client(Version::Http1));
    let answers = offer(client, RATE, time).await;
    let p99 = answers.all_but_one_in(100);
    assert!(p99 * 3 <= alone.all_but_one_in(100), "{p99:?}");
    assert_eq!(answers.with_status(200), answers.all.len());
    let share = hedged.calls() as f64 / answers.all.len() as f64;
    assert!(share <= 1.06, "{share} x the load");
    assert_eq!(hedged.running(), 0, "losers are dropped");
}
