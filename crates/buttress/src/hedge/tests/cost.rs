//! What a call that is not hedged costs.

use super::*;

fn allocated(mut call: impl FnMut()) -> u64 {
    call();
    // More calls than pass between two looks at the books and at the latencies.
    allocation_counter::measure(|| (0..1000).for_each(|_| call())).count_total
}

#[test]
fn a_call_that_is_answered_at_once_allocates_nothing() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for options in [Hedge::builder(), fixed()] {
        let hedge = options.build().expect("valid");
        let mut service = hedge.layer().layer(service_fn(|n: u32| {
            std::future::ready(Ok::<_, Error<&'static str>>(n))
        }));
        // No runtime: a timer would panic.
        let used = allocated(|| {
            let mut future = std::pin::pin!(service.call(7));
            assert!(future.as_mut().poll(&mut cx).is_ready());
        });
        assert_eq!((used, hedge.snapshot().calls), (0, 1001));
        let used = allocated(|| {
            let mut future = std::pin::pin!(hedge.call(|n| std::future::ready(Ok::<_, std::io::Error>(n))));
            assert!(future.as_mut().poll(&mut cx).is_ready());
        });
        assert_eq!((used, hedge.snapshot().calls), (0, 2002));
    }
}

#[test]
fn an_answer_at_once_is_a_latency_too() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let hedge = Hedge::new();
    for _ in 0..200 {
        let mut future = std::pin::pin!(hedge.call(|n| std::future::ready(Ok::<_, std::io::Error>(n))));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(hedge.snapshot().delay, Some(ms(1)), "the shortest that there is");
}

/// Waits once, without allocating.
fn slow(
    takes: Duration,
) -> impl Service<(), Response = u32, Error = Error<&'static str>, Future: Send> + Clone {
    service_fn(move |()| async move {
        tokio::time::sleep(takes).await;
        Ok(1)
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_allocates_nothing_and_one_that_is_hedged_its_second_attempt() {
    for (takes, hedges) in [(50, 0), (150, 1)] {
        let hedge = fixed().build().expect("valid");
        let mut service = hedge.layer().layer(slow(ms(takes)));
        let _ = service.call(()).await;
        let before = hedge.snapshot().hedges;
        let mut call = tokio_test::task::spawn(());
        let mut future = std::pin::pin!(service.call(()));
        let mut used = 0;
        loop {
            let mut polled = Poll::Pending;
            used += allocation_counter::measure(|| polled = call.enter(|cx, _| future.as_mut().poll(cx)))
                .count_total;
            if polled.is_ready() {
                break;
            }
            tokio::time::advance(ms(30)).await;
        }
        assert_eq!((used, hedge.snapshot().hedges - before), (hedges, hedges));
    }
}

#[test]
fn there_is_room_for_one_attempt() {
    type Inner = tower::util::ServiceFn<fn(()) -> std::future::Pending<Answer>>;
    let future = size_of::<HedgeFuture<Inner, Plain, crate::replay::Same, ()>>();
    let parts = size_of::<tokio::time::Sleep>() + 200;
    assert!(future <= parts, "{future} bytes, expected at most {parts}");
    type Large = tower::util::ServiceFn<fn(()) -> std::future::Ready<Result<[u64; 64], Error<[u64; 64]>>>>;
    let future = size_of::<HedgeFuture<Large, Plain, crate::replay::Same, ()>>();
    let parts = size_of::<tokio::time::Sleep>() + (64 * 8 + 16) + 200;
    assert!(future <= parts, "{future} bytes, expected at most {parts}");
}
