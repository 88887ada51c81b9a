//! Rate limits.
//!
//! `buttress` is the layer around a service, `policy` the limiter alone, as governor is used.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use buttress::{
    ErrorLayer, Http as HttpProtocol, Plain as PlainProtocol,
    http::{PeerAddr, RespondLayer},
    rate_limit::{Key, KeyBy, RateLimiter},
};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
use http::{Request, Response};
use tower::{
    Layer, Service,
    limit::{RateLimit, rate::Rate},
    load_shed::LoadShed,
};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder, key_extractor::PeerIpKeyExtractor};
use tower_resilience::ratelimiter::RateLimiterLayer;

use super::entries;
use crate::{
    drive::Subject,
    floor::Bucket,
    service::{AxumHttp, Plain, get},
};

/// A second: more than is asked for in any run.
pub(super) const PLENTY: u32 = 100_000_000;
const HOUR: Duration = Duration::from_secs(3600);
/// Of the paths with many of them. Who is next is found by a step that is no divisor of it, so that no cache and no
/// processor knows.
const KEYS: u64 = 10_000;
const STEP: u64 = 7_919;

pub(super) fn limiter() -> RateLimiter {
    let builder = RateLimiter::per_second(PLENTY.into()).name("bench");
    builder.build().expect("the options are in order")
}

/// One whose only permit of the hour is taken.
fn used_up() -> RateLimiter {
    let limiter = RateLimiter::per_hour(1).name("bench").build();
    let limiter = limiter.expect("the options are in order");
    assert!(limiter.try_acquire(1).is_ok());
    limiter
}

pub(super) fn keyed_limiter() -> RateLimiter {
    let builder = RateLimiter::per_second(PLENTY.into()).name("bench").keyed();
    builder.build().expect("the options are in order")
}

pub(super) fn around_plain(limiter: &RateLimiter) -> impl Service<u64> + Clone + Send + use<> {
    limiter.layer().layer(ErrorLayer::new().layer(Plain))
}

fn around_plain_by(limiter: &RateLimiter, key: fn(u64) -> u64) -> impl Service<u64> + Clone + Send + use<> {
    let layer = limiter.layer_by(PlainProtocol::new(), move |request: &u64| {
        Some(Key::from(key(*request)))
    });
    layer.layer(ErrorLayer::new().layer(Plain))
}

pub(super) fn one_key(_: u64) -> u64 {
    4711
}

pub(super) fn many_keys(request: u64) -> u64 {
    request.wrapping_mul(STEP) % KEYS
}

fn quota(permits: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(permits).expect("above zero"))
}

pub(super) fn governor() -> Arc<DefaultDirectRateLimiter> {
    Arc::new(governor::RateLimiter::direct(quota(PLENTY)))
}

pub(super) fn keyed_governor() -> Arc<DefaultKeyedRateLimiter<u64>> {
    Arc::new(governor::RateLimiter::keyed(quota(PLENTY)))
}

/// Its default counts in a fixed window, under a lock.
pub(super) fn tower_resilience(permits: usize, per: Duration) -> RateLimiterLayer {
    RateLimiterLayer::builder()
        .limit_for_period(permits)
        .refresh_period(per)
        .timeout_duration(Duration::ZERO)
        .build()
        .expect("the options are in order")
}

entries! { ALLOWED, "rate_limit/allowed":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let bucket = Bucket::plenty();
        Subject::function(move |_| bucket.take())
    },
    "buttress" => Subject::plain(around_plain(&limiter())),
    "buttress-policy" => {
        let limiter = limiter();
        Subject::function(move |_| limiter.try_acquire(1).is_ok())
    },
    "governor" => {
        let limiter = governor();
        Subject::function(move |_| limiter.check().is_ok())
    },
    // A fixed window; it belongs to the one service and cannot be shared.
    "tower-rate-limit" => {
        let rate = Rate::new(PLENTY.into(), Duration::from_secs(1));
        Subject::made_within_tokio(|| Subject::plain(RateLimit::new(Plain, rate)))
    },
    "tower-resilience" => {
        Subject::plain(tower_resilience(PLENTY as usize, Duration::from_secs(1)).layer(Plain)).within_tokio()
    },
}

entries! { REFUSED, "rate_limit/refused":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let bucket = Bucket::empty();
        Subject::function(move |_| bucket.take())
    },
    "buttress" => Subject::plain(around_plain(&used_up())),
    "buttress-policy" => {
        let limiter = used_up();
        Subject::function(move |_| limiter.try_acquire(1).is_ok())
    },
    // It says when to come back only if it is asked, with another clock read.
    "governor" => {
        let hourly = Quota::with_period(HOUR).expect("above zero");
        let limiter: DefaultDirectRateLimiter = governor::RateLimiter::direct(hourly);
        assert!(limiter.check().is_ok());
        Subject::function(move |_| limiter.check().is_ok())
    },
    // By itself it never refuses; and this does not say when to come back.
    "tower-rate-limit+load-shed" => {
        Subject::made_within_tokio(|| Subject::plain(LoadShed::new(RateLimit::new(Plain, Rate::new(1, HOUR)))))
    },
    // Nor does this.
    "tower-resilience" => Subject::plain(tower_resilience(1, HOUR).layer(Plain)).within_tokio(),
}

entries! { KEYED, "rate_limit/keyed":
    "bare" => Subject::plain(Plain),
    "buttress" => Subject::plain(around_plain_by(&keyed_limiter(), one_key)),
    "buttress-policy" => {
        let limiter = keyed_limiter();
        Subject::function(move |i| limiter.try_acquire_for(one_key(i), 1).is_ok())
    },
    "governor" => {
        let limiter = keyed_governor();
        Subject::function(move |i| limiter.check_key(&one_key(i)).is_ok())
    },
}

entries! { MANY_KEYS, "rate_limit/keyed/many":
    "bare" => Subject::plain(Plain),
    "buttress" => Subject::plain(around_plain_by(&with_many_keys(), many_keys)),
    "buttress-policy" => {
        let limiter = with_many_keys();
        Subject::function(move |i| limiter.try_acquire_for(many_keys(i), 1).is_ok())
    },
    "governor" => {
        let limiter = keyed_governor();
        (0..KEYS).for_each(|i| assert!(limiter.check_key(&many_keys(i)).is_ok()));
        Subject::function(move |i| limiter.check_key(&many_keys(i)).is_ok())
    },
}

/// With all the keys in it: to make one is not what is measured.
fn with_many_keys() -> RateLimiter {
    let limiter = keyed_limiter();
    (0..KEYS).for_each(|i| assert!(limiter.try_acquire_for(many_keys(i), 1).is_ok()));
    limiter
}

/// A request as a host hands it on: with the peer's address, in the form that the subject knows.
fn from_peer<A: Clone + Send + Sync + 'static>(address: A) -> impl FnMut() -> Request<Body> + Send {
    let request = get().map(|_| ());
    let (parts, ()) = request.into_parts();
    move || {
        let mut parts = parts.clone();
        parts.extensions.insert(address.clone());
        Request::from_parts(parts, Body::empty())
    }
}

const PEER: [u8; 4] = [192, 0, 2, 1];

fn peer_addr() -> PeerAddr {
    PeerAddr(IpAddr::from(PEER))
}

fn connect_info() -> ConnectInfo<std::net::SocketAddr> {
    ConnectInfo((PEER, 443).into())
}

fn by_peer(builder: buttress::rate_limit::RateLimiterBuilder) -> RateLimiter {
    let builder = builder.name("bench").key_by(KeyBy::PeerIp);
    builder.build().expect("the options are in order")
}

fn tower_governor(
    every: Duration,
    burst: u32,
) -> impl Service<Request<Body>, Response = Response<Body>> + Send {
    let config = GovernorConfigBuilder::default()
        .key_extractor(PeerIpKeyExtractor)
        .period(every)
        .burst_size(burst)
        .finish()
        .expect("the options are in order");
    GovernorLayer::new(config).layer(AxumHttp)
}

entries! { OVER_HTTP, "http/rate_limit/keyed":
    "bare" => Subject::http_from(AxumHttp, from_peer(peer_addr())),
    "buttress" => {
        let layer = by_peer(RateLimiter::per_second(PLENTY.into())).layer_for(HttpProtocol::new());
        Subject::http_from(layer.layer(ErrorLayer::new().layer(AxumHttp)), from_peer(peer_addr()))
    },
    "tower-governor" => {
        Subject::http_from(tower_governor(Duration::from_nanos(10), PLENTY), from_peer(connect_info()))
    },
}

entries! {
    /// With what makes the refusal a response: status, `Retry-After`, a text.
    REFUSED_OVER_HTTP, "http/rate_limit/refused":
    "bare" => Subject::http_from(AxumHttp, from_peer(peer_addr())),
    "buttress" => {
        let limiter = by_peer(RateLimiter::per_hour(1));
        let layer = limiter.layer_for(HttpProtocol::new());
        let service = layer.layer(ErrorLayer::new().layer(AxumHttp));
        Subject::http_from(RespondLayer::http().layer(service), from_peer(peer_addr()))
    },
    "tower-governor" => Subject::http_from(tower_governor(HOUR, 1), from_peer(connect_info())),
}
