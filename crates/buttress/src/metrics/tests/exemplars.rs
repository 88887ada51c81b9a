//! The newest trace of each outcome.

use super::*;
use crate::{CallContext, context::Trace, export::Exemplar};

#[tokio::test(start_paused = true)]
async fn of_each_outcome_the_newest_recorded_trace_is_kept_if_that_is_asked_for() {
    let call = async |metrics: &Metrics, trace: &Trace, outcome| {
        let mut context = CallContext::new();
        context.set_trace(trace.clone());
        let token = metrics.start();
        tokio::time::advance(ms(250)).await;
        context.sync_scope(|| token.finish(outcome));
    };
    let [first, second] = [Trace::new(), Trace::new()];
    let unrecorded = Trace::new().with_flags(Trace::RANDOM);
    let plain = Metrics::new();
    call(&plain, &first, Outcome::SUCCESS).await;
    assert_eq!(plain.snapshot().exemplars().count(), 0);

    let asked = Metrics::new().with_exemplars();
    for metrics in [&asked, &asked.another()] {
        call(metrics, &first, Outcome::SUCCESS).await;
        call(metrics, &second, Outcome::SUCCESS).await;
        call(metrics, &unrecorded, Outcome::SUCCESS).await;
        call(metrics, &first, Outcome::failure(Reason::Error)).await;
        metrics.start().finish(Outcome::SUCCESS);
        let found: Vec<_> = metrics.snapshot().exemplars().collect();
        let expected = [("success", second.id()), ("failure", first.id())];
        assert_eq!(
            found,
            expected.map(|(outcome, id)| (outcome, Exemplar::new(id, 0.25)))
        );
    }
}

#[test]
fn exemplars_cost_no_allocation() {
    let metrics = Metrics::new().with_exemplars();
    let mut context = CallContext::new();
    context.set_trace(Trace::new());
    let count = context.sync_scope(|| {
        metrics.start().finish(Outcome::SUCCESS);
        allocation_counter::measure(|| metrics.start().finish(Outcome::SUCCESS))
    });
    assert_eq!(count.count_total, 0);
    assert_eq!(metrics.snapshot().exemplars().count(), 1);
}

#[cfg(feature = "keyed")]
#[test]
fn a_route_has_exemplars_of_its_own() {
    let metrics = Metrics::by_route(2).with_exemplars();
    let trace = Trace::new();
    let mut context = CallContext::new();
    context.set_trace(trace.clone());
    context.sync_scope(|| {
        for route in [None, Some("/a"), Some("/b"), Some("/c")] {
            metrics.start_by(|| route).finish(Outcome::SUCCESS);
        }
    });
    let routes = metrics.shared.routes.as_ref().expect("by route").snapshots();
    assert_eq!(routes.len(), 4);
    for books in routes.into_iter().chain([metrics.snapshot()]) {
        let found: Vec<_> = books.exemplars().map(|(_, found)| found.trace_id).collect();
        assert_eq!(found, [trace.id()], "{}", books.name);
    }
}
