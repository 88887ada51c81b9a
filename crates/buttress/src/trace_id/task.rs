//! The trace of what runs, and of what it starts.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::instrument::{Instrument, Instrumented};

use super::Id;
use crate::context::{self, CallContext, Scoped, Trace};

/// The id of the trace that the running code is part of: in a handler, in whatever it awaits, and in tasks
/// [spawned](spawn) here.
#[must_use]
pub fn current() -> Option<Id> {
    context::with_current(CallContext::trace_id)
        .flatten()
        .map(Id::from)
}

/// Where in which trace the running code stands.
#[must_use]
pub fn current_trace() -> Option<Trace> {
    context::with_current(|context| context.trace().cloned()).flatten()
}

/// Has `future` be part of the [current](current) trace, and of the current `tracing` span, wherever it is polled. Of
/// the call in which it was made it takes over nothing else: it may outlive its deadline.
///
/// ```
/// use buttress::trace_id;
/// # let work = async {};
/// let work = trace_id::in_current(work);
/// # drop(work);
/// ```
pub fn in_current<F: Future>(future: F) -> Scoped<Instrumented<F>> {
    let context = context::with_current(CallContext::detached);
    Scoped::new(context, future.in_current_span())
}

/// Spawns a task that is part of the [current](current) trace: [`tokio::spawn`] of [`in_current`].
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(in_current(future))
}
