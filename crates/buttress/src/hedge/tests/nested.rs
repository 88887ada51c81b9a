//! A hedge among other layers that repeat calls.

use super::*;

fn hedged<S>(inner: S) -> HedgeService<S> {
    fixed().build().expect("valid").layer().layer(inner)
}

#[tokio::test(start_paused = true)]
async fn three_layers_of_hedges_are_two_calls() {
    let script = Script::new([(1000, Ok(1))]);
    let service = hedged(hedged(hedged(script.clone())));
    assert_eq!(service.oneshot(()).await, Ok(1));
    assert_eq!((script.calls(), script.delays()), (2, vec![100]));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_in_a_function_that_is_hedged_makes_one_attempt() {
    let calls = AtomicU32::new(0);
    let (outer, inner) = (fixed().build().expect("valid"), fixed().build().expect("valid"));
    let answer = outer.call(async |_| {
        tokio::task::yield_now().await;
        inner
            .call(async |_| {
                calls.fetch_add(1, SeqCst);
                tokio::time::sleep(ms(1000)).await;
                Ok::<_, std::io::Error>(())
            })
            .await
    });
    assert!(answer.await.is_ok());
    assert_eq!(calls.load(SeqCst), 2);
    assert_eq!((inner.snapshot().calls, inner.snapshot().hedges), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn beside_a_hedge_there_may_be_another() {
    let (one, other) = (Script::new([(1000, Ok(1))]), Script::new([(1000, Ok(1))]));
    let _ = tokio::join!(called(fixed(), &one), called(fixed(), &other));
    let third = Script::new([(1000, Ok(1))]);
    let _ = called(fixed(), &third).await;
    for script in [one, other, third] {
        assert_eq!(script.calls(), 2);
    }
    assert!(CallContext::current().is_none());
}

#[tokio::test(start_paused = true)]
async fn inner_layers_see_the_second_attempt_in_call_and_in_poll() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let service = service_fn(move |()| {
        let number = || CallContext::current().map(|c| (c.attempt(), c.is_repeated(), c.is_hedged()));
        let at_call = number();
        let see = see.clone();
        async move {
            tokio::time::sleep(ms(150)).await;
            assert_eq!(number(), at_call);
            see.lock().expect("no panic").push(at_call);
            BUSY
        }
    });
    let _ = hedged(service).oneshot(()).await;
    assert_eq!(
        *seen.lock().expect("no panic"),
        [Some((1, true, true)), Some((2, true, true))]
    );
    assert!(CallContext::current().is_none(), "and nobody else does");
}

#[tokio::test(start_paused = true)]
async fn the_tally_of_the_call_has_both_attempts() {
    let context = CallContext::new();
    let tally = context.tally().clone();
    let script = Script::new([(1000, Ok(1))]);
    let service = hedged(hedged(script));
    let _ = context.scope(service.oneshot(())).await;
    assert_eq!(tally.attempts(), 2);

    let context = CallContext::new();
    let tally = context.tally().clone();
    let hedge = fixed().build().expect("valid");
    let call = hedge.call(async |_| {
        tokio::time::sleep(ms(1000)).await;
        Ok::<_, std::io::Error>(())
    });
    assert!(context.scope(call).await.is_ok());
    assert_eq!(tally.attempts(), 2);
}

#[cfg(feature = "retry")]
mod with_retry {
    use super::*;
    use crate::retry::{Jitter, Retry, RetryService};

    fn retried<S>(inner: S) -> RetryService<S> {
        let retry = Retry::builder().jitter(Jitter::None).build().expect("valid");
        retry.layer().layer(inner)
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_of_a_retry_outside_may_be_hedged() {
        // The first attempt and its hedge fail, so do the second and its; the third is slow, its hedge is not.
        let script = Script::new([
            (150, BUSY),
            (10, BUSY),
            (150, BUSY),
            (10, BUSY),
            (1000, Ok(5)),
            (10, Ok(6)),
        ]);
        let service = retried(hedged(script.clone()));
        assert_eq!(service.oneshot(()).await, Ok(6));
        assert_eq!(script.calls(), 6);
        assert_eq!(script.delays(), [100, 250, 350, 600, 700]);
        let numbers = [1, 2, 2, 3, 3, 4].map(Some);
        assert_eq!(
            script.attempts(),
            numbers,
            "a hedge is one more than what it is beside"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_outside_sees_a_failure_as_if_there_were_no_hedge() {
        let refused = rejected(RejectionKind::QueueTimeout);
        let script = Script::new([(150, BUSY), (100, refused), (0, Ok(3))]);
        let service = retried(hedged(script.clone()));
        assert_eq!(service.oneshot(()).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_inside_makes_one_attempt_each() {
        let script = Script::new([(150, BUSY)]);
        let service = hedged(retried(script.clone()));
        assert_eq!(service.oneshot(()).await, BUSY);
        assert_eq!((script.calls(), script.delays()), (2, vec![100]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_tally_is_counted_once() {
        let context = CallContext::new();
        let tally = context.tally().clone();
        let script = Script::new([(20, BUSY), (20, BUSY), (1000, Ok(1))]);
        let service = retried(hedged(script.clone()));
        let _ = context.scope(service.oneshot(())).await;
        assert_eq!((tally.attempts(), script.calls()), (4, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hedge_between_two_retries_and_one_within_it_multiply_nothing() {
        let script = Script::new([(150, BUSY)]);
        let service = retried(hedged(retried(hedged(script.clone()))));
        assert_eq!(service.oneshot(()).await, BUSY);
        assert_eq!(script.calls(), 6, "three attempts, each hedged");
    }
}
