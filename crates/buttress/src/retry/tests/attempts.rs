//! How often a call is made, when, and which result its caller gets.

use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower_test::assert_request_eq;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_success_is_final() {
    let script = Script::new([Ok(1)]);
    let (answer, books) = called(plain(), &script).await;
    assert_eq!((answer, script.calls()), (Ok(1), 1));
    assert_eq!((books.calls, books.attempts, books.recovered), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_never_seen() {
    let script = Script::new([BUSY, BUSY, Ok(3)]);
    let (answer, books) = called(plain(), &script).await;
    assert_eq!((answer, script.waits()), (Ok(3), vec![100, 200]));
    assert_eq!(
        (books.calls, books.attempts, books.retries, books.recovered),
        (1, 3, 2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_result_is_returned_as_it_is() {
    let script = Script::new([
        Err(Error::Inner("first")),
        Err(Error::Inner("second")),
        Err(Error::Inner("third")),
    ]);
    let (answer, books) = called(plain(), &script).await;
    assert_eq!((answer, script.calls()), (Err(Error::Inner("third")), 3));
    assert_eq!((books.out_of_attempts, books.recovered), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn waits_are_drawn_from_the_jitter() {
    let script = Script::new([BUSY]);
    let options = Retry::builder().max_attempts(6).budget(None).seed(7);
    let _ = called(options.clone(), &script).await;
    let waits = script.waits();
    for (wait, step) in waits.iter().zip([100, 200, 400, 800, 1600]) {
        // A timer fires on the next whole millisecond.
        assert!(*wait <= step + 1, "{waits:?}");
    }
    let again = Script::new([BUSY]);
    let _ = called(options, &again).await;
    assert_eq!(again.waits(), waits, "the same seed, the same waits");
}

#[tokio::test(start_paused = true)]
async fn decorrelated_waits_grow_from_the_one_before() {
    let script = Script::new([BUSY]);
    let options = Retry::builder()
        .jitter(Jitter::Decorrelated)
        .max_attempts(1000)
        .max_elapsed(None)
        .budget(None)
        .seed(7);
    let _ = called(options, &script).await;
    let waits = script.waits();
    assert!(waits[0] <= 301, "{waits:?}");
    for two in waits.windows(2) {
        assert!(two[1] >= 100 && two[1] <= 3 * two[0] + 1, "{two:?}");
    }
    assert!(waits.iter().any(|wait| *wait > 5000), "they grow");
}

#[tokio::test(start_paused = true)]
async fn no_wait_needs_no_timer() {
    let script = Script::new([BUSY]);
    let options = plain()
        .max_attempts(4)
        .backoff(Backoff::custom(|_| Duration::ZERO));
    let mut call = task::spawn(called(options, &script));
    let (answer, _) = assert_ready!(call.poll());
    assert_eq!((answer, script.calls()), (BUSY, 4));
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_repeated() {
    for (kind, calls) in [
        (RejectionKind::TimedOut, 3),
        (RejectionKind::Panicked, 1),
        (RejectionKind::CircuitOpen, 1),
        (RejectionKind::RateLimited, 1),
        (RejectionKind::QueueFull, 1),
        (RejectionKind::DeadlineExpired, 1),
        (RejectionKind::NoEndpoint, 1),
        (RejectionKind::Shed, 1),
    ] {
        let script = Script::new([rejected(kind)]);
        let (answer, books) = called(plain(), &script).await;
        assert_eq!((answer, script.calls()), (rejected(kind), calls), "{kind}");
        assert_eq!(books.out_of_attempts, u64::from(calls > 1), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_predicate_sees_outcome_number_and_time() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let options = plain().max_attempts(9).retry_if(move |attempt| {
        see.lock()
            .expect("no panic")
            .push((attempt.outcome.reason(), attempt.number, attempt.elapsed));
        attempt.number < 3
    });
    let script = Script::new([rejected(RejectionKind::Shed)]);
    let _ = called(options, &script).await;
    let shed = Reason::Rejected(RejectionKind::Shed);
    assert_eq!(
        *seen.lock().expect("no panic"),
        [(shed, 1, Duration::ZERO), (shed, 2, ms(100)), (shed, 3, ms(300))]
    );
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_users_judgement_decides_what_a_failure_is() {
    let protocol = Plain::classify(|result: &Answer| match result {
        Ok(0) => Outcome::failure(Reason::Custom("empty")),
        Err(Error::Inner("no such item")) => Outcome::neutral(Reason::Error),
        Ok(_) => Outcome::SUCCESS,
        Err(error) => Outcome::of_error(error),
    });
    for (answer, calls) in [(Ok(0), 3), (Err(Error::Inner("no such item")), 1), (BUSY, 3)] {
        let script = Script::new([answer]);
        let retry = plain().build().expect("valid");
        let _ = retry.layer_for(protocol).layer(script.clone()).oneshot(()).await;
        assert_eq!(script.calls(), calls);
    }
}

#[tokio::test]
async fn the_ready_service_is_called_and_a_clone_made_ready_for_the_next_attempt() {
    tokio::time::pause();
    let retry = plain().build().expect("valid");
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<&'static str, u32, _>(RetryLayer::new(
        retry,
        Plain::new(),
        crate::replay::Same,
    ));
    handle.allow(1);
    assert_ready!(service.poll_ready()).expect("ready");
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    assert_request_eq!(handle, "hello").send_error("busy");
    assert_pending!(call.poll());

    // The wait is over, but the next attempt has to be admitted like any other: the service inside is asked again.
    tokio::time::advance(ms(101)).await;
    assert_pending!(call.poll());
    assert_pending!(handle.poll_request());
    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_request_eq!(handle, "hello").send_response(7);
    assert_eq!(assert_ready!(call.poll()).expect("an answer"), 7);
}

/// Of three endpoints, of which the first is dead. As a balancer does, it picks one when it is asked for readiness, and
/// a clone of it has picked none.
struct Picker {
    picked: Option<usize>,
    turn: Arc<AtomicU32>,
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Clone for Picker {
    fn clone(&self) -> Self {
        Self {
            picked: None,
            turn: self.turn.clone(),
            asked: self.asked.clone(),
        }
    }
}

impl Service<()> for Picker {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let turn = &self.turn;
        self.picked
            .get_or_insert_with(|| turn.fetch_add(1, SeqCst) as usize % 3);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let picked = self.picked.take().expect("called without being ready");
        self.asked.lock().expect("no panic").push(picked);
        ready(if picked == 0 { BUSY } else { Ok(1) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_is_picked_anew_and_not_sent_to_the_same_dead_endpoint() {
    let picker = Picker {
        picked: None,
        turn: Arc::default(),
        asked: Arc::default(),
    };
    let service = plain().build().expect("valid").layer().layer(picker.clone());
    assert_eq!(service.oneshot(()).await, Ok(1));
    assert_eq!(*picker.asked.lock().expect("no panic"), [0, 1]);
}

#[tokio::test]
async fn a_service_that_is_gone_is_not_asked_again() {
    tokio::time::pause();
    let retry = plain().build().expect("valid");
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<(), u32, _>(RetryLayer::new(
        retry,
        Plain::new(),
        crate::replay::Same,
    ));
    assert_ready!(service.poll_ready()).expect("ready");
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    let (_, reply) = handle.next_request().await.expect("a request");
    handle.send_error("gone");
    reply.send_error("busy");
    assert_pending!(call.poll());
    tokio::time::advance(ms(101)).await;
    let error = assert_ready_err!(call.poll());
    assert!(error.to_string().contains("gone"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_off_passes_all_through() {
    for off in [None, Some(Retry::none())] {
        let script = Script::new([BUSY]);
        let layer = RetryLayer::new(off, Plain::new(), crate::replay::Same);
        assert_eq!(layer.layer(script.clone()).oneshot(()).await, BUSY);
        assert_eq!(script.calls(), 1);
    }
}

// ===== without tower =====

#[tokio::test(start_paused = true)]
async fn a_function_is_called_until_it_succeeds() {
    let retry = plain().build().expect("valid");
    let began = clock::now();
    let answer = retry
        .call(async |attempt| match attempt {
            3 => Ok(attempt),
            _ => Err(std::io::Error::other("busy")),
        })
        .await;
    assert_eq!(answer.ok(), Some(3));
    assert_eq!(began.elapsed(), ms(300));
    assert_eq!((retry.snapshot().calls, retry.snapshot().recovered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_functions_error_shows_the_rejection_in_it() {
    let calls = AtomicU32::new(0);
    let answer = plain()
        .build()
        .expect("valid")
        .call(|_| {
            calls.fetch_add(1, SeqCst);
            let open = Rejected::new(RejectionKind::CircuitOpen, "inside");
            ready(Err::<(), Error<std::io::Error>>(open.into()))
        })
        .await;
    assert!(answer.is_err());
    assert_eq!(calls.load(SeqCst), 1, "an open circuit is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_functions_result_may_be_judged_otherwise() {
    let calls = AtomicU32::new(0);
    let retry = plain().build().expect("valid");
    let boxed = retry
        .call_with(Plain::new(), |_| {
            calls.fetch_add(1, SeqCst);
            ready(Err::<(), crate::BoxError>("busy".into()))
        })
        .await;
    assert!(boxed.is_err());
    assert_eq!(calls.load(SeqCst), 3);
}
