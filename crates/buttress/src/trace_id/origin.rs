//! Where the trace of a call comes from.

use super::{
    Carrier, Received, TraceId, TraceParent, TraceToken, hex,
    policy::{ACCEPTED, MADE, REFUSED},
    record::{self, Call},
    request_id,
};
use crate::{
    context::{CallContext, Trace},
    random,
};

impl TraceId {
    /// The context of a request that came in, read from it as an [inbound](super::TraceIdLayer::inbound) layer does:
    /// for hosts that let one look at a request but have no place for a layer. It is not put into the request.
    pub fn read_request<P, Request>(&self, protocol: &P, request: &mut Request) -> CallContext
    where
        P: Carrier<Request>,
    {
        // Somebody further out may have made one. What the task that serves a connection is part of has nothing to do with
        // the requests that come by it.
        let around = if P::CARRIES { None } else { CallContext::current() };
        let known = protocol.context(request).cloned().or(around);
        // Whatever is gone on with, what no use can be made of has to go.
        let received = match (P::CARRIES, self.accepts()) {
            (false, _) => Received::default(),
            (true, true) => self.receive(protocol, request),
            (true, false) => {
                protocol.strip(request);
                protocol.strip_request_id(request);
                Received::default()
            }
        };
        let trace = match known.as_ref().and_then(CallContext::trace) {
            // Most calls are the first that is heard of their trace.
            None if received.says_nothing() => self.begin(),
            trace => self.go_on(trace, received),
        };
        match known {
            None => CallContext::at(trace),
            Some(mut context) => {
                context.set_trace(trace);
                context
            }
        }
    }

    /// The context of a request that goes out.
    pub(super) fn depart<P, Request>(&self, protocol: &P, request: &mut Request) -> CallContext
    where
        P: Carrier<Request>,
    {
        let sent = protocol.sending(request);
        let current;
        let around = match protocol.context(request) {
            Some(context) => Some(context),
            None => {
                current = CallContext::current();
                current.as_ref()
            }
        };
        let mut strips = false;
        let known = around.and_then(CallContext::trace);
        let trace = match (whose(sent, known), known) {
            // Somebody has written it already, further out: they know better.
            (Whose::Theirs(sender), known) => match known.and_then(Trace::request_id) {
                Some(id) => sender.into_trace().with_request_id(id),
                None => sender.into_trace(),
            },
            (Whose::Ours, Some(known)) => {
                strips = sent.is_some();
                known.child()
            }
            (Whose::Ours, None) => self.begin(),
        };
        let context = match around {
            Some(around) => around.nested_at(Some(trace)),
            None => CallContext::at(trace),
        };
        if strips {
            protocol.strip(request);
        }
        context
    }

    /// A trace that begins here.
    #[inline]
    pub(super) fn begin(&self) -> Trace {
        self.count(MADE, 1);
        let (id, span) = random::trace_ids();
        let sampled = is_sampled(id.get(), self.sampled());
        let sampled = if sampled { Trace::SAMPLED } else { 0 };
        Trace::of(id, span).with_flags(Trace::RANDOM | sampled)
    }

    /// Reads what a request says of itself.
    fn receive<P: Carrier<Request>, Request>(&self, protocol: &P, request: &mut Request) -> Received {
        let received = protocol.receive(request);
        if received.refused > 0 {
            self.refused(received.refused);
        }
        received
    }

    #[cold]
    fn refused(&self, headers: u8) {
        self.count(REFUSED, headers.into());
        // Not what they said: that is exactly what must not get any further.
        tracing::debug!(target: record::TRACE, policy = &*self.name(), headers, "ids from outside were refused");
    }

    /// Goes on with what is known further out, or else with what a request says of itself.
    fn go_on(&self, known: Option<&Trace>, received: Received) -> Trace {
        let as_trace_id = || received.request_id.as_deref().and_then(request_id::as_trace_id);
        let trace = if let Some(known) = known {
            known.child()
        } else if let Some(parent) = received.parent {
            self.count(ACCEPTED, 1);
            let trace = parent.into_trace().child();
            match received.state {
                Some(state) => trace.with_state(state),
                None => trace,
            }
        } else if let Some(id) = as_trace_id() {
            self.count(ACCEPTED, 1);
            let sampled = is_sampled(id.get(), self.sampled());
            Trace::of(id, random::span_id()).with_flags(if sampled { Trace::SAMPLED } else { 0 })
        } else {
            self.begin()
        };
        // It may be gone on with by another layer further out: what is in the request is the sender's all the same.
        let trace = match received.parent {
            Some(sender) => trace.sent_by(sender.trace_id, sender.parent_id),
            None => trace,
        };
        match received.request_id {
            Some(id) if *id.as_bytes() != hex::of_128(trace.id().get()) => trace.with_request_id(id),
            _ => trace,
        }
    }

    /// Begins to tell of a call, if anybody listens.
    #[inline]
    pub(super) fn tell<P, Request>(
        &self,
        protocol: &P,
        request: &Request,
        context: &CallContext,
        inbound: bool,
    ) -> Option<TraceToken>
    where
        P: Carrier<Request>,
    {
        let (spans, logs) = (self.has_spans(), self.has_access_log());
        if !record::is_heard(inbound, spans, logs) {
            return None;
        }
        TraceToken::begin(Call {
            stack: self.name(),
            trace: context.trace()?,
            tally: context.tally(),
            method: protocol.method(request),
            route: protocol.route(request),
            inbound,
            spans,
            logs,
        })
    }
}

/// Who wrote the `traceparent` that a request has when it goes out.
pub(super) enum Whose {
    /// Nobody, or it is what came in with the request that is being served, handed on as a proxy does, through however
    /// many layers. Then it is ours to write.
    Ours,
    /// Somebody who knows of a piece of work inside of ours.
    Theirs(TraceParent),
}

pub(super) fn whose(sent: Option<TraceParent>, known: Option<&Trace>) -> Whose {
    match (sent, known) {
        (None, _) => Whose::Ours,
        (Some(sent), Some(known)) if known.is_sent_by(sent.trace_id, sent.parent_id) => Whose::Ours,
        (Some(sent), _) => Whose::Theirs(sent),
    }
}

impl TraceParent {
    /// The sender's own place.
    fn into_trace(self) -> Trace {
        Trace::of(self.trace_id, self.parent_id).with_flags(self.flags)
    }
}

/// [Consistent probability sampling]: the last 56 bits of the id are at or above a threshold.
///
/// [Consistent probability sampling]: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
#[inline]
fn is_sampled(id: u128, share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    const ALL: f64 = (1_u64 << 56) as f64;
    let drawn = (id & ((1 << 56) - 1)) as u64;
    drawn >= ((1.0 - share) * ALL) as u64
}
