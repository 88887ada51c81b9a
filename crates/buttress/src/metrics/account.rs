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
        self.each(Books::started);
    }

    #[inline]
    pub(super) fn headers_came(&self, nanos: u64) {
        self.each(|books| books.headers_came(nanos));
    }

    #[inline]
    pub(super) fn ended_at_once(&self, ending: Ending, nanos: u64) {
        self.each(|books| books.ended_at_once(ending, nanos));
    }

    #[inline]
    pub(super) fn ended(&self, ending: Ending, nanos: u64) {
        self.each(|books| books.ended(ending, nanos));
    }

    #[inline]
    fn each(&self, book: impl Fn(&Books)) {
        book(&self.books);
        if let Some(stack) = &self.stack {
            book(&stack.books);
        }
    }
}
