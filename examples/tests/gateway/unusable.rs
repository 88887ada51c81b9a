//! What the gateway is told and cannot use.

use std::net::TcpListener;

use crate::process::{file, run};

/// Exit code and what is on standard error.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = run(args);
    assert!(output.stdout.is_empty(), "{output:?}");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn refusal_of(config: &str) -> (Option<i32>, String) {
    let file = file(config);
    let path = file.to_str().expect("a path");
    let (code, text) = refusal(&["--config", path]);
    (code, text.replace(path, "FILE"))
}

#[test]
fn every_problem_of_a_file_is_named_at_once() {
    let (code, text) = refusal_of(
        "listen = \"127.0.0.1:99999\"\nadmin_tokn = \"x\"\n[upstream]\nendpoints = [\"ftp://a\"]\n\
         [circuit_breaker]\nopen_for = 30\nhalf_open_probes = 0\n",
    );
    assert_eq!(code, Some(2));
    assert_eq!(
        text,
        "gateway: FILE: 5 problems\n  \
         listen: found \"127.0.0.1:99999\", expected an address and a port, as in \"127.0.0.1:8080\" (port 0 takes \
         a free one): invalid socket address syntax\n  \
         upstream.endpoints[0]: found \"ftp://a\", expected an address, as in \"http://127.0.0.1:9001\": only http is \
         spoken to upstreams\n  \
         circuit_breaker.open_for: found 30, expected a duration: a number and a unit (d, h, m, s, ms, us, ns), as \
         in \"250ms\" or \"1m30s\": write \"30s\"\n  \
         circuit_breaker.half_open_probes: found 0, expected a whole number, 1 to 1024\n  \
         admin_tokn: found an unknown key, expected a known one: did you mean `admin_token`?\n"
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_place() {
    let (code, text) = refusal_of("listen = \"127.0.0.1:0\"\n[upstream\n");
    assert_eq!(code, Some(2));
    assert!(
        text.starts_with("gateway: FILE: it is no TOML at line 2, column 10: "),
        "{text}"
    );
}

#[test]
fn the_token_is_printed_by_no_mistake_in_the_file() {
    for token in ["123456789", "\"123456789", "'123456789", "123456789z"] {
        let (code, text) = refusal_of(&format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token = {token}\n\
             [upstream]\nendpoints = [\"http://127.0.0.1:1\"]\n"
        ));
        assert_eq!(code, Some(2));
        assert!(!text.contains("12345"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, text) = refusal(&["--config", "/nowhere/gateway.toml"]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("/nowhere/gateway.toml: cannot be read: No such file"),
        "{text}"
    );
}

#[test]
fn an_unknown_argument_is_answered_with_the_usage() {
    let (code, text) = refusal(&["--conifg", "x"]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("unknown argument `--conifg`") && text.contains("Usage: gateway"),
        "{text}"
    );
}

#[test]
fn the_usage_is_no_error() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: gateway"));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (code, text) = refusal_of(&format!(
        "listen = \"{address}\"\n[upstream]\nendpoints = [\"http://127.0.0.1:1\"]\n"
    ));
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("listen: cannot listen on {address}: ")),
        "{text}"
    );
}

#[test]
fn a_path_of_checks_that_no_request_can_have_is_found_when_the_file_is_read() {
    let (code, text) = refusal_of(
        "listen = \"127.0.0.1:0\"\n[upstream]\nendpoints = [{ name = \"a\", url = \"http://127.0.0.1:1\" }]\n\
         [health_check]\npath = \"/a b\"\n",
    );
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("health_check.path: found \"/a b\", expected a path as a request has it"),
        "{text}"
    );
}
