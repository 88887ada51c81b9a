//! A hedge from a configuration file.

use super::{
    After,
    builder::{HedgeBuilder, MAX_BODY, MOST_SAMPLES, QUANTILES},
};
use crate::{
    budget::Budget,
    config::{Given, Section, Setting},
    duration,
};

impl HedgeBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default.
    ///
    /// ```toml
    /// after = "p95"                   # "p50" to "p99.9", or a delay: "50ms"
    /// min_delay = "1ms"
    /// max_delay = "500ms"             # or "off"
    /// initial_delay = "100ms"         # or "off"
    /// min_samples = 100
    /// window = "30s"
    /// budget = { ratio = 0.05, min_per_second = 1 }   # or "off"
    /// hedge_non_idempotent = false
    /// idempotent_routes = ["/catalog.Catalog/Get"]
    /// max_body = "64KiB"
    /// attempt_header = false
    /// ```
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::{config, hedge::{Hedge, HedgeBuilder}, value::Table};
    ///
    /// let table = Table::new().with("after", "p99").with("max_delay", "200ms");
    /// let options = config::read(&table, HedgeBuilder::read)?;
    /// assert_eq!(options, Hedge::builder().after_quantile(0.99).max_delay(Duration::from_millis(200)));
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let routes = |setting: Setting<'_, '_>| setting.list(|item| item.text().map(str::to_owned));
        Self::default()
            .given(section.text("name"), Self::name)
            .given(section.setting("after").and_then(after), Self::after)
            .given(section.duration("min_delay"), Self::min_delay)
            .given(
                section
                    .setting("max_delay")
                    .and_then(|s| s.or_off(Setting::duration)),
                Self::max_delay,
            )
            .given(
                section
                    .setting("initial_delay")
                    .and_then(|s| s.or_off(Setting::duration)),
                Self::initial_delay,
            )
            .given(section.number("min_samples", 1..=MOST_SAMPLES), Self::min_samples)
            .given(section.duration("window"), Self::window)
            .given(
                section.setting("budget").and_then(|s| s.or_off(budget)),
                Self::budget,
            )
            .given(
                section.boolean("hedge_non_idempotent"),
                Self::hedge_non_idempotent,
            )
            .given(
                section.setting("idempotent_routes").and_then(routes),
                Self::idempotent_routes,
            )
            .given(section.size("max_body", MAX_BODY), Self::max_body)
            .given(section.boolean("attempt_header"), Self::attempt_header)
    }
}

fn budget(setting: Setting<'_, '_>) -> Option<Budget> {
    Budget::read(setting, HedgeBuilder::BUDGET)
}

fn after(setting: Setting<'_, '_>) -> Option<After> {
    let text = setting.value().as_str().map(str::trim).unwrap_or_default();
    let after = match text.strip_prefix('p') {
        Some(percent) => percent
            .parse()
            .ok()
            // A percentage has no more than a digit behind the point, and a share three: none is to gain others.
            .map(|percent: f64| (percent * 1e4).round() / 1e6)
            .filter(|quantile| QUANTILES.contains(quantile))
            .map(After::Quantile),
        None => duration::parse(text).ok().map(After::Delay),
    };
    if after.is_none() {
        setting.refuse("a quantile, \"p50\" to \"p99.9\", or a delay, as in \"50ms\"");
    }
    after
}
