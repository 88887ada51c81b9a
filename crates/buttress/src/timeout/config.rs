use std::time::Duration;

use super::{Deadline, Timeout, limit::ALLOWED};
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
        let time = section.duration("attempt");
        let total = section.duration("total").map(Deadline::after);
        Self {
            attempt: attempt(section, time),
            total: total.and_then(|total| section.accept(total.build())),
        }
    }

    /// Reads the limits of a server from a section. An attempt is there the one of the handler, and the total is what
    /// a client gets at the most, whatever it asks for; the section alone has its deadline obeyed.
    ///
    /// ```toml
    /// [timeouts]
    /// handler = "5s"          # the handler, to its answer or the headers of it
    /// total = "1m"            # the call, whatever time the client gives it
    /// default_total = "15s"   # the call, if the client gives it none
    /// body_idle = "30s"
    /// body_total = "5m"
    /// ```
    #[must_use]
    pub fn read_inbound(section: &mut Section<'_, '_>) -> Self {
        let total = Deadline::builder()
            .total(section.duration("total"))
            .default_total(section.duration("default_total"));
        let mut handler = section.duration("handler");
        if Timeout::builder().attempt(handler).build().is_err() {
            // The builder would call it by its other name.
            section.refuse("handler", ALLOWED);
            handler = None;
        }
        Self {
            attempt: attempt(section, handler),
            total: section.accept(total.build()),
        }
    }
}

fn attempt(section: &mut Section<'_, '_>, time: Option<Duration>) -> Option<Timeout> {
    let limits = Timeout::builder()
        .attempt(time)
        .body_idle(section.duration("body_idle"))
        .body_total(section.duration("body_total"));
    section.accept(limits.build())
}
