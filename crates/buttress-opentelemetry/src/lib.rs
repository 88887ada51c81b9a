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
//! The spans of Buttress's trace-id layer are exported by `tracing-opentelemetry`, as any are. By itself it puts them into
//! traces of its own. So that logs, the access log, the `x-request-id` and the exported spans name the same one:
//!
//! | spans | what to use |
//! |---|---|
//! | Buttress makes the span of a request | [`AdoptLayer`] outside of its trace-id layer, and the SDK's provider with `Ids` (feature `sdk`) |
//! | another layer makes one, such as tower-http's, and has the SDK read the request's `traceparent` | [`AdoptLayer`] between the two, and Buttress's trace-id with `spans(false)` |
//! | a client's calls | nothing more; `Ids` for those that are made in the course of nothing |
//!
//! What a client sends is the id of its `attempt`, a span at `DEBUG` under the target `buttress::trace_id`: have it exported
//! too, or the called service's spans have a parent that nobody knows. `tracing-opentelemetry`'s
//! `with_context_activation` has to be on, as it is.
//!
//! ```
//! # #[cfg(feature = "sdk")] {
//! use buttress::{Http, trace_id::TraceId};
//! use buttress_opentelemetry::{AdoptLayer, Ids};
//! use opentelemetry::trace::TracerProvider;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let provider = SdkTracerProvider::builder() // and the application's exporter
//!     .with_id_generator(Ids::new())
//!     .build();
//! let exported = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
//! let subscriber = tracing_subscriber::registry().with(exported); // and `init()`
//!
//! let layers = tower::ServiceBuilder::new()
//!     .layer(AdoptLayer::new(Http::new()))
//!     .layer(TraceId::w3c().layer_for(Http::new()).inbound());
//! # let _ = (subscriber, layers);
//! # }
//! ```
#![forbid(unsafe_code)]

mod adopt;
#[cfg(feature = "sdk")]
mod ids;
mod observe;

pub use adopt::{AdoptLayer, AdoptService, current_trace};
#[cfg(feature = "sdk")]
pub use ids::Ids;
pub use observe::{observe, observe_with};
