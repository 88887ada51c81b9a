//! Stacks around several endpoints: what is for each of them, and what is for all.

use super::*;
use crate::{
    pool::{Endpoint, Pool, Strategy},
    retry::Jitter,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A request that is to be sent to that endpoint.
#[derive(Clone, Debug, Default)]
struct Letter {
    to: &'static str,
}

fn address(to: &&'static str, letter: &mut Letter) {
    letter.to = to;
}

/// What the endpoints were sent.
type Seen = Arc<Mutex<Vec<&'static str>>>;

/// One transport: `bad` fails, `mad` panics, `slow` never answers, all others do at once.
#[derive(Clone, Default)]
struct Post {
    seen: Seen,
}

impl Post {
    fn to(&self, whom: &str) -> usize {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().filter(|to| **to == whom).count()
    }
}

impl Service<Letter> for Post {
    type Response = &'static str;
    type Error = &'static str;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<&'static str, &'static str>>>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, letter: Letter) -> Self::Future {
        self.seen.lock().expect("no panic").push(letter.to);
        Box::pin(async move {
            match letter.to {
                "bad" => Err("busy"),
                "mad" => panic!("as the test wants it"),
                "slow" => pending().await,
                to => Ok(to),
            }
        })
    }
}

fn pool(names: &[&'static str]) -> Pool<&'static str> {
    Pool::builder()
        .extend(names.iter().map(|name| Endpoint::new(*name, *name)))
        .balance(Strategy::RoundRobin)
        .budget(None)
        .build()
        .expect("valid")
}

fn failures(pool: &Pool<&'static str>, endpoint: &str) -> u64 {
    pool.snapshot().endpoint(endpoint).expect("in the pool").failure
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_has_a_breaker_of_its_own_and_the_one_in_the_slot_is_their_pattern() {
    let (post, pool, registry) = (Post::default(), pool(&["bad", "well"]), Registry::new());
    let pattern = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .expect("valid");
    let client = Stack::new("mail")
        .registry(&registry)
        .circuit_breaker(pattern.clone())
        .pool(pool.addressed_by(address))
        .build()
        .service(post.clone());
    for _ in 0..20 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("well"));
    }
    assert_eq!((post.to("bad"), post.to("well")), (2, 20));
    assert_eq!(pattern.snapshot().total, 0, "it is never asked");
    let names: Vec<String> = registry.names().iter().map(|n| n.to_string()).collect();
    assert_eq!(names, ["mail", "mail:bad", "mail:well"]);
    let state = registry.snapshot();
    let of = |name: &str| {
        state
            .at(&[name, "circuitBreaker", "state"])
            .and_then(|s| s.as_str())
            .map(str::to_owned)
    };
    assert_eq!(
        (of("mail:bad").as_deref(), of("mail:well").as_deref()),
        (Some("OPEN"), Some("CLOSED"))
    );
    assert!(state.at(&["mail", "circuitBreaker"]).is_none());

    // One that comes later has one as well.
    pool.add(Endpoint::new("late", "late")).expect("a new name");
    registry.drill("mail:late", &Drill::ForceOpen).expect("a breaker");
    registry.drill("mail:well", &Drill::ForceOpen).expect("a breaker");
    let refused = client
        .clone()
        .oneshot(Letter::default())
        .await
        .expect_err("none is left");
    assert_eq!(
        refused.rejected().map(|r| r.kind()),
        Some(RejectionKind::NoEndpoint)
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_breaker_and_a_pools_own_are_kept() {
    let (own, post) = (breaker(), Post::default());
    let pool = Pool::builder()
        .push(Endpoint::new("a", "well").breaker(own.clone()))
        .endpoint("b", "well")
        .build()
        .expect("valid");
    let pools = Pool::builder()
        .breaker(CircuitBreaker::builder().consecutive_failures(1))
        .endpoint("bad", "bad")
        .build()
        .expect("valid");
    let stack = || Stack::new("x").circuit_breaker(CircuitBreaker::new());
    let one = stack()
        .pool(pool.addressed_by(address))
        .build()
        .service(post.clone());
    let other = stack()
        .pool(pools.addressed_by(address))
        .build()
        .service(post.clone());
    assert_eq!(one.oneshot(Letter::default()).await, Ok("well"));
    own.force_open();
    assert_eq!(pool.snapshot().usable(), 1);
    pool.drill("b", &Drill::ForceOpen).expect("it has the stack's");
    assert!(other.oneshot(Letter::default()).await.is_err());
    assert_eq!(pools.snapshot().usable(), 0, "one failure was enough");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_that_endpoints_failure_and_is_made_elsewhere() {
    let (post, pool) = (Post::default(), pool(&["slow", "well"]));
    let client = Stack::new("x")
        .pool(pool.addressed_by(address))
        .attempt_timeout(ms(50))
        .expect("a limit")
        .circuit_breaker(breaker())
        .build()
        .service(post.clone());
    let start = crate::clock::now();
    for _ in 0..4 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("well"));
    }
    assert_eq!(start.elapsed(), ms(50), "one of them waited");
    assert_eq!((failures(&pool, "slow"), failures(&pool, "well")), (1, 0));
    assert_eq!(post.to("slow"), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_breaker_does_not_say_what_is_slow_the_attempts_limit_does_for_each_endpoint() {
    let pool = pool(&["a"]);
    let rate = CircuitBreaker::builder()
        .slow_call_rate(0.5)
        .count_window(4)
        .minimum_calls(2);
    let client = Stack::new("x")
        .pool(pool.addressed_by(address))
        .attempt_timeout(ms(8000))
        .expect("a limit")
        .circuit_breaker(rate.build().expect("valid"))
        .build()
        .service(service_fn(|_: Letter| async {
            // To a breaker that knows of no limit that would be slow.
            tokio::time::sleep(ms(6000)).await;
            Ok::<_, &'static str>("late")
        }));
    for _ in 0..4 {
        assert!(client.clone().oneshot(Letter::default()).await.is_ok());
    }
    assert_eq!(pool.snapshot().usable(), 1, "what is in time is not slow");
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn each_endpoint_has_a_limit_of_its_own_and_is_passed_over_while_that_is_used_up() {
    use crate::rate_limit::RateLimiter;
    let (post, pool, registry) = (Post::default(), pool(&["one", "two"]), Registry::new());
    let pattern = RateLimiter::per_second(3).build().expect("valid");
    let client = Stack::new("x")
        .registry(&registry)
        .rate_limit(pattern.clone())
        .circuit_breaker(breaker())
        .pool(pool.addressed_by(address))
        .build()
        .service(post.clone());
    // One has used up two of its three.
    pool.drain("two");
    for _ in 0..2 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("one"));
    }
    pool.resume("two");
    for _ in 0..4 {
        assert!(client.clone().oneshot(Letter::default()).await.is_ok());
    }
    assert_eq!((post.to("one"), post.to("two")), (3, 3));
    let refused = client
        .clone()
        .oneshot(Letter::default())
        .await
        .expect_err("both used up");
    let refused = refused.rejected().expect("refused");
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert!(
        refused.retry_after() <= Some(ms(334)) && refused.retry_after() > Some(ms(300)),
        "{refused:?}"
    );
    tokio::time::advance(ms(334)).await;
    assert!(client.clone().oneshot(Letter::default()).await.is_ok());
    // A limit says nothing about an endpoint.
    let state = pool.snapshot();
    assert!(state.endpoints.iter().all(|e| e.failed_for.is_none()) && state.failovers == 0);
    assert_eq!(pattern.peek().remaining, 3, "it is never asked");
    let seen = registry.snapshot();
    assert!(
        seen.at(&["x:one", "rateLimit"]).is_some() && seen.at(&["x:one", "circuitBreaker"]).is_some(),
        "{seen}"
    );
    assert!(seen.at(&["x", "rateLimit"]).is_none());

    // A call that the breaker refuses takes nothing of the limit, and one that the limit refuses no probe of the breaker.
    tokio::time::advance(ms(2000)).await;
    pool.drill("two", &Drill::ForceOpen).expect("a breaker");
    for _ in 0..3 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("one"));
    }
    pool.drill("two", &Drill::Close).expect("a breaker");
    for _ in 0..3 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("two"));
    }
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn where_all_endpoints_are_at_their_limits_a_call_waits_as_long_as_the_limit_says() {
    use crate::rate_limit::RateLimiter;
    let limit = RateLimiter::per_second(10).burst(1).max_wait(ms(250));
    for with_breaker in [false, true] {
        let (post, pool) = (Post::default(), pool(&["one", "two"]));
        let client = Stack::new("x")
            .rate_limit(limit.clone().build().expect("valid"))
            .circuit_breaker(with_breaker.then(breaker))
            .attempt_timeout(ms(50))
            .expect("a limit")
            .pool(pool.addressed_by(address))
            .build()
            .service(post.clone());
        let start = crate::clock::now();
        let calls = (0..7).map(|_| client.clone().oneshot(Letter::default()));
        let answers = futures_util::future::join_all(calls).await;
        assert_eq!(start.elapsed(), ms(200), "to wait is not to take long");
        let refused: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(
            refused[0].rejected().map(|r| r.kind()),
            Some(RejectionKind::RateLimited)
        );
        assert_eq!((post.to("one"), post.to("two")), (3, 3));
    }
}

#[cfg(all(feature = "rate-limit", feature = "keyed"))]
#[tokio::test(start_paused = true)]
async fn a_limit_by_key_is_one_for_all_endpoints() {
    use crate::rate_limit::RateLimiter;
    let pool = pool(&["one", "two"]);
    let limiter = RateLimiter::per_second(3).keyed().build().expect("valid");
    let client = Stack::new("x")
        .rate_limit(limiter)
        .pool(pool.addressed_by(address))
        .build()
        .service(Post::default());
    for _ in 0..3 {
        assert!(client.clone().oneshot(Letter::default()).await.is_ok());
    }
    let refused = client.oneshot(Letter::default()).await.expect_err("used up");
    assert_eq!(
        refused.rejected().map(|r| r.kind()),
        Some(RejectionKind::RateLimited)
    );
    // One of an endpoint's own would be for all keys together.
    let own = crate::registry::Policy::members(&pool, "x");
    assert!(own.is_empty(), "{} endpoints have a limit", own.len());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_that_endpoints_failure() {
    let (post, pool, recover) = (Post::default(), pool(&["mad"]), Recover::new());
    let client = Stack::new("x")
        .recover_with(recover.clone())
        .pool(pool.addressed_by(address))
        .circuit_breaker(breaker())
        .build()
        .service(post);
    let result = client.oneshot(Letter::default()).await;
    assert_eq!(
        result.expect_err("panicked").rejected().map(|r| r.kind()),
        Some(RejectionKind::Panicked)
    );
    assert_eq!(
        (failures(&pool, "mad"), pool.snapshot().usable(), recover.panics()),
        (1, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_the_pool_again_and_lands_elsewhere() {
    for _ in 0..20 {
        let (post, pool) = (Post::default(), pool(&["bad", "well"]));
        let options = pool.options().failover(0).balance(Strategy::Random);
        pool.reconfigure(options).expect("valid");
        let retry = Retry::builder().jitter(Jitter::None).build().expect("valid");
        let client = Stack::new("x")
            .pool(pool.addressed_by(address))
            .retry(retry.clone())
            .build()
            .service(post.clone());
        assert_eq!(client.oneshot(Letter::default()).await, Ok("well"));
        assert_eq!(retry.snapshot().retries, post.to("bad") as u64);
        assert!(post.to("bad") <= 1, "a retry does not go where it has been");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_refuses_at_once_and_the_metrics_see_a_refusal() {
    let (pool, metrics) = (pool(&[]), Metrics::new());
    let retry = Retry::standard();
    let client = Stack::new("x")
        .metrics(metrics.clone())
        .retry(retry.clone())
        .pool(pool.addressed_by(address))
        .build()
        .service(Post::default());
    let refused = client.oneshot(Letter::default()).await.expect_err("nobody there");
    assert_eq!(
        refused.rejected().map(|r| r.kind()),
        Some(RejectionKind::NoEndpoint)
    );
    assert_eq!(
        (metrics.snapshot().outcomes.rejected, retry.snapshot().retries),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_halves_of_a_split_stack_go_around_the_pool_and_around_each_endpoint() {
    let (registry, seen, metrics) = (Registry::new(), Arc::default(), Metrics::new());
    let (upper, lower) = Stack::new("x")
        .registry(&registry)
        .metrics(metrics.clone())
        .retry(Retry::standard())
        .circuit_breaker(breaker())
        .attempt_timeout(ms(50))
        .expect("a limit")
        .inside(tower::layer::util::Identity::new())
        .build_split();
    let to = |whom: &'static str| {
        let post = Post {
            seen: Arc::clone(&seen),
        };
        lower.endpoint(whom, post.map_request(move |_: Letter| Letter { to: whom }))
    };
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .push(to("slow"))
        .push(to("bad"))
        .push(to("well").weight(3))
        .build()
        .expect("valid");
    let client = upper.service(lower.pool(&pool));
    for _ in 0..20 {
        assert_eq!(client.clone().oneshot(Letter::default()).await, Ok("well"));
    }
    let post = Post { seen };
    assert_eq!((post.to("slow"), post.to("bad"), post.to("well")), (1, 1, 20));
    let names: Vec<String> = registry.names().iter().map(|n| n.to_string()).collect();
    assert_eq!(names, ["x", "x:slow", "x:bad", "x:well"]);
    assert_eq!(metrics.snapshot().outcomes.success, 20);
    let open = pool.snapshot().endpoints.iter().filter(|e| !e.usable).count();
    assert_eq!(open, 2);
}

#[cfg(feature = "http")]
mod over_http {
    use ::http::{Request, Response, uri::Authority};
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;
    use tower_layer::Identity;

    use crate::{ErrorLayer, Http, http::ReplayBody, replay::Bare};

    type Body = ReplayBody<Full<Bytes>>;

    /// Answers with what it was sent, and where; the endpoint `a` is out of order.
    async fn answer(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let host = request.uri().authority().expect("written").to_string();
        let body = request.into_body().collect().await.expect("whole").to_bytes();
        let status = if host == "a:1" { 503 } else { 200 };
        let text = format!("{host} {}", String::from_utf8_lossy(&body));
        Ok(Response::builder()
            .status(status)
            .body(Full::from(text))
            .expect("valid"))
    }

    fn put() -> Request<Full<Bytes>> {
        Request::put("/books").body(Full::from("four")).expect("valid")
    }

    fn authorities() -> Pool<Authority> {
        Pool::builder()
            .endpoint("a", Authority::from_static("a:1"))
            .endpoint("b", Authority::from_static("b:1"))
            .balance(Strategy::RoundRobin)
            .build()
            .expect("valid")
    }

    async fn text<B>(response: Response<B>) -> Bytes
    where
        B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        response.into_body().collect().await.expect("whole").to_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn one_transport_is_sent_the_whole_request_at_another_endpoint() {
        let pool = authorities();
        // With a retry and a hedge, which keep the body as well, and with none.
        let full: FullClient<Http, Bare, ErrorLayer, Identity, Identity, Pool<Authority>> =
            Stack::http_client("x")
                .retry(Retry::standard())
                .hedge(Hedge::builder().after(ms(100)).build().expect("valid"))
                .pool(pool.clone())
                .any_request_body()
                .full()
                .build();
        let full = full.service(service_fn(answer));
        let bare = Stack::http_client("x")
            .pool(pool.clone())
            .any_request_body()
            .build();
        let bare = bare.service(service_fn(answer));
        for _ in 0..4 {
            assert_eq!(
                text(full.clone().oneshot(put()).await.expect("well")).await,
                "b:1 four"
            );
            assert_eq!(
                text(bare.clone().oneshot(put()).await.expect("well")).await,
                "b:1 four"
            );
        }
        assert!(pool.snapshot().endpoint("a").expect("there").moved > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_stack_sends_the_whole_request_at_another_endpoint_in_the_services_own_type() {
        let at = |host: &'static str| {
            service_fn(answer).map_request(move |mut request: Request<Body>| {
                *request.uri_mut() = format!("http://{host}/").parse().expect("valid");
                request
            })
        };
        let (upper, lower) = Stack::http_client("x")
            .retry(Retry::standard())
            .hedge(Hedge::builder().after(ms(100)).build().expect("valid"))
            .any_request_body()
            .build_split();
        let pool = Pool::builder()
            .push(lower.endpoint("a", at("a:1")))
            .push(lower.endpoint("b", at("b:1")))
            .build()
            .expect("valid");
        let client = upper.service(lower.pool(&pool));
        for _ in 0..8 {
            assert_eq!(
                text(client.clone().oneshot(put()).await.expect("well")).await,
                "b:1 four"
            );
        }
        // Nothing above the pool keeps bodies; the pool does.
        let (upper, lower) = Stack::http_client("x").any_request_body().build_split();
        let pool = Pool::builder()
            .push(lower.endpoint("a", at("a:1")))
            .push(lower.endpoint("b", at("b:1")))
            .build()
            .expect("valid");
        let client = upper.service(lower.pool(&pool));
        for _ in 0..8 {
            assert_eq!(
                text(client.clone().oneshot(put()).await.expect("well")).await,
                "b:1 four"
            );
        }
    }
}
