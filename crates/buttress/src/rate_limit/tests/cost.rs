//! What a call costs, and a key.

use std::{future::ready, task::Waker};

use tower::service_fn;

use super::*;

/// Allocations made by a call, after one that warms up thread-locals.
fn allocations(mut call: impl FnMut()) -> u64 {
    call();
    allocation_counter::measure(|| (0..100).for_each(|_| call())).count_total
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn nothing_is_allocated_allowed_or_refused() {
    for algorithm in Algorithm::ALL {
        let plenty = match algorithm {
            // It has no burst.
            Algorithm::Leaky => RateLimiter::per_second(100_000_000),
            _ => RateLimiter::per_hour(1_000_000),
        };
        for (builder, is_allowed) in [(plenty, true), (RateLimiter::per_hour(1), false)] {
            let limiter = builder.name("api").algorithm(algorithm).build().expect("valid");
            let _ = limiter.try_acquire(1);
            let inner = service_fn(|n: u32| ready(Ok::<_, Refused>(n)));
            let mut service = limiter.layer().layer(inner);
            let count = allocations(|| {
                let answer = poll(service.call(7));
                assert_eq!(matches!(answer, Poll::Ready(Ok(_))), is_allowed, "{algorithm}");
            });
            assert_eq!(count, 0, "{algorithm}, allowed: {is_allowed}");
        }
    }
}

#[test]
fn a_permit_that_goes_back_allocates_nothing() {
    let limiter = RateLimiter::per_hour(10).build().expect("valid");
    let mut service = limiter.layer().layer(Probe::refusing(RejectionKind::CircuitOpen));
    assert_eq!(allocations(|| drop(poll(service.call(())))), 0);
    assert_eq!(limiter.peek().remaining, 10);
}

#[cfg(feature = "keyed")]
#[test]
fn a_known_key_allocates_nothing() {
    let limiter = RateLimiter::per_hour(50)
        .name("api")
        .keyed()
        .build()
        .expect("valid");
    let layer = limiter.layer_by(crate::Plain::new(), |tenant: &&'static str| {
        Some(Key::from(*tenant))
    });
    let mut service = layer.layer(service_fn(|_| ready(Ok::<_, Refused>(()))));
    assert_eq!(allocations(|| drop(poll(service.call("acme")))), 0);
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.allowed, snapshot.limited), (50, 51));
}

/// A million keys, as the map is when it has just grown and when it is nearly full.
#[cfg(feature = "keyed")]
#[test]
fn a_key_costs_less_than_160_bytes() {
    for keys in [270_000_u64, 1_000_000] {
        let limiter = RateLimiter::per_second(1)
            .max_keys(1_000_000)
            .build()
            .expect("valid");
        let used = allocation_counter::measure(|| {
            for key in 0..keys {
                assert!(limiter.try_acquire_for(key, 1).is_ok());
            }
        });
        let each = used.bytes_current / i64::try_from(keys).expect("few");
        assert!(each < 160 + 8, "{each} bytes, of which the key is 8");
        for key in keys..keys + 1000 {
            let _ = limiter.try_acquire_for(u64::MAX - key, 1);
        }
        let count = limiter.snapshot().keys.expect("keys");
        assert!(count.keys <= 1_000_000 && count.overflowed == (keys / 1_000_000) * 1000);
    }
}

#[test]
fn a_log_costs_eight_bytes_a_permit() {
    let cost = |permits| {
        let rules = rules(&Limit::per_hour(permits), Algorithm::SlidingWindowLog);
        let mut cell = None;
        let used = allocation_counter::measure(|| {
            cell = Some(Cell::new(Algorithm::SlidingWindowLog, &rules));
        });
        used.bytes_current
    };
    assert_eq!(cost(2000) - cost(1000), 8000);
}

#[test]
fn what_does_not_wait_is_small() {
    type Inner = tower::util::ServiceFn<fn(()) -> Ready>;
    type Ready = std::future::Ready<Result<(), Refused>>;
    let future = size_of::<RateLimitFuture<Inner, (), crate::Plain>>();
    let waiting = size_of::<Acquire>();
    assert!(size_of::<Permit>() <= 40);
    assert!(
        future <= waiting + 64,
        "{future} bytes, of which {waiting} to wait"
    );
}
