//! How good the balance is, by simulation: one endpoint of five is five times slower than the others, and calls come
//! at random moments, as those of many clients do.

use super::*;

/// The 99th percentile of so many calls, `rate` of which come in a second.
async fn p99(strategy: Strategy, rate: f64, seed: u64) -> Duration {
    const CALLS: usize = 5_000;
    let (nodes, builder) = nodes::<5>(ms(0));
    // An endpoint works on one call after the other.
    let queues: Vec<_> = nodes
        .iter()
        .map(|node| {
            let takes = if node.0.number == 0 { ms(50) } else { ms(10) };
            (Arc::new(tokio::sync::Semaphore::new(1)), takes)
        })
        .collect();
    drop(builder);
    let pool = Pool::builder()
        .balance(strategy)
        .extend(
            queues
                .into_iter()
                .enumerate()
                .map(|(i, queue)| Endpoint::new(i.to_string(), queue)),
        )
        .build()
        .expect("valid");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut running = Vec::new();
    for _ in 0..CALLS {
        let wait = -(1.0 - rng.f64()).ln() / rate;
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        let work = -(1.0 - rng.f64()).ln();
        let call = pool.run(
            move |(queue, takes): (Arc<tokio::sync::Semaphore>, Duration)| async move {
                let turn = queue.acquire_owned().await;
                tokio::time::sleep(takes.mul_f64(work)).await;
                drop(turn);
                Ok::<_, std::convert::Infallible>(())
            },
        );
        running.push(tokio::spawn(async move {
            let began = clock::now();
            call.await.expect("no endpoint fails");
            clock::now() - began
        }));
    }
    let mut took = Vec::new();
    for call in running {
        took.push(call.await.expect("no panic"));
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn the_better_of_two_is_best_where_one_is_slow() {
    // 420 calls a second is what they could do. Evenly spread, 100 are all that the slow one can bear.
    let mut table = Vec::new();
    for rate in [80.0, 200.0] {
        table.clear();
        for strategy in [
            Strategy::P2cEwma,
            Strategy::LeastRequests,
            Strategy::RoundRobin,
            Strategy::Random,
        ] {
            table.push((strategy.name(), p99(strategy, rate, 7).await));
        }
        println!("p99 at {rate} calls a second, one of five endpoints five times slower: {table:?}");
    }
    let [ewma, least, round, random] = [0, 1, 2, 3].map(|i| table[i].1);
    assert!(ewma < least.mul_f64(1.2), "{table:?}");
    assert!(ewma * 3 < round && ewma * 3 < random, "{table:?}");
}
