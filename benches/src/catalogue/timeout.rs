//! Time limits.

use std::time::Duration;

use buttress::{
    ErrorLayer,
    timeout::{Deadline, Timeout},
};
use tower::{Layer, Service, timeout};
use tower_resilience::timelimiter::TimeLimiterLayer;

use super::entries;
use crate::{
    drive::Subject,
    floor::Limit,
    service::{Broken, Plain, Waiting, answer},
};

const SECOND: Duration = Duration::from_secs(1);

fn buttress<S>(inner: S) -> impl Service<u64> + Clone + Send + 'static
where
    S: Service<u64, Error = Broken, Response: Send, Future: Send> + Clone + Send + 'static,
{
    let timeout = Timeout::after(SECOND).build().expect("a limit");
    timeout.layer().layer(ErrorLayer::new().layer(inner))
}

/// It boxes the future and reads the clock twice, for its listeners, of which there are none here.
fn tower_resilience() -> TimeLimiterLayer {
    TimeLimiterLayer::builder().timeout_duration(SECOND).build()
}

entries! {
    /// The answer is there at the first poll. Buttress runs outside of a runtime, where a timer would panic; the
    /// others make one before they poll the service.
    READY, "timeout/ready":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let limit = Limit::new();
        Subject::function(move |i| limit.call(|| answer(i)))
    },
    "buttress" => Subject::plain(buttress(Plain)),
    "tower-timeout" => Subject::plain(timeout::Timeout::new(Plain, SECOND)).within_tokio(),
    "tower-resilience" => Subject::plain(tower_resilience().layer(Plain)).within_tokio(),
}

entries! {
    /// The answer is there at the second poll, so all have had a timer registered, and drop it.
    WAITING, "timeout/waiting":
    "bare" => Subject::waiting(Waiting),
    "buttress" => Subject::waiting(buttress(Waiting)),
    "tower-timeout" => Subject::waiting(timeout::Timeout::new(Waiting, SECOND)),
    "tower-resilience" => Subject::waiting(tower_resilience().layer(Waiting)),
}

entries! {
    /// The limit of a whole call, of which those further in are told. No peer does that.
    TOTAL, "timeout/total":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let limit = Limit::new();
        Subject::function(move |i| limit.total(|| answer(i)))
    },
    "buttress" => {
        let deadline = Deadline::after(SECOND).build().expect("a limit");
        Subject::plain(deadline.layer().layer(ErrorLayer::new().layer(Plain)))
    },
}
