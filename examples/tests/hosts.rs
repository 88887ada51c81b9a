//! The examples for hosts, run as their readers run them.

use std::process::Command;

/// Runs it, and sees that it says those things and ends well.
fn run(program: &str, says: &[&str]) {
    let output = Command::new(program).output().expect("it begins");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    for words in says {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
}

macro_rules! examples {
    ($($name:ident says $($words:literal),+;)*) => {$(
        #[test]
        fn $name() {
            run(env!(concat!("CARGO_BIN_EXE_", stringify!($name))), &[$($words),+]);
        }
    )*};
}

examples! {
    axum_per_route says "search: 503", "login: 429";
    axum_server says "/slow: 504", "/bug: 500", r#"route="/users/{id}""#;
    custom_layer says "50", "rejected by `maintenance`";
    custom_protocol says "Value(1)", "Busy";
    hyper_client says "5 of them at the second try";
    plain_function says "row 7: Ann", "row 8: no answer within the time limit", "row 9: connection lost", "is OPEN";
    reqwest_client says "/balance: 42", "not asked: circuit breaker `payments` is open", "/balance: unknown";
    reqwest_middleware says "/balance: 42", "not asked: circuit breaker `payments` is open";
    tonic_client_server says "hello Ann", "nobody is in", "not asked: circuit breaker `greeter` is open";
    tonic_interceptor says "nobody is in", "temporarily unavailable", "ResourceExhausted";
}
