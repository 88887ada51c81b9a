//! A stack from a configuration file.

use super::Stack;
use crate::{
    circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder},
    config::Section,
    metrics::Metrics,
    recover::Recover,
};

/// The policies of a stack, read from plain data. A section that is absent is a policy that is off; metrics and
/// panic recovery are on unless switched off.
///
/// ```toml
/// metrics = true
/// recover = true
/// [circuit_breaker]               # the options of CircuitBreakerBuilder
/// consecutive_failures = 5
/// open_for = "30s"
/// ```
///
/// With the `serde` feature it deserialises from any format; unknown keys and bad values are all named in the one
/// error.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use buttress::{Plain, Stack, stack::{FullClient, StackConfig}};
///
/// let config: StackConfig = toml::from_str("[circuit_breaker]\nopen_for = \"30s\"")?;
/// let stack: FullClient<Plain> = Stack::new("db").config(config).build();
/// # let _ = stack;
///
/// let error = toml::from_str::<StackConfig>("[circuit_breaker]\nopen_for = 30\nhalf_open_probs = 1").unwrap_err();
/// let error = error.to_string();
/// assert!(error.contains("circuit_breaker.open_for") && error.contains("did you mean `half_open_probes`?"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackConfig {
    /// Counting; key `metrics`, on by default.
    pub metrics: Option<Metrics>,
    /// Panic recovery; key `recover`, on by default.
    pub recover: Option<Recover>,
    /// The circuit breaker; section `circuit_breaker`, off by default.
    pub circuit_breaker: Option<CircuitBreaker>,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            metrics: Some(Metrics::new()),
            recover: Some(Recover::new()),
            circuit_breaker: None,
        }
    }
}

impl StackConfig {
    /// Reads the policies from a section, which may hold other keys as well.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            metrics: section.boolean("metrics").unwrap_or(true).then(Metrics::new),
            recover: section.boolean("recover").unwrap_or(true).then(Recover::new),
            circuit_breaker: section.section("circuit_breaker").and_then(|mut section| {
                let options = CircuitBreakerBuilder::read(&mut section);
                section.accept(options.build())
            }),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for StackConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = crate::value::Table::deserialize(deserializer)?;
        crate::config::read(&table, |root| Self::read(root)).map_err(serde::de::Error::custom)
    }
}

impl<K, O, M, R, B, E, I> Stack<K, O, M, R, B, E, I> {
    /// Fills every slot with what a file says.
    pub fn config(
        self,
        config: StackConfig,
    ) -> Stack<K, O, Option<Metrics>, Option<Recover>, Option<CircuitBreaker>, E, I> {
        self.metrics(config.metrics)
            .recover_with(config.recover)
            .circuit_breaker(config.circuit_breaker)
    }
}
