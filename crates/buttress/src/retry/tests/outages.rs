//! A whole service and all its callers, on the paused clock: what a retry does for them, and to it.

use super::*;
use crate::circuit_breaker::{CircuitBreaker, State};

/// An upstream that fails as `fails` says of each call, and counts what reaches it.
#[derive(Clone)]
struct Upstream {
    reached: Arc<AtomicU32>,
    fails: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Upstream {
    fn new(fails: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            reached: Arc::default(),
            fails: Arc::new(fails),
        }
    }

    /// With a given share of its calls failing at random, the same ones each time.
    fn failing(share: f64) -> Self {
        let source = crate::random::Source::new(Some(3));
        Self::new(move || source.unit() < share)
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
        let n = self.reached.fetch_add(1, SeqCst);
        let answer = if (self.fails)() { 503 } else { 200 };
        Box::pin(async move {
            tokio::time::sleep(ms(u64::from(n % 20))).await;
            Ok(answer)
        })
    }
}

/// The statuses of a service as HTTP judges them.
fn by_status(result: &Answer) -> Outcome {
    match result {
        Ok(503) => Outcome::failure(Reason::HttpStatus(503)),
        Ok(_) => Outcome::SUCCESS,
        Err(error) => Outcome::of_error(error),
    }
}

/// So many calls a second for so long; how many callers saw a failure.
async fn offer<S>(service: S, per_second: u32, seconds: u32) -> u32
where
    S: Service<(), Response = u32, Error = Error<&'static str>, Future: Send> + Clone + Send + 'static,
{
    let mut calls = tokio::task::JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
    for _ in 0..per_second * seconds {
        tick.tick().await;
        calls.spawn(service.clone().oneshot(()));
    }
    let failed = |answer: &Answer| !matches!(answer, Ok(200));
    calls.join_all().await.iter().filter(|a| failed(a)).count() as u32
}

fn retry(budget: Option<Budget>) -> Retry {
    Retry::builder().seed(5).budget(budget).build().expect("valid")
}

#[tokio::test(start_paused = true)]
async fn five_percent_of_failures_are_hidden_for_a_tenth_more_calls() {
    let upstream = Upstream::failing(0.05);
    let service = retry(Some(Budget::default()))
        .layer_for(Plain::classify(by_status))
        .layer(upstream.clone());
    let offered = 20_000;
    let failed = offer(service, 1000, 20).await;
    assert!(failed * 1000 < offered, "{failed} of {offered}");
    assert!(upstream.reached() * 10 <= offered * 11, "{}", upstream.reached());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_multiplied() {
    for per_second in [20, 200, 1000] {
        let upstream = Upstream::failing(1.0);
        let service = retry(Some(Budget::default()))
            .layer_for(Plain::classify(by_status))
            .layer(upstream.clone());
        let (offered, began) = (3 * per_second, clock::now());
        assert_eq!(offer(service, per_second, 3).await, offered);
        // The last retries of the three seconds are made in a fourth.
        let seconds = began.elapsed().as_secs_f64().ceil();
        let most = f64::from(offered) * 1.2 + 10.0 * seconds;
        assert!(
            f64::from(upstream.reached()) <= most,
            "{} of {most}",
            upstream.reached()
        );
        assert!(upstream.reached() > offered, "it is not idle either");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_an_outage_is_tripled() {
    let upstream = Upstream::failing(1.0);
    let service = retry(None)
        .layer_for(Plain::classify(by_status))
        .layer(upstream.clone());
    assert_eq!(offer(service, 200, 3).await, 600);
    assert_eq!(upstream.reached(), 1800);
}

#[tokio::test(start_paused = true)]
async fn after_good_times_an_outage_gets_a_second_of_savings_more() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = down.clone();
    let upstream = Upstream::new(move || switch.load(SeqCst));
    let service = retry(Some(Budget::default()))
        .layer_for(Plain::classify(by_status))
        .layer(upstream.clone());
    assert_eq!(offer(service.clone(), 200, 60).await, 0);
    down.store(true, SeqCst);
    let before = upstream.reached();
    offer(service, 200, 3).await;
    let outage = upstream.reached() - before;
    assert!(outage <= 720 + 30 + 40, "{outage}");
}

#[tokio::test(start_paused = true)]
async fn the_breaker_inside_opens_in_the_same_outage() {
    let upstream = Upstream::failing(1.0);
    let breaker = CircuitBreaker::new();
    let service = retry(Some(Budget::default()))
        .layer_for(Plain::classify(by_status))
        .layer(
            breaker
                .layer_for(Plain::classify(by_status))
                .layer(upstream.clone()),
        );
    offer(service, 200, 3).await;
    assert_eq!(breaker.state(), State::Open);
    assert!(upstream.reached() < 30, "{}", upstream.reached());
}
