//! The alert rules, fired: by what should fire each of them, and by nothing else.
//!
//! Each case is evaluated here, by the part of PromQL that the rules are written in, and it is written to
//! `observability/alerts.test.yaml`, with which `promtool test rules` says the same where Prometheus is at hand:
//! `examples/observability/check`.

mod cases;
mod promql;
mod rules;
mod written;

use std::collections::BTreeSet;

use crate::{cases::cases, rules::Rule};

const ALERTS: &str = include_str!("../../observability/alerts.yaml");
const DASHBOARD: &str = include_str!("../../observability/dashboard.json");

/// How often rules are looked at, and how far the samples of a series are apart.
pub(crate) const STEP: u32 = 15;

#[test]
fn each_alert_fires_when_it_should_and_not_otherwise() {
    let rules = Rule::read(ALERTS);
    for case in cases() {
        for expected in &case.looks {
            let fired: Vec<_> = rules
                .iter()
                .flat_map(|rule| rule.fired(&case.series, expected.at))
                .collect();
            assert_eq!(fired, expected.alerts, "{}, after {} s", case.name, expected.at);
        }
    }
}

#[test]
fn there_is_a_case_for_each_alert() {
    let rules = Rule::read(ALERTS);
    let all: BTreeSet<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let cases = cases();
    let looks = cases.iter().flat_map(|case| &case.looks);
    let fired: BTreeSet<_> = looks
        .flat_map(|look| &look.alerts)
        .map(|alert| alert.name.as_str())
        .collect();
    assert_eq!(fired, all);
}

#[test]
fn what_promtool_is_given_are_the_same_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/observability/alerts.test.yaml");
    let expected = written::yaml(&Rule::read(ALERTS), &cases());
    if std::env::var_os("WRITE_ALERTS_TEST").is_some() {
        std::fs::write(path, &expected).expect("it can be written");
    }
    let found = std::fs::read_to_string(path).expect("a text");
    assert!(
        found == expected,
        "observability/alerts.test.yaml is not what the cases say: run this test with WRITE_ALERTS_TEST=1"
    );
}

#[test]
fn every_query_of_the_dashboard_is_promql() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut count = 0;
    for target in targets {
        let query = target["expr"].as_str().expect("a query");
        let query = query.replace("$__rate_interval", "1m");
        promql::parse(&query).unwrap_or_else(|problem| panic!("{problem} in {query}"));
        count += 1;
    }
    assert!(count > 20);
}
