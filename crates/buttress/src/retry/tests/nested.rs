//! A retry inside of a retry.

use super::*;
use crate::CallContext;

#[tokio::test(start_paused = true)]
async fn three_layers_of_three_attempts_are_three_calls() {
    let script = Script::new([BUSY]);
    let layer = || plain().budget(None).build().expect("valid").layer();
    let service = layer().layer(layer().layer(layer().layer(script.clone())));
    assert_eq!(service.oneshot(()).await, BUSY);
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_in_a_function_that_is_retried_makes_one_attempt() {
    let calls = AtomicU32::new(0);
    let (outer, inner) = (Retry::standard(), Retry::standard());
    let answer = outer.call(async |_| {
        tokio::task::yield_now().await;
        inner
            .call(async |_| {
                calls.fetch_add(1, SeqCst);
                Err::<(), _>(std::io::Error::other("busy"))
            })
            .await
    });
    assert!(answer.await.is_err());
    assert_eq!(calls.load(SeqCst), 3);
    assert_eq!((inner.snapshot().calls, inner.snapshot().retries), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn beside_a_retry_there_may_be_another() {
    let (one, other) = (Script::new([BUSY]), Script::new([BUSY]));
    let (answer, _) = called(plain(), &one).await;
    assert_eq!(answer, BUSY);
    let _ = called(plain(), &other).await;
    let (third, fourth) = (Script::new([BUSY]), Script::new([BUSY]));
    let _ = tokio::join!(called(plain(), &third), called(plain(), &fourth));
    for script in [one, other, third, fourth] {
        assert_eq!(script.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn inside_of_a_retry_that_repeats_nothing_another_may() {
    let script = Script::new([BUSY]);
    let inner = plain().build().expect("valid").layer().layer(script.clone());
    let service = Retry::none().layer().layer(inner);
    assert_eq!(service.oneshot(()).await, BUSY);
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn inner_layers_see_the_attempt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let service = service_fn(move |()| {
        let at_call = CallContext::current().map(|c| c.attempt());
        let see = see.clone();
        async move {
            tokio::task::yield_now().await;
            let polled = CallContext::current().map(|c| c.attempt());
            see.lock().expect("no panic").push((at_call, polled));
            BUSY
        }
    });
    let retry = plain().build().expect("valid");
    let _ = retry.layer().layer(service).oneshot(()).await;
    let numbers: Vec<_> = (1..=3).map(|n| (Some(n), Some(n))).collect();
    assert_eq!(*seen.lock().expect("no panic"), numbers);
    assert!(CallContext::current().is_none(), "and nobody else does");
}

#[tokio::test(start_paused = true)]
async fn the_tally_of_the_call_has_every_attempt() {
    let context = CallContext::new();
    let tally = context.tally().clone();
    let script = Script::new([BUSY, BUSY, Ok(1)]);
    let layer = || plain().build().expect("valid").layer();
    let service = layer().layer(layer().layer(script));
    let _ = context.scope(service.oneshot(())).await;
    assert_eq!(tally.attempts(), 3);
}
