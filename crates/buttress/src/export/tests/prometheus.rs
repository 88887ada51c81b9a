//! The page that Prometheus scrapes.

use prometheus_client::{encoding::text, registry};
use prometheus_parse::{Scrape, Value};

use super::*;

fn page(export: Export) -> String {
    let mut metrics = registry::Registry::default();
    metrics.register_collector(Box::new(export));
    let mut page = String::new();
    text::encode(&mut page, &metrics).expect("a String takes it");
    page
}

/// What a parser finds on a page, and how many sums of durations: those are not compared.
fn parsed(page: &str) -> (Values, usize) {
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).expect("it parses");
    let mut found = Values::new();
    for sample in scrape.samples {
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                found.insert(series(&sample.metric, labels), value);
            }
            Value::Histogram(buckets) => {
                for bucket in buckets {
                    let bound = [("le".to_owned(), format!("{:?}", bucket.less_than))];
                    let labels = labels.iter().cloned().chain(bound);
                    found.insert(series(&format!("{}_bucket", sample.metric), labels), bucket.count);
                }
            }
            Value::Summary(_) => panic!("there is none"),
        }
    }
    let all = found.len();
    found.retain(|name, _| !name.contains("_seconds_sum"));
    let sums = all - found.len();
    (found, sums)
}

#[tokio::test(start_paused = true)]
async fn a_parser_of_the_text_finds_the_same_values() {
    let (registry, _, _) = busy().await;
    let export = Export::of(&registry);
    for page in [page(export.clone()), export.read().to_string()] {
        let (found, sums) = parsed(&page);
        // Of the two durations of calls, and of the waits of each class.
        assert_eq!(sums, 2 + 5);
        assert_eq!(found, of_reading(&export.read()), "{page}");
    }
}

/// The lines of a page that are no comments, with the labels in order.
fn lines(page: &str) -> Vec<String> {
    let of_values = page.lines().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<_> = of_values
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').expect("labels");
            let mut labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
            labels.sort_unstable();
            let value: f64 = value.parse().expect("a number");
            format!("{name} {} {value}", labels.join(","))
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(start_paused = true)]
async fn the_text_format_has_the_same_series_under_its_own_rules() {
    let (registry, _, _) = busy().await;
    let export = Export::of(&registry);
    let (text, page) = (export.read().to_string(), page(export));
    assert_eq!(
        lines(&text),
        lines(&page),
        "to the bounds of buckets and the sums"
    );
    assert!(!text.contains("# EOF") && text.ends_with('\n'));
    for line in [
        "# HELP buttress_requests_total ",
        "# TYPE buttress_requests_total counter\nbuttress_requests_total{stack=\"api\",outcome=\"success\"} 11\n",
        "# TYPE buttress_request_duration_seconds histogram\n",
        "buttress_request_duration_seconds_bucket{stack=\"api\",le=\"1.0\"} ",
        "buttress_request_duration_seconds_bucket{stack=\"api\",le=\"+Inf\"} 26\n",
        "# TYPE buttress_circuit_breaker_state gauge\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_is_open_metrics() {
    let (registry, _, _) = busy().await;
    let page = page(
        Export::builder()
            .prefix("middleware")
            .build(&registry)
            .expect("valid"),
    );
    assert!(page.ends_with("# EOF\n"));
    for line in [
        "# TYPE middleware_requests counter\n",
        "middleware_requests_total{stack=\"api\",outcome=\"success\"} 11\n",
        "# TYPE middleware_request_duration_seconds histogram\n",
        "middleware_request_duration_seconds_bucket{le=\"+Inf\",stack=\"api\"} 26\n",
        "# TYPE middleware_circuit_breaker_state gauge\n",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    // Each family in one piece, as the format demands.
    let types: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut distinct = types.clone();
    distinct.dedup();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(types.len(), distinct.len());
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let registry = Registry::new();
    registry.register("a\"} 1\n# \\ b", &Metrics::new());
    let export = Export::of(&registry);
    for page in [export.read().to_string(), page(export)] {
        assert!(page.contains(r#"stack="a\"} 1\n# \\ b""#), "{page}");
        assert!(
            page.lines()
                .all(|line| line.starts_with("# ") || line.starts_with("buttress_"))
        );
    }
}
