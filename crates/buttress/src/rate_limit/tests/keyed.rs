//! One limit a key.

use std::net::IpAddr;

use tower::ServiceExt;

use super::*;
use crate::outcome::Plain;

const KEYS: usize = 10;

fn keyed(permits: u64) -> RateLimiterBuilder {
    RateLimiter::per_hour(permits)
        .max_keys(KEYS)
        .idle(millis(600_000))
}

fn passes(limiter: &RateLimiter, key: &str) -> bool {
    limiter.try_acquire_for(key, 1).is_ok()
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_limit() {
    let limiter = keyed(2).build().expect("valid");
    for key in ["a", "b"] {
        assert_eq!([1, 2, 3].map(|_| passes(&limiter, key)), [true, true, false]);
    }
    assert_eq!(
        (limiter.peek_for("a").remaining, limiter.peek_for("new").remaining),
        (0, 2)
    );
    let snapshot = limiter.snapshot();
    let keys = snapshot.keys.expect("keys");
    assert_eq!(
        (keys.keys, keys.max_keys, keys.overflowed),
        (2, KEYS, 0),
        "a look makes no place"
    );
    assert_eq!((snapshot.allowed, snapshot.limited), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_and_overlong_keys_share_one() {
    let limiter = keyed(2).build().expect("valid");
    let overlong = "x".repeat(257);
    assert!(limiter.try_acquire(1).is_ok());
    assert!(passes(&limiter, &overlong));
    assert!(limiter.try_acquire(1).is_err());
    assert_eq!(limiter.peek_for(&*overlong).remaining, 0);
    assert_eq!(limiter.snapshot().keys.expect("keys").keys, 0);
}

/// governor#171: the map grew for ever. Here whoever makes up keys gets what one key gets, and pushes nobody out.
#[tokio::test(start_paused = true)]
async fn a_stream_of_made_up_keys_gets_one_limit_and_evicts_nobody_who_is_over_his() {
    let (limiter, mut made_up) = (keyed(2).build().expect("valid"), 0..);
    while passes(&limiter, "mallory") {}
    let mut passed = 0;
    for _ in 0..29 {
        for _ in 0..100 {
            passed += usize::from(passes(
                &limiter,
                &format!("made up {}", made_up.next().unwrap_or(0)),
            ));
        }
        // Well past every sweep: what is idle leaves, and what is over its limit does not.
        advance(millis(60_000)).await;
        assert!(!passes(&limiter, "mallory"));
    }
    let keys = limiter.snapshot().keys.expect("keys");
    assert_eq!(keys.keys, KEYS);
    assert!(keys.overflowed > 2000, "{keys:?}");
    // In nine places one each, for no key comes twice; the one that all others share has two, and one more in the time.
    assert_eq!(passed, 9 + 2, "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_as_good_as_new_leave_when_others_come() {
    for algorithm in super::super::Algorithm::ALL {
        let limiter = RateLimiter::per_second(1)
            .algorithm(algorithm)
            .max_keys(KEYS)
            .idle(millis(60_000))
            .build()
            .expect("valid");
        for key in 0..KEYS as u64 {
            limiter.try_acquire_for(key, 1).expect("new");
        }
        for _ in 0..3 {
            advance(millis(61_000)).await;
            limiter.try_acquire_for("newcomer", 1).expect("room");
        }
        assert_eq!(limiter.snapshot().keys.expect("keys").keys, 1, "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_call_is_under_way_or_waits_stays() {
    let limiter = RateLimiter::per_second(1)
        .max_keys(2)
        .idle(millis(10))
        .max_wait(millis(5000));
    let limiter = limiter.build().expect("valid");
    let permit = limiter.try_acquire_for("slow", 1).expect("new");
    for turn in 0..5 {
        advance(millis(2000)).await;
        let _ = limiter.try_acquire_for(turn, 1);
    }
    limiter.try_acquire_for("slow", 1).expect("it has come back");
    permit.give_back();
    assert!(
        limiter.try_acquire_for("slow", 1).is_err(),
        "what is given back late is worth nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_given_up_while_a_call_is_decided_lets_nothing_through_twice() {
    use crate::keyed::Evictable;
    for algorithm in Algorithm::ALL {
        let tariff = Arc::new(tariff::Tariff::new(
            Limit::per_hour(1),
            algorithm,
            crate::clock::now(),
        ));
        let spot = Arc::new(spot::Spot::new(tariff));
        // A call has found it, and is asleep.
        let asleep = spot.clone();
        assert!(!spot.retire(crate::clock::now()), "it is held");
        assert!(asleep.charge(0, 1).is_ok());
        drop(asleep);
        assert!(
            !spot.retire(crate::clock::now()),
            "{algorithm}: it is not as good as new"
        );
        advance(millis(7_200_000)).await;
        assert!(spot.retire(crate::clock::now()));
        assert!(spot.retire(crate::clock::now()));
        assert_eq!(spot.charge(7200 * SECOND, 1), Err(NotNow::Sealed), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_may_have_a_limit_of_its_own_and_it_may_change() {
    let limiter = keyed(2)
        .limit_for("gold", Limit::per_hour(5))
        .build()
        .expect("valid");
    let count = |key: &str| (0..20).filter(|_| passes(&limiter, key)).count();
    assert_eq!((count("gold"), count("other")), (5, 2));
    // What was taken stays taken.
    limiter.set_limit_for("gold", Limit::per_hour(7)).expect("valid");
    assert_eq!(count("gold"), 2);
    assert_eq!(limiter.peek_for("gold").limit, 7);
    limiter.set_limit_for("other", Limit::per_hour(3)).expect("valid");
    assert_eq!(count("other"), 3, "a limit of its own begins anew");
    limiter.set_limit_for("gold", None).expect("valid");
    assert_eq!(count("gold"), 2);
    let error = limiter.set_limit_for("x", Limit::per_hour(0)).expect_err("none");
    assert_eq!(error.problems()[0].key(), "rate");
    // That of all the others does not touch it.
    let faster = limiter.options().rate(4, millis(3_600_000));
    limiter.reconfigure(faster).expect("valid");
    assert_eq!(
        (limiter.peek_for("other").limit, limiter.peek_for("new").limit),
        (3, 4)
    );
    assert_eq!(limiter.peek_for("gold").limit, 4);
}

/// governor#171 again: an IPv6 customer has 2⁶⁴ addresses.
#[test]
fn addresses_are_limited_by_their_network() {
    let key = |text: &str| Key::from(text.parse::<IpAddr>().expect("an address"));
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(
        key("192.0.2.1"),
        key("::ffff:192.0.2.1"),
        "the same, by another socket"
    );
    assert_ne!(key("::1"), key("0.0.0.1"));
}

#[tokio::test(start_paused = true)]
async fn a_closure_finds_the_key() {
    let limiter = keyed(1).build().expect("valid");
    let layer = limiter.layer_by(Plain::new(), |tenant: &&'static str| match *tenant {
        "" => None,
        tenant => Some(Key::from(tenant)),
    });
    let service = layer.layer(Probe::answering());
    for (tenant, passes) in [("a", true), ("b", true), ("", true), ("a", false), ("", false)] {
        assert_eq!(service.clone().oneshot(tenant).await.is_ok(), passes, "{tenant}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_line() {
    let limiter = RateLimiter::per_second(1)
        .keyed()
        .max_wait(millis(3000))
        .build()
        .expect("valid");
    for key in ["a", "b"] {
        limiter.try_acquire_for(key, 1).expect("new");
    }
    let started = crate::clock::now();
    let (a, b) = tokio::join!(limiter.acquire_for("a", 1), limiter.acquire_for("b", 1));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(crate::clock::now() - started, millis(1000));
    assert_eq!(limiter.snapshot().waited, 2);
}
