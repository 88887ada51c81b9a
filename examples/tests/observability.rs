//! The alert rules and the dashboard, against the metrics that there are.

use std::collections::BTreeSet;

use buttress::export::{Kind, families};
use serde_json::Value;

const ALERTS: &str = include_str!("../observability/alerts.yaml");
const DASHBOARD: &str = include_str!("../observability/dashboard.json");

/// The labels of each metric, as its documentation has them.
const DOCS: &str = include_str!("../../crates/buttress/src/export/mod.rs");

const PREFIX: &str = "buttress_";

/// Every name of a metric in a query, as far as it has our prefix.
fn names(query: &str) -> BTreeSet<&str> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c| !of_a_name(c));
    words.filter(|word| word.starts_with(PREFIX)).collect()
}

/// What a query may ask for of a metric, by the name that it has at `/metrics`.
fn series() -> Vec<(String, String)> {
    let mut series = Vec::new();
    for family in families() {
        let name = format!("{PREFIX}{}", family.name());
        match family.kind() {
            Kind::Counter => series.push((format!("{name}_total"), format!("{name}_total"))),
            Kind::Durations => {
                let name = format!("{name}_seconds");
                for part in ["bucket", "sum", "count"] {
                    series.push((format!("{name}_{part}"), name.clone()));
                }
            }
            _ => series.push((name.clone(), name)),
        }
    }
    series
}

/// The metric of that name, as its documentation calls it.
fn metric(name: &str) -> String {
    let known = series().into_iter().find(|(series, _)| series == name);
    known.unwrap_or_else(|| panic!("there is no {name}")).1
}

/// Of each selector in a query, and of the grouping around it, the metric and a label.
fn labels(query: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in names(query) {
        let metric = metric(name);
        for (at, _) in query.match_indices(&format!("{name}{{")) {
            let matchers = &query[at + name.len() + 1..];
            let matchers = &matchers[..matchers.find('}').expect("a brace")];
            for matcher in matchers.split(", ") {
                let label = matcher.split(['=', '!']).next().expect("a label");
                found.push((metric.clone(), label.to_owned()));
            }
        }
        for (at, _) in query.match_indices(" by (") {
            let by = &query[at + 5..];
            let (by, rest) = by.split_once(')').expect("a parenthesis");
            // The first name after it is that which is grouped.
            let next = rest.find(PREFIX).map(|start| &rest[start..]);
            if next.is_some_and(|next| next.starts_with(name)) {
                found.extend(by.split(", ").map(|label| (metric.clone(), label.to_owned())));
            }
        }
    }
    found
}

fn is_sound(query: &str) {
    assert!(!names(query).is_empty(), "{query}");
    let (open, closed) = (
        query.matches(['(', '{', '[']).count(),
        query.matches([')', '}', ']']).count(),
    );
    assert_eq!(open, closed, "{query}");
    for (metric, label) in labels(query) {
        let row = format!("//! | `{metric}` |");
        let row = DOCS.lines().find(|line| line.starts_with(&row)).expect("a row");
        // Those of Prometheus itself, and of histograms.
        let known = ["job", "instance", "le"].contains(&&*label) || row.contains(&format!("`{label}`"));
        assert!(known, "{metric} has no label {label}: {query}");
    }
}

fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    targets
        .map(|target| target["expr"].as_str().expect("a query").to_owned())
        .collect()
}

#[test]
fn a_dashboards_queries_name_only_what_there_is() {
    let queries = queries();
    assert!(queries.len() > 20);
    queries.iter().for_each(|query| is_sound(query));
}

#[test]
fn every_metric_is_on_the_dashboard() {
    let shown: BTreeSet<String> = queries()
        .iter()
        .flat_map(|query| names(query).into_iter().map(metric).collect::<Vec<_>>())
        .collect();
    let all: BTreeSet<String> = series().into_iter().map(|(_, metric)| metric).collect();
    assert_eq!(shown, all);
}

#[test]
fn a_dashboards_panels_are_apart_and_have_a_place() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{panel}");
            }
        }
    }
}

#[test]
fn each_alert_says_when_how_bad_and_what_and_names_only_what_there_is() {
    let rules: Vec<_> = ALERTS.split("      - alert: ").skip(1).collect();
    assert!(rules.len() >= 5);
    for rule in &rules {
        let query = rule.lines().find_map(|line| line.strip_prefix("        expr: "));
        is_sound(query.expect("a query"));
        for part in ["severity: ", "summary: ", "description: "] {
            assert_eq!(rule.matches(part).count(), 1, "{part} in {rule}");
        }
        let severity = ["severity: warning\n", "severity: critical\n"];
        assert!(severity.iter().any(|severity| rule.contains(severity)), "{rule}");
    }
    for (named, severity) in [
        ("< 0.9\n", "warning"),
        ("< 0.8\n", "critical"),
        ("> 5\n", "warning"),
        ("{state=\"open\"}[2m])) == 1\n", "critical"),
        ("(buttress_pool_usable_endpoints) == 0\n", "critical"),
    ] {
        let rule = rules.iter().find(|rule| rule.contains(named)).expect("a rule");
        assert!(rule.contains(&format!("severity: {severity}\n")), "{rule}");
    }
}
