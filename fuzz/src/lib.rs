//! What reads bytes from the network or from a file, given any bytes.
//!
//! Each target is a function that takes bytes and panics where what came of them is wrong: it compares the reader with
//! one that is too simple to be wrong, or holds it to what must be true of any answer. The same functions run in two
//! ways:
//!
//! * `cargo test -p buttress-fuzz` gives them the corpora in `corpus/`, those changed at random, and bytes from nowhere;
//! * `fuzz/run [SECONDS [TARGET...]]` gives them to libFuzzer, which looks for new ways through the code.
//!
//! What a fuzzer finds goes into the target's corpus.

mod bodies;
mod config;
mod fields;
mod source;
mod trace;

/// A target by its name, which is that of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("traceparent", trace::traceparent),
    ("trace_headers", trace::headers),
    ("retry_after", fields::retry_after),
    ("rate_limit", fields::rate_limit),
    ("priority", fields::priority),
    ("grpc_timeout", fields::grpc_timeout),
    ("forwarded_for", fields::forwarded_for),
    ("config", config::config),
    ("observed_body", bodies::observed),
    ("replayed_body", bodies::replayed),
];

/// Runs the target of that name.
///
/// # Panics
///
/// Where there is none, and where the target finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(found, _)| *found == name)
        .expect("it is a target");
    target(bytes);
}
