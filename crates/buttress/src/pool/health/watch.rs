use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use super::{Check, HealthCheck};
use crate::{
    clock,
    pool::{
        hub::ticks,
        node::{Node, Urgency},
        shared::{Shared, Watch},
    },
    random,
};

/// What begins the checks of an endpoint.
pub(in crate::pool) fn watcher<T, C>(options: HealthCheck, check: C) -> Watch<T>
where
    T: Clone + Send + Sync + 'static,
    C: Check<T>,
{
    let checks = Arc::new((options, check));
    Arc::new(move |shared, node| {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return false;
        };
        node.watch(|| {
            // Neither pool nor endpoint lives on for being checked.
            let task = watch(Arc::downgrade(shared), Arc::downgrade(node), checks.clone());
            runtime.spawn(task).abort_handle()
        });
        true
    })
}

async fn watch<T, C>(shared: Weak<Shared<T>>, node: Weak<Node>, checks: Arc<(HealthCheck, C)>)
where
    T: Clone + Send + Sync + 'static,
    C: Check<T>,
{
    let (options, check) = &*checks;
    // The first check is soon, but not that of all endpoints, and of all replicas, at the same moment.
    let mut due = clock::now() + options.interval.mul_f64(random::unit() / 10.0);
    loop {
        let Some(hurry) = node.upgrade().map(|node| node.hurry.clone()) else {
            return;
        };
        let is_due = tokio::time::timeout_at(due, hurry.notified()).await.is_err();
        let (Some(pool), Some(endpoint)) = (shared.upgrade(), node.upgrade()) else {
            return;
        };
        if !is_due {
            // Something was found out about it meanwhile: it is not to wait longer than one waits then.
            due = due.min(clock::now() + wait(&endpoint, options));
            rebalance(&pool, options);
            continue;
        }
        let Some(target) = pool.target(&endpoint).map(|target| T::clone(&target)) else {
            return;
        };
        drop((pool, endpoint));
        let is_well = is_well(target, options.timeout, check).await;
        let (Some(pool), Some(endpoint)) = (shared.upgrade(), node.upgrade()) else {
            return;
        };
        endpoint.checked(is_well, options.failure_threshold, options.recovery_threshold);
        rebalance(&pool, options);
        due = clock::now() + wait(&endpoint, options);
    }
}

/// How long to wait for the next check.
fn wait(node: &Node, options: &HealthCheck) -> Duration {
    let part = match node.urgency() {
        Urgency::None => 1.0,
        Urgency::Out => 0.5,
        Urgency::Doubtful => 0.1,
    };
    options.interval.mul_f64(part * (1.0 - random::unit() / 10.0))
}

/// One that takes too long, or panics, is not well.
async fn is_well<T, C: Check<T>>(target: T, limit: Duration, check: &C) -> bool {
    let Ok(future) = catch_unwind(AssertUnwindSafe(|| check.check(target))) else {
        return false;
    };
    let mut future = pin!(future);
    let caught = poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(_) => Poll::Ready(false),
        },
    );
    tokio::time::timeout(limit, caught).await.unwrap_or(false)
}

/// Sets the weights anew if it is time, or if an endpoint has recovered. Of all the watchers one does.
fn rebalance<T>(shared: &Shared<T>, options: &HealthCheck) {
    let Some(interval) = options.rebalance_interval else {
        return;
    };
    let now = shared.hub.tick(clock::now());
    let next = shared.next_rebalance.load(Relaxed);
    let has_recovered = shared.hub.has_recovered.swap(false, Relaxed);
    // At first it is only noted when it will be.
    if (has_recovered || now >= next)
        && shared
            .next_rebalance
            .compare_exchange(next, now + ticks(interval), Relaxed, Relaxed)
            .is_ok()
        && (has_recovered || next != 0)
    {
        shared.rebalance();
    }
}
