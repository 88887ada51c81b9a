use super::{Deadline, Timeout};
use crate::config::Section;

/// The time limits of a stack, from a configuration file.
///
/// ```toml
/// [timeouts]
/// attempt = "2s"       # each attempt, to its answer or the headers of it
/// total = "10s"        # the call with all its attempts
/// body_idle = "30s"    # silence in a response's body
/// body_total = "5m"    # a response's body as a whole
/// ```
///
/// ```
/// use std::time::Duration;
/// use buttress::{config, timeout::Timeouts, value::Table};
///
/// let table = Table::new().with("attempt", "2s").with("total", "10s");
/// let timeouts = config::read(&table, Timeouts::read)?;
/// assert_eq!(timeouts.attempt.map(|t| t.options().attempt(None)), Some(Default::default()));
/// assert!(timeouts.total.is_some());
///
/// let table = Table::new().with("attempt", "0s").with("totl", "10s");
/// let error = config::read(&table, Timeouts::read).unwrap_err();
/// assert_eq!(error.problems().len(), 2);
/// # Ok::<(), buttress::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Timeouts {
    /// The limits of attempts and bodies. A section without any of the three still has calls obey their deadline.
    pub attempt: Option<Timeout>,
    /// The total: off if it is not named.
    pub total: Option<Deadline>,
}

impl Timeouts {
    /// Reads the limits from a section. `Timeouts::default()` is what no section at all means: both off.
    #[must_use]
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let attempt = Timeout::builder()
            .attempt(section.duration("attempt"))
            .body_idle(section.duration("body_idle"))
            .body_total(section.duration("body_total"));
        let total = section.duration("total").map(Deadline::after);
        Self {
            attempt: section.accept(attempt.build()),
            total: total.and_then(|total| section.accept(total.build())),
        }
    }
}
