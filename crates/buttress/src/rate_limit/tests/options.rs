//! Options: checked, read from files, changed under way.

use std::sync::Mutex;

use super::*;
use crate::{
    config,
    registry::{Drill, DrillError, PolicyChanged, Registry},
    value::{Table, Value},
};

fn problems(builder: RateLimiterBuilder) -> Vec<String> {
    let error = builder.build().expect_err("nonsense");
    error.problems().iter().map(|p| p.key().to_owned()).collect()
}

#[test]
fn nonsense_is_refused_and_all_of_it_at_once() {
    assert_eq!(problems(RateLimiter::builder()), ["rate"]);
    assert_eq!(problems(RateLimiter::per_second(0).burst(0)), ["rate", "burst"]);
    assert_eq!(problems(RateLimiter::builder().rate(1, Duration::ZERO)), ["per"]);
    assert_eq!(problems(RateLimiter::per_second(100_000_001)), ["rate"]);
    assert_eq!(problems(RateLimiter::per_hour(1).burst(10_000_000)), ["burst"]);
    assert_eq!(
        problems(RateLimiter::per_second(1).max_wait(millis(86_400_001))),
        ["max_wait"]
    );
    let with = |algorithm| RateLimiter::per_second(1).algorithm(algorithm);
    assert_eq!(problems(with(Algorithm::Leaky).burst(2)), ["burst"]);
    assert_eq!(
        problems(with(Algorithm::SlidingWindowLog).rate(1_000_001, millis(1000))),
        ["rate"]
    );
    assert_eq!(
        problems(with(Algorithm::SlidingWindowCounter).rate(8_388_608, millis(1000))),
        ["rate"]
    );
    #[cfg(feature = "keyed")]
    assert_eq!(
        problems(
            with(Algorithm::TokenBucket)
                .max_keys(0)
                .idle(Duration::ZERO)
                .limit_for("a", Limit::per_second(0))
        ),
        ["max_keys", "idle", "limit_for.rate"]
    );
}

#[test]
fn the_largest_limits_are_kept_too() {
    for algorithm in [
        Algorithm::SlidingWindowLog,
        Algorithm::SlidingWindowCounter,
        Algorithm::TokenBucket,
    ] {
        let permits = if algorithm == Algorithm::SlidingWindowLog {
            1_000_000
        } else {
            8_388_607
        };
        let limiter = RateLimiter::per_hour(permits)
            .algorithm(algorithm)
            .build()
            .expect("valid");
        limiter.try_acquire(permits as u32).expect("all of it");
        assert!(limiter.try_acquire(1 << 20).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_stays_taken_when_the_rate_changes() {
    for algorithm in Algorithm::ALL {
        let limiter = RateLimiter::per_hour(10)
            .algorithm(algorithm)
            .build()
            .expect("valid");
        limiter
            .try_acquire(if algorithm == Algorithm::Leaky { 1 } else { 10 })
            .expect("new");
        let halved = limiter.options().rate(5, millis(3_600_000));
        limiter.reconfigure(halved).expect("valid");
        assert!(limiter.try_acquire(1).is_err(), "{algorithm}");
        let more = limiter.options().rate(20, millis(3_600_000));
        limiter.reconfigure(more).expect("valid");
        let left = limiter.peek().remaining;
        match algorithm {
            Algorithm::Leaky => assert_eq!(left, 0),
            // Five were all that the smaller limit knew of.
            _ => assert_eq!(left, 15, "{algorithm}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_built_in_cannot_be_changed() {
    let limiter = RateLimiter::per_second(7).name("api").build().expect("valid");
    let other = limiter
        .options()
        .algorithm(Algorithm::Leaky)
        .rate(8, millis(1000));
    let error = limiter.reconfigure(other).expect_err("another algorithm");
    assert_eq!(error.problems()[0].key(), "algorithm");
    assert_eq!(
        limiter.snapshot().limit,
        Limit::per_second(7),
        "nothing is changed"
    );
    assert_eq!(limiter.options(), RateLimiter::per_second(7).name("api"));
    #[cfg(feature = "keyed")]
    assert!(limiter.reconfigure(limiter.options().max_keys(7)).is_err());
}

#[test]
fn a_file_says_it_all() {
    let table = Table::new()
        .with("algorithm", "token_bucket")
        .with("rate", 100_u64)
        .with("per", "1s")
        .with("burst", 200_u64)
        .with("max_wait", "2s")
        .with("headers", true);
    let options = config::read(&table, RateLimiterBuilder::read).expect("valid");
    let expected = RateLimiter::per_second(100)
        .burst(200)
        .max_wait(millis(2000))
        .headers(true);
    assert_eq!(options, expected);
    for algorithm in Algorithm::ALL {
        let table = Table::new()
            .with("algorithm", algorithm.as_str())
            .with("rate", 5_u64)
            .with("per", "1m");
        let options = config::read(&table, RateLimiterBuilder::read).expect("valid");
        assert_eq!(options, RateLimiter::per_minute(5).algorithm(algorithm));
    }
}

#[cfg(all(feature = "keyed", feature = "http"))]
#[test]
fn a_file_says_where_the_key_is() {
    use std::num::NonZeroU8;
    let read = |key: Value| {
        let table = Table::new()
            .with("rate", 1_u64)
            .with("key", key)
            .with("max_keys", 7_u64)
            .with("idle", "3m");
        config::read(&table, RateLimiterBuilder::read)
    };
    let expected = |by| {
        RateLimiter::per_second(1)
            .key_by(by)
            .max_keys(7)
            .idle(millis(180_000))
    };
    for (key, by) in [
        (
            Table::new().with("header", "X-Api-Key").into(),
            KeyBy::Header(http::HeaderName::from_static("x-api-key")),
        ),
        (
            Table::new().with("forwarded_for", 2_u64).into(),
            KeyBy::ForwardedFor(NonZeroU8::new(2).expect("two")),
        ),
        (Table::new().with("peer_ip", true).into(), KeyBy::PeerIp),
        ("peer_ip".into(), KeyBy::PeerIp),
        ("extension".into(), KeyBy::Extension),
        ("route".into(), KeyBy::Route),
        ("grpc_method".into(), KeyBy::GrpcMethod),
    ] {
        assert_eq!(read(key).expect("valid"), expected(by));
    }
    for (key, problem) in [
        (Value::from(Table::new().with("headr", "x")), "key.headr"),
        (
            Table::new().with("forwarded_for", 0_u64).into(),
            "key.forwarded_for",
        ),
        (Table::new().with("header", "no header").into(), "key.header"),
        (Table::new().with("header", "a").with("route", true).into(), "key"),
        ("peer".into(), "key"),
    ] {
        let error = read(key).expect_err(problem);
        assert_eq!(error.problems()[0].key(), problem, "{error}");
    }
    let table = Table::new().with("rate", 1_u64).with("max_keys", 7_u64);
    let error = config::read(&table, RateLimiterBuilder::read).expect_err("no key");
    assert_eq!(error.problems()[0].key(), "max_keys");
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_drills_and_hears_it() {
    let registry = Registry::new();
    let limiter = RateLimiter::per_minute(1).name("api").build().expect("valid");
    registry.register("api", &limiter);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = heard.clone();
    let asked = limiter.clone();
    limiter.listen(move |event| {
        // A listener may ask the limiter.
        let _ = asked.snapshot();
        ears.lock().expect("no panic").push(event.to_string());
    });
    for _ in 0..5 {
        let _ = limiter.try_acquire(1);
    }
    let state = registry.snapshot();
    let of = |name| state.at(&["api", "rateLimit", name]).and_then(Value::as_u64);
    assert_eq!(
        (of("allowed"), of("limited"), of("remaining")),
        (Some(1), Some(4), Some(0))
    );
    assert_eq!(
        *heard.lock().expect("no panic"),
        ["rate_limit `api`: the limit is reached, calls are refused"]
    );

    registry.drill("api", &Drill::Reset).expect("it can be reset");
    assert_eq!(limiter.peek().remaining, 1);
    registry
        .drill("api", &Drill::Disable)
        .expect("it can be disabled");
    assert!((0..5).all(|_| limiter.try_acquire(1).is_ok()));
    assert_eq!(
        registry.drill("api", &Drill::ForceOpen),
        Err(DrillError::Unsupported)
    );

    limiter
        .reconfigure(limiter.options().max_wait(millis(1)))
        .expect("valid");
    assert!(
        heard
            .lock()
            .expect("no panic")
            .last()
            .is_some_and(|e| e.contains(&PolicyChanged.to_string()))
    );
}

#[test]
fn it_is_named_once() {
    let limiter = RateLimiter::per_second(1).build().expect("valid");
    assert_eq!(&*limiter.name(), "rate_limit");
    for name in ["payments", "other"] {
        limiter.name_if_unnamed(&name.into());
    }
    assert_eq!(&*limiter.name(), "payments");
    let _ = limiter.try_acquire(1);
    assert_eq!(limiter.try_acquire(1).expect_err("used up").policy(), "payments");
}

/// A change that a call meets before anybody has brought the state under the new rule.
#[test]
fn a_call_that_meets_a_change_first_makes_it() {
    for algorithm in Algorithm::ALL {
        let [before, after] = [Limit::new(8, millis(1000)), Limit::new(8, millis(7000))];
        let rules = rules(&before, algorithm);
        let [cell, refreshed] = [0, 1].map(|_| Cell::new(algorithm, &rules));
        for cell in [&cell, &refreshed] {
            while cell.charge(&rules, SECOND, 1).is_ok() {}
        }
        rules.change(Rule::of(&after, algorithm));
        refreshed.refresh(&rules, SECOND);
        for now in [SECOND, 2 * SECOND, 3 * SECOND, 8 * SECOND] {
            assert_eq!(
                cell.charge(&rules, now, 1),
                refreshed.charge(&rules, now, 1),
                "{algorithm} at {now}"
            );
        }
    }
}

#[test]
fn the_defaults_are_those_that_the_setters_tell() {
    let options = RateLimiterBuilder::default();
    assert_eq!(
        (options.permits, options.per, options.burst),
        (None, millis(1000), None)
    );
    assert_eq!(options.algorithm, Algorithm::TokenBucket);
    assert_eq!((options.max_wait, options.headers), (Duration::ZERO, false));
    #[cfg(feature = "keyed")]
    {
        let keys = options.keyed().keys.expect("keys");
        assert_eq!((keys.max_keys, keys.idle), (100_000, millis(600_000)));
        assert_eq!((keys.by, keys.limits.len()), (None, 0));
    }
}

#[test]
fn who_asks_for_more_than_there_can_ever_be_is_told_so() {
    let limiter = RateLimiter::per_second(10).name("api");
    let limiter = limiter.build().expect("valid");
    let refused = limiter.try_acquire(11).expect_err("a bucket of ten");
    assert_eq!(
        refused.to_string(),
        "rate limit `api` never has more than 10 permits at once: ask for fewer"
    );
    assert_eq!(
        (refused.http_status(), refused.grpc_code(), refused.retry_after()),
        (400, 3, None)
    );
}
