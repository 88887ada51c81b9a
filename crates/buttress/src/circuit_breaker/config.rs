//! A breaker from a configuration file.

use super::CircuitBreakerBuilder;
use crate::config::Section;

impl CircuitBreakerBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default. The
    /// trigger of consecutive failures is switched off by `consecutive_failures = "off"`.
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
        let mut options = Self::default();
        if let Some(name) = section.text("name") {
            options = options.name(name);
        }
        if let Some(setting) = section.setting("consecutive_failures") {
            if setting.value().as_str() == Some("off") {
                options = options.consecutive_failures(None);
            } else if let Some(failures) = setting.number(1..=u32::MAX) {
                options = options.consecutive_failures(failures);
            }
        }
        let rate = f64::MIN_POSITIVE..=1.0;
        macro_rules! read {
            ($($setter:ident = $value:expr;)*) => {$(
                if let Some(value) = $value {
                    options = options.$setter(value);
                }
            )*};
        }
        read! {
            failure_rate = section.ratio("failure_rate", rate.clone());
            slow_call_rate = section.ratio("slow_call_rate", rate);
            slow_after = section.duration("slow_after");
            count_window = section.number("count_window", 1..=super::window::MAX_CALLS);
            minimum_calls = section.number("minimum_calls", 1..=u32::MAX);
            open_for = section.duration("open_for");
            open_growth = section.ratio("open_growth", 1.0..=1000.0);
            max_open_for = section.duration("max_open_for");
            open_jitter = section.ratio("open_jitter", 0.0..=1.0);
            steady_after = section.duration("steady_after");
            half_open_probes = section.number("half_open_probes", 1..=super::probes::MAX_PROBES);
            success_threshold = section.number("success_threshold", 1..=u32::MAX);
            probe_lease = section.duration("probe_lease");
        }
        let counted = section.setting("count_window").is_some();
        match section.duration("time_window") {
            Some(_) if counted => section.refuse("time_window", "either this or `count_window`"),
            Some(time) => options = options.time_window(time),
            None => {}
        }
        options
    }
}
