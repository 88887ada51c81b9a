//! With no file.

use crate::process::run;

#[test]
fn the_demonstration_adds_up() {
    let output = run(&[]);
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
    assert!(moved > 0 && moved <= failed && noticed == 0, "{found}");
    let [2, moved, 1, 0] = figures("c gone:")[..] else {
        panic!("{found}");
    };
    let [1, 1, calls] = figures("c back:")[..] else {
        panic!("{found}");
    };
    assert!(moved >= 5 && calls > 2, "{found}");
    let [calls, hedges, won] = figures("hedge:")[..] else {
        panic!("{found}");
    };
    assert!(0 < won && won <= hedges && hedges < calls, "{found}");
    let [served, 100, refused, 429, limited, 0] = figures("rate limit:")[..] else {
        panic!("{found}");
    };
    assert!(
        served >= 40 && served + refused == 100 && limited == refused,
        "{found}"
    );
    let [12, 12, soon, 120, others, late, refused, displaced] = figures("priority:")[..] else {
        panic!("{found}");
    };
    assert!(
        soon < late && others + refused == 120 && (1..=12).contains(&displaced),
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
