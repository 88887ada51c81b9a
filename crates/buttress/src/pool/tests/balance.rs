//! What each strategy promises of its own.

use super::*;

/// The share of each of these endpoints in so many calls.
async fn shares<const N: usize>(strategy: Strategy, weights: [u32; N], calls: usize) -> [f64; N] {
    let pool = weighted(strategy, weights);
    let mut counts = [0_usize; N];
    for _ in 0..calls {
        counts[*pool.try_acquire().expect("an endpoint")] += 1;
    }
    counts.map(|count| count as f64 / calls as f64)
}

fn weighted<const N: usize>(strategy: Strategy, weights: [u32; N]) -> Pool<usize> {
    let endpoints = (0..N).map(|i| Endpoint::new(i.to_string(), i).weight(weights[i]));
    Pool::builder()
        .balance(strategy)
        .extend(endpoints)
        .build()
        .expect("valid")
}

#[tokio::test(start_paused = true)]
async fn weights_hold_within_a_hundredth() {
    const CALLS: usize = 100_000;
    for weights in [[1, 2, 3], [1, 1, 1], [7, 1, 92], [10_000, 1_000, 100]] {
        let total: u32 = weights.iter().sum();
        let due = weights.map(|w| f64::from(w) / f64::from(total));
        let got = shares(Strategy::RoundRobin, weights, CALLS).await;
        for (due, got) in due.iter().zip(got) {
            // Of its own share, and by no more than a few calls.
            assert!(
                (got - due).abs() * (CALLS as f64) < 10.0,
                "{weights:?}: {got} for {due}"
            );
            assert!((got / due - 1.0).abs() < 0.01, "{weights:?}: {got} for {due}");
        }
        let got = shares(Strategy::WeightedRandom, weights, CALLS).await;
        for (due, got) in due.iter().zip(got) {
            // Of all calls: chance alone is more than a hundredth of a small share.
            assert!((got - due).abs() < 0.01, "{weights:?}: {got} for {due}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn equals_take_turns() {
    let pool = weighted(Strategy::RoundRobin, [5; 3]);
    let order: Vec<usize> = (0..9)
        .map(|_| *pool.try_acquire().expect("an endpoint"))
        .collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_heavy_endpoint_gets_no_bursts() {
    let pool = weighted(Strategy::RoundRobin, [5, 1, 1]);
    let order: Vec<usize> = (0..7000)
        .map(|_| *pool.try_acquire().expect("an endpoint"))
        .collect();
    // Its due is 2.5 calls between two of the others: never over twice that.
    let longest = order.split(|i| *i != 0).map(<[usize]>::len).max();
    assert!(longest <= Some(7), "{longest:?}");
    // And no seven calls in a row hold none of a light one for long.
    for light in [1, 2] {
        let gap = order.split(|i| *i == light).map(<[usize]>::len).max();
        assert!(gap <= Some(13), "{light}: {gap:?}");
    }
}

#[test]
fn weights_hold_for_many_threads_at_once() {
    let pool = weighted(Strategy::RoundRobin, [1, 2, 3]);
    let counts: [AtomicUsize; 3] = Default::default();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..15_000 {
                    counts[*pool.try_acquire().expect("an endpoint")].fetch_add(1, SeqCst);
                }
            });
        }
    });
    for (i, due) in [10_000_i64, 20_000, 30_000].into_iter().enumerate() {
        let got = counts[i].load(SeqCst) as i64;
        assert!((got - due).abs() < 10, "{i}: {got}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_one_that_is_out_go_to_all_others_by_their_weights() {
    for strategy in [Strategy::RoundRobin, Strategy::WeightedRandom] {
        for weights in [[1, 1, 1, 1], [4, 1, 2, 3]] {
            let pool = weighted(strategy.clone(), weights);
            assert!(pool.drain("1"));
            let mut counts = [0_i64; 4];
            for _ in 0..60_000 {
                counts[*pool.try_acquire().expect("an endpoint")] += 1;
            }
            let left: u32 = weights.iter().sum::<u32>() - weights[1];
            for i in [0, 2, 3] {
                let due = 60_000 * i64::from(weights[i]) / i64::from(left);
                assert!(
                    (counts[i] - due).abs() < 600,
                    "{strategy:?} {weights:?}: {counts:?}"
                );
            }
            assert_eq!(counts[1], 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_is_no_sequence_and_not_the_same_in_every_replica() {
    let draw = || {
        let pool = weighted(Strategy::Random, [1, 9]);
        (0..64)
            .map(|_| *pool.try_acquire().expect("an endpoint"))
            .collect::<Vec<_>>()
    };
    let here = draw();
    let there = std::thread::spawn(draw).join().expect("no panic");
    assert_ne!(here, there);
    // It neither alternates nor knows weights.
    assert!(here.windows(2).any(|two| two[0] == two[1]));
    let [first, _] = shares(Strategy::Random, [1, 9], 20_000).await;
    assert!((first - 0.5).abs() < 0.02, "{first}");
}

#[tokio::test(start_paused = true)]
async fn random_finds_the_one_that_is_well() {
    let endpoints = (0..50).map(|i| Endpoint::new(i.to_string(), i));
    let pool = Pool::builder()
        .balance(Strategy::Random)
        .extend(endpoints)
        .build()
        .expect("valid");
    for i in (0..50).filter(|i| *i != 17) {
        pool.drain(&i.to_string());
    }
    for strategy in STRATEGIES {
        for _ in 0..100 {
            let lease = pool.try_acquire_with(&strategy).expect("one is well");
            assert_eq!(*lease, 17, "{strategy:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_busy_is_chosen_for_its_weight() {
    let pool = weighted(Strategy::LeastRequests, [1, 3]);
    let held: Vec<_> = (0..80)
        .map(|_| pool.try_acquire().expect("an endpoint"))
        .collect();
    assert_eq!(held.iter().filter(|lease| ***lease == 1).count(), 60);
    drop(held);
    // Among equals it is not always the same.
    let pool = weighted(Strategy::LeastRequests, [1, 1]);
    let first = (0..100)
        .filter(|_| *pool.try_acquire().expect("an endpoint") == 0)
        .count();
    assert!((20..80).contains(&first), "{first}");
}

#[tokio::test(start_paused = true)]
async fn the_slower_of_two_gets_less() {
    let (nodes, builder) = nodes::<2>(ms(10));
    nodes[1].takes(ms(100));
    let pool = builder.balance(Strategy::P2cEwma).build().expect("valid");
    calls(&pool, 200).await;
    assert!(nodes[1].calls() < 20, "{}", nodes[1].calls());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_new_is_not_flooded() {
    for strategy in WATCHFUL {
        let (nodes, builder) = nodes::<2>(ms(20));
        let pool = builder.balance(strategy.clone()).build().expect("valid");
        calls(&pool, 50).await;
        let new = TestNode::new(2, ms(20));
        pool.add(Endpoint::new("2", new.clone())).expect("valid");
        let running: Vec<_> = (0..300)
            .map(|_| tokio::spawn(pool.service().oneshot(())))
            .collect();
        tokio::time::sleep(ms(1)).await;
        let busy = new.0.busy.load(SeqCst);
        // Two thirds are what whoever prefers it would give it.
        assert!((30..=160).contains(&busy), "{strategy:?}: {busy} of 300");
        for call in running {
            assert!(call.await.expect("no panic").is_ok());
        }
        drop(nodes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_best_score_wins_and_those_near_it_are_equals() {
    let (nodes, builder) = nodes::<3>(ms(50));
    nodes[1].takes(ms(80));
    nodes[2].takes(secs(4));
    let pool = builder.balance(Strategy::Score).build().expect("valid");
    calls(&pool, 30).await;
    nodes.iter().for_each(TestNode::forget_calls);
    calls(&pool, 100).await;
    // 0.995 and 0.992 are as good as each other; 0.6 is not.
    assert!(nodes[0].calls() > 20 && nodes[1].calls() > 20 && nodes[2].calls() == 0);
    let slow = pool.snapshot().endpoint("2").expect("it is there").score;
    assert!((0.6..0.8).contains(&slow), "{slow}");
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_did_is_forgotten_in_time() {
    for strategy in WATCHFUL {
        let (nodes, builder) = nodes::<3>(ms(20));
        nodes[0].fails();
        let pool = builder.balance(strategy.clone()).build().expect("valid");
        calls(&pool, 100).await;
        nodes[0].works().forget_calls();
        tokio::time::sleep(secs(300)).await;
        calls(&pool, 100).await;
        assert!(nodes[0].calls() > 10, "{strategy:?}: {}", nodes[0].calls());
    }
}

#[tokio::test(start_paused = true)]
async fn failures_lower_the_success_rate_and_successes_raise_it() {
    let (nodes, builder) = nodes::<1>(ms(20));
    let pool = builder.build().expect("valid");
    let rate = || pool.snapshot().endpoint("0").expect("it is there").success_rate;
    nodes[0].fails();
    let mut before = rate();
    assert_eq!(before, 1.0);
    for _ in 0..10 {
        let _ = call(&pool).await;
        // A twentieth of what is left is lost, but for what is forgotten meanwhile.
        assert!(
            (before * 0.94..before * 0.96).contains(&rate()),
            "{before} {}",
            rate()
        );
        before = rate();
    }
    nodes[0].works();
    for _ in 0..10 {
        let _ = call(&pool).await;
        assert!(rate() > before, "{before}");
        before = rate();
    }
}

#[derive(Debug)]
struct Wrong(Option<usize>);

impl Balance for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn choose(&self, _: &Candidates<'_>) -> Option<usize> {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_errs_fails_no_call() {
    for choice in [None, Some(0), Some(99)] {
        let pool = weighted(Strategy::custom(Wrong(choice)), [1, 1, 1]);
        pool.drain("0");
        assert_eq!(*pool.try_acquire().expect("two are well"), 1);
    }
}

/// Looks at all there is to see, and takes the first that may be used.
#[derive(Clone, Debug, Default)]
struct Curious(Arc<Mutex<Vec<Seen>>>);

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: String,
    weight: f64,
    in_flight: u64,
    /// In whole milliseconds.
    peak_latency: Option<u128>,
    average_latency: Option<u128>,
    /// In hundredths.
    success_rate: f64,
    score: f64,
    is_first_choice: bool,
}

impl Balance for Curious {
    fn name(&self) -> &'static str {
        "curious"
    }

    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        assert!((0.0..1.0).contains(&among.random()));
        assert_eq!(usize::from(!among.is_empty()), among.len().min(1));
        let millis = |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 1e3).round() as u128);
        let hundredths = |share: f64| (share * 100.0).round();
        let seen = (0..among.len()).map(|i| Seen {
            name: among.name(i).to_owned(),
            weight: among.weight(i),
            in_flight: among.in_flight(i),
            peak_latency: millis(among.peak_latency(i)),
            average_latency: millis(among.average_latency(i)),
            success_rate: hundredths(among.success_rate(i)),
            score: hundredths(among.score(i)),
            is_first_choice: among.is_first_choice(),
        });
        *self.0.lock().expect("no panic") = seen.collect();
        among.usable().next()
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_of_ones_own_is_told_what_the_pool_knows() {
    let curious = Curious::default();
    let pool = weighted(Strategy::custom(curious.clone()), [2, 3]);
    let at = |i| {
        let strategy = Strategy::custom(Wrong(Some(i)));
        pool.try_acquire_with(&strategy).expect("it is well")
    };
    for (endpoint, latency, outcome) in [
        (0, 2000, Outcome::SUCCESS),
        (1, 30, Outcome::failure(Reason::Error)),
    ] {
        let lease = at(endpoint);
        tokio::time::advance(ms(latency)).await;
        lease.record(outcome);
    }
    let _held = [at(0), at(0)];
    drop(pool.try_acquire());
    let works = Seen {
        name: "0".to_owned(),
        weight: 2.0,
        in_flight: 2,
        // It has faded for 30 ms, of 10 s and of 30 s.
        peak_latency: Some(1994),
        average_latency: Some(1998),
        success_rate: 100.0,
        score: 80.0,
        is_first_choice: true,
    };
    let fails = Seen {
        name: "1".to_owned(),
        weight: 3.0,
        in_flight: 0,
        // What it took, and twenty times what usually stands in a queue.
        peak_latency: Some(30 + 20 * 2000),
        average_latency: None,
        success_rate: 95.0,
        score: 95.0,
        is_first_choice: true,
    };
    assert_eq!(*curious.0.lock().expect("no panic"), [works, fails]);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_of_ones_own_knows_a_second_choice() {
    let curious = Curious::default();
    let (nodes, builder) = nodes::<2>(ms(1));
    nodes[0].fails();
    let strategy = Strategy::custom(curious.clone());
    let pool = builder.balance(strategy).failover(1).build().expect("valid");
    assert_eq!(call(&pool).await.ok(), Some(1));
    let seen = curious.0.lock().expect("no panic").clone();
    assert!(seen.iter().all(|endpoint| !endpoint.is_first_choice), "{seen:?}");
}
