use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::{AttemptLayer, CONCERN, TraceIdBuilder, TraceIdLayer};
use crate::{
    config::ConfigError,
    export::{Family, Samples},
    name::{Name, Unnamed},
    outcome::Plain,
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
    name: Name,
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

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

static TRACES: Family = Family::counter("traces", "Traces gone on with from outside, and begun");
static REFUSALS: Family = Family::counter("trace_headers_refused", "Ids from outside that were no ids");
pub(crate) static FAMILIES: &[&Family] = &[&TRACES, &REFUSALS];

pub(super) const ACCEPTED: usize = 0;
pub(super) const MADE: usize = 1;
pub(super) const REFUSED: usize = 2;

/// What a [`TraceId`] knows of itself at one moment: how often traces were begun and gone on with since it was made or
/// [reset](Drill::Reset).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policy's name.
    pub name: Arc<str>,
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
            name: Name::new(options.name.as_ref()),
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
        self.shared.name.or(&UNNAMED).clone()
    }

    /// How often traces were begun and gone on with since the last [reset](Drill::Reset).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let [accepted, made, refused] = self.shared.counts.read();
        Snapshot {
            name: self.name(),
            accepted,
            made,
            refused,
        }
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> TraceIdBuilder {
        let shared = &*self.shared;
        TraceIdBuilder {
            name: shared.name.given().cloned(),
            accept: shared.accept.load(Relaxed),
            answer: shared.answer.load(Relaxed),
            propagate: shared.propagate.load(Relaxed),
            spans: shared.spans.load(Relaxed),
            access_log: shared.access_log.load(Relaxed),
            sampled: self.sampled(),
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
        self.shared.name.give(name);
    }

    #[inline]
    pub(super) fn count(&self, count: usize, more: u64) {
        self.shared.counts.add(count, more);
    }

    /// How often, ever: no reset lowers it, so an exporter may show it as a counter.
    pub(super) fn total(&self, count: usize) -> u64 {
        self.shared.counts.total(count)
    }

    #[inline]
    pub(super) fn accepts(&self) -> bool {
        self.shared.accept.load(Relaxed)
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

    #[inline]
    pub(super) fn has_access_log(&self) -> bool {
        self.shared.access_log.load(Relaxed)
    }

    #[inline]
    pub(super) fn sampled(&self) -> f64 {
        f64::from_bits(self.shared.sampled.load(Relaxed))
    }
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
            .field("snapshot", &self.snapshot())
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
        let counts = self.snapshot();
        let table = state.table("traceId");
        table.insert("accepted", counts.accepted);
        table.insert("made", counts.made);
        table.insert("refused", counts.refused);
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        let name = ("name", name);
        samples.counter(&TRACES, &[name, ("origin", "accepted")], self.total(ACCEPTED));
        samples.counter(&TRACES, &[name, ("origin", "made")], self.total(MADE));
        samples.counter(&REFUSALS, &[name], self.total(REFUSED));
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
