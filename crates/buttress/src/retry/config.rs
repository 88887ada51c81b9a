//! A retry from a configuration file.

use super::{Backoff, Jitter, builder::RetryBuilder, conditions::RetryOn};
use crate::{
    budget::Budget,
    config::{Given, Section, Setting},
    replay::MAX_BODY,
    value::Value,
};

impl RetryBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default.
    ///
    /// ```toml
    /// max_attempts = 3
    /// backoff = "exponential"         # or "constant", "linear", "fibonacci"
    /// initial_backoff = "100ms"
    /// multiplier = 2.0
    /// max_backoff = "10s"
    /// jitter = "full"                 # or "equal", "decorrelated", "none", "range", { range = 0.1 }
    /// max_elapsed = "30s"             # or "off"
    /// max_retry_after = "10s"
    /// budget = { ratio = 0.2, min_per_second = 10 }   # or "off"
    /// retry_on = ["connect", "timed_out", 502, 503, 504, 429, "unavailable"]
    /// retry_non_idempotent = false
    /// max_body = "64KiB"
    /// attempt_header = false
    /// ```
    ///
    /// `retry_on` is exactly what it lists: `connect` for the service's own errors, `timed_out`, `panicked`, HTTP
    /// statuses as numbers, and gRPC status codes by name, in `snake_case`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::{config, retry::{Retry, RetryBuilder}, value::Table};
    ///
    /// let table = Table::new().with("max_attempts", 5_u64).with("max_elapsed", "8s").with("max_body", "1MiB");
    /// let options = config::read(&table, RetryBuilder::read)?;
    /// assert_eq!(
    ///     options,
    ///     Retry::builder().max_attempts(5).max_elapsed(Duration::from_secs(8)).max_body(1 << 20),
    /// );
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        Self::default()
            .given(section.text("name"), Self::name)
            .given(section.number("max_attempts", 1..=u32::MAX), Self::max_attempts)
            .given(section.one_of("backoff", &BACKOFFS), Self::backoff)
            .given(section.duration("initial_backoff"), Self::initial_backoff)
            .given(section.ratio("multiplier", 1.0..=1000.0), Self::multiplier)
            .given(section.duration("max_backoff"), Self::max_backoff)
            .given(section.setting("jitter").and_then(jitter), Self::jitter)
            .given(
                section
                    .setting("max_elapsed")
                    .and_then(|s| s.or_off(Setting::duration)),
                Self::max_elapsed,
            )
            .given(section.duration("max_retry_after"), Self::max_retry_after)
            .given(
                section.setting("budget").and_then(|s| s.or_off(budget)),
                Self::budget,
            )
            .given(section.setting("retry_on").and_then(retry_on), Self::retry_on)
            .given(
                section.boolean("retry_non_idempotent"),
                Self::retry_non_idempotent,
            )
            .given(section.size("max_body", MAX_BODY), Self::max_body)
            .given(section.boolean("attempt_header"), Self::attempt_header)
    }
}

const BACKOFFS: [(&str, Backoff); 4] = [
    ("exponential", Backoff::Exponential),
    ("constant", Backoff::Constant),
    ("linear", Backoff::Linear),
    ("fibonacci", Backoff::Fibonacci),
];

const JITTERS: [(&str, Jitter); 5] = [
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
    ("range", Jitter::RANGE),
    ("none", Jitter::None),
];

fn budget(setting: Setting<'_, '_>) -> Option<Budget> {
    Budget::read(setting, Budget::default())
}

fn jitter(setting: Setting<'_, '_>) -> Option<Jitter> {
    match setting.value() {
        Value::Table(_) => {
            let mut section = setting.section()?;
            section.require(&["range"]);
            section.ratio("range", f64::MIN_POSITIVE..=1.0).map(Jitter::Range)
        }
        _ => setting.one_of(&JITTERS),
    }
}

/// What an item of `retry_on` stands for.
#[derive(Clone, Copy)]
enum Condition {
    Error,
    TimedOut,
    Panicked,
    Status(u16),
    Code(u8),
}

const CONDITIONS: [(&str, Condition); 19] = [
    ("connect", Condition::Error),
    ("timed_out", Condition::TimedOut),
    ("panicked", Condition::Panicked),
    ("cancelled", Condition::Code(1)),
    ("unknown", Condition::Code(2)),
    ("invalid_argument", Condition::Code(3)),
    ("deadline_exceeded", Condition::Code(4)),
    ("not_found", Condition::Code(5)),
    ("already_exists", Condition::Code(6)),
    ("permission_denied", Condition::Code(7)),
    ("resource_exhausted", Condition::Code(8)),
    ("failed_precondition", Condition::Code(9)),
    ("aborted", Condition::Code(10)),
    ("out_of_range", Condition::Code(11)),
    ("unimplemented", Condition::Code(12)),
    ("internal", Condition::Code(13)),
    ("unavailable", Condition::Code(14)),
    ("data_loss", Condition::Code(15)),
    ("unauthenticated", Condition::Code(16)),
];

fn retry_on(setting: Setting<'_, '_>) -> Option<RetryOn> {
    let listed = setting.list(|item| match item.value() {
        Value::UInt(_) => item.number(400..=599).map(Condition::Status),
        _ => item.one_of(&CONDITIONS),
    })?;
    let has = |wanted: fn(&Condition) -> bool| listed.iter().any(wanted);
    let on = RetryOn::nothing()
        .errors(has(|c| matches!(c, Condition::Error)))
        .timeouts(has(|c| matches!(c, Condition::TimedOut)))
        .panics(has(|c| matches!(c, Condition::Panicked)))
        .http_statuses(listed.iter().filter_map(|c| match c {
            Condition::Status(status) => Some(*status),
            _ => None,
        }))
        .grpc_codes(listed.iter().filter_map(|c| match c {
            Condition::Code(code) => Some(*code),
            _ => None,
        }));
    Some(on)
}
