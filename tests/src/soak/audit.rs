//! What has to be so when all is over.

use std::{sync::Arc, time::Duration};

use buttress::circuit_breaker::State;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{
    caller::{ENDS, Seen, Tally, call_well},
    client::{Client, NAME, Policies},
    process::Held,
};

/// Waits for what has to come by itself, and says what has not.
async fn soon<T: std::fmt::Debug + PartialEq>(what: &str, expected: T, now: impl Fn() -> T) {
    let begun = Instant::now();
    loop {
        let is = now();
        if is == expected {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{what}: {is:?}, not {expected:?}"
        );
        sleep(Duration::from_millis(1)).await;
    }
}

/// Nothing is in flight, nowhere.
pub async fn quiesced(policies: &Policies) {
    soon("in flight in the metrics", 0, || {
        policies.metrics.snapshot().in_flight
    })
    .await;
    soon("running and queued", (0, 0), || {
        let status = policies.queue.status();
        (status.running, status.queued)
    })
    .await;
    soon("in flight in the pool", 0, || {
        policies
            .pool
            .snapshot()
            .endpoints
            .iter()
            .map(|e| e.in_flight)
            .sum::<u64>()
    })
    .await;
    for host in &policies.hosts {
        assert_eq!(host.limit.snapshot().waiting, 0, "{}", host.name);
    }
}

/// What the callers saw is what the metrics counted, by each of their ways to say it; and each further policy's books
/// add up among themselves, and to those of the policies next to it.
pub fn books(policies: &Policies, seen: &Tally) {
    let metrics = policies.metrics.snapshot();
    let o = metrics.outcomes;
    let counted = Tally {
        started: metrics.started,
        ended: [
            o.success,
            o.failure,
            o.neutral,
            o.rejected,
            o.timed_out,
            o.cancelled,
            o.panicked,
        ],
    };
    assert_eq!(counted.started, counted.ended.iter().sum::<u64>(), "{counted}");
    assert_eq!(counted, *seen, "the metrics, and what the callers saw");

    let json = policies.registry.snapshot().to_string();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let said = ENDS.map(|end| json[NAME]["outcomes"][end].as_u64().expect("a count"));
    assert_eq!(said, seen.ended, "the registry, and what the callers saw");
    assert_eq!(json[NAME]["requests"], seen.started);
    assert_eq!(json[NAME]["inFlight"], 0);
    assert_eq!(metrics.to_end.count(), seen.started);

    let (retry, hedge) = (policies.retry.snapshot(), policies.hedge.snapshot());
    assert_eq!(retry.attempts, retry.calls + retry.retries, "{retry:?}");
    assert_eq!(hedge.attempts, hedge.calls + hedge.hedges, "{hedge:?}");
    let queue = policies.queue.status();
    let ran = queue.completed + queue.failed + queue.cancelled;
    let pool = policies.pool.snapshot();
    // A call goes through one after the other.
    assert_eq!(retry.calls, seen.started, "all calls come to the retry");
    // An attempt is counted when the wait for it begins, and its caller may go away meanwhile.
    assert!(
        (retry.calls..=retry.attempts).contains(&hedge.calls),
        "its attempts come to the hedge: {retry:?}, {hedge:?}"
    );
    assert_eq!(
        ran + queue.left + queue.rejected(),
        hedge.attempts,
        "all of the hedge's come to the queue: {queue:?}"
    );
    assert_eq!(pool.calls, ran, "all that got a slot come to the pool");
    for host in &policies.hosts {
        let b = host.breaker.snapshot();
        let sum = b.success + b.failure + b.throttled + b.neutral + b.cancelled + b.stale + b.rejected;
        assert_eq!(b.total, sum, "{b:?}");
    }
    for e in &pool.endpoints {
        let ended = e.success + e.failure + e.throttled_calls + e.neutral + e.cancelled;
        assert_eq!((e.calls, e.in_flight), (ended, 0), "{e:?}");
    }
}

/// Every probe has come back: as many can be had as there are, and not one more.
pub fn probes(policies: &Policies) {
    for host in &policies.hosts {
        if host.breaker.state() != State::HalfOpen {
            continue;
        }
        let mut probes = Vec::new();
        while let Ok(probe) = host.breaker.try_acquire() {
            probes.push(probe);
            assert!(probes.len() <= 4, "{}: more probes than there may be", host.name);
        }
        assert!(probes.len() >= 2, "{}: only {} probes", host.name, probes.len());
    }
}

/// Each endpoint gets calls again, by itself, and before long all of them are well.
pub async fn traffic_returns(policies: &Policies, client: &impl Client<Body: Unpin>, seen: &Arc<Seen>) {
    let begun = Instant::now();
    loop {
        call_well(client, seen).await;
        let pool = policies.pool.snapshot();
        let closed = policies.hosts.iter().all(|h| h.breaker.state() == State::Closed);
        if closed && pool.usable() == 3 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "not all are back: {pool:#?}"
        );
        sleep(Duration::from_millis(1)).await;
    }
    let successes = || -> Vec<u64> {
        let pool = policies.pool.snapshot();
        policies
            .hosts
            .iter()
            .map(|host| pool.endpoint(host.name).expect("it is there").success)
            .collect()
    };
    let before = successes();
    for n in 0..90 {
        assert!(
            call_well(client, seen).await,
            "call {n} on a calm day failed: {}",
            seen.tally()
        );
    }
    for ((before, after), host) in before.iter().zip(successes()).zip(&policies.hosts) {
        assert!(after >= before + 10, "{} has its share again", host.name);
    }
}

/// No task and no file is left.
pub async fn nothing_held(before: &Held, tasks: usize) -> Held {
    soon("tasks", tasks, || Handle::current().metrics().num_alive_tasks()).await;
    soon("open files", before.files, || Held::now().files).await;
    Held::now()
}
