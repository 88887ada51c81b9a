//! What a call costs that needs no fallback.

use super::*;

/// Allocations of a thousand calls.
fn allocations<S: Service<()>>(service: &mut S) -> u64 {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut call = || {
        let mut future = std::pin::pin!(service.call(()));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    allocation_counter::measure(|| (0..1000).for_each(|_| call())).count_total
}

#[test]
fn a_call_that_succeeds_allocates_nothing() {
    let value = Fallback::value("instead").build().expect("valid");
    assert_eq!(allocations(&mut value.layer().layer(saying(Ok("good")))), 0);
    let function = Fallback::with_async(|_| async { Some("instead") })
        .build()
        .expect("valid");
    assert_eq!(allocations(&mut function.layer().layer(saying(Ok("good")))), 0);
    let part = Fallback::keep(|(): &()| 7_u64).with(|cause| Some(if cause.kept == 7 { "7" } else { "?" }));
    let part = part.build().expect("valid");
    assert_eq!(allocations(&mut part.layer().layer(saying(Ok("good")))), 0);
    let other = Fallback::service(saying(Ok("instead"))).build().expect("valid");
    assert_eq!(allocations(&mut other.layer().layer(saying(Ok("good")))), 0);
}

#[test]
fn nor_does_one_that_is_answered() {
    let value = Fallback::value("instead").build().expect("valid");
    let open = rejected(RejectionKind::CircuitOpen);
    assert_eq!(allocations(&mut value.layer().layer(saying(Err(open)))), 0);
    assert_eq!(value.snapshot().answered, 1001);
}

#[cfg(feature = "http")]
#[test]
fn over_http_neither() {
    use http_body_util::Full;

    let response = http::Response::new("instead");
    let fallback = Fallback::response(response).build().expect("valid");
    let mut service = fallback.layer_for(crate::Http::new()).layer(service_fn(|(): ()| {
        let body = Full::new(bytes::Bytes::from_static(b"good"));
        ready(Ok::<_, Failure>(http::Response::new(body)))
    }));
    assert_eq!(allocations(&mut service), 0);
}

#[test]
fn the_call_and_the_fallback_share_their_space() {
    /// A future that is large.
    struct Large<T>([u64; 64], fn() -> T);

    impl<T> Future for Large<T> {
        type Output = T;

        fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
            assert_eq!(self.0[0], 0);
            Poll::Ready((self.1)())
        }
    }

    let fallback = Fallback::with_async(|_| Large([0; 64], || Some("instead")))
        .build()
        .expect("valid");
    let mut service = fallback.layer().layer(service_fn(|()| Large([0; 64], || BROKEN)));
    let (one, both) = (size_of::<Large<()>>(), size_of_val(&service.call(())));
    assert!(both < one + one / 4, "{both} bytes, one is {one}");
}
