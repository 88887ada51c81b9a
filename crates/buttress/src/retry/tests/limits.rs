//! What ends a call's attempts before their number does: time, the deadline, the service's word, the budget.

use super::*;
use crate::CallContext;

/// A call of so many attempts that something else must end them; how many there were.
async fn attempts(options: RetryBuilder, deadline: Option<Duration>) -> (usize, Snapshot) {
    let script = Script::new([BUSY]);
    let call = called(options.max_attempts(1000).budget(None), &script);
    let books = match deadline {
        None => call.await.1,
        Some(after) => {
            let mut context = CallContext::new();
            context.limit_deadline(clock::now() + after);
            context.scope(call).await.1
        }
    };
    (script.calls(), books)
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_after_max_elapsed_is_not_begun() {
    // Waits of 100, 200, 400 ms: the fourth attempt is at 700 ms.
    for (elapsed, expected) in [(700, 4), (699, 3), (300, 3), (299, 2), (1, 1)] {
        let began = clock::now();
        let (attempts, books) = attempts(plain().max_elapsed(ms(elapsed)), None).await;
        assert_eq!(attempts, expected, "{elapsed} ms");
        assert_eq!(books.out_of_time, 1);
        assert!(
            began.elapsed() <= ms(elapsed),
            "the caller is not kept waiting for nothing"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn elapsed_time_is_counted_from_the_call_and_by_the_monotonic_clock() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let slow = service_fn(move |()| {
        count.fetch_add(1, SeqCst);
        async {
            tokio::time::sleep(ms(500)).await;
            BUSY
        }
    });
    // 500 ms, 100 ms of waiting, 500 ms; then 1100 + 200 is too late.
    let retry = plain().max_elapsed(ms(1299)).build().expect("valid");
    let _ = retry.layer().layer(slow).oneshot(()).await;
    assert_eq!(calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn max_elapsed_may_be_off() {
    let options = plain().max_elapsed(None).max_backoff(ms(60_000));
    let script = Script::new([BUSY]);
    let began = clock::now();
    let _ = called(options.max_attempts(12), &script).await;
    assert_eq!(script.calls(), 12);
    assert!(began.elapsed() > ms(30_000));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_after_the_deadline_is_not_begun() {
    for (deadline, expected) in [(701, 4), (700, 3), (301, 3), (300, 2), (50, 1)] {
        let (attempts, books) = attempts(plain(), Some(ms(deadline))).await;
        assert_eq!((attempts, books.out_of_time), (expected, 1), "{deadline} ms");
    }
}

/// The outcome of a service that says when to come again.
fn pushed(after: Duration) -> Outcome {
    Outcome::failure(Reason::Error).with_retry_after(Some(after))
}

async fn called_with(options: RetryBuilder, outcome: Outcome) -> (Vec<u64>, Snapshot) {
    let script = Script::new([BUSY]);
    let retry = options.build().expect("valid");
    let protocol = Plain::classify(move |_: &Answer| outcome);
    let _ = retry.layer_for(protocol).layer(script.clone()).oneshot(()).await;
    (script.waits(), retry.snapshot())
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_in_full() {
    let (waits, _) = called_with(plain(), pushed(ms(1000))).await;
    assert_eq!(waits, [1000, 1000]);
    // The backoff is longer from the second on.
    let (waits, _) = called_with(plain(), pushed(ms(150))).await;
    assert_eq!(waits, [150, 200]);
    let (waits, _) = called_with(plain(), pushed(Duration::ZERO)).await;
    assert_eq!(waits, [100, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_its_cap_ends_the_call_at_once() {
    let began = clock::now();
    for (options, asked, attempts) in [
        (plain(), 10_000, 3),
        (plain(), 10_001, 1),
        (plain().max_retry_after(ms(2000)), 2000, 3),
        (plain().max_retry_after(ms(2000)), 2001, 1),
        (plain().max_retry_after(ms(14_000)), 14_000, 3),
    ] {
        let began = clock::now();
        let (waits, books) = called_with(options, pushed(ms(asked))).await;
        assert_eq!(waits.len() + 1, attempts, "{asked}");
        assert_eq!(books.forbidden, u64::from(attempts == 1));
        if attempts == 1 {
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
    }
    assert!(began.elapsed() > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_forbids_it_is_not_called_again() {
    let forbidden = Outcome::failure(Reason::Error).forbid_retry();
    let (waits, books) = called_with(plain(), forbidden).await;
    assert_eq!((waits, books.forbidden), (vec![], 1));
    let (waits, _) = called_with(plain().retry_if(|_| true), forbidden).await;
    assert_eq!(waits, [0; 0], "no predicate overrules it");
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_returns_the_original_result_at_once() {
    let script = Script::new([BUSY]);
    let retry = plain().budget(Budget::new(0.0, 2)).build().expect("valid");
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    retry.listen(move |event| {
        heard
            .lock()
            .expect("no panic")
            .push(event.detail::<BudgetExhausted>().is_some())
    });
    let mut service = retry.layer().layer(script.clone());
    assert_eq!(service.call(()).await, BUSY);
    assert_eq!(script.calls(), 3);

    let began = clock::now();
    for _ in 0..5 {
        assert_eq!(service.call(()).await, BUSY);
    }
    assert_eq!((script.calls(), began.elapsed()), (8, Duration::ZERO));
    let books = retry.snapshot();
    assert_eq!((books.out_of_budget, books.budget_balance), (5, Some(0.0)));
    assert_eq!(
        *events.lock().expect("no panic"),
        [true],
        "said once, not five times"
    );

    tokio::time::advance(Duration::from_secs(20)).await;
    for _ in 0..2 {
        let _ = service.call(()).await;
    }
    assert_eq!(script.calls(), 8 + 3 + 1);
    assert_eq!(
        events.lock().expect("no panic").len(),
        2,
        "after quiet it is news again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_not_made_costs_the_budget_nothing() {
    let full = Budget::new(0.0, 5);
    let options = || plain().budget(full);
    let (busy, open) = (
        Script::new([BUSY]),
        Script::new([rejected(RejectionKind::CircuitOpen)]),
    );
    let late = called(options().max_elapsed(ms(99)), &busy);
    let forbidden = called_with(options(), Outcome::failure(Reason::Error).forbid_retry());
    let refused = called(options(), &open);
    for books in [late.await.1, forbidden.await.1, refused.await.1] {
        assert_eq!((books.attempts, books.budget_balance), (1, Some(5.0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_after_a_rest_is_noticed_while_it_comes() {
    let script = Script::new(vec![Ok(1); 1000].into_iter().chain([BUSY]).collect::<Vec<_>>());
    let retry = plain().budget(Budget::new(0.2, 0)).build().expect("valid");
    let mut service = retry.layer().layer(script.clone());
    tokio::time::advance(Duration::from_secs(3600)).await;
    for _ in 0..1000 {
        let _ = service.call(()).await;
        tokio::time::advance(ms(1)).await;
    }
    let _ = service.call(()).await;
    assert_eq!(
        script.calls(),
        1003,
        "a thousand calls in a second have earned two retries"
    );
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_budget() {
    let script = Script::new([BUSY]);
    let retry = plain()
        .max_attempts(2)
        .budget(Budget::new(0.0, 3))
        .build()
        .expect("valid");
    for _ in 0..10 {
        // As axum does for every connection.
        let service = retry.clone().layer().clone().layer(script.clone());
        let _ = service.clone().oneshot(()).await;
        tokio::time::advance(ms(1)).await;
    }
    // 10 calls; the waits of 100 ms that three of them had are within the second.
    assert_eq!(script.calls(), 13);
}

#[tokio::test(start_paused = true)]
async fn callers_who_are_told_when_to_come_again_do_not_come_all_at_once() {
    for (jitter, most) in [
        (Jitter::Full, 1100),
        (Jitter::Equal, 1050),
        (Jitter::Range(0.5), 1100),
        (Jitter::Decorrelated, 1200),
        (Jitter::None, 1000),
    ] {
        let mut waits = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let options = Retry::builder().jitter(jitter).max_attempts(2).seed(seed);
            waits.extend(called_with(options, pushed(ms(1000))).await.0);
        }
        let spread = if jitter == Jitter::None { 1 } else { 20 };
        assert!(waits.len() >= spread, "{jitter:?}: {waits:?}");
        assert!(
            waits.iter().all(|wait| (1000..=most).contains(wait)),
            "{jitter:?}: {waits:?}"
        );
    }
}
