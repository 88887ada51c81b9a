use super::TraceIdBuilder;
use crate::config::Section;

impl TraceIdBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default.
    ///
    /// ```toml
    /// [trace_id]
    /// accept = true         # go on with the ids that callers send
    /// answer = true         # tell callers the id
    /// propagate = true      # send ids on
    /// spans = true          # a `tracing` span a call
    /// access_log = true     # a line a call
    /// sampled = 1.0         # which part of the traces begun here is marked as sampled
    /// ```
    ///
    /// ```
    /// use buttress::{config, trace_id::{TraceId, TraceIdBuilder}, value::Table};
    ///
    /// let table = Table::new().with("accept", false).with("sampled", 0.01);
    /// let options = config::read(&table, TraceIdBuilder::read)?;
    /// assert_eq!(options, TraceId::builder().accept(false).sampled(0.01));
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut options = Self {
            name: section.text("name").map(Into::into),
            ..Self::default()
        };
        let switches = [
            ("accept", &mut options.accept),
            ("answer", &mut options.answer),
            ("propagate", &mut options.propagate),
            ("spans", &mut options.spans),
            ("access_log", &mut options.access_log),
        ];
        for (key, switch) in switches {
            if let Some(on) = section.boolean(key) {
                *switch = on;
            }
        }
        if let Some(share) = section.ratio("sampled", 0.0..=1.0) {
            options.sampled = share;
        }
        options
    }
}
