/// What a metric is: its name, what it says, and of what kind it is. One for each metric, in a `static`.
///
/// ```
/// use buttress::export::Family;
///
/// static SPILLS: Family = Family::counter("spills", "Calls that went to the spare cluster.");
/// # let _ = &SPILLS;
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only ever grows. Its full name ends in `_total`.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Durations. The name ends in `_seconds`.
    Durations,
}

impl Family {
    /// A number that only ever grows. The name is in `snake_case`, without prefix and without `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Counter)
    }

    /// A number that goes up and down. The name is in `snake_case`, without prefix.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Gauge)
    }

    /// Durations. The name is in `snake_case`, without prefix and without `_seconds`.
    #[must_use]
    pub const fn durations(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Durations)
    }

    const fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self { name, help, kind }
    }

    /// The name as it was given.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the metric says.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// Of what kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

/// The metrics of all concerns that are built in.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    let concerns: &[&[&Family]] = &[
        #[cfg(feature = "circuit-breaker")]
        crate::circuit_breaker::FAMILIES,
        #[cfg(feature = "fallback")]
        crate::fallback::FAMILIES,
        #[cfg(feature = "hedge")]
        crate::hedge::FAMILIES,
        #[cfg(feature = "metrics")]
        crate::metrics::FAMILIES,
        #[cfg(feature = "priority")]
        crate::priority::FAMILIES,
        #[cfg(feature = "rate-limit")]
        crate::rate_limit::FAMILIES,
        #[cfg(feature = "pool")]
        crate::pool::FAMILIES,
        #[cfg(feature = "recover")]
        crate::recover::FAMILIES,
        #[cfg(feature = "retry")]
        crate::retry::FAMILIES,
        #[cfg(feature = "timeout")]
        crate::timeout::FAMILIES,
        #[cfg(feature = "trace-id")]
        crate::trace_id::FAMILIES,
    ];
    concerns.concat()
}
