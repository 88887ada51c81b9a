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
}
