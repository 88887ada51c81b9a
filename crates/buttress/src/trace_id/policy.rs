use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    AttemptLayer, CONCERN, Carrier, Received, TraceIdBuilder, TraceIdLayer, TraceParent, TraceToken, hex,
    record::{self, Call},
    request_id,
};
use crate::{
    config::ConfigError,
    context::{CallContext, Trace},
    export::{Family, Samples},
    outcome::Plain,
    random,
    registry::{Drill, DrillError, Emitter, Listener, Policy, PolicyChanged},
    striped::Striped,
    value::Table,
};

/// Knows which call is which: reads the ids that come with requests, makes those that are missing, and sends them on.
///
/// See the [module](self::super) for the whole story.
///
/// # Clone
///
/// Clones share options and counts.
#[derive(Clone)]
pub struct TraceId {
    shared: Arc<Shared>,
}

struct Shared {
    name: OnceLock<Arc<str>>,
    accept: AtomicBool,
    answer: AtomicBool,
    propagate: AtomicBool,
    spans: AtomicBool,
    access_log: AtomicBool,
    /// The bits of the share: an `f64`.
    sampled: AtomicU64,
    counts: Striped<3>,
    events: Emitter,
}

static TRACES: Family = Family::counter("traces", "Traces gone on with from outside, and begun");
static REFUSALS: Family = Family::counter("trace_headers_refused", "Ids from outside that were no ids");
pub(crate) static FAMILIES: &[&Family] = &[&TRACES, &REFUSALS];

const ACCEPTED: usize = 0;
const MADE: usize = 1;
const REFUSED: usize = 2;

/// How often traces were begun and gone on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests whose ids from outside were gone on with.
    pub accepted: u64,
    /// Traces that were begun.
    pub made: u64,
    /// Headers from outside that no use could be made of, and that were taken out of their request.
    pub refused: u64,
}

impl TraceId {
    /// W3C Trace Context, and `x-request-id` beside it.
    #[must_use]
    pub fn w3c() -> Self {
        Self::from_checked(TraceIdBuilder::default())
    }

    /// The options to choose from.
    pub fn builder() -> TraceIdBuilder {
        TraceIdBuilder::default()
    }

    pub(super) fn from_checked(options: TraceIdBuilder) -> Self {
        let shared = Shared {
            name: options.name.clone().map_or_else(OnceLock::new, OnceLock::from),
            accept: AtomicBool::default(),
            answer: AtomicBool::default(),
            propagate: AtomicBool::default(),
            spans: AtomicBool::default(),
            access_log: AtomicBool::default(),
            sampled: AtomicU64::default(),
            counts: Striped::new(),
            events: Emitter::default(),
        };
        shared.set(&options);
        Self {
            shared: Arc::new(shared),
        }
    }

    // ===== calls =====

    /// The layer for plain calls that go out; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> TraceIdLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for calls that go out by `protocol`: each has its place in the trace of whatever makes it, or begins
    /// one. It stands outside of whatever repeats calls; what writes the ids into each attempt's request is the
    /// [attempt's layer](Self::attempt_layer_for).
    ///
    /// For requests that come in, make it an [`inbound`](TraceIdLayer::inbound) one.
    pub fn layer_for<P>(&self, protocol: P) -> TraceIdLayer<P> {
        TraceIdLayer::new(Some(self.clone()), protocol)
    }

    /// The layer that writes the ids into the request of each attempt, with a span-id of its own. It stands inside of
    /// whatever repeats calls, as far in as may be.
    pub fn attempt_layer_for<P>(&self, protocol: P) -> AttemptLayer<P> {
        AttemptLayer::new(Some(self.clone()), protocol)
    }

    // ===== reading and steering =====

    /// The name in spans, in the access log and in the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name.get().unwrap_or_else(|| unnamed()).clone()
    }

    /// How often traces were begun and gone on with since the last [reset](Drill::Reset).
    #[must_use]
    pub fn counts(&self) -> Counts {
        let [accepted, made, refused] = self.shared.counts.read();
        Counts {
            accepted,
            made,
            refused,
        }
    }

    /// The same, ever: no reset lowers it, so an exporter may read it as a counter.
    #[must_use]
    pub fn totals(&self) -> Counts {
        let total = |count| self.shared.counts.total(count);
        Counts {
            accepted: total(ACCEPTED),
            made: total(MADE),
            refused: total(REFUSED),
        }
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> TraceIdBuilder {
        let shared = &*self.shared;
        TraceIdBuilder {
            name: shared.name.get().cloned(),
            accept: shared.accept.load(Relaxed),
            answer: shared.answer.load(Relaxed),
            propagate: shared.propagate.load(Relaxed),
            spans: shared.spans.load(Relaxed),
            access_log: shared.access_log.load(Relaxed),
            sampled: f64::from_bits(shared.sampled.load(Relaxed)),
        }
    }

    /// Changes the options while it runs, for calls that begin from now on. The name cannot be changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, options: TraceIdBuilder) -> Result<(), ConfigError> {
        options.check()?;
        self.shared.set(&options);
        self.shared.events.emit(CONCERN, &self.name(), || PolicyChanged);
        Ok(())
    }

    /// Names a policy that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        // Whoever came first named it.
        let _ = self.shared.name.set(name.clone());
    }

    #[inline]
    pub(super) fn answers(&self) -> bool {
        self.shared.answer.load(Relaxed)
    }

    #[inline]
    pub(super) fn propagates(&self) -> bool {
        self.shared.propagate.load(Relaxed)
    }

    #[inline]
    pub(super) fn has_spans(&self) -> bool {
        self.shared.spans.load(Relaxed)
    }

    // ===== one call =====

    /// The context of a request that came in.
    pub(super) fn arrive<P, Request>(&self, protocol: &P, request: &mut Request) -> CallContext
    where
        P: Carrier<Request>,
    {
        // Somebody further out may have made one. What the task that serves a connection is part of has nothing to do with
        // the requests that come by it.
        let around = if P::CARRIES { None } else { CallContext::current() };
        let known = protocol.context(request).cloned();
        let mut context = known.or(around).unwrap_or_default();
        let trace = match context.trace() {
            Some(known) => known.child(),
            None if !P::CARRIES => self.begin(),
            None if self.shared.accept.load(Relaxed) => self.accept(protocol.receive(request)),
            None => {
                protocol.strip(request);
                protocol.strip_request_id(request);
                self.begin()
            }
        };
        context.set_trace(trace);
        context
    }

    /// The context of a request that goes out.
    pub(super) fn depart<P, Request>(&self, protocol: &P, request: &mut Request) -> CallContext
    where
        P: Carrier<Request>,
    {
        let around = match protocol.context(request) {
            Some(context) => Some(context.nested()),
            None => CallContext::current().map(|context| context.nested()),
        };
        let mut context = around.unwrap_or_default();
        let sent = protocol.sending(request);
        let trace = match (whose(sent, context.trace()), context.trace()) {
            // Somebody has written it already, further out: they know better.
            (Whose::Theirs(sender), _) => sender.into_trace(),
            (Whose::Ours, Some(known)) => {
                if sent.is_some() {
                    protocol.strip(request);
                }
                known.child()
            }
            (Whose::Ours, None) => self.begin(),
        };
        context.set_trace(trace);
        context
    }

    /// A trace that begins here.
    pub(super) fn begin(&self) -> Trace {
        self.shared.counts.add(MADE, 1);
        let id = random::trace_id();
        let sampled = is_sampled(id.get(), f64::from_bits(self.shared.sampled.load(Relaxed)));
        let sampled = if sampled { Trace::SAMPLED } else { 0 };
        Trace::of(id, random::span_id()).with_flags(Trace::RANDOM | sampled)
    }

    /// Goes on with what a request says of itself.
    fn accept(&self, received: Received) -> Trace {
        if received.refused > 0 {
            self.refused(received.refused);
        }
        let as_trace_id = received.request_id.as_deref().and_then(request_id::as_trace_id);
        let mut trace = match (received.parent, as_trace_id) {
            (Some(parent), _) => {
                self.shared.counts.add(ACCEPTED, 1);
                parent.into_trace().child()
            }
            (None, Some(id)) => {
                self.shared.counts.add(ACCEPTED, 1);
                let sampled = is_sampled(id.get(), f64::from_bits(self.shared.sampled.load(Relaxed)));
                Trace::of(id, random::span_id()).with_flags(if sampled { Trace::SAMPLED } else { 0 })
            }
            (None, None) => self.begin(),
        };
        if let Some(state) = received.state {
            trace = trace.with_state(state);
        }
        match received.request_id {
            Some(id) if *id.as_bytes() != hex::of_128(trace.id().get()) => trace.with_request_id(id),
            _ => trace,
        }
    }

    #[cold]
    fn refused(&self, headers: u8) {
        self.shared.counts.add(REFUSED, headers.into());
        // Not what they said: that is exactly what must not get any further.
        tracing::debug!(target: record::TRACE, policy = &*self.name(), headers, "ids from outside were refused");
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
        let (spans, logs) = (self.has_spans(), self.shared.access_log.load(Relaxed));
        if !record::is_heard(inbound, spans, logs) {
            return None;
        }
        TraceToken::begin(&Call {
            stack: &|| self.name(),
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
    /// Nobody, or it is what came in with the request that is being served, handed on as a proxy does. Then it is ours
    /// to write.
    Ours,
    /// Somebody who knows of a piece of work inside of ours.
    Theirs(TraceParent),
}

pub(super) fn whose(sent: Option<TraceParent>, known: Option<&Trace>) -> Whose {
    match (sent, known) {
        (None, _) => Whose::Ours,
        (Some(sent), Some(known)) if sent.came_with(known) => Whose::Ours,
        (Some(sent), _) => Whose::Theirs(sent),
    }
}

impl TraceParent {
    fn came_with(&self, trace: &Trace) -> bool {
        self.trace_id == trace.id() && Some(self.parent_id) == trace.parent()
    }

    /// The sender's own place.
    fn into_trace(self) -> Trace {
        Trace::of(self.trace_id, self.parent_id).with_flags(self.flags)
    }
}

/// [Consistent probability sampling]: the last 56 bits of the id are at or above a threshold.
///
/// [Consistent probability sampling]: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
fn is_sampled(id: u128, share: f64) -> bool {
    const ALL: f64 = (1_u64 << 56) as f64;
    let drawn = (id & ((1 << 56) - 1)) as u64;
    drawn >= ((1.0 - share) * ALL) as u64
}

impl Shared {
    fn set(&self, options: &TraceIdBuilder) {
        self.accept.store(options.accept, Relaxed);
        self.answer.store(options.answer, Relaxed);
        self.propagate.store(options.propagate, Relaxed);
        self.spans.store(options.spans, Relaxed);
        self.access_log.store(options.access_log, Relaxed);
        self.sampled.store(options.sampled.to_bits(), Relaxed);
    }
}

/// [`w3c`](TraceId::w3c).
impl Default for TraceId {
    fn default() -> Self {
        Self::w3c()
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceId")
            .field("name", &self.name())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// In a snapshot: `traceId: {accepted, made, refused}`. It understands [`Drill::Reset`].
impl Policy for TraceId {
    fn concern(&self) -> &'static str {
        CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    fn describe(&self, state: &mut Table) {
        let counts = self.counts();
        let table = state.table("traceId");
        table.insert("accepted", counts.accepted);
        table.insert("made", counts.made);
        table.insert("refused", counts.refused);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        let (name, totals) = (("name", name), self.totals());
        samples.counter(&TRACES, &[name, ("origin", "accepted")], totals.accepted);
        samples.counter(&TRACES, &[name, ("origin", "made")], totals.made);
        samples.counter(&REFUSALS, &[name], totals.refused);
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.shared.counts.rebase();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}

/// The name of a policy that nobody named.
fn unnamed() -> &'static Arc<str> {
    static UNNAMED: OnceLock<Arc<str>> = OnceLock::new();
    UNNAMED.get_or_init(|| CONCERN.into())
}
