//! When the second attempt is made, by which service, and that it is one.

use tokio_test::{assert_pending, assert_ready, task};
use tower_test::assert_request_eq;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_that_is_fast_is_made_once() {
    for takes in [0, 1, 99] {
        let script = Script::new([(takes, Ok(1))]);
        let (answer, took, books) = called(fixed(), &script).await;
        assert_eq!((answer, took, script.calls()), (Ok(1), takes, 1));
        assert_eq!((books.calls, books.attempts, books.hedges), (1, 1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_slow_is_made_a_second_time_after_the_delay() {
    let script = Script::new([(1000, Ok(1)), (10, Ok(2))]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took), (Ok(2), 110));
    assert_eq!(script.delays(), [100]);
    assert_eq!((books.attempts, books.hedges, books.won), (2, 1, 1));
    assert_eq!(books.after_failure, 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_may_still_be_the_first_to_answer() {
    let script = Script::new([(105, Ok(1)), (10, Ok(2))]);
    let (answer, took, books) = called(fixed(), &script).await;
    assert_eq!((answer, took), (Ok(1), 105));
    assert_eq!((books.hedges, books.won), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn there_is_no_third_attempt() {
    let script = Script::new([(10_000, Ok(1))]);
    let (answer, took, _) = called(fixed(), &script).await;
    assert_eq!((answer, took, script.calls()), (Ok(1), 10_000, 2));
    let script = Script::new([(150, BUSY), (150, BUSY), (0, Ok(3))]);
    let (answer, _, _) = called(fixed(), &script).await;
    assert_eq!((answer, script.calls()), (BUSY, 2));
}

#[tokio::test(start_paused = true)]
async fn a_timer_answers_beside_work_that_never_rests() {
    // Each poll uses up what tokio lets a task do in one turn.
    let restless = service_fn(|attempt: u32| async move {
        if attempt == 1 {
            return Ok::<_, Error<&'static str>>(1);
        }
        loop {
            tokio::task::consume_budget().await;
            if clock::now().elapsed() > ms(1) {
                return Ok(0);
            }
        }
    });
    let hedge = fixed().build().expect("valid");
    let began = clock::now();
    let first = AtomicU32::new(0);
    let call = hedge
        .layer()
        .layer(restless.map_request(|()| first.fetch_add(1, SeqCst)));
    let mut call = task::spawn(call.oneshot(()));
    assert_pending!(call.poll());
    tokio::time::advance(ms(101)).await;
    assert_eq!(assert_ready!(call.poll()), Ok(1));
    assert!(began.elapsed() <= ms(101));
}

#[tokio::test]
async fn the_ready_service_is_called_and_a_clone_made_ready_for_the_second_attempt() {
    tokio::time::pause();
    let hedge = fixed().build().expect("valid");
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<&'static str, u32, _>(HedgeLayer::new(
        hedge,
        Plain::new(),
        crate::replay::Same,
    ));
    handle.allow(1);
    assert_ready!(service.poll_ready()).expect("ready");
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    let (_, first) = assert_pending_reply(&mut handle, "hello");
    tokio::time::advance(ms(101)).await;
    // The second attempt is not admitted yet, and the first goes on meanwhile.
    assert_pending!(call.poll());
    assert_pending!(handle.poll_request());
    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_request_eq!(handle, "hello").send_response(7);
    assert_eq!(assert_ready!(call.poll()).expect("an answer"), 7);
    drop(first);
}

type Handle = tower_test::mock::Handle<&'static str, u32>;

fn assert_pending_reply(
    handle: &mut Handle,
    request: &'static str,
) -> (&'static str, tower_test::mock::SendResponse<u32>) {
    let arrived = assert_ready!(handle.poll_request()).expect("a request");
    assert_eq!(arrived.0, request);
    arrived
}

#[tokio::test]
async fn while_the_second_attempt_waits_for_its_turn_the_first_may_answer() {
    tokio::time::pause();
    let hedge = fixed().build().expect("valid");
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<&'static str, u32, _>(HedgeLayer::new(
        hedge.clone(),
        Plain::new(),
        crate::replay::Same,
    ));
    handle.allow(1);
    assert_ready!(service.poll_ready()).expect("ready");
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    let (_, first) = assert_pending_reply(&mut handle, "hello");
    tokio::time::advance(ms(101)).await;
    assert_pending!(call.poll());
    first.send_response(1);
    assert_eq!(assert_ready!(call.poll()).expect("an answer"), 1);
    assert_eq!((hedge.snapshot().hedges, hedge.snapshot().won), (1, 0));
}

#[tokio::test]
async fn a_service_that_is_gone_does_not_end_the_first_attempt() {
    tokio::time::pause();
    let hedge = fixed().build().expect("valid");
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<&'static str, u32, _>(HedgeLayer::new(
        hedge,
        Plain::new(),
        crate::replay::Same,
    ));
    handle.allow(1);
    assert_ready!(service.poll_ready()).expect("ready");
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    let (_, first) = assert_pending_reply(&mut handle, "hello");
    handle.send_error("gone");
    tokio::time::advance(ms(101)).await;
    assert_pending!(call.poll());
    first.send_response(1);
    assert_eq!(assert_ready!(call.poll()).expect("an answer"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_off_passes_all_through() {
    let script = Script::new([(1000, BUSY)]);
    let layer = HedgeLayer::new(None, Plain::new(), crate::replay::Same);
    assert_eq!(layer.layer(script.clone()).oneshot(()).await, BUSY);
    assert_eq!((script.calls(), script.attempts()), (1, vec![None]));
}

// ===== without tower =====

#[tokio::test(start_paused = true)]
async fn a_function_is_called_a_second_time() {
    let hedge = fixed().build().expect("valid");
    let seen = Mutex::new(Vec::new());
    let began = clock::now();
    let answer = hedge.call(|attempt| {
        seen.lock().expect("no panic").push((attempt, began.elapsed()));
        async move {
            tokio::time::sleep(ms(if attempt == 1 { 1000 } else { 10 })).await;
            Ok::<_, std::io::Error>(attempt)
        }
    });
    assert_eq!(answer.await.ok(), Some(2));
    assert_eq!(began.elapsed(), ms(110));
    assert_eq!(*seen.lock().expect("no panic"), [(1, ms(0)), (2, ms(100))]);
    assert_eq!((hedge.snapshot().calls, hedge.snapshot().won), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_functions_error_shows_the_rejection_in_it() {
    let calls = AtomicU32::new(0);
    let answer = fixed()
        .build()
        .expect("valid")
        .call(|_| {
            calls.fetch_add(1, SeqCst);
            let open = Rejected::new(RejectionKind::CircuitOpen, "inside");
            std::future::ready(Err::<(), Error<std::io::Error>>(open.into()))
        })
        .await;
    assert!(answer.is_err());
    assert_eq!(calls.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_functions_result_may_be_judged_otherwise() {
    let calls = AtomicU32::new(0);
    let judge = Plain::classify(|result: &Result<u32, &'static str>| match result {
        Ok(0) => Outcome::failure(Reason::Custom("empty")),
        Ok(_) => Outcome::SUCCESS,
        Err(_) => Outcome::neutral(Reason::Error),
    });
    let hedge = fixed().build().expect("valid");
    let answer = hedge.call_with(judge, |attempt| {
        calls.fetch_add(1, SeqCst);
        std::future::ready(Ok(attempt - 1))
    });
    assert_eq!((answer.await, calls.load(SeqCst)), (Ok(1), 2));
    let answer = hedge.call_with(judge, |_| {
        calls.fetch_add(1, SeqCst);
        std::future::ready(Err("no such item"))
    });
    assert_eq!((answer.await, calls.load(SeqCst)), (Err("no such item"), 3));
}
