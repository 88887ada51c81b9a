//! Stacks from a configuration file.

use super::{Client, ClientSlots, Stack, full::Fill};
#[cfg(feature = "http")]
use super::{Server, ServerSlots};
use crate::{
    circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder},
    config::Section,
    export::ExportBuilder,
    fallback::{Fallback, FileFallback},
    hedge::{Hedge, HedgeBuilder},
    metrics::Metrics,
    outcome::Plain,
    priority::{PriorityQueue, PriorityQueueBuilder},
    rate_limit::{RateLimiter, RateLimiterBuilder},
    recover::Recover,
    retry::{Retry, RetryBuilder},
    timeout::Timeouts,
    trace_id::{TraceId, TraceIdBuilder},
    value::Value,
};

/// The policies of a client's stack, read from plain data. A section that is absent is a policy that is off; metrics
/// and panic recovery are on unless switched off.
///
/// ```toml
/// recover = true
/// [metrics]                       # see `Metrics::read` and `ExportBuilder::read`; or `true`, or `false`
/// prefix = "buttress"
/// route_labels = 100
/// exemplars = true
/// [trace_id]                      # the options of `TraceIdBuilder`
/// sampled = 0.1
/// [timeouts]                      # see `Timeouts`
/// attempt = "2s"
/// total = "10s"
/// [retry]                         # the options of `RetryBuilder`
/// max_attempts = 3
/// [hedge]                         # the options of `HedgeBuilder`
/// after = "p95"
/// [priority]                      # the options of `PriorityQueueBuilder`
/// concurrency = 64
/// queue = 1024
/// [rate_limit]                    # the options of `RateLimiterBuilder`
/// rate = 100
/// burst = 200
/// [circuit_breaker]               # the options of `CircuitBreakerBuilder`
/// consecutive_failures = 5
/// open_for = "30s"
/// [fallback]                      # a response, if `P` has one: see `FallbackBuilder::read`
/// status = 200
/// body = '{"cached":true}'
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
///
/// `P` is the protocol of the stack, which says what a fallback from a file can answer with: see [`FileFallback`].
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientConfig<P: FileFallback = Plain> {
    /// Which call is which; section `trace_id`, off by default.
    pub trace_id: Option<TraceId>,
    /// Counting; key or section `metrics`, on by default.
    pub metrics: Option<Metrics>,
    /// How what is counted is shown: the section `metrics` has that as well. The stack has no use for it; whoever
    /// shows the metrics of its registry has.
    pub export: ExportBuilder,
    /// Panic recovery; key `recover`, on by default.
    pub recover: Option<Recover>,
    /// Time limits; section `timeouts`, off by default.
    pub timeouts: Timeouts,
    /// What answers in place of the service; section `fallback`, off by default.
    pub fallback: Option<Fallback<P::Answer>>,
    /// Calling again; section `retry`, off by default.
    pub retry: Option<Retry>,
    /// Calling a second time what is slow; section `hedge`, off by default.
    pub hedge: Option<Hedge>,
    /// So many calls at a time, the most important first; section `priority`, off by default.
    pub priority: Option<PriorityQueue>,
    /// So many calls in so much time; section `rate_limit`, off by default.
    pub rate_limit: Option<RateLimiter>,
    /// The circuit breaker; section `circuit_breaker`, off by default.
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// The policies of a server's stack, read from plain data as those of a [client](ClientConfig)'s are. The `timeouts`
/// are read by [`Timeouts::read_inbound`].
///
/// There is no `fallback`, `retry` or `hedge` among them: who called is the one to call again. A section of such a name
/// is an error that says so.
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
    /// Which call is which; section `trace_id`, off by default.
    pub trace_id: Option<TraceId>,
    /// Counting; key or section `metrics`, on by default.
    pub metrics: Option<Metrics>,
    /// How what is counted is shown: the section `metrics` has that as well. The stack has no use for it; whoever
    /// shows the metrics of its registry has.
    pub export: ExportBuilder,
    /// Panic recovery; key `recover`, on by default.
    pub recover: Option<Recover>,
    /// Time limits; section `timeouts`, off by default.
    pub timeouts: Timeouts,
    /// So many calls at a time, the most important first; section `priority`, off by default.
    pub priority: Option<PriorityQueue>,
    /// So many calls in so much time; section `rate_limit`, off by default.
    pub rate_limit: Option<RateLimiter>,
    /// The circuit breaker; section `circuit_breaker`, off by default.
    pub circuit_breaker: Option<CircuitBreaker>,
}

impl<P: FileFallback> Default for ClientConfig<P> {
    fn default() -> Self {
        Self {
            trace_id: None,
            metrics: Some(Metrics::new()),
            export: ExportBuilder::default(),
            recover: Some(Recover::new()),
            timeouts: Timeouts::default(),
            fallback: None,
            retry: None,
            hedge: None,
            priority: None,
            rate_limit: None,
            circuit_breaker: None,
        }
    }
}

#[cfg(feature = "http")]
impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            trace_id: None,
            metrics: Some(Metrics::new()),
            export: ExportBuilder::default(),
            recover: Some(Recover::new()),
            timeouts: Timeouts::default(),
            priority: None,
            rate_limit: None,
            circuit_breaker: None,
        }
    }
}

impl<P: FileFallback> Clone for ClientConfig<P> {
    fn clone(&self) -> Self {
        Self {
            trace_id: self.trace_id.clone(),
            metrics: self.metrics.clone(),
            export: self.export.clone(),
            recover: self.recover.clone(),
            timeouts: self.timeouts.clone(),
            fallback: self.fallback.clone(),
            retry: self.retry.clone(),
            hedge: self.hedge.clone(),
            priority: self.priority.clone(),
            rate_limit: self.rate_limit.clone(),
            circuit_breaker: self.circuit_breaker.clone(),
        }
    }
}

impl<P: FileFallback> ClientConfig<P> {
    /// Reads the policies from a section, which may hold other keys as well.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let (metrics, export) = metrics(section);
        Self {
            trace_id: trace_id(section),
            metrics,
            export,
            recover: recover(section),
            timeouts: timeouts(section, Timeouts::read),
            fallback: section.setting("fallback").and_then(P::read),
            retry: section.section("retry").and_then(|mut section| {
                let options = RetryBuilder::read(&mut section);
                section.accept(options.build())
            }),
            hedge: section.section("hedge").and_then(|mut section| {
                let options = HedgeBuilder::read(&mut section);
                section.accept(options.build())
            }),
            priority: priority(section),
            rate_limit: rate_limit(section),
            circuit_breaker: circuit_breaker(section),
        }
    }
}

#[cfg(feature = "http")]
impl ServerConfig {
    /// Sections that only a client has.
    const MISPLACED: [&'static str; 3] = ["fallback", "hedge", "retry"];

    /// Reads the policies from a section, which may hold other keys as well.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        for name in Self::MISPLACED {
            if section.setting(name).is_some() {
                section.refuse(name, "nothing: it has no place in a server's stack");
            }
        }
        let (metrics, export) = metrics(section);
        Self {
            trace_id: trace_id(section),
            metrics,
            export,
            recover: recover(section),
            timeouts: timeouts(section, Timeouts::read_inbound),
            priority: priority(section),
            rate_limit: rate_limit(section),
            circuit_breaker: circuit_breaker(section),
        }
    }
}

fn trace_id(section: &mut Section<'_, '_>) -> Option<TraceId> {
    let mut section = section.section("trace_id")?;
    let options = TraceIdBuilder::read(&mut section);
    section.accept(options.build())
}

/// A section, or whether at all.
fn metrics(section: &mut Section<'_, '_>) -> (Option<Metrics>, ExportBuilder) {
    let on = match section.setting("metrics") {
        Some(setting) if matches!(setting.value(), Value::Table(_)) => {
            return setting.section().map_or_else(Default::default, |mut section| {
                let (metrics, export) = (Metrics::read(&mut section), ExportBuilder::read(&mut section));
                section.accept(export.check());
                (Some(metrics), export)
            });
        }
        Some(setting) => setting.boolean().unwrap_or(true),
        None => true,
    };
    (on.then(Metrics::new), ExportBuilder::default())
}

fn recover(section: &mut Section<'_, '_>) -> Option<Recover> {
    section.boolean("recover").unwrap_or(true).then(Recover::new)
}

fn timeouts(section: &mut Section<'_, '_>, read: fn(&mut Section<'_, '_>) -> Timeouts) -> Timeouts {
    let section = section.section("timeouts");
    section.map(|mut section| read(&mut section)).unwrap_or_default()
}

fn priority(section: &mut Section<'_, '_>) -> Option<PriorityQueue> {
    let mut section = section.section("priority")?;
    let options = PriorityQueueBuilder::read(&mut section);
    section.accept(options.build())
}

fn rate_limit(section: &mut Section<'_, '_>) -> Option<RateLimiter> {
    let mut section = section.section("rate_limit")?;
    let options = RateLimiterBuilder::read(&mut section);
    section.accept(options.build())
}

fn circuit_breaker(section: &mut Section<'_, '_>) -> Option<CircuitBreaker> {
    let mut section = section.section("circuit_breaker")?;
    let options = CircuitBreakerBuilder::read(&mut section);
    section.accept(options.build())
}

#[cfg(feature = "serde")]
impl<'de, P: FileFallback> serde::Deserialize<'de> for ClientConfig<P> {
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

impl<P: FileFallback, M, S> Stack<Client<P, M>, S> {
    /// Fills every slot with what a file says, in place of what stood there. A [`protocol`](Self::protocol) of your own
    /// is set after it.
    pub fn config<E, O, I, N>(self, config: ClientConfig<P>) -> Stack<Client<P, M>, S::Full>
    where
        S: Fill<Client<P, M>, Full = ClientSlots<P, E, O, I, N>>,
    {
        let mut stack = self.full();
        stack.slots.trace_id = config.trace_id;
        stack.slots.metrics = config.metrics;
        stack.slots.recover = config.recover;
        stack.slots.fallback = config.fallback;
        stack.slots.total = config.timeouts.total;
        stack.slots.retry = config.retry;
        stack.slots.hedge = config.hedge;
        stack.slots.priority = config.priority;
        stack.slots.rate_limit = config.rate_limit;
        stack.slots.breaker = config.circuit_breaker;
        stack.slots.attempt = config.timeouts.attempt;
        stack
    }
}

#[cfg(feature = "http")]
impl<P, S> Stack<Server<P>, S> {
    /// Fills every slot with what a file says, in place of what stood there.
    pub fn config<R, E, O, I>(self, config: ServerConfig) -> Stack<Server<P>, ServerSlots<R, E, O, I>>
    where
        S: Fill<Server<P>, Full = ServerSlots<R, E, O, I>>,
    {
        let mut stack = self.full();
        stack.slots.trace_id = config.trace_id;
        stack.slots.metrics = config.metrics;
        stack.slots.recover = config.recover;
        stack.slots.total = config.timeouts.total;
        stack.slots.priority = config.priority;
        stack.slots.rate_limit = config.rate_limit;
        stack.slots.breaker = config.circuit_breaker;
        stack.slots.attempt = config.timeouts.attempt;
        stack
    }
}
