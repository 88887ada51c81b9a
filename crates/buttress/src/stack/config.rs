//! Stacks from a configuration file.

use super::{Client, ClientSlots, Stack, full::Fill};
#[cfg(feature = "http")]
use super::{Server, ServerSlots};
use crate::{
    circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder},
    config::Section,
    metrics::Metrics,
    recover::Recover,
    retry::{Retry, RetryBuilder},
    timeout::Timeouts,
};

/// The policies of a client's stack, read from plain data. A section that is absent is a policy that is off; metrics
/// and panic recovery are on unless switched off.
///
/// ```toml
/// metrics = true
/// recover = true
/// [timeouts]                      # see `Timeouts`
/// attempt = "2s"
/// total = "10s"
/// [retry]                         # the options of `RetryBuilder`
/// max_attempts = 3
/// [circuit_breaker]               # the options of `CircuitBreakerBuilder`
/// consecutive_failures = 5
/// open_for = "30s"
/// ```
///
/// With the `serde` feature it deserialises from any format; unknown keys and bad values are all named in the one
/// error.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use buttress::{Plain, Stack, stack::{ClientConfig, FullClient}};
///
/// let config: ClientConfig = toml::from_str("[circuit_breaker]\nopen_for = \"30s\"")?;
/// let stack: FullClient<Plain> = Stack::new("db").config(config).build();
/// # let _ = stack;
///
/// let error = toml::from_str::<ClientConfig>("[retry]\nmax_atempts = 3\n[timeouts]\ntotal = \"0s\"").unwrap_err();
/// let error = error.to_string();
/// assert!(error.contains("did you mean `max_attempts`?") && error.contains("timeouts.total: found 0s"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Counting; key `metrics`, on by default.
    pub metrics: Option<Metrics>,
    /// Panic recovery; key `recover`, on by default.
    pub recover: Option<Recover>,
    /// Time limits; section `timeouts`, off by default.
    pub timeouts: Timeouts,
    /// Calling again; section `retry`, off by default.
    pub retry: Option<Retry>,
    /// The circuit breaker; section `circuit_breaker`, off by default.
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// The policies of a server's stack, read from plain data as those of a [client](ClientConfig)'s are. The `timeouts`
/// are read by [`Timeouts::read_inbound`].
///
/// There is no `retry` among them: who called is the one to call again. A section of that name is an error that says
/// so.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use buttress::{Http, Stack, stack::{FullServer, ServerConfig}};
///
/// let config: ServerConfig = toml::from_str("[timeouts]\nhandler = \"5s\"")?;
/// let stack: FullServer<Http> = Stack::http_server("api").config(config).build();
/// # let _ = stack;
///
/// let error = toml::from_str::<ServerConfig>("[retry]\nmax_attempts = 3").unwrap_err().to_string();
/// assert!(error.contains("retry: ") && error.contains("it has no place in a server's stack"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Counting; key `metrics`, on by default.
    pub metrics: Option<Metrics>,
    /// Panic recovery; key `recover`, on by default.
    pub recover: Option<Recover>,
    /// Time limits; section `timeouts`, off by default.
    pub timeouts: Timeouts,
    /// The circuit breaker; section `circuit_breaker`, off by default.
    pub circuit_breaker: Option<CircuitBreaker>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            metrics: Some(Metrics::new()),
            recover: Some(Recover::new()),
            timeouts: Timeouts::default(),
            retry: None,
            circuit_breaker: None,
        }
    }
}

#[cfg(feature = "http")]
impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            metrics: Some(Metrics::new()),
            recover: Some(Recover::new()),
            timeouts: Timeouts::default(),
            circuit_breaker: None,
        }
    }
}

impl ClientConfig {
    /// Reads the policies from a section, which may hold other keys as well.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            metrics: metrics(section),
            recover: recover(section),
            timeouts: timeouts(section, Timeouts::read),
            retry: section.section("retry").and_then(|mut section| {
                let options = RetryBuilder::read(&mut section);
                section.accept(options.build())
            }),
            circuit_breaker: circuit_breaker(section),
        }
    }
}

#[cfg(feature = "http")]
impl ServerConfig {
    /// Sections that only a client has.
    const MISPLACED: [&'static str; 1] = ["retry"];

    /// Reads the policies from a section, which may hold other keys as well.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        for name in Self::MISPLACED {
            if section.setting(name).is_some() {
                section.refuse(name, "nothing: it has no place in a server's stack");
            }
        }
        Self {
            metrics: metrics(section),
            recover: recover(section),
            timeouts: timeouts(section, Timeouts::read_inbound),
            circuit_breaker: circuit_breaker(section),
        }
    }
}

fn metrics(section: &mut Section<'_, '_>) -> Option<Metrics> {
    section.boolean("metrics").unwrap_or(true).then(Metrics::new)
}

fn recover(section: &mut Section<'_, '_>) -> Option<Recover> {
    section.boolean("recover").unwrap_or(true).then(Recover::new)
}

fn timeouts(section: &mut Section<'_, '_>, read: fn(&mut Section<'_, '_>) -> Timeouts) -> Timeouts {
    let section = section.section("timeouts");
    section.map(|mut section| read(&mut section)).unwrap_or_default()
}

fn circuit_breaker(section: &mut Section<'_, '_>) -> Option<CircuitBreaker> {
    let mut section = section.section("circuit_breaker")?;
    let options = CircuitBreakerBuilder::read(&mut section);
    section.accept(options.build())
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for ClientConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = crate::value::Table::deserialize(deserializer)?;
        crate::config::read(&table, |root| Self::read(root)).map_err(serde::de::Error::custom)
    }
}

#[cfg(all(feature = "http", feature = "serde"))]
impl<'de> serde::Deserialize<'de> for ServerConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = crate::value::Table::deserialize(deserializer)?;
        crate::config::read(&table, |root| Self::read(root)).map_err(serde::de::Error::custom)
    }
}

impl<P, M, S> Stack<Client<P, M>, S> {
    /// Fills every slot with what a file says, in place of what stood there.
    pub fn config<E, O, I>(self, config: ClientConfig) -> Stack<Client<P, M>, ClientSlots<E, O, I>>
    where
        S: Fill<Client<P, M>, Full = ClientSlots<E, O, I>>,
    {
        self.full()
            .metrics(config.metrics)
            .recover_with(config.recover)
            .total_timeout(config.timeouts.total)
            .retry(config.retry)
            .circuit_breaker(config.circuit_breaker)
            .attempt_timeout(config.timeouts.attempt)
    }
}

#[cfg(feature = "http")]
impl<P, S> Stack<Server<P>, S> {
    /// Fills every slot with what a file says, in place of what stood there.
    pub fn config<R, E, O, I>(self, config: ServerConfig) -> Stack<Server<P>, ServerSlots<R, E, O, I>>
    where
        S: Fill<Server<P>, Full = ServerSlots<R, E, O, I>>,
    {
        self.full()
            .metrics(config.metrics)
            .recover_with(config.recover)
            .deadline(config.timeouts.total)
            .circuit_breaker(config.circuit_breaker)
            .handler_timeout(config.timeouts.attempt)
    }
}
