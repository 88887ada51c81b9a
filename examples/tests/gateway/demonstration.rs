//! With no file.

use std::{process::Output, time::Duration};

use crate::{lateness::Lateness, process::run};

/// A story has its times. On a machine that is late by more than this some of it comes too late to come true, but
/// hardly three times in a row.
const LATE: Duration = Duration::from_millis(100);
const TRIES: usize = 3;

#[test]
fn the_demonstration_adds_up() {
    for _ in 1..TRIES {
        let lateness = Lateness::watch();
        let output = run(&[]);
        let late = lateness.worst();
        if output.status.success() || late < LATE {
            return check(&output);
        }
        println!("late by {late:?}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    check(&run(&[]));
}

fn check(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("It all adds up.\n"), "{text}");
    assert!(!text.contains('✗'), "{text}");
    for seen in [
        "reached a caller; ",
        "✓ upstream flaky: the breaker stayed as it was",
        "✓ upstream silent: CLOSED → OPEN",
        "attempts at them ",
    ] {
        assert!(text.contains(seen), "{seen}: {text}");
    }

    // The second part: what it says is not only said to be so.
    let (_, found) = text
        .split_once("What the second part came to")
        .expect("a summary");
    let found = found.replace("\n    ", " ");
    let told = |what: &str| {
        let mut lines = found.lines().filter_map(|line| line.strip_prefix("  ✓ "));
        let line = lines.find_map(|line| line.strip_prefix(what));
        line.unwrap_or_else(|| panic!("no {what:?} in {found}"))
    };
    let figures = |what: &str| {
        let words = told(what).split(|c: char| !c.is_ascii_digit());
        let figures = words
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().expect("a figure"));
        figures.collect::<Vec<u64>>()
    };
    let [a, b, c] = figures("turns:")[..] else {
        panic!("{found}");
    };
    assert!([a, b, c].iter().all(|share| share * 4 > a + b + c), "{found}");
    let [failed, _, moved, noticed] = figures("failover:")[..] else {
        panic!("{found}");
    };
    assert!(failed > 0 && moved > 0 && noticed == 0, "{found}");
    let [2, moved, opened, 0] = figures("c gone:")[..] else {
        panic!("{found}");
    };
    let [recovered, closed, calls] = figures("c back:")[..] else {
        panic!("{found}");
    };
    assert!(
        moved >= 5 && opened > 0 && recovered > 0 && closed > 0 && calls > 2,
        "{found}"
    );
    let [calls, hedges, won] = figures("hedge:")[..] else {
        panic!("{found}");
    };
    assert!(0 < won && won <= hedges && hedges < calls, "{found}");
    let [served, 200, refused, 429, limited, 0] = figures("rate limit:")[..] else {
        panic!("{found}");
    };
    assert!(
        served >= 40 && served + refused == 200 && limited == refused,
        "{found}"
    );
    let [8, 8, soon, 160, others, late, refused, displaced] = figures("priority:")[..] else {
        panic!("{found}");
    };
    assert!(
        soon < late && others > 0 && refused > 0 && (1..=8).contains(&displaced),
        "{found}"
    );
    assert_eq!(figures("fallback:"), [20, 20, 20], "{found}");
    let [made, counted] = figures("calls that were made:")[..] else {
        panic!("{found}");
    };
    assert_eq!(made, counted, "{found}");

    // "trace ID: a said 503, b said 200, and the caller got 200 with that id"
    let (id, seen) = told("trace ").split_once(": ").expect("an id");
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    let (first, second) = seen.split_once(" said 503, ").expect("a failure");
    assert_ne!(
        Some(first),
        second.split_once(" said 200, ").map(|(by, _)| by),
        "{seen}"
    );
}
