//! Who may be chosen, and who may not.

use super::*;
use crate::registry::Drill;

#[tokio::test(start_paused = true)]
async fn an_empty_pool_refuses_at_once() {
    let pool = Pool::<TestNode>::builder()
        .name("upstream")
        .build()
        .expect("valid");
    let began = clock::now();
    let rejected = match call(&pool).await {
        Err(Error::Rejected(rejected)) => rejected,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (rejected.kind(), rejected.http_status()),
        (RejectionKind::NoEndpoint, 503)
    );
    assert_eq!(rejected.policy(), "upstream");
    assert_eq!(clock::now(), began);
    assert_eq!(pool.snapshot().no_endpoint, 1);
}

/// tower's PeakEwma with P2C gave such an endpoint 999 of 1000 calls.
async fn share_of_the_fast_failure(strategy: Strategy, guard: bool, callers: usize, pause: Duration) -> f64 {
    let (nodes, mut builder) = nodes::<3>(ms(20));
    nodes[1].fails().takes(ms(1));
    if guard {
        builder = builder.breaker(breaker());
    }
    let pool = builder.balance(strategy).failover(0).build().expect("valid");
    let each = 6000 / callers;
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let _ = call(&pool).await;
                    tokio::time::sleep(pause).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    let all: usize = nodes.iter().map(TestNode::calls).sum();
    nodes[1].calls() as f64 / all as f64
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_that_fails_fastest_gets_next_to_nothing() {
    for strategy in WATCHFUL {
        for (callers, pause) in [
            (1, ms(0)),
            (10, ms(0)),
            (100, ms(0)),
            (10, ms(300)),
            (10, secs(1)),
        ] {
            let share = share_of_the_fast_failure(strategy.clone(), false, callers, pause).await;
            assert!(
                share < 0.01,
                "{strategy:?}, {callers} callers, {pause:?}: {share}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_breakers_no_strategy_gives_it_more() {
    for strategy in STRATEGIES {
        let share = share_of_the_fast_failure(strategy.clone(), true, 10, ms(0)).await;
        assert!(share < 0.01, "{strategy:?}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_or_knows_nothing_fast_is_not_thought_fast() {
    let limited = || Err(Rejected::new(RejectionKind::RateLimited, "its own limit").into());
    for strategy in [Strategy::P2cEwma, Strategy::Score] {
        let (nodes, builder) = nodes::<2>(ms(20));
        nodes[0].answers(limited()).takes(ms(1));
        let pool = builder
            .balance(strategy.clone())
            .failover(0)
            .build()
            .expect("valid");
        // It was slower once: refusals do not make it the faster one.
        nodes[0].works().takes(ms(40));
        calls(&pool, 20).await;
        let known = pool.snapshot().endpoint("0").and_then(|e| e.average_latency);
        nodes[0].answers(limited()).takes(ms(1));
        nodes[0].forget_calls();
        for _ in 0..50 {
            let lease = pool.try_acquire().expect("one is well");
            let outcome = if lease.endpoint() == "0" {
                Outcome::neutral(Reason::Rejected(RejectionKind::RateLimited))
            } else {
                Outcome::SUCCESS
            };
            lease.record(outcome);
        }
        let state = pool.snapshot();
        let limited = state.endpoint("0").expect("it is there");
        assert_eq!(limited.average_latency, known, "{strategy:?}");
        assert_eq!(
            (limited.failure, limited.success_rate),
            (0, 1.0),
            "rejections are neutral"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_endpoint_is_passed_over_and_probed_once_its_time_is_over() {
    for strategy in STRATEGIES {
        let (nodes, builder) = nodes::<3>(ms(20));
        let pool = builder
            .balance(strategy.clone())
            .breaker(breaker())
            .build()
            .expect("valid");
        nodes[0].fails();
        let outcome = Outcome::failure(Reason::Error);
        pool.drill("0", &Drill::Record { outcome, times: 3 })
            .expect("it has a breaker");
        assert_eq!(
            pool.snapshot().endpoint("0").map(|e| e.phase),
            Some(Phase::Failed),
            "{strategy:?}"
        );
        nodes[0].forget_calls();
        calls(&pool, 100).await;
        assert_eq!(nodes[0].calls(), 0, "{strategy:?}: its time is not over");
        // Nobody checks its health: a call finds out.
        tokio::time::sleep(secs(10)).await;
        nodes[0].works();
        calls(&pool, 50).await;
        assert_eq!(
            pool.snapshot().endpoint("0").map(|e| e.phase),
            Some(Phase::Up),
            "{strategy:?}"
        );
        assert_eq!(pool.snapshot().recoveries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_endpoint_gets_is_the_probes_alone() {
    let (nodes, builder) = nodes::<3>(ms(10));
    let pool = builder
        .balance(Strategy::RoundRobin)
        .breaker(breaker().half_open_probes(1))
        .build()
        .expect("valid");
    nodes[2].fails();
    calls(&pool, 10).await;
    assert_eq!(nodes[2].calls(), 3);
    for _ in 0..100 {
        for _ in 0..20 {
            assert!(call(&pool).await.is_ok());
        }
        tokio::time::sleep(secs(1)).await;
    }
    // One each ten seconds.
    assert!((4..=14).contains(&nodes[2].calls()), "{}", nodes[2].calls());
}

#[tokio::test(start_paused = true)]
async fn the_last_probe_is_given_once_and_others_choose_again() {
    let (nodes, builder) = nodes::<2>(ms(50));
    let one = breaker().half_open_probes(1).success_threshold(1);
    let pool = builder
        .balance(Strategy::RoundRobin)
        .failover(0)
        .breaker(one)
        .build()
        .expect("valid");
    pool.drill("0", &Drill::Open).expect("it has a breaker");
    tokio::time::sleep(secs(10)).await;
    let running: Vec<_> = (0..20)
        .map(|_| tokio::spawn(pool.service().oneshot(())))
        .collect();
    for call in running {
        // Refused by the breaker would be an error here.
        assert!(call.await.expect("no panic").is_ok());
    }
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (1, 19));
}

#[tokio::test(start_paused = true)]
async fn one_that_asked_for_less_is_left_alone_until_then() {
    let throttled = |after| Outcome::from(crate::Verdict::Throttled).with_retry_after(Some(after));
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .max_retry_after(secs(30))
        .endpoint("a", 1)
        .endpoint("b", 2)
        .build()
        .expect("valid");
    for (asked, obeyed) in [(secs(5), secs(5)), (secs(3600), secs(30))] {
        let lease = pool.try_acquire().expect("an endpoint");
        let (other, name) = (3 - *lease, lease.endpoint().to_owned());
        lease.record(throttled(asked));
        assert!(
            pool.snapshot()
                .endpoint(&name)
                .is_some_and(|e| e.throttled && !e.usable)
        );
        tokio::time::sleep(obeyed - ms(1)).await;
        for _ in 0..10 {
            assert_eq!(*pool.try_acquire().expect("the other"), other);
        }
        tokio::time::sleep(ms(1)).await;
        let chosen: Vec<_> = (0..10)
            .map(|_| *pool.try_acquire().expect("an endpoint"))
            .collect();
        assert!(chosen.contains(&(3 - other)), "{asked:?}: {chosen:?}");
    }
    // Without a time it is only a mark against it.
    pool.try_acquire()
        .expect("an endpoint")
        .record(crate::Verdict::Throttled.into());
    assert_eq!(pool.snapshot().usable(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_there_may_be_an_endpoint() {
    let (nodes, builder) = nodes::<2>(ms(1));
    nodes.iter().for_each(|node| {
        node.fails();
    });
    let pool = builder.breaker(breaker()).build().expect("valid");
    calls(&pool, 10).await;
    let began = clock::now();
    let refused = call(&pool).await;
    assert_eq!(kind(&refused), Some(RejectionKind::NoEndpoint));
    assert_eq!(clock::now(), began, "at once");
    let after = refused
        .err()
        .and_then(|e| e.rejected().and_then(Rejected::retry_after));
    let after = after.expect("it is known");
    assert!(after > secs(9) && after <= secs(10), "{after:?}");
    // One that was shut by hand stays so until somebody opens it.
    for name in ["0", "1"] {
        pool.drill(name, &Drill::ForceOpen).expect("it has a breaker");
    }
    let refused = call(&pool).await;
    assert_eq!(
        refused
            .err()
            .and_then(|e| e.rejected().and_then(Rejected::retry_after)),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn no_choice_fails_while_one_is_well() {
    for strategy in STRATEGIES {
        let endpoints = (0..20).map(|i| Endpoint::new(i.to_string(), i));
        let pool = Pool::builder()
            .balance(strategy.clone())
            .breaker(breaker())
            .extend(endpoints)
            .build()
            .expect("valid");
        for well in 0..20 {
            for i in (0..20).filter(|i| *i != well) {
                pool.drill(&i.to_string(), &Drill::ForceOpen)
                    .expect("it has a breaker");
            }
            pool.drill(&well.to_string(), &Drill::Reset)
                .expect("it has a breaker");
            for _ in 0..20 {
                assert_eq!(pool.try_acquire().map(|lease| *lease), Ok(well), "{strategy:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn panic_mode_chooses_among_all_if_over_half_are_out() {
    for panic_mode in [false, true] {
        let (nodes, builder) = nodes::<4>(ms(1));
        let pool = builder
            .balance(Strategy::RoundRobin)
            .breaker(breaker())
            .panic_mode(panic_mode)
            .build()
            .expect("valid");
        pool.drill("0", &Drill::ForceOpen).expect("it has a breaker");
        pool.drill("1", &Drill::ForceOpen).expect("it has a breaker");
        calls(&pool, 40).await;
        assert_eq!(nodes[0].calls() + nodes[1].calls(), 0, "half are not over half");
        pool.drill("2", &Drill::ForceOpen).expect("it has a breaker");
        calls(&pool, 40).await;
        let to_those_out: usize = nodes[..3].iter().map(TestNode::calls).sum::<usize>() - 20;
        assert_eq!(to_those_out > 0, panic_mode);
        // All out: refused, or tried for all that.
        pool.drill("3", &Drill::ForceOpen).expect("it has a breaker");
        assert_eq!(call(&pool).await.is_ok(), panic_mode);
        // Whoever was taken out by hand stays out.
        for name in ["0", "1", "2", "3"] {
            assert!(pool.drain(name));
        }
        assert_eq!(kind(&call(&pool).await), Some(RejectionKind::NoEndpoint));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_back_is_eased_in() {
    for strategy in STRATEGIES {
        let endpoints = (0..4).map(|i| Endpoint::new(i.to_string(), i));
        let pool = Pool::builder()
            .balance(strategy.clone())
            .slow_start(secs(20))
            .breaker(breaker())
            .extend(endpoints)
            .build()
            .expect("valid");
        pool.drill("0", &Drill::ForceOpen).expect("it has a breaker");
        pool.drill("0", &Drill::Close).expect("it has a breaker");
        let share = || {
            let lease = |_| pool.try_acquire().expect("an endpoint");
            (0..8000).map(lease).filter(|lease| **lease == 0).count() as f64 / 8000.0
        };
        for (wait, due) in [(secs(0), 0.1), (secs(10), 0.5), (secs(10), 1.0)] {
            tokio::time::sleep(wait).await;
            // Of four, those that are there have their part of what it leaves.
            let due = 0.25 * due;
            let got = share();
            assert!((got - due).abs() < 0.02, "{strategy:?}: {got} for {due}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_come_back_at_once_no_call_fails() {
    let (_nodes, builder) = nodes::<3>(ms(1));
    let pool = builder.breaker(breaker()).build().expect("valid");
    for name in ["0", "1", "2"] {
        pool.drill(name, &Drill::ForceOpen).expect("it has a breaker");
        pool.drill(name, &Drill::Reset).expect("it has a breaker");
        pool.drill(name, &Drill::ForceOpen).expect("it has a breaker");
        pool.drill(name, &Drill::Close).expect("it has a breaker");
    }
    for _ in 0..500 {
        assert!(call(&pool).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_that_nobody_waited_for_counts() {
    let (nodes, builder) = nodes::<2>(ms(10));
    let pool = builder.balance(Strategy::P2cEwma).build().expect("valid");
    calls(&pool, 20).await;
    nodes[0].takes(secs(1000));
    // Callers give up after half a second; none of them ever sees an answer of it.
    for _ in 0..100 {
        let _ = tokio::time::timeout(ms(500), call(&pool)).await;
    }
    let state = pool.snapshot();
    let hung = state.endpoint("0").expect("it is there");
    assert!(hung.cancelled < 20, "{hung:?}");
    assert!(hung.peak_latency > Some(ms(50)), "{hung:?}");
    assert_adds_up(&pool);
}

/// The last that may be used.
#[derive(Debug)]
struct LastOf;

impl Balance for LastOf {
    fn name(&self) -> &'static str {
        "last_of"
    }

    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        among.usable().last()
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_does_not_depend_on_what_the_strategy_thinks() {
    let (nodes, builder) = nodes::<3>(ms(1));
    let pool = builder
        .balance(Strategy::custom(LastOf))
        .breaker(breaker())
        .build()
        .expect("valid");
    let outcome = Outcome::failure(Reason::Error);
    pool.drill("0", &Drill::Record { outcome, times: 3 })
        .expect("it has a breaker");
    calls(&pool, 100).await;
    assert_eq!(nodes[0].calls(), 0);
    tokio::time::sleep(secs(10)).await;
    calls(&pool, 100).await;
    assert_eq!(pool.snapshot().recoveries, 1);
    // The trial is over.
    nodes[0].forget_calls();
    calls(&pool, 100).await;
    assert_eq!(nodes[0].calls(), 0);
}
