use super::Metrics;
use crate::config::Section;

/// Each has books of its own, so there cannot be any number of them.
const MOST_ROUTES: usize = 1000;

impl Metrics {
    /// Reads the policy from a section, which may hold other keys as well, such as those of the
    /// [export](crate::export::ExportBuilder::read).
    ///
    /// ```toml
    /// [metrics]
    /// route_labels = 100    # how many routes have series of their own, at most 1000; 0 is none
    /// exemplars = false     # whether the newest trace of each outcome is kept
    /// ```
    ///
    /// ```
    /// use buttress::{config, export::ExportBuilder, metrics::Metrics, value::Table};
    ///
    /// let table = Table::new().with("route_labels", 100_u64).with("prefix", "middleware");
    /// let (metrics, export) = config::read(&table, |section| {
    ///     (Metrics::read(section), ExportBuilder::read(section))
    /// })?;
    /// # let _ = (metrics, export);
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let metrics = match section.number("route_labels", 0..=MOST_ROUTES) {
            #[cfg(feature = "keyed")]
            Some(most @ 1..) => Self::by_route(most),
            _ => Self::new(),
        };
        match section.boolean("exemplars") {
            Some(true) => metrics.with_exemplars(),
            _ => metrics,
        }
    }
}
