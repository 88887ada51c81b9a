//! Which result the caller gets, and what failures start a second attempt.

use super::*;

const FIRST: Answer = Err(Error::Inner("first"));
const SECOND: Answer = Err(Error::Inner("second"));

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_fails_starts_the_second_at_once() {
    let script = Script::new([(20, BUSY), (10, Ok(2))]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took), (Ok(2), 30));
    assert_eq!((books.hedges, books.after_failure, books.won), (1, 1, 1));
    // It needs no delay that is known.
    let script = Script::new([(20, BUSY), (10, Ok(2))]);
    let (answer, took, _) = called(Hedge::builder(), &script).await;
    assert_eq!((answer, took), (Ok(2), 30));
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_beat_an_attempt_that_may_answer() {
    // The second fails, the first is still at work.
    let script = Script::new([(1000, Ok(1)), (10, BUSY)]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took, books.won), (Ok(1), 1000, 0));
    // The first fails, the second is still at work.
    let script = Script::new([(150, BUSY), (1000, Ok(2))]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took), (Ok(2), 1100));
    assert_eq!((books.after_failure, books.won), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn if_both_fail_the_error_is_that_of_the_first() {
    for (first, second, took) in [(1000, 10, 1000), (150, 1000, 1100), (20, 10, 30), (0, 0, 0)] {
        let script = Script::new([(first, FIRST), (second, SECOND)]);
        let (answer, all, books) = called(fixed(), &script).await;
        assert_eq!((answer, all), (FIRST, took));
        assert_eq!((script.calls(), books.won), (2, 0));
    }
}

/// An answer from 500 on is a failure, as in HTTP; from 600 on it forbids to be repeated.
fn by_status(result: &Answer) -> Outcome {
    match result {
        Ok(status @ 600..) => Outcome::failure(Reason::HttpStatus(*status as u16)).forbid_retry(),
        Ok(status @ 500..) => Outcome::failure(Reason::HttpStatus(*status as u16)),
        Ok(404) => Outcome::neutral(Reason::HttpStatus(404)),
        Ok(_) => Outcome::SUCCESS,
        Err(error) => Outcome::of_error(error),
    }
}

async fn called_by_status(script: &Script) -> (Answer, u64) {
    let hedge = fixed().build().expect("valid");
    let began = clock::now();
    let layer = hedge.layer_for(Plain::classify(by_status));
    let answer = layer.layer(script.clone()).oneshot(()).await;
    (answer, began.elapsed().as_millis() as u64)
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_a_failure_goes_when_the_second_attempt_has_to_wait() {
    // What it holds may be what the second waits for.
    for first in [20, 150] {
        let script = Script::new([(first, Ok(500)), (200, Ok(503))]);
        assert_eq!(called_by_status(&script).await.0, Ok(503));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_is_refused_at_once_leaves_the_response_of_the_first() {
    for refused in [rejected(RejectionKind::CircuitOpen), BUSY, Ok(503)] {
        let script = Script::new([(20, Ok(500)), (0, refused)]);
        assert_eq!(called_by_status(&script).await, (Ok(500), 20));
        assert_eq!(script.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_a_failed_response_holds_is_free_for_the_second_attempt() {
    struct Response(#[allow(dead_code)] tokio::sync::OwnedSemaphorePermit, bool);
    let slots = Arc::new(tokio::sync::Semaphore::new(1));
    let calls = Arc::new(AtomicU32::new(0));
    let limited = service_fn(move |()| {
        let (slots, first) = (slots.clone(), calls.fetch_add(1, SeqCst) == 0);
        async move {
            let slot = slots.acquire_owned().await.expect("open");
            tokio::time::sleep(ms(if first { 150 } else { 10 })).await;
            Ok::<_, Error<&'static str>>(Response(slot, !first))
        }
    });
    for after in [100, 1000] {
        let failed = |result: &Result<Response, _>| match result {
            Ok(Response(_, false)) => Outcome::failure(Reason::Error),
            Ok(_) => Outcome::SUCCESS,
            Err(error) => Outcome::of_error(error),
        };
        let hedge = fixed().after(ms(after)).build().expect("valid");
        let call = hedge
            .layer_for(Plain::classify(failed))
            .layer(limited.clone())
            .oneshot(());
        let answer = tokio::time::timeout(ms(5000), call).await.expect("no deadlock");
        assert!(answer.expect("an answer").1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_caller_is_an_answer_whatever_it_says() {
    let script = Script::new([(20, Ok(404)), (0, Ok(200))]);
    assert_eq!(called_by_status(&script).await, (Ok(404), 20));
    assert_eq!(script.calls(), 1);
    let script = Script::new([(1000, Ok(200)), (10, Ok(404))]);
    assert_eq!(called_by_status(&script).await, (Ok(404), 110));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_forbids_it_is_not_called_again_and_its_word_is_kept() {
    let script = Script::new([(20, Ok(600)), (0, Ok(200))]);
    assert_eq!(called_by_status(&script).await, (Ok(600), 20));
    assert_eq!(script.calls(), 1);
    // When the second is under way already it may still save the call, and if not, a retry outside hears of it.
    let script = Script::new([(150, Ok(600)), (100, Ok(200))]);
    assert_eq!(called_by_status(&script).await, (Ok(200), 200));
    let script = Script::new([(150, Ok(600)), (100, Ok(503))]);
    assert_eq!(called_by_status(&script).await, (Ok(600), 200));
}

#[tokio::test(start_paused = true)]
async fn only_a_failure_that_may_pass_at_once_starts_a_second_attempt() {
    use RejectionKind::*;
    let rejection = |kind: RejectionKind| Outcome::new(kind.verdict(), Reason::Rejected(kind));
    let failure = Outcome::failure(Reason::HttpStatus(503));
    for (outcome, calls) in [
        (failure, 2),
        (failure.with_retry_after(Some(Duration::ZERO)), 2),
        (rejection(TimedOut), 2),
        (Outcome::failure(Reason::Error), 2),
        (failure.forbid_retry(), 1),
        (failure.with_retry_after(Some(ms(1))), 1),
        (crate::Verdict::Throttled.into(), 1),
        (rejection(Panicked), 1),
        (rejection(CircuitOpen), 1),
        (rejection(RateLimited), 1),
        (rejection(QueueFull), 1),
        (rejection(QueueTimeout), 1),
        (rejection(DeadlineExpired), 1),
        (rejection(NoEndpoint), 1),
        (rejection(Shed), 1),
        (rejection(Custom), 1),
    ] {
        let script = Script::new([(20, Ok(1))]);
        let hedge = fixed().build().expect("valid");
        let layer = hedge.layer_for(Plain::classify(move |_: &Answer| outcome));
        let began = clock::now();
        let _ = layer.layer(script.clone()).oneshot(()).await;
        assert_eq!(script.calls(), calls, "{outcome:?}");
        assert_eq!(hedge.snapshot().after_failure, calls as u64 - 1);
        assert_eq!(began.elapsed(), ms(20 * calls as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_second_attempt_disturbs_nobody() {
    use RejectionKind::*;
    for kind in [
        CircuitOpen,
        RateLimited,
        QueueFull,
        DeadlineExpired,
        NoEndpoint,
        Shed,
    ] {
        let script = Script::new([(1000, Ok(1)), (0, rejected(kind))]);
        let (answer, took, _) = called(fixed(), &script).await;
        assert_eq!((answer, took), (Ok(1), 1000), "{kind}");
        // Nor does it stand for the failure that the first came to.
        for (first, second) in [(1000, 0), (150, 200), (20, 0), (20, 200)] {
            let script = Script::new([(first, BUSY), (second, rejected(kind))]);
            let (answer, ..) = called(fixed(), &script).await;
            assert_eq!(answer, BUSY, "{kind} {first} {second}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_is_refused_late_does_not_end_the_second() {
    let late = rejected(RejectionKind::QueueTimeout);
    let script = Script::new([(150, late.clone()), (200, Ok(2))]);
    let (answer, took, _) = called(fixed(), &script).await;
    assert_eq!((answer, took), (Ok(2), 300));
    let script = Script::new([(150, late.clone()), (200, BUSY)]);
    let (answer, ..) = called(fixed(), &script).await;
    assert_eq!(answer, late);
}

#[tokio::test(start_paused = true)]
async fn what_fails_after_the_second_has_failed_is_final() {
    let script = Script::new([(150, FIRST), (10, SECOND), (0, Ok(3))]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took, script.calls()), (FIRST, 150, 2));
    assert_eq!((books.hedges, books.after_failure), (1, 0));
}
