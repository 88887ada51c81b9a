//! From a number to one of the calls in it.

use std::num::NonZeroU128;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use prometheus_client::{encoding::text, registry};

use super::*;
use crate::{Http, trace_id};

fn page(registry: &Registry) -> String {
    let mut metrics = registry::Registry::default();
    metrics.register_collector(Box::new(Export::of(registry)));
    let mut page = String::new();
    text::encode(&mut page, &metrics).expect("a String takes it");
    page
}

/// What stands behind a ` # ` on a page: the series, the trace in the one label, and the value.
fn exemplars(page: &str) -> Vec<(String, NonZeroU128, f64)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (sample, exemplar) = line.split_once(" # ")?;
        let (series, count) = sample.rsplit_once(' ').expect("a value");
        assert!(count.parse::<u64>().expect("a number") > 0, "{line}");
        let (label, value) = exemplar.rsplit_once(' ').expect("a value");
        let id = label
            .strip_prefix("{trace_id=\"")
            .and_then(|rest| rest.strip_suffix("\"}"));
        let id: trace_id::Id = id.and_then(|id| id.parse().ok()).expect("a trace-id");
        Some((series.to_owned(), id.get(), value.parse().expect("a number")))
    };
    lines.filter_map(parse).collect()
}

/// Answers after 20 ms, with the trace's id for a body.
async fn answer(_: Request<()>) -> Result<Response<Full<Bytes>>, Error<Infallible>> {
    tokio::time::sleep(ms(20)).await;
    let id = trace_id::current().expect("it is in a trace").to_string();
    Ok(Response::new(Full::from(id)))
}

#[tokio::test(start_paused = true)]
async fn a_page_leads_from_each_outcome_to_the_newest_trace_that_ended_in_it() {
    for asked in [false, true] {
        let metrics = if asked {
            Metrics::new().with_exemplars()
        } else {
            Metrics::new()
        };
        let registry = Registry::new();
        registry.register("api", &metrics);
        let layer = TraceId::w3c().layer_for(Http::new()).inbound();
        let mut server = layer.layer(metrics.layer_for(Http::new()).layer(service_fn(answer)));
        let mut last = None;
        for _ in 0..3 {
            let response = server.call(Request::new(())).await.expect("well");
            tokio::time::advance(ms(230)).await;
            let body = response.into_body().collect().await.expect("it ends").to_bytes();
            last = std::str::from_utf8(&body)
                .expect("ASCII")
                .parse::<trace_id::Id>()
                .ok();
        }
        let page = page(&registry);
        let success = "buttress_requests_total{stack=\"api\",outcome=\"success\"}";
        assert!(page.contains(&format!("{success} 3")), "{page}");
        let expected = last.map(|id| (success.to_owned(), id.get(), 0.25));
        assert_eq!(
            exemplars(&page),
            Vec::from_iter(expected.filter(|_| asked)),
            "{page}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_is_not_recorded_is_no_exemplar() {
    let metrics = Metrics::new().with_exemplars();
    let registry = Registry::new();
    registry.register("api", &metrics);
    let unrecorded = TraceId::builder().sampled(0.0).build().expect("valid");
    let layer = unrecorded.layer_for(Http::new()).inbound();
    let mut server = layer.layer(metrics.layer_for(Http::new()).layer(service_fn(answer)));
    let response = server.call(Request::new(())).await.expect("well");
    response.into_body().collect().await.expect("it ends");
    assert_eq!(metrics.snapshot().outcomes.success, 1);
    assert_eq!(exemplars(&page(&registry)), []);
}
