use buttress::trace_id;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// Gives the spans of Buttress that the SDK exports the ids that they have in Buttress; others have random ones.
///
/// ```
/// use opentelemetry_sdk::trace::SdkTracerProvider;
///
/// let provider = SdkTracerProvider::builder() // and the application's exporter
///     .with_id_generator(buttress_opentelemetry::Ids::new())
///     .build();
/// # let _ = provider;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ids {
    others: RandomIdGenerator,
}

impl Ids {
    /// Random ones beside those of Buttress.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        match trace_id::beginning() {
            Some(trace) => TraceId::from(trace.id().get()),
            None => self.others.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        match trace_id::beginning() {
            Some(trace) => SpanId::from(trace.span().get()),
            None => self.others.new_span_id(),
        }
    }
}
