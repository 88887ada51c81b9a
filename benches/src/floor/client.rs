use std::sync::Arc;

use super::{Attempts, Books, Breaker, Limit, Spare, recover};
use crate::service::{Broken, answer};

/// What a client's whole stack shares.
#[derive(Debug)]
pub struct Client {
    books: Arc<Books>,
    spare: Arc<Spare>,
    total: Limit,
    retry: Arc<Attempts>,
    hedge: Arc<Attempts>,
    breaker: Arc<Breaker>,
    attempt: Limit,
}

impl Client {
    /// Every concern on.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            books: Books::new(),
            spare: Spare::new(),
            total: Limit::new(),
            retry: Attempts::new(),
            hedge: Attempts::new(),
            breaker: Breaker::new(),
            attempt: Limit::new(),
        }
    }

    /// A call through metrics, recover, fallback, total timeout, retry, hedge, breaker, attempt timeout and recover.
    #[inline]
    pub fn call(&self, request: u64) -> Option<Result<u64, Broken>> {
        Books::call(&self.books, || {
            recover(|| Spare::call(&self.spare, || self.limited(request).ok_or(Broken)))
        })
    }

    #[inline]
    fn limited(&self, request: u64) -> Option<u64> {
        self.total.total(|| {
            self.retry
                .within(0, || self.hedge.within(1, || self.attempt(request)))
        })???
    }

    #[inline]
    fn attempt(&self, request: u64) -> Option<u64> {
        let shared = self.breaker.admit()?;
        let result = self.attempt.call(|| recover(|| answer(request)))??;
        shared.settle(result.is_err());
        result.ok()
    }
}
