//! Hedges of calls that are answered at once.

use std::time::Duration;

use buttress::{
    ErrorLayer, Http as HttpProtocol,
    hedge::{Hedge, HedgeLayer},
    replay::Bare,
};
use tower::{
    Layer,
    hedge::{self, Policy},
};
use tower_resilience::hedge::HedgeLayer as TowerResilience;

use super::{entries, retry::over_http};
use crate::{
    drive::Subject,
    floor::Attempts,
    service::{Plain, Upstream, answer},
};

const SECOND: Duration = Duration::from_secs(1);

fn fixed() -> Hedge {
    Hedge::builder().after(SECOND).build().expect("in order")
}

fn tower_resilience() -> TowerResilience {
    TowerResilience::builder()
        .delay(SECOND)
        .max_hedged_attempts(2)
        .build()
}

/// Everything may be sent twice.
#[derive(Clone)]
struct Any;

impl<R: Clone> Policy<R> for Any {
    fn clone_request(&self, request: &R) -> Option<R> {
        Some(request.clone())
    }

    fn can_retry(&self, _: &R) -> bool {
        true
    }
}

entries! {
    /// After a fixed delay. tower-resilience has no budget; it boxes three futures and makes the timer beforehand.
    FIXED, "hedge":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let attempts = Attempts::new();
        Subject::function(move |i| Attempts::call(&attempts, || answer(i)))
    },
    "buttress" => Subject::plain(fixed().layer().layer(ErrorLayer::new().layer(Plain))),
    "tower-resilience" => Subject::plain(tower_resilience().layer(Plain)).within_tokio(),
}

entries! {
    /// After the time that 95 of 100 calls take, learnt from the last calls. tower has no budget; it keeps the
    /// latencies under a lock, and makes the second attempt's future, with its timer, beforehand.
    QUANTILE, "hedge/quantile":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let attempts = Attempts::new();
        Subject::function(move |i| Attempts::measured(&attempts, || answer(i)))
    },
    "buttress" => {
        let hedge = Hedge::builder().after_quantile(0.95).build().expect("in order");
        Subject::plain(hedge.layer().layer(ErrorLayer::new().layer(Plain)))
    },
    "tower-hedge" => {
        let period = Duration::from_secs(30);
        Subject::plain(hedge::Hedge::new::<u64>(Plain, Any, 100, 0.95, period)).within_tokio()
    },
}

entries! {
    /// A GET with four headers and a short body, after a fixed delay.
    OVER_HTTP, "http/hedge":
    "bare" => over_http(Upstream),
    "buttress" => {
        let layer = HedgeLayer::new(fixed(), HttpProtocol::new(), Bare);
        over_http(layer.layer(ErrorLayer::new().layer(Upstream)))
    },
    // It asks for no method and no status.
    "tower-resilience" => {
        over_http(tower_resilience().layer(Upstream)).within_tokio()
    },
}
