//! Who waits, how long, and who goes first.

use std::{pin::Pin, sync::atomic::AtomicU64};

use tokio_test::{
    assert_pending, assert_ready, assert_ready_err, assert_ready_ok,
    task::{Spawn, spawn},
};

use super::*;
use crate::{clock, context::CallContext};

const ALGORITHMS: [Algorithm; 4] = Algorithm::ALL;

/// One a second by each algorithm, used up.
fn used_up(algorithm: Algorithm) -> RateLimiter {
    let limiter = RateLimiter::per_second(1)
        .algorithm(algorithm)
        .max_wait(millis(60_000))
        .build()
        .expect("valid");
    limiter.try_acquire(1).expect("the first");
    limiter
}

type Waiting = Spawn<Pin<Box<Acquire>>>;

fn wait(limiter: &RateLimiter, permits: u32) -> Waiting {
    let mut waiter = spawn(Box::pin(limiter.acquire(permits)));
    assert_pending!(waiter.poll());
    waiter
}

fn retry_after(rejected: &Rejected) -> Option<u128> {
    rejected.retry_after().map(|after| after.as_millis())
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served_however_many_permits() {
    let limiter = RateLimiter::per_second(10).burst(5).max_wait(millis(10_000));
    let limiter = limiter.build().expect("valid");
    limiter.try_acquire(5).expect("a burst");
    let (mut large, mut small) = (wait(&limiter, 5), wait(&limiter, 1));
    // There are permits, but not for one who comes after them.
    advance(millis(300)).await;
    assert_eq!(limiter.peek().remaining, 3);
    let refused = limiter.try_acquire(1).expect_err("others wait");
    assert_eq!(
        retry_after(&refused),
        Some(400),
        "behind six, of which there are three"
    );
    assert!(!small.is_woken());
    advance(millis(200)).await;
    assert!(large.is_woken());
    assert_ready_ok!(large.poll());
    assert!(small.is_woken(), "it is the first now");
    assert_pending!(small.poll());
    advance(millis(100)).await;
    assert_ready_ok!(small.poll());
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.allowed, snapshot.waited, snapshot.waiting), (3, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_is_refused_in_the_same_poll_with_the_true_time() {
    for algorithm in ALGORITHMS {
        // A counter of one counts the window before to its very end, and so has one in two windows.
        let turn = if algorithm == Algorithm::SlidingWindowCounter {
            2000
        } else {
            1000
        };
        let limiter = used_up(algorithm);
        let impatient = limiter.options().max_wait(millis(turn + 500));
        limiter.reconfigure(impatient).expect("valid");
        let mut first = wait(&limiter, 1);
        let started = clock::now();
        let refused = assert_ready_err!(spawn(limiter.acquire(1)).poll());
        assert_eq!(clock::now(), started);
        assert_eq!(retry_after(&refused), Some(u128::from(2 * turn)), "{algorithm}");
        assert_eq!(refused.kind(), RejectionKind::RateLimited);
        advance(millis(turn)).await;
        assert_ready_ok!(first.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_told_is_the_time_it_takes() {
    for algorithm in ALGORITHMS {
        let limiter = used_up(algorithm);
        let refused = limiter.try_acquire(1).expect_err("used up");
        let after = refused.retry_after().expect("it will come");
        advance(after - Duration::from_nanos(1)).await;
        assert!(limiter.try_acquire(1).is_err(), "{algorithm}: too early");
        advance(Duration::from_nanos(1)).await;
        assert!(limiter.try_acquire(1).is_ok(), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_waiter_is_cancelled_those_behind_it_move_up() {
    for algorithm in ALGORITHMS {
        let limiter = used_up(algorithm);
        let (a, mut b, mut c) = (wait(&limiter, 1), wait(&limiter, 1), wait(&limiter, 1));
        let turn = clock::now() + limiter.peek().retry_after.expect("used up");
        drop(a);
        assert!(b.is_woken(), "{algorithm}");
        assert_pending!(b.poll());
        assert!(!c.is_woken());
        tokio::time::sleep_until(turn).await;
        assert_ready_ok!(b.poll(), "{algorithm}: it has the turn of the one that left");
        assert_pending!(c.poll());
        let (mut d, mut e) = (wait(&limiter, 1), wait(&limiter, 1));
        drop(d.poll());
        drop(d);
        drop(c);
        assert_pending!(e.poll());
        assert_eq!(limiter.snapshot().waiting, 1);
        drop(e);
        assert_eq!(limiter.snapshot().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn never_is_more_issued_than_allowed_when_one_is_cancelled_and_one_arrives() {
    for algorithm in ALGORITHMS {
        let limiter = used_up(algorithm);
        let (a, mut b) = (wait(&limiter, 1), wait(&limiter, 1));
        drop(a);
        let mut c = wait(&limiter, 1);
        tokio::time::sleep(millis(2000)).await;
        // Two turns have come by the time that anybody looks; with a bucket of one there is one permit.
        let granted = [b.poll().is_ready(), c.poll().is_ready()];
        assert_eq!(granted, [true, false], "{algorithm}");
        assert!(limiter.try_acquire(1).is_err(), "{algorithm}");
        let before = clock::now();
        let _ = c.await;
        assert!(clock::now() > before, "{algorithm}");
        assert!(limiter.try_acquire(1).is_err(), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_takes_nothing_before_its_turn() {
    let limiter = used_up(Algorithm::TokenBucket);
    let quota = limiter.peek();
    let waiters = [wait(&limiter, 1), wait(&limiter, 1)];
    assert_eq!(limiter.peek(), quota);
    drop(waiters);
    advance(millis(1000)).await;
    assert!(limiter.try_acquire(1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_the_first_has_a_timer() {
    let limiter = used_up(Algorithm::TokenBucket);
    let mut line: Vec<_> = (0..4).map(|_| wait(&limiter, 1)).collect();
    let timers = |line: &[Waiting]| line.iter().map(|w| w.has_timer()).collect::<Vec<_>>();
    assert_eq!(timers(&line), [true, false, false, false]);
    drop(line.remove(0));
    assert_pending!(line[0].poll());
    assert_eq!(timers(&line), [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_polled_holds_up_nobody() {
    let limiter = used_up(Algorithm::TokenBucket);
    let idle = limiter.acquire(1);
    advance(millis(1000)).await;
    assert!(limiter.try_acquire(1).is_ok());
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_goes_to_the_first_in_the_line() {
    for algorithm in ALGORITHMS {
        let limiter = RateLimiter::per_second(1)
            .algorithm(algorithm)
            .max_wait(millis(5000));
        let limiter = limiter.build().expect("valid");
        let permit = limiter.try_acquire(1).expect("the first");
        let mut waiter = wait(&limiter, 1);
        permit.give_back();
        assert!(waiter.is_woken(), "{algorithm}");
        assert_ready_ok!(waiter.poll(), "{algorithm}");
        assert!(limiter.try_acquire(1).is_err(), "{algorithm}");
        assert_eq!(limiter.snapshot().refunded, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_faster_rate_is_felt_by_those_who_wait() {
    let limiter = RateLimiter::per_minute(1)
        .max_wait(millis(120_000))
        .build()
        .expect("valid");
    limiter.try_acquire(1).expect("the first");
    let mut waiter = wait(&limiter, 1);
    advance(millis(1000)).await;
    let faster = limiter.options().rate(1, millis(2000));
    limiter.reconfigure(faster).expect("valid");
    assert!(waiter.is_woken());
    assert_pending!(waiter.poll());
    // 59 of the 60 parts of a permit were still to come, and are now.
    advance(millis(1967)).await;
    assert_ready_ok!(waiter.poll());
}

#[tokio::test(start_paused = true)]
async fn a_slower_rate_sends_those_away_whose_turn_will_not_come() {
    let limiter = used_up(Algorithm::TokenBucket);
    let mut waiter = wait(&limiter, 1);
    let slower = limiter.options().rate(1, millis(3_600_000));
    limiter.reconfigure(slower).expect("valid");
    assert!(waiter.is_woken());
    let refused = assert_ready_err!(waiter.poll());
    assert_eq!(retry_after(&refused), Some(3_600_000));
    assert_eq!(limiter.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_beyond_its_deadline() {
    let limiter = used_up(Algorithm::TokenBucket);
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + millis(999));
    let refused = context.scope(async { limiter.acquire(1).await }).await;
    assert_eq!(retry_after(&refused.expect_err("too late")), Some(1000));
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + millis(1000));
    context
        .scope(async { limiter.acquire(1).await })
        .await
        .expect("in time");
}

/// Callers that want more than there is, for so long; how many permits they got, and were owed at least.
async fn crowd(limiter: RateLimiter, time: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let crowd: Vec<_> = (0..20)
        .map(|caller| {
            let (limiter, count) = (limiter.clone(), count.clone());
            tokio::spawn(async move {
                loop {
                    let permits = if caller == 7 { 2 } else { 1 };
                    let mut acquire = Box::pin(limiter.acquire(permits));
                    if caller % 5 == 0 {
                        // The impatient are in the line as well, and leave it.
                        let patience = millis(7);
                        if tokio::time::timeout(patience, acquire.as_mut()).await.is_err() {
                            continue;
                        }
                    } else if acquire.await.is_err() {
                        continue;
                    }
                    count.fetch_add(permits.into(), SeqCst);
                }
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    crowd.iter().for_each(|task| task.abort());
    count.load(SeqCst)
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_get_all_of_the_rate_and_no_more() {
    for algorithm in ALGORITHMS {
        let limiter = RateLimiter::builder().rate(20, millis(200)).algorithm(algorithm);
        let limiter = limiter.max_wait(millis(60_000)).build().expect("valid");
        let got = crowd(limiter, millis(10_000)).await;
        let owed = match algorithm {
            // The window before is never even: it has its permits as soon as they come.
            Algorithm::SlidingWindowCounter => 900..=1020,
            _ => 998..=1022,
        };
        assert!(owed.contains(&got), "{algorithm}: {got}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_loses_nothing_to_the_clock_of_the_timers() {
    // One in half a millisecond and a bit: every timer is late.
    let limiter = RateLimiter::per_second(1700).algorithm(Algorithm::Leaky);
    let limiter = limiter.max_wait(millis(1000)).build().expect("valid");
    let got = crowd(limiter, millis(2000)).await;
    assert!((3380..=3402).contains(&got), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_function_waits_its_turn_too() {
    let limiter = used_up(Algorithm::TokenBucket);
    let started = clock::now();
    let answer = limiter.call(async { Ok::<_, Infallible>(42) }).await;
    assert_eq!((answer, clock::now() - started), (Ok(42), millis(1000)));
    let impatient = limiter.options().max_wait(Duration::ZERO);
    limiter.reconfigure(impatient).expect("valid");
    let never = async { panic!("it must not be polled") };
    let refused: Result<(), Refused> = limiter.call(never).await;
    assert_eq!(kind(refused), Some(RejectionKind::RateLimited));
}

#[tokio::test(start_paused = true)]
async fn more_than_there_can_be_does_not_wait() {
    let limiter = used_up(Algorithm::TokenBucket);
    let refused = assert_ready_err!(spawn(limiter.acquire(2)).poll());
    assert_eq!(
        (refused.retry_after(), refused.http_status(), refused.grpc_code()),
        (None, 400, 3)
    );
    let _ = assert_ready!(spawn(limiter.acquire(0)).poll());
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_line_is_in_the_tally() {
    let limiter = used_up(Algorithm::TokenBucket);
    let mut service = limiter.layer().layer(Probe::answering());
    let context = CallContext::new();
    let tally = context.tally().clone();
    let answer = context.scope(async { service.call(()).await }).await;
    assert_eq!((answer.is_ok(), tally.queued()), (true, millis(1000)));
}

#[test]
fn who_fits_beside_all_in_front_waits_for_nothing() {
    for algorithm in Algorithm::ALL.into_iter().filter(|a| *a != Algorithm::Leaky) {
        let rules = rules(&Limit::new(6, millis(7000)), algorithm);
        let cell = Cell::new(algorithm, &rules);
        for (ahead, permits) in [(0, 6), (4, 2), (5, 1)] {
            assert_eq!(
                cell.wait(&rules, 0, ahead, permits),
                Refusal::Until(0),
                "{algorithm}"
            );
        }
    }
}
