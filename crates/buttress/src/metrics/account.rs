use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::books::Books;
use crate::{
    context::{self, CallContext, Trace},
    outcome::Ending,
};

/// Whose books a call is in: those of its stack, or those of its route and of the stack.
pub(super) struct Account {
    pub(super) books: Books,
    stack: Option<Arc<Account>>,
    keeps_exemplars: AtomicBool,
}

impl Account {
    pub(super) fn of_stack() -> Self {
        Self {
            books: Books::new(),
            stack: None,
            keeps_exemplars: AtomicBool::new(false),
        }
    }

    #[cfg(feature = "keyed")]
    pub(super) fn of_route(stack: &Arc<Self>) -> Self {
        Self {
            books: Books::new(),
            stack: Some(stack.clone()),
            keeps_exemplars: AtomicBool::new(stack.keeps_exemplars()),
        }
    }

    pub(super) fn keep_exemplars(&self) {
        self.keeps_exemplars.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn keeps_exemplars(&self) -> bool {
        self.keeps_exemplars.load(Relaxed)
    }

    #[inline]
    pub(super) fn started(&self) {
        self.books.started();
        if let Some(stack) = &self.stack {
            too(|| stack.books.started());
        }
    }

    #[inline]
    pub(super) fn headers_came(&self, nanos: u64) {
        self.books.headers_came(nanos);
        if let Some(stack) = &self.stack {
            too(|| stack.books.headers_came(nanos));
        }
    }

    #[inline]
    pub(super) fn ended_at_once(&self, ending: Ending, nanos: u64) {
        self.books.ended_at_once(ending, nanos);
        self.exemplify(ending, nanos);
        if let Some(stack) = &self.stack {
            too(|| stack.books.ended_at_once(ending, nanos));
        }
    }

    #[inline]
    pub(super) fn ended(&self, ending: Ending, nanos: u64) {
        self.books.ended(ending, nanos);
        self.exemplify(ending, nanos);
        if let Some(stack) = &self.stack {
            too(|| stack.books.ended(ending, nanos));
        }
    }

    #[inline]
    fn exemplify(&self, ending: Ending, nanos: u64) {
        if self.keeps_exemplars() {
            self.set_exemplar(ending, nanos);
        }
    }

    #[cold]
    #[inline(never)]
    fn set_exemplar(&self, ending: Ending, nanos: u64) {
        // Of traces that nobody records there is nothing to find.
        let recorded =
            |context: &CallContext| context.trace().filter(|trace| trace.is_sampled()).map(Trace::id);
        if let Some(id) = context::with_current(recorded).flatten() {
            self.books.exemplars.set(ending, id, nanos);
            if let Some(stack) = &self.stack {
                stack.books.exemplars.set(ending, id, nanos);
            }
        }
    }
}

/// Apart, so that it is not in the way of those who have no routes.
#[cold]
#[inline(never)]
fn too(book: impl FnOnce()) {
    book();
}
