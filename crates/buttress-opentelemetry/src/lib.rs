//! What [Buttress](buttress)'s policies count, as [OpenTelemetry](opentelemetry) instruments, and traces shared with its
//! SDK.
//!
//! ```
//! use buttress::{Registry, export::Export, metrics::Metrics};
//! use opentelemetry::metrics::MeterProvider;
//! use opentelemetry_sdk::metrics::SdkMeterProvider;
//!
//! let registry = Registry::new();
//! registry.register("payments", &Metrics::new());
//!
//! let provider = SdkMeterProvider::builder().build(); // with the application's readers and exporters
//! buttress_opentelemetry::observe(&provider.meter("buttress"), &Export::of(&registry));
//! ```
//!
//! # Metrics
//!
//! The instruments are *observable*: the SDK asks when it collects, and a call pays nothing. They have the names and
//! the labels that [`buttress::export`] lists, but for counters without `_total`, which exporters add. Durations, which
//! cannot be observed as a histogram, are three counters: `_bucket` by `le`, `_sum` and `_count`. Within one collection
//! all show the same reading.
//!
//! # Traces
//!
//! [`AdoptLayer`] has Buttress go on with the trace that the SDK has begun, so that its logs, its access log and the
//! `x-request-id` name the same one.
#![forbid(unsafe_code)]

mod adopt;
mod observe;

pub use adopt::{AdoptLayer, AdoptService, current_trace};
pub use observe::{observe, observe_with};
