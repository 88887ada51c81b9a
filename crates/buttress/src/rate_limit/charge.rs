//! What a layer charges for a request, and to whom.

#[cfg(feature = "keyed")]
use super::KeyProtocol;
use super::{Key, KeyBy};

/// What a layer charges for a request, and to whom. The layers' methods make the ones there are:
/// [`key`](super::RateLimitLayer::key), [`permits`](super::RateLimitLayer::permits).
pub trait Charge<P, Request> {
    /// Whose limit it is; `by` is where the limiter's own options say that it is found.
    fn key<'a>(&self, protocol: &P, by: Option<&KeyBy>, request: &'a Request) -> Option<Key<'a>>;

    /// How many permits it takes.
    fn permits(&self, request: &Request) -> u32 {
        let _ = request;
        1
    }
}

/// One permit a request, of the key that the limiter's options name, if they name one.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsConfigured {
    _private: (),
}

/// One permit a request, of the key that a closure finds.
#[derive(Clone, Copy, Debug)]
pub struct ByKey<F>(pub(super) F);

/// As many permits as a closure says.
#[derive(Clone, Copy, Debug)]
pub struct Weighed<C, F> {
    pub(super) inner: C,
    pub(super) permits: F,
}

#[cfg(feature = "keyed")]
impl<P: KeyProtocol<Request>, Request> Charge<P, Request> for AsConfigured {
    #[inline]
    fn key<'a>(&self, protocol: &P, by: Option<&KeyBy>, request: &'a Request) -> Option<Key<'a>> {
        protocol.key(by?, request)
    }
}

#[cfg(not(feature = "keyed"))]
impl<P, Request> Charge<P, Request> for AsConfigured {
    #[inline]
    fn key<'a>(&self, _: &P, _: Option<&KeyBy>, _: &'a Request) -> Option<Key<'a>> {
        None
    }
}

impl<P, Request, F> Charge<P, Request> for ByKey<F>
where
    F: Fn(&Request) -> Option<Key<'_>>,
{
    #[inline]
    fn key<'a>(&self, _: &P, _: Option<&KeyBy>, request: &'a Request) -> Option<Key<'a>> {
        (self.0)(request)
    }
}

impl<P, Request, C, F> Charge<P, Request> for Weighed<C, F>
where
    C: Charge<P, Request>,
    F: Fn(&Request) -> u32,
{
    #[inline]
    fn key<'a>(&self, protocol: &P, by: Option<&KeyBy>, request: &'a Request) -> Option<Key<'a>> {
        self.inner.key(protocol, by, request)
    }

    #[inline]
    fn permits(&self, request: &Request) -> u32 {
        (self.permits)(request)
    }
}
