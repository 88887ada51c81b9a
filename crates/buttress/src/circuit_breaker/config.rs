//! A breaker from a configuration file.

use super::CircuitBreakerBuilder;
use crate::config::{Given, Section, Setting};

impl CircuitBreakerBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default. The
    /// trigger of consecutive failures is switched off by `consecutive_failures = "off"`. For `failure_rate`,
    /// `slow_call_rate` and `time_window`, which are off, `"on"` is what is [usual](Self::USUAL_RATE).
    ///
    /// ```
    /// use buttress::{circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder}, config, value::Table};
    ///
    /// let table = Table::new().with("consecutive_failures", 3_u64).with("open_for", "30s");
    /// let options = config::read(&table, CircuitBreakerBuilder::read)?;
    /// assert_eq!(
    ///     options,
    ///     CircuitBreaker::builder().consecutive_failures(3).open_for(std::time::Duration::from_secs(30)),
    /// );
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let failures = |setting: Setting<'_, '_>| setting.or_off(|setting| setting.number(1..=u32::MAX));
        let rate = |setting: Setting<'_, '_>| {
            or_usual(setting, Self::USUAL_RATE, |setting| {
                setting.ratio(f64::MIN_POSITIVE..=1.0)
            })
        };
        let mut options = Self::default()
            .given(section.text("name"), Self::name)
            .given(
                section.setting("consecutive_failures").and_then(failures),
                Self::consecutive_failures,
            )
            .given(section.setting("failure_rate").and_then(rate), Self::failure_rate)
            .given(
                section.setting("slow_call_rate").and_then(rate),
                Self::slow_call_rate,
            )
            .given(section.duration("slow_after"), Self::slow_after)
            .given(
                section.number("count_window", 1..=super::window::MAX_CALLS),
                Self::count_window,
            )
            .given(section.number("minimum_calls", 1..=u32::MAX), Self::minimum_calls)
            .given(section.duration("open_for"), Self::open_for)
            .given(section.ratio("open_growth", 1.0..=1000.0), Self::open_growth)
            .given(section.duration("max_open_for"), Self::max_open_for)
            .given(section.ratio("open_jitter", 0.0..=1.0), Self::open_jitter)
            .given(section.duration("steady_after"), Self::steady_after)
            .given(
                section.number("half_open_probes", 1..=super::probes::MAX_PROBES),
                Self::half_open_probes,
            )
            .given(
                section.number("success_threshold", 1..=u32::MAX),
                Self::success_threshold,
            )
            .given(section.duration("probe_lease"), Self::probe_lease);
        let counted = section.setting("count_window").is_some();
        let time = section.setting("time_window");
        match time.and_then(|time| or_usual(time, Self::USUAL_TIME_WINDOW, Setting::duration)) {
            Some(_) if counted => section.refuse("time_window", "either this or `count_window`"),
            Some(time) => options = options.time_window(time),
            None => {}
        }
        options
    }
}

/// What is off unless it is named, and need not be named in numbers: `"on"`.
fn or_usual<'p, 'a, T>(
    setting: Setting<'p, 'a>,
    usual: T,
    read: impl FnOnce(Setting<'p, 'a>) -> Option<T>,
) -> Option<T> {
    match setting.value().as_str() {
        Some("on") => Some(usual),
        _ => read(setting),
    }
}
