//! What is told of a call: its span, while it lasts, and its line in the access log, when it is over.

use std::{fmt, sync::Arc, thread, time::Duration};

use tracing::{
    Level, Span,
    field::{DisplayValue, Empty, display},
    level_filters::LevelFilter,
};

use super::{Answer, Id, beginning, hex};
use crate::{
    clock::{self, Instant},
    context::{Tally, Trace},
    error::Rejected,
    outcome::{Ending, Head, Outcome, Reason, Token},
};

/// Under this target are the spans.
pub(super) const TRACE: &str = "buttress::trace_id";
/// Under this target is the access log.
pub(super) const ACCESS: &str = "buttress::access";

/// The interest of a trace-id layer in one call: there only if somebody listens.
///
/// It is finished when the call is over, to the end of a response's body; dropped before that, the call was
/// cancelled.
#[derive(Debug)]
pub struct TraceToken(Box<Record>);

#[derive(Debug)]
struct Record {
    span: Span,
    logs: bool,
    inbound: bool,
    stack: Arc<str>,
    trace: Trace,
    tally: Arc<Tally>,
    method: Option<Box<str>>,
    route: Option<Box<str>>,
    status: Option<u16>,
    rejected: Option<Rejected>,
    began: Instant,
    to_headers: Option<Duration>,
    over: bool,
}

/// What a call is told by.
pub(super) struct Call<'a> {
    pub(super) stack: Arc<str>,
    pub(super) trace: &'a Trace,
    pub(super) tally: &'a Arc<Tally>,
    pub(super) method: Option<&'a str>,
    pub(super) route: Option<&'a str>,
    pub(super) inbound: bool,
    pub(super) spans: bool,
    pub(super) logs: bool,
}

/// A span-id, in digits.
#[derive(Clone, Copy)]
pub(super) struct SpanId(pub(super) std::num::NonZeroU64);

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::as_str(&hex::of_64(self.0.get())))
    }
}

fn span_id(id: Option<std::num::NonZeroU64>) -> Option<DisplayValue<SpanId>> {
    id.map(|id| display(SpanId(id)))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Whether anybody listens to calls of that direction: what the many that nobody listens to are asked.
#[inline]
pub(super) fn is_heard(inbound: bool, spans: bool, logs: bool) -> bool {
    // Nothing of ours is more important than that: where nobody wants it there is no more to ask.
    LevelFilter::current() >= LevelFilter::INFO && is_wanted(inbound, spans, logs)
}

fn is_wanted(inbound: bool, spans: bool, logs: bool) -> bool {
    (spans && tracing::enabled!(target: TRACE, Level::INFO)) || (logs && is_logged(inbound))
}

#[inline]
fn is_logged(inbound: bool) -> bool {
    if inbound {
        tracing::enabled!(target: ACCESS, Level::INFO)
    } else {
        tracing::enabled!(target: ACCESS, Level::DEBUG)
    }
}

/// The fields of a span, under either name.
macro_rules! span {
    ($name:literal, $kind:literal, $call:ident) => {
        tracing::info_span!(
            target: TRACE,
            $name,
            otel.kind = $kind,
            stack = &*$call.stack,
            trace_id = %Id::from($call.trace.id()),
            span_id = %SpanId($call.trace.span()),
            parent_id = span_id($call.trace.parent()),
            request_id = $call.trace.request_id(),
            method = $call.method,
            route = $call.route,
            status = Empty,
            outcome = Empty,
            attempts = Empty,
            latency_ms = Empty,
        )
    };
}

impl TraceToken {
    /// Begins to tell of a call, if anybody listens.
    #[cold]
    pub(super) fn begin(call: Call<'_>) -> Option<Self> {
        let span = match (call.spans, call.inbound) {
            (false, _) => Span::none(),
            (true, true) => span!("request", "server", call),
            (true, false) => span!("call", "client", call),
        };
        let logs = call.logs && is_logged(call.inbound);
        if span.is_disabled() && !logs {
            return None;
        }
        if !span.is_disabled() {
            beginning::begin(&span, call.trace);
        }
        Some(Self(Box::new(Record {
            span,
            logs,
            inbound: call.inbound,
            stack: call.stack,
            trace: call.trace.clone(),
            tally: call.tally.clone(),
            method: call.method.map(Into::into),
            route: call.route.map(Into::into),
            status: None,
            rejected: None,
            began: clock::now(),
            to_headers: None,
            over: false,
        })))
    }

    pub(super) fn in_span<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.span.in_scope(work)
    }

    pub(super) fn span(&self) -> Option<Box<Span>> {
        let span = &self.0.span;
        (!span.is_disabled()).then(|| Box::new(span.clone()))
    }

    /// There is a response.
    #[cold]
    pub(super) fn answered<P: Answer<R>, R>(&mut self, protocol: &P, response: &R) {
        let record = &mut *self.0;
        record.status = protocol.status(response);
        record.rejected = protocol.rejected(response).cloned();
        record.span.record("status", record.status);
    }

    /// There is an error of which nothing more is known.
    pub(super) fn failed(self) {
        self.finish(Outcome::failure(Reason::Error));
    }
}

impl Token for TraceToken {
    #[cold]
    fn head(&mut self, _: Head) {
        let elapsed = self.0.elapsed();
        self.0.to_headers.get_or_insert(elapsed);
    }

    #[cold]
    fn finish(mut self, outcome: Outcome) {
        let record = &mut *self.0;
        let ending = match &record.rejected {
            Some(rejected) => Ending::of_rejection(rejected.kind()),
            None => Ending::of(&outcome),
        };
        let to_end = record.elapsed();
        record.to_headers.get_or_insert(to_end);
        record.tell(ending, Some(outcome.reason()), to_end);
    }
}

impl Record {
    fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// Tells of the end, once.
    fn tell(&mut self, ending: Ending, reason: Option<Reason>, to_end: Duration) {
        self.over = true;
        // Of calls that go out one is made even where nothing counts attempts. A server's are those of the calls that
        // it makes in its turn.
        let attempts = self.tally.attempts().max(u32::from(!self.inbound));
        self.span.record("outcome", ending.as_str());
        self.span.record("attempts", attempts);
        self.span.record("latency_ms", millis(to_end));
        if !self.logs {
            return;
        }
        macro_rules! line {
            ($level:expr, $direction:literal) => {
                tracing::event!(
                    target: ACCESS,
                    // The line is whole without its span, which may be switched off.
                    parent: self.span.id(),
                    $level,
                    direction = $direction,
                    stack = &*self.stack,
                    trace_id = %Id::from(self.trace.id()),
                    span_id = %SpanId(self.trace.span()),
                    parent_id = span_id(self.trace.parent()),
                    request_id = self.trace.request_id(),
                    method = self.method.as_deref(),
                    route = self.route.as_deref(),
                    status = self.status,
                    outcome = ending.as_str(),
                    reason = reason.map(display),
                    rejected_by = self.rejected.as_ref().map(Rejected::policy),
                    attempts,
                    queued_ms = millis(self.tally.queued()),
                    headers_ms = self.to_headers.map(millis),
                    total_ms = millis(to_end),
                )
            };
        }
        if self.inbound {
            line!(Level::INFO, "inbound");
        } else {
            line!(Level::DEBUG, "outbound");
        }
    }
}

/// A call that is dropped was cancelled, or is being unwound past.
impl Drop for Record {
    fn drop(&mut self) {
        if !self.over {
            let ending = if thread::panicking() {
                Ending::Panicked
            } else {
                Ending::Cancelled
            };
            self.tell(ending, None, self.elapsed());
        }
    }
}
