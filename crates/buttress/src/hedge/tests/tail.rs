//! A whole service and all its callers, on the paused clock: what a hedge does for them, and to it.

use super::*;
use crate::random::Source;

/// An upstream whose calls take as long as `takes` says of each, and which counts them.
#[derive(Clone)]
struct Upstream {
    reached: Arc<AtomicU32>,
    takes: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Upstream {
    fn new(takes: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            reached: Arc::default(),
            takes: Arc::new(takes),
        }
    }

    /// The slowest two per cent take a second, the others 10 ms on average, with a short tail of their own: the same ones
    /// each time.
    fn with_a_tail(seed: u64) -> Self {
        let source = Source::new(Some(seed));
        Self::new(move || match source.unit() {
            draw if draw < 0.02 => ms(1000),
            _ => Duration::from_secs_f64(0.005 - 0.005 * (1.0 - source.unit()).ln()),
        })
    }

    fn reached(&self) -> u32 {
        self.reached.load(SeqCst)
    }
}

impl Service<()> for Upstream {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.reached.fetch_add(1, SeqCst);
        let takes = (self.takes)();
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            Ok(1)
        })
    }
}

/// So many calls a second for so long, evenly; how long each took, the shortest first.
async fn offer(
    hedge: impl Into<Option<Hedge>>,
    upstream: &Upstream,
    per_second: u32,
    seconds: u32,
) -> Vec<Duration> {
    let service = HedgeLayer::new(hedge, Plain::new(), crate::replay::Same).layer(upstream.clone());
    let mut calls = tokio::task::JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
    for _ in 0..per_second * seconds {
        tick.tick().await;
        let call = service.clone().oneshot(());
        calls.spawn(async move {
            let began = clock::now();
            call.await.expect("an answer");
            began.elapsed()
        });
    }
    let mut latencies = calls.join_all().await;
    latencies.sort();
    latencies
}

fn p99(latencies: &[Duration]) -> Duration {
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn the_p99_of_a_slow_tail_is_cut_threefold_for_six_percent_more_calls() {
    for (seed, per_second) in [(1, 200), (2, 50), (3, 1000)] {
        let bare = Upstream::with_a_tail(seed);
        let offered = 5_000;
        let without = p99(&offer(None, &bare, per_second, offered / per_second).await);
        assert!(without >= ms(1000));
        for options in [Hedge::builder(), Hedge::builder().after(ms(20))] {
            let upstream = Upstream::with_a_tail(seed);
            let hedge = options.build().expect("valid");
            let latencies = offer(hedge.clone(), &upstream, per_second, offered / per_second).await;
            let (with, books) = (p99(&latencies), hedge.snapshot());
            assert!(with * 3 <= without, "{with:?} for {without:?}, {books:?}");
            assert!(upstream.reached() * 100 <= offered * 106, "{books:?}");
            assert_eq!(u64::from(upstream.reached()), books.attempts);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_is_slow_the_budget_bounds_the_extra_calls() {
    for per_second in [20, 200] {
        for options in [
            Hedge::builder().initial_delay(ms(50)),
            Hedge::builder().after(ms(50)),
        ] {
            let upstream = Upstream::new(|| ms(5000));
            let hedge = options.build().expect("valid");
            let seconds = 10;
            offer(hedge.clone(), &upstream, per_second, seconds).await;
            let offered = f64::from(per_second * seconds);
            let most = offered * 1.05 + f64::from(seconds + 1);
            assert!(
                f64::from(upstream.reached()) <= most,
                "{} of {most}",
                upstream.reached()
            );
            assert!(upstream.reached() > per_second * seconds, "it is not idle either");
            assert!(hedge.snapshot().out_of_budget > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_fails_the_budget_bounds_the_extra_calls() {
    let hedge = Hedge::new();
    let script = Script::new([(10, BUSY)]);
    let service = hedge.layer().layer(script.clone());
    let mut tick = tokio::time::interval(ms(5));
    for _ in 0..2000 {
        tick.tick().await;
        tokio::spawn(service.clone().oneshot(()));
    }
    tokio::time::sleep(ms(100)).await;
    assert!(script.calls() <= 2000 + 100 + 11, "{}", script.calls());
    assert_eq!(hedge.snapshot().won, 0);
}

#[tokio::test(start_paused = true)]
async fn the_quantile_follows_a_change_of_latency() {
    let takes = Arc::new(AtomicU32::new(10));
    let now = takes.clone();
    let upstream = Upstream::new(move || ms(now.load(SeqCst).into()));
    let hedge = Hedge::new();
    let delay = || hedge.snapshot().delay.expect("known");
    offer(hedge.clone(), &upstream, 50, 60).await;
    assert!(delay() > ms(10) && delay() < ms(13), "{:?}", delay());
    let hedges = hedge.snapshot().hedges;
    assert_eq!(hedges, 0, "what is all alike has no tail");

    // A rise shows at once, as soon as a twentieth is above.
    takes.store(100, SeqCst);
    offer(hedge.clone(), &upstream, 50, 3).await;
    assert!(delay() > ms(100) && delay() < ms(113), "{:?}", delay());
    offer(hedge.clone(), &upstream, 50, 60).await;
    assert!(delay() > ms(100) && delay() < ms(113), "{:?}", delay());
    let extra = hedge.snapshot().hedges;
    assert!(extra < 60, "{extra} while it was learning");

    // A fall after a window.
    takes.store(10, SeqCst);
    offer(hedge.clone(), &upstream, 50, 47).await;
    assert!(delay() > ms(10) && delay() < ms(13), "{:?}", delay());
}

#[tokio::test(start_paused = true)]
async fn those_that_are_overtaken_do_not_let_the_quantile_sink() {
    // Evenly spread over two orders of magnitude, so that many a second attempt wins.
    let source = Source::new(Some(9));
    let upstream = Upstream::new(move || Duration::from_secs_f64(0.01 * 100_f64.powf(source.unit())));
    let hedge = Hedge::builder()
        .after_quantile(0.8)
        .budget(None)
        .build()
        .expect("valid");
    offer(hedge.clone(), &upstream, 100, 120).await;
    let books = hedge.snapshot();
    assert!(books.won > 500, "{books:?}");
    let quantile = ms((10.0 * 100_f64.powf(0.8)) as u64);
    let delay = books.delay.expect("known");
    assert!(
        delay > quantile * 95 / 100 && delay < quantile * 118 / 100,
        "{books:?}"
    );
    // As many as the quantile says, or a few less, for it is rounded up.
    let share = books.hedges as f64 / books.calls as f64;
    assert!((0.165..0.205).contains(&share), "{share} {books:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_count_as_slow() {
    // A tenth hang; their callers go away after 200 ms. The 95th percentile is then above all that is ever answered.
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let upstream = Upstream::new(move || match count.fetch_add(1, SeqCst) % 10 {
        0 => ms(100_000),
        _ => ms(10),
    });
    let hedge = Hedge::builder()
        .budget(Budget::new(0.0, 1))
        .initial_delay(ms(50))
        .build()
        .expect("valid");
    let service = hedge.layer().layer(upstream);
    for _ in 0..1000 {
        let _ = tokio::time::timeout(ms(200), service.clone().oneshot(())).await;
    }
    let delay = hedge.snapshot().delay.expect("known");
    assert!(delay > ms(50), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn quick_failures_do_not_let_the_quantile_sink() {
    let calls = Arc::new(AtomicU32::new(0));
    let hedge = Hedge::builder()
        .after_quantile(0.5)
        .budget(Budget::new(0.0, 1))
        .build()
        .expect("valid");
    let service = hedge.layer().layer(service_fn(move |()| {
        let fails = calls.fetch_add(1, SeqCst) % 10 != 0;
        async move {
            if fails {
                return BUSY;
            }
            tokio::time::sleep(ms(100)).await;
            Ok(1)
        }
    }));
    for _ in 0..5000 {
        let _ = service.clone().oneshot(()).await;
    }
    let delay = hedge.snapshot().delay.expect("known");
    assert!(delay > ms(100), "{delay:?}");
}
