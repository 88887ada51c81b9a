//! Without headers: contexts, tasks, options.

use std::convert::Infallible;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{
    CallContext, Error, ErrorLayer, Plain, Registry,
    context::Trace,
    registry::Drill,
    trace_id::{self, TraceId, TraceIdLayer},
};

type Answer = Result<Option<Trace>, Error<Infallible>>;

async fn tell(_: ()) -> Answer {
    tokio::task::yield_now().await;
    Ok(trace_id::current_trace())
}

#[tokio::test]
async fn a_plain_call_begins_a_trace_or_goes_on_with_the_one_around_it() {
    let policy = TraceId::w3c();
    let mut service = policy.layer().layer(service_fn(tell));
    let begun = service.call(()).await.expect("well").expect("a trace");
    assert_eq!(begun.parent(), None);
    assert!(begun.is_sampled());

    let mut around = CallContext::new();
    let outer = Trace::new();
    around.set_trace(outer.clone());
    let inner = around
        .scope(service.call(()))
        .await
        .expect("well")
        .expect("a trace");
    // The context is looked for when the call is made, which was outside of the scope.
    assert_ne!(inner.id(), outer.id());

    let mut around = CallContext::new();
    around.set_trace(outer.clone());
    let inner = around.scope(async { service.call(()).await });
    let inner = inner.await.expect("well").expect("a trace");
    assert_eq!((inner.id(), inner.parent()), (outer.id(), Some(outer.span())));
    assert_eq!(policy.snapshot().made, 2);
    assert_eq!(trace_id::current(), None, "outside of it there is none");
}

#[tokio::test]
async fn a_spawned_task_is_part_of_the_trace_and_not_of_the_deadline() {
    let mut context = CallContext::new();
    context.set_trace(Trace::new());
    context.limit_deadline(crate::clock::now());
    let id = context.trace_id().map(trace_id::Id::from);
    context
        .scope(async move {
            let look = async {
                tokio::task::yield_now().await;
                (
                    trace_id::current(),
                    CallContext::current().and_then(|c| c.deadline()),
                )
            };
            assert_eq!(trace_id::spawn(look).await.expect("no panic"), (id, None));
            let bare = tokio::spawn(async { trace_id::current() });
            assert_eq!(bare.await.expect("no panic"), None);
        })
        .await;
    assert_eq!(
        trace_id::spawn(async { trace_id::current() }).await.ok(),
        Some(None)
    );
}

#[tokio::test]
async fn a_spawned_task_is_inside_of_the_span() {
    let log = Log::down_to(Level::INFO);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut service = TraceId::w3c().layer().layer(service_fn(async |()| {
        let inner = TraceId::builder().name("inner").build().expect("valid");
        let in_task = async move {
            let mut service = inner.layer().layer(service_fn(tell));
            service.call(()).await
        };
        trace_id::spawn(in_task).await.expect("no panic")
    }));
    service.call(()).await.expect("well");
    let spans: Vec<_> = log.entries().into_iter().filter(|e| e.id > 0).collect();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[1].within, spans[0].id);
    assert_eq!(spans[0].get("trace_id"), spans[1].get("trace_id"));
    assert_eq!(spans[0].get("span_id"), spans[1].get("parent_id"));
}

#[tokio::test]
async fn off_is_the_same_type_as_on_and_makes_no_trace() {
    let policy = TraceId::w3c();
    let services = [Some(policy.clone()), None]
        .map(|policy| TraceIdLayer::new(policy, Plain::new()).layer(service_fn(tell)));
    let [on, off] = services;
    assert!(on.oneshot(()).await.expect("well").is_some());
    assert!(off.oneshot(()).await.expect("well").is_none());
    assert_eq!(policy.snapshot().made, 1);
}

#[tokio::test]
async fn any_request_and_response_will_do() {
    // Neither `Send`, `Clone` nor `'static`.
    let cell = std::rc::Rc::new(std::cell::Cell::new(1));
    let mut service = TraceId::w3c().layer().layer(ErrorLayer::new().layer(service_fn(
        async |n: &std::rc::Rc<std::cell::Cell<u32>>| Ok::<_, Infallible>(n.get() + 1),
    )));
    assert_eq!(service.ready().await.expect("ready").call(&cell).await, Ok(2));
}

#[test]
fn the_share_that_is_sampled_is_decided_by_the_id() {
    let marked = |share: f64| {
        let policy = TraceId::builder().sampled(share).build().expect("a share");
        let mut marked = 0;
        for _ in 0..4000 {
            let trace = policy.begin();
            let drawn = (trace.id().get() & ((1 << 56) - 1)) as f64 / (1_u64 << 56) as f64;
            assert_eq!(trace.is_sampled(), drawn >= 1.0 - share);
            assert_eq!(trace.flags() & Trace::RANDOM, Trace::RANDOM);
            marked += u32::from(trace.is_sampled());
        }
        marked
    };
    assert_eq!((marked(0.0), marked(1.0)), (0, 4000));
    // Ten standard deviations.
    assert!((700..1300).contains(&marked(0.25)));
    for share in [-0.1, 1.1, f64::NAN] {
        let error = TraceId::builder().sampled(share).build().expect_err("no share");
        assert_eq!(error.problems().len(), 1);
    }
}

#[test]
fn options_change_while_it_runs_and_a_reset_clears_the_counts_and_not_the_totals() {
    let policy = TraceId::w3c();
    let registry = Registry::new();
    registry.register("api", &policy);
    let mut events = registry.subscribe();
    policy.reconfigure(policy.options().sampled(0.0)).expect("valid");
    assert!(!policy.begin().is_sampled());
    assert!(policy.reconfigure(policy.options().sampled(2.0)).is_err());
    assert_eq!(policy.options(), TraceId::builder().sampled(0.0));
    assert!(
        events
            .try_next()
            .is_some_and(|e| e.is_ok_and(|e| e.to_string().contains("changed")))
    );

    let made = |registry: &Registry| {
        registry
            .snapshot()
            .at(&["api", "traceId", "made"])
            .and_then(|n| n.as_u64())
    };
    assert_eq!(made(&registry), Some(1));
    registry.drill("api", &Drill::Reset).expect("it has counts");
    assert_eq!(made(&registry), Some(0));
    assert_eq!(policy.total(crate::trace_id::policy::MADE), 1);
}
