//! A hedge from a configuration file.

use super::{
    After,
    builder::{HedgeBuilder, MAX_BODY, MOST_SAMPLES, QUANTILES},
};
use crate::{
    budget::Budget,
    config::{Section, Setting},
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
        let mut options = Self::default();
        if let Some(name) = section.text("name") {
            options = options.name(name);
        }
        macro_rules! read {
            ($($setter:ident = $value:expr;)*) => {$(
                if let Some(value) = $value {
                    options = options.$setter(value);
                }
            )*};
        }
        let routes = |setting: Setting<'_, '_>| setting.list(|item| item.text().map(str::to_owned));
        read! {
            after = section.setting("after").and_then(after);
            min_delay = section.duration("min_delay");
            max_delay = section.setting("max_delay").and_then(|s| s.or_off(Setting::duration));
            initial_delay = section.setting("initial_delay").and_then(|s| s.or_off(Setting::duration));
            min_samples = section.number("min_samples", 1..=MOST_SAMPLES);
            window = section.duration("window");
            budget = section.setting("budget").and_then(|s| s.or_off(budget));
            hedge_non_idempotent = section.boolean("hedge_non_idempotent");
            idempotent_routes = section.setting("idempotent_routes").and_then(routes);
            max_body = section.size("max_body", MAX_BODY);
            attempt_header = section.boolean("attempt_header");
        }
        options
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
