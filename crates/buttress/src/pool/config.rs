//! A pool from a configuration file.

use std::fmt;

use super::{
    balance::Strategy,
    endpoint::{Endpoint, MAX_WEIGHT},
    health::HealthCheck,
    options::{DEFAULT_BUDGET, MAX_BODY, MAX_FAILOVER, PoolOptions},
};
use crate::{
    budget::Budget,
    config::{Given, Section, Setting},
};

const STRATEGIES: [(&str, Strategy); 6] = [
    ("p2c_ewma", Strategy::P2cEwma),
    ("round_robin", Strategy::RoundRobin),
    ("random", Strategy::Random),
    ("weighted_random", Strategy::WeightedRandom),
    ("least_requests", Strategy::LeastRequests),
    ("score", Strategy::Score),
];

impl PoolOptions {
    /// Reads the options from a section; what is absent keeps its default. The endpoints in the same section are read
    /// by [`Endpoint::read_list`].
    ///
    /// ```toml
    /// [upstream]
    /// balance = "p2c_ewma"     # round_robin | random | weighted_random | least_requests | score
    /// failover = 2             # 0 is off
    /// budget = { ratio = 1.0, min_per_second = 100 }   # of failovers; or "off"
    /// max_body = "64KiB"
    /// panic_mode = false
    /// slow_start = "30s"
    /// max_retry_after = "1m"
    /// endpoints = [
    ///   { name = "a", url = "http://127.0.0.1:9001", weight = 1 },
    ///   { name = "b", url = "http://127.0.0.1:9002", weight = 2 },
    /// ]
    /// [health_check]
    /// path = "/healthz"        # or grpc = "service.name"
    /// interval = "10s"
    /// timeout = "1s"
    /// failure_threshold = 3
    /// recovery_threshold = 2
    /// slow_start = "30s"
    /// rebalance_interval = "5m"   # or "off"
    /// ```
    ///
    /// ```
    /// use buttress::{config, pool::{Endpoint, HealthConfig, PoolOptions, Strategy}, value::{Table, Value}};
    ///
    /// let table = Table::new().with("balance", "score").with("endpoints", Value::List(vec![
    ///     Table::new().with("name", "a").with("url", "127.0.0.1:9001").with("weight", 3_u64).into(),
    /// ]));
    /// let (options, endpoints) = config::read(&table, |root| {
    ///     let address = |url: &str| url.parse::<std::net::SocketAddr>();
    ///     (PoolOptions::read(root), Endpoint::read_list(root, "an address and a port", address))
    /// })?;
    /// assert_eq!(options, PoolOptions::default().balance(Strategy::Score));
    /// assert_eq!(endpoints.len(), 1);
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let budget =
            |setting: Setting<'_, '_>| setting.or_off(|setting| Budget::read(setting, DEFAULT_BUDGET));
        Self::default()
            .given(section.text("name"), Self::name)
            .given(section.setting("budget").and_then(budget), Self::budget)
            .given(section.one_of("balance", &STRATEGIES), Self::balance)
            .given(section.number("failover", 0..=MAX_FAILOVER), Self::failover)
            .given(section.size("max_body", MAX_BODY), Self::max_body)
            .given(section.boolean("panic_mode"), Self::panic_mode)
            .given(section.duration("slow_start"), Self::slow_start)
            .given(section.duration("max_retry_after"), Self::max_retry_after)
    }
}

impl<T> Endpoint<T> {
    /// Reads the endpoints from `endpoints` in a section: each has a `name`, a `url` and perhaps a `weight`. What a
    /// URL means is `parse`'s business; `allowed` says which it understands.
    pub fn read_list<E: fmt::Display>(
        section: &mut Section<'_, '_>,
        allowed: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Self> {
        let listed = section.list("endpoints", |item| {
            let mut section = item.section()?;
            section.require(&["name", "url"]);
            let name = section.text("name");
            let weight = section.number("weight", 1..=MAX_WEIGHT).unwrap_or(1);
            let target = section.text("url").map(&parse);
            match target {
                Some(Err(error)) => {
                    section.refuse("url", &format!("{allowed}: {error}"));
                    None
                }
                Some(Ok(target)) => Some(Self::new(name?, target).weight(weight)),
                None => None,
            }
        });
        listed.unwrap_or_default()
    }
}

/// What a `[health_check]` section says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthConfig {
    /// How often, and what follows.
    pub options: HealthCheck,
    /// What is asked.
    pub probe: Probe,
    /// How long an endpoint that is back is eased in, for [`PoolOptions::slow_start`].
    pub slow_start: Option<std::time::Duration>,
}

/// What an endpoint is asked in a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// `GET` of that path, for an `HttpCheck`.
    Path(String),
    /// gRPC's health of that service, for a `GrpcCheck`.
    Grpc(String),
}

impl HealthConfig {
    /// Reads a `[health_check]` section; `None` if it says neither a path nor a service, which is then a problem.
    pub fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let rebalance_interval = section.setting("rebalance_interval");
        let options = HealthCheck::default()
            .given(
                rebalance_interval.and_then(|setting| setting.or_off(Setting::duration)),
                HealthCheck::rebalance_interval,
            )
            .given(section.duration("interval"), HealthCheck::interval)
            .given(section.duration("timeout"), HealthCheck::timeout)
            .given(
                section.number("failure_threshold", 1..=super::health::MAX_THRESHOLD),
                HealthCheck::failure_threshold,
            )
            .given(
                section.number("recovery_threshold", 1..=super::health::MAX_THRESHOLD),
                HealthCheck::recovery_threshold,
            );
        let slow_start = section.duration("slow_start");
        let path = section.text("path").map(str::to_owned);
        let grpc = section.text("grpc").map(str::to_owned);
        let probe = match (path, grpc) {
            (Some(path), None) if path.starts_with('/') => Some(Probe::Path(path)),
            (Some(_), None) => {
                section.refuse("path", "a path, as in \"/healthz\"");
                None
            }
            (None, Some(service)) => Some(Probe::Grpc(service)),
            (Some(_), Some(_)) => {
                section.refuse("grpc", "either this or `path`");
                None
            }
            (None, None) => {
                section.refuse(
                    "path",
                    "a path, as in \"/healthz\", or `grpc` with the name of a service",
                );
                None
            }
        };
        Some(Self {
            options,
            probe: probe?,
            slow_start,
        })
    }
}
