//! What the durations cover.

use super::*;

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
