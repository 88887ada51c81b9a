//! What others got wrong; see also [`waiting`](super::waiting) and [`keyed`](super::keyed).

use tower::ServiceExt;

use super::*;
use crate::clock;

/// tower#712, tower#794, axum#2634: 30 of 30 calls passed a limit of 5, for each connection had a limiter of its own.
#[tokio::test(start_paused = true)]
async fn clones_layers_and_services_share_one_limit() {
    let limiter = RateLimiter::per_minute(5).build().expect("valid");
    let probe = Probe::answering();
    for connection in 0..30 {
        // As axum does it: a layer applied anew for each route and connection, and services cloned.
        let layer = limiter.clone().layer();
        let service = layer.clone().layer(probe.clone());
        let answer = service.clone().oneshot(connection).await;
        assert_eq!(answer.is_ok(), connection < 5);
    }
    assert_eq!(probe.calls(), 5);
}

/// tower-resilience: it knew that the wait was 60 s, slept the whole 5 s that it may wait, refused, and did not say how
/// long.
#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_limit_is_refused_at_once_and_says_how_long() {
    let limiter = RateLimiter::per_minute(1)
        .max_wait(millis(5000))
        .build()
        .expect("valid");
    let mut service = limiter.layer().layer(Probe::answering());
    let started = clock::now();
    service.call(1).await.expect("the first");
    let refused = service.call(2).await.expect_err("used up");
    assert_eq!(clock::now(), started);
    let refused = refused.rejected().expect("a refusal");
    assert_eq!(refused.retry_after(), Some(millis(60_000)));
}

/// tower, resilience4j: a fixed window lets twice the limit through at its edge.
#[tokio::test(start_paused = true)]
async fn an_edge_between_two_windows_is_no_way_through() {
    for algorithm in [Algorithm::SlidingWindowLog, Algorithm::SlidingWindowCounter] {
        let limiter = RateLimiter::per_second(10)
            .algorithm(algorithm)
            .build()
            .expect("valid");
        advance(millis(990)).await;
        let at_the_end = (0..20).filter(|_| limiter.try_acquire(1).is_ok()).count();
        advance(millis(20)).await;
        let at_the_beginning = (0..20).filter(|_| limiter.try_acquire(1).is_ok()).count();
        assert_eq!((at_the_end, at_the_beginning), (10, 0), "{algorithm}");
    }
}

/// tower-governor#55: `per_second(5)` meant one in five seconds.
#[tokio::test(start_paused = true)]
async fn names_mean_what_they_say() {
    for (limiter, time) in [
        (RateLimiter::per_second(5), millis(1000)),
        (RateLimiter::per_minute(5), millis(60_000)),
        (RateLimiter::per_hour(5), millis(3_600_000)),
    ] {
        let limiter = limiter.build().expect("valid");
        for _ in 0..3 {
            let passed = (0..10).filter(|_| limiter.try_acquire(1).is_ok()).count();
            assert_eq!(passed, 5);
            advance(time).await;
        }
    }
}

/// tower-governor#38: `Retry-After` was rounded down to 0.
#[test]
fn nobody_is_asked_back_in_no_time() {
    let limiter = RateLimiter::per_second(1000).burst(1).build().expect("valid");
    limiter.try_acquire(1).expect("the first");
    let refused = limiter.try_acquire(1);
    // A millisecond is over soon, on a real clock.
    if let Err(refused) = refused {
        assert_eq!(refused.retry_after_secs(), Some(1));
    }
}

/// governor's `until_ready`: large calls starve behind small ones, which always find enough.
#[tokio::test(start_paused = true)]
async fn large_calls_do_not_starve_behind_small_ones() {
    let limiter = RateLimiter::per_second(10)
        .max_wait(millis(60_000))
        .build()
        .expect("valid");
    limiter.try_acquire(10).expect("a burst");
    let large = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire(10).await.map(|_| clock::now()) }
    });
    tokio::task::yield_now().await;
    let started = clock::now();
    for _ in 0..5 {
        let limiter = limiter.clone();
        tokio::spawn(async move { while limiter.acquire(1).await.is_ok() {} });
    }
    // And more of them come, who find enough for themselves, be it to take or to wait for.
    for _ in 0..19 {
        tokio::time::sleep(millis(50)).await;
        assert!(limiter.try_acquire(1).is_err());
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(1).await });
    }
    let had = large.await.expect("no panic").expect("granted");
    assert_eq!(had - started, millis(1000));
}

/// spring-cloud-gateway#2412: clocks that disagree over-issue. In one process they are readings of one clock that are
/// used late.
#[test]
fn an_old_reading_of_the_clock_brings_nothing() {
    for algorithm in Algorithm::ALL {
        let limit = Limit::per_second(4);
        let rules = rules(&limit, algorithm);
        let cell = Cell::new(algorithm, &rules);
        let later = 100 * SECOND;
        while cell.charge(&rules, later, 1).is_ok() {}
        for earlier in [later - 1, later - SECOND / 2, later - 3 * SECOND, 0] {
            assert!(
                cell.charge(&rules, earlier, 1).is_err(),
                "{algorithm} at {earlier}"
            );
        }
    }
}

/// And what is told to those who look at the clock and are late is true.
#[test]
fn an_old_reading_of_the_clock_is_told_the_true_time_and_can_give_back() {
    for algorithm in Algorithm::ALL {
        let rules = rules(&Limit::per_second(4), algorithm);
        for earlier in [1, SECOND / 2, 3 * SECOND, 90 * SECOND] {
            let (later, earlier) = (100 * SECOND, 100 * SECOND - earlier);
            let cell = Cell::new(algorithm, &rules);
            assert_eq!(cell.charge(&rules, later, 1), Ok(later));
            // What a window has taken too late it has taken at its beginning.
            if matches!(
                algorithm,
                Algorithm::SlidingWindowLog | Algorithm::SlidingWindowCounter
            ) {
                let at = cell.charge(&rules, earlier, 1).expect("there is room");
                assert_eq!(cell.quota(&rules, later).remaining, 2, "{algorithm} at {earlier}");
                cell.give_back(&rules, later, at, 1);
                assert_eq!(cell.quota(&rules, later).remaining, 3, "{algorithm} at {earlier}");
            }
            while cell.charge(&rules, later, 1).is_ok() {}
            let wait = |now| cell.wait(&rules, now, 0, 1);
            let Refusal::Until(told) = wait(earlier) else {
                panic!("{algorithm} has room for one")
            };
            assert_eq!(
                wait(earlier + told - 1),
                Refusal::Until(1),
                "{algorithm} at {earlier}"
            );
            assert_eq!(
                wait(earlier + told),
                Refusal::Until(0),
                "{algorithm} at {earlier}"
            );
        }
    }
}

/// The numbers of a counter's windows come round, the sooner the larger the limit.
#[test]
fn a_counter_works_on_when_its_windows_come_round() {
    const MOST: u64 = 8_388_607;
    const RANGE: u64 = 1 << 16;
    let rules = rules(&Limit::new(MOST, millis(100)), Algorithm::SlidingWindowCounter);
    let window = SECOND / 10;
    for first in [
        0,
        1,
        1000,
        RANGE / 2,
        RANGE / 2 + 1,
        RANGE - 1,
        RANGE,
        5 * RANGE - 1,
    ] {
        let begin = first * window;
        let cell = Cell::new(Algorithm::SlidingWindowCounter, &rules);
        assert_eq!(cell.charge(&rules, begin, MOST as u32), Ok(begin));
        assert_eq!(
            cell.quota(&rules, begin + window).remaining,
            0,
            "after {first} windows"
        );
        let half = cell.quota(&rules, begin + window + window / 2).remaining;
        assert_eq!(half, MOST / 2, "after {first} windows");
        for idle in [2, 3, 1000, RANGE / 2 - 1, RANGE / 2, RANGE / 2 + 1, RANGE - 2000] {
            let left = cell.quota(&rules, begin + idle * window).remaining;
            assert_eq!(left, MOST, "{idle} windows after {first}");
        }
        // Another thread has looked at the clock before the window began.
        assert_eq!(
            cell.quota(&rules, begin.saturating_sub(1)).remaining,
            0,
            "before {first} windows"
        );
    }
}

/// The same, where it would put a log out of order.
#[test]
fn a_log_stays_in_order_though_threads_look_at_the_clock_and_are_late() {
    let limit = Limit::per_second(3);
    let rules = rules(&limit, Algorithm::SlidingWindowLog);
    let cell = Cell::new(Algorithm::SlidingWindowLog, &rules);
    for tenths in [100, 95, 99] {
        assert!(cell.charge(&rules, tenths * SECOND / 10, 1).is_ok());
    }
    assert!(cell.charge(&rules, 106 * SECOND / 10, 2).is_err());
    assert!(cell.charge(&rules, 11 * SECOND, 3).is_ok());
}

/// What the second call took the place of is gone, though its own permit came back.
#[test]
fn a_log_counts_from_the_latest_call_though_that_was_given_back() {
    let limit = Limit::per_second(1);
    let rules = rules(&limit, Algorithm::SlidingWindowLog);
    let cell = Cell::new(Algorithm::SlidingWindowLog, &rules);
    assert_eq!(cell.charge(&rules, 0, 1), Ok(0));
    assert_eq!(cell.charge(&rules, SECOND, 1), Ok(SECOND));
    cell.give_back(&rules, SECOND, SECOND, 1);
    // Somebody who was asleep over an old reading of the clock.
    assert_eq!(cell.charge(&rules, SECOND / 2, 1), Ok(SECOND));
}

/// A reset has given it back already.
#[tokio::test(start_paused = true)]
async fn what_was_taken_before_a_reset_does_not_come_back_twice() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::SlidingWindowLog,
        Algorithm::SlidingWindowCounter,
    ] {
        for pause in [0, 1] {
            let limiter = RateLimiter::per_hour(10).algorithm(algorithm);
            let limiter = limiter.build().expect("valid");
            let take = || -> Vec<_> { (0..10).map(|_| limiter.try_acquire(1).expect("ten")).collect() };
            let old = take();
            advance(millis(pause)).await;
            limiter.reset();
            advance(millis(pause)).await;
            let new = take();
            old.into_iter().for_each(Permit::give_back);
            assert_eq!(limiter.peek().remaining, 0, "{algorithm}: ten calls were made");
            assert_eq!(limiter.snapshot().refunded, 0);
            if pause > 0 {
                new.into_iter().for_each(Permit::give_back);
                assert_eq!(limiter.peek().remaining, 10, "{algorithm}: none was made");
            }
        }
    }
}
