//! What an exporter of spans is told, so that a span has the same ids there and here.

use std::{
    cell::Cell,
    num::{NonZeroU64, NonZeroU128},
};

use tracing::Span;

use crate::context::Trace;

type Ids = (NonZeroU128, NonZeroU64);

thread_local! {
    static BEGINNING: Cell<Option<Ids>> = const { Cell::new(None) };
}

/// The ids that a span of this module has, while whoever exports spans is about to begin it: then it is entered for the
/// first time. At any other time there are none.
///
/// It is for what draws an exporter's ids, such as the one in `buttress-opentelemetry`.
#[must_use]
pub fn beginning() -> Option<Trace> {
    let (id, span) = BEGINNING.get()?;
    Some(Trace::of(id, span))
}

/// Has whoever exports spans begin this one with the ids of that place in a trace.
pub(super) fn begin(span: &Span, trace: &Trace) {
    let _before = Before(BEGINNING.replace(Some((trace.id(), trace.span()))));
    span.in_scope(|| ());
}

struct Before(Option<Ids>);

impl Drop for Before {
    fn drop(&mut self) {
        BEGINNING.set(self.0);
    }
}
