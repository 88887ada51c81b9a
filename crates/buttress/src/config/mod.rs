//! Policies from plain data, and the error that says everything that is wrong with them.
//!
//! A configuration file, whatever its format, becomes a [`Table`]; a [`Section`] reads it. Every value that
//! cannot be used, every key that nothing reads, is a [`Problem`], and reading goes on, so that the
//! [`ConfigError`] at the end names **all** of them, each with its key, what was found, and what is allowed:
//!
//! ```
//! use std::time::Duration;
//! use buttress::{config, value::Table};
//!
//! struct Upstream {
//!     open_for: Duration,
//!     failure_rate: f64,
//! }
//!
//! let table = Table::new().with(
//!     "upstream",
//!     Table::new().with("open_fro", "30s").with("failure_rate", 50_u64),
//! );
//! let upstream = config::read(&table, |root| {
//!     root.section("upstream").map(|mut section| Upstream {
//!         open_for: section.duration("open_for").unwrap_or(Duration::from_secs(60)),
//!         failure_rate: section.ratio("failure_rate", 0.01..=1.0).unwrap_or(0.5),
//!     })
//! });
//! assert_eq!(
//!     upstream.err().expect("two problems").to_string(),
//!     "upstream.failure_rate: found 50, expected a number, 0.01 to 1: write 0.5 for 50 %\n\
//!      upstream.open_fro: found an unknown key, expected a known one: did you mean `open_for`?",
//! );
//! ```
//!
//! So do not leave early with `?`: keys that were not asked for by then would be called unknown.
//!
//! With the `serde` feature, a table comes straight from a file, in whatever format serde reads:
//!
//! ```
//! # #[cfg(feature = "serde")] {
//! use buttress::{config, value::Table};
//!
//! let table: Table = toml::from_str("[listener]\naddress = \"localhost\"").expect("valid TOML");
//! let error = config::read(&table, |root| {
//!     root.section("listener").and_then(|mut listener| {
//!         listener.parse::<std::net::IpAddr>("address", "an IP address, as in \"127.0.0.1\"")
//!     })
//! })
//! .expect_err("a name is not an address");
//! assert_eq!(error.problems()[0].key(), "listener.address");
//! # }
//! ```
//!
//! # For builders
//!
//! [`ConfigError`] is also the error of every builder in this crate. A builder collects [`Problems`], with the
//! option's name as the key; whoever reads a policy from a file hands the result to [`Section::accept`], which
//! puts the section's own path before it. So an option is named as the user knows it, from code and from a file.
//!
//! ```
//! use buttress::config::{ConfigError, Problems};
//!
//! fn build(probes: u32, successes: u32) -> Result<(), ConfigError> {
//!     let mut problems = Problems::new();
//!     problems.check((1..=1024).contains(&probes), "half_open_probes", probes, "1 to 1024");
//!     problems.check(successes >= 1, "success_threshold", successes, "1 or more");
//!     problems.into_result()
//! }
//! assert_eq!(build(0, 0).expect_err("an outage").problems().len(), 2);
//! ```

mod error;
#[cfg_attr(not(feature = "retry"), allow(dead_code))]
mod given;
mod nearest;
mod problems;
mod section;
mod setting;
#[cfg(all(test, not(loom)))]
mod tests;

pub use error::{ConfigError, Problem};
#[cfg_attr(not(feature = "retry"), allow(unused_imports))]
pub(crate) use given::Given;
pub use problems::Problems;
pub use section::Section;
pub use setting::Setting;

use crate::value::Table;

/// Reads a whole table with `read`, and returns what it made of it unless there was a problem.
///
/// Keys that `read` did not ask for are problems too.
///
/// # Errors
///
/// Every problem at once.
pub fn read<'a, T>(table: &'a Table, read: impl FnOnce(&mut Section<'_, 'a>) -> T) -> Result<T, ConfigError> {
    let mut problems = Problems::new();
    let mut root = Section::root(table, &mut problems);
    let value = read(&mut root);
    root.finish();
    problems.into_result().map(|()| value)
}
