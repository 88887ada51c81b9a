use std::sync::Arc;

use super::Key;
use crate::outcome::{Plain, RequestProtocol};

/// Where the key of a request is found, as a configuration file can say it. A request in which it is not found shares
/// one limit with all others of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyBy {
    /// In the header of that name: an API key, a tenant. Whoever sends it says what is in it, so this is for headers
    /// that somebody has checked, or for limits that are only meant to part those who are honest.
    #[cfg(feature = "http")]
    Header(http::HeaderName),
    /// The address of the peer, from the [`PeerAddr`](crate::http::PeerAddr) in the request's extensions. In IPv6 it is
    /// that of its /64.
    #[cfg(feature = "http")]
    PeerIp,
    /// The address that the outermost of so many trusted proxies saw, from `X-Forwarded-For`: with one proxy the last in
    /// the list. What is further to the left was sent by the client and is not believed.
    #[cfg(feature = "http")]
    ForwardedFor(std::num::NonZeroU8),
    /// What somebody in this process has found out about the request, an authentication for one: the [`RateLimitKey`] in
    /// the request's extensions.
    Extension,
    /// The route, as the protocol knows it: see [`RequestProtocol::route`].
    Route,
    /// The gRPC method.
    #[cfg(feature = "http")]
    GrpcMethod,
}

/// Whose limit a request is under, for [`KeyBy::Extension`]: whoever knows puts it into the request's extensions, outside
/// of the limiter.
///
/// ```
/// # #[cfg(feature = "http")] {
/// use buttress::rate_limit::{KeyBy, RateLimitKey, RateLimiter};
///
/// let limiter = RateLimiter::per_second(10).key_by(KeyBy::Extension).build()?;
///
/// // In a layer that knows the tenant by the request's token:
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RateLimitKey::from("acme"));
/// # let _ = limiter;
/// # }
/// # Ok::<(), buttress::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateLimitKey(pub Arc<str>);

impl From<&str> for RateLimitKey {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

/// A protocol that knows where to find a key in its requests. The default finds the route and what is in extensions.
pub trait KeyProtocol<Request>: RequestProtocol<Request> {
    /// The key of the request.
    fn key<'a>(&self, by: &KeyBy, request: &'a Request) -> Option<Key<'a>> {
        match by {
            KeyBy::Route => self.route(request).map(Key::from),
            KeyBy::Extension => self
                .extension::<RateLimitKey>(request)
                .map(|RateLimitKey(key)| Key::from(&**key)),
            #[cfg(feature = "http")]
            _ => None,
        }
    }
}

impl<Request, C> KeyProtocol<Request> for Plain<C> {}
