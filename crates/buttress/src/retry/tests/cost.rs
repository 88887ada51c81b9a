//! What a call that needs no retry costs.

use super::*;

#[test]
fn a_first_try_that_succeeds_allocates_nothing() {
    let waker = std::task::Waker::noop();
    let mut cx = Context::from_waker(waker);
    let retry = Retry::standard();
    // More calls than pass between two looks at the books.
    let mut service = retry
        .layer()
        .layer(service_fn(|n: u32| ready(Ok::<_, Error<&'static str>>(n))));
    let mut call = || {
        let mut future = std::pin::pin!(service.call(7));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    let used = allocation_counter::measure(|| (0..1000).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
    assert_eq!(retry.snapshot().calls, 1001);
}

#[test]
fn a_function_that_succeeds_at_once_allocates_nothing() {
    let waker = std::task::Waker::noop();
    let mut cx = Context::from_waker(waker);
    let retry = Retry::standard();
    let mut call = || {
        let mut future = std::pin::pin!(retry.call(|n| ready(Ok::<_, std::io::Error>(n))));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    let used = allocation_counter::measure(|| (0..1000).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
}

#[test]
fn attempts_and_waits_share_their_space() {
    type Inner = tower::util::ServiceFn<fn(()) -> std::future::Pending<Answer>>;
    let future = size_of::<RetryFuture<Inner, Plain, crate::replay::Same, ()>>();
    let parts = size_of::<tokio::time::Sleep>() + 176;
    assert!(future <= parts, "{future} bytes, expected at most {parts}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_allocates_nothing_but_its_timer() {
    let script = Script::new([BUSY, BUSY, Ok(1)]);
    let mut service = plain().build().expect("valid").layer().layer(script);
    let _ = service.call(()).await;
}
