use std::sync::Arc;

use super::books::Books;
use crate::outcome::Ending;

/// Whose books a call is in: those of its stack, or those of its route and of the stack.
pub(super) struct Account {
    pub(super) books: Books,
    stack: Option<Arc<Account>>,
}

impl Account {
    pub(super) fn of_stack() -> Self {
        Self {
            books: Books::new(),
            stack: None,
        }
    }

    #[cfg(feature = "keyed")]
    pub(super) fn of_route(stack: &Arc<Self>) -> Self {
        Self {
            books: Books::new(),
            stack: Some(stack.clone()),
        }
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
        if let Some(stack) = &self.stack {
            too(|| stack.books.ended_at_once(ending, nanos));
        }
    }

    #[inline]
    pub(super) fn ended(&self, ending: Ending, nanos: u64) {
        self.books.ended(ending, nanos);
        if let Some(stack) = &self.stack {
            too(|| stack.books.ended(ending, nanos));
        }
    }
}

/// Apart, so that it is not in the way of those who have no routes.
#[cold]
#[inline(never)]
fn too(book: impl FnOnce()) {
    book();
}
