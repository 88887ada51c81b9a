//! The examples that tell a story check it themselves.

use std::process::{Command, Output};

fn told(program: &str, args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program).args(args).output().expect("it starts");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

#[test]
fn a_node_dies_and_comes_back() {
    let text = told(env!("CARGO_BIN_EXE_failover"), &[]);
    assert_eq!(
        (text.matches('✓').count(), text.matches('✗').count()),
        (11, 0),
        "{text}"
    );
}

#[test]
fn a_pool_over_any_client() {
    let text = told(env!("CARGO_BIN_EXE_client_pool"), &[]);
    assert!(text.contains("weighted_random"), "{text}");
}

#[test]
fn accounts_are_chosen_by_score_and_their_keys_are_never_seen() {
    let text = told(env!("CARGO_BIN_EXE_account_pool"), &[]);
    assert!(!text.contains("sk-"), "{text}");
}

#[test]
fn load_says_what_became_of_each_request() {
    // Nobody listens there.
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args([
            "http://127.0.0.1:9",
            "--rate",
            "200",
            "--for",
            "500ms",
            "--json",
            "--none-lost",
        ])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "all were lost");
    let toll: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&toll["sent"], &toll["unanswered"]), (&100.into(), &100.into()));
}
