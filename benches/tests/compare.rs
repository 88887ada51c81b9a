//! The program's lines, and the allocations in them, which are exact on any machine.

use std::process::Command;

use serde_json::Value;

/// What a call over HTTP allocates beside the service itself: what is kept of the head by each layer that may send it
/// again, in one allocation each, and where there is a time limit for the whole call its context in a new request (four).
const OVER_HTTP: &[(&str, f64)] = &[
    ("http/retry", 1.0),
    ("http/hedge", 1.0),
    // A response is made, which the service was not asked for: status, headers, text.
    ("http/rate_limit/refused", 9.0),
    ("http/stack/client", 4.0 + 1.0 + 1.0),
];

fn compare(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(arguments)
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_line_parses_and_buttress_allocates_no_more_than_it_says() {
    let lines: Vec<Value> = compare(&["--quick", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    for line in &lines {
        let (ns, allocs) = (line["ns"].as_f64(), line["allocs"].as_f64());
        assert!(
            ns.is_some_and(|ns| ns > 0.0) && allocs.is_some_and(|allocs| allocs >= 0.0),
            "{line}"
        );
        let ours = line["subject"]
            .as_str()
            .is_some_and(|subject| subject.starts_with("buttress"));
        if ours {
            // A trace-id is in an extension and in headers, and costs what these cost by hand.
            let is_ids = line["path"]
                .as_str()
                .is_some_and(|path| path.contains("trace_id"));
            let least = if is_ids { "floor" } else { "bare" };
            let bare = lines
                .iter()
                .find(|l| l["path"] == line["path"] && l["subject"] == least)
                .and_then(|l| l["allocs"].as_f64());
            let said = OVER_HTTP.iter().find(|(path, _)| line["path"] == *path);
            let most = bare.unwrap_or_default() + said.map_or(0.0, |(_, most)| *most);
            if line["subject"] == "buttress" {
                assert_eq!(allocs, Some(most), "{line}");
            } else {
                assert!(allocs <= Some(most), "{line}");
            }
        }
    }
    for path in [
        "circuit_breaker/closed",
        "circuit_breaker/open",
        "timeout/ready",
        "timeout/waiting",
        "retry",
        "hedge",
        "fallback",
        "fallback/answered",
        "rate_limit/allowed",
        "rate_limit/refused",
        "rate_limit/keyed",
        "rate_limit/keyed/many",
        "priority/free",
        "priority/refused",
        "priority/adaptive",
        "pool/3",
        "pool/300",
        "stack/full",
        "stack/client",
        "http/rate_limit/keyed",
        "http/rate_limit/refused",
        "http/retry",
        "http/trace_id/inbound",
        "http/trace_id/inbound/host",
        "http/trace_id/outbound",
        "http/stack/full",
        "http/stack/client",
    ] {
        for subject in ["bare", "buttress"] {
            let found = lines.iter().any(|l| l["path"] == path && l["subject"] == subject);
            assert!(found, "no {subject} on {path}");
        }
    }
    // What counts does count: this peer boxes its future.
    let boxed = lines
        .iter()
        .find(|l| l["path"] == "circuit_breaker/closed" && l["subject"] == "tower-resilience");
    assert!(boxed.is_some_and(|l| l["allocs"].as_f64() >= Some(1.0)));
}

#[test]
fn the_table_has_the_paths_that_were_asked_for() {
    let table = compare(&["--quick", "--filter", "clock/", "--filter", "stack/empty:bare"]);
    let paths: Vec<&str> = table.lines().skip(1).filter(|l| !l.starts_with(' ')).collect();
    assert_eq!(paths, ["clock/read", "stack/empty"]);
}
