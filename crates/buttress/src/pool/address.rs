use std::fmt;

use super::Pool;

/// Writes the address of an endpoint into a request: a function `Fn(&T, &mut Request)`, or [`ToAuthority`].
///
/// [`ToAuthority`]: https://docs.rs/buttress/latest/buttress/pool/struct.ToAuthority.html
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot write the address `{T}` into a `{Request}`",
    note = "for HTTP let the endpoints be of `http::uri::Authority` or `http::Uri`",
    note = "for anything else say how: `pool.addressed_by(|address, request| ..)`"
)]
pub trait Address<T, Request> {
    /// Writes it.
    fn address(&self, target: &T, request: &mut Request);
}

impl<F, T, Request> Address<T, Request> for F
where
    F: Fn(&T, &mut Request),
{
    #[inline]
    fn address(&self, target: &T, request: &mut Request) {
        self(target, request);
    }
}

/// Writes host and port of an endpoint into the request's URI, and the scheme if the endpoint is a whole URI; without
/// one it stays as it is, and if there is none it is `http`.
///
/// Path, query and headers stay as they are. A `Host` header is left alone, too: clients write one where there is none.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, Default)]
pub struct ToAuthority;

#[cfg(feature = "http")]
impl<B> Address<http::uri::Authority, http::Request<B>> for ToAuthority {
    #[inline]
    fn address(&self, target: &http::uri::Authority, request: &mut http::Request<B>) {
        rewrite(request.uri_mut(), None, target);
    }
}

#[cfg(feature = "http")]
impl<B> Address<http::Uri, http::Request<B>> for ToAuthority {
    #[inline]
    fn address(&self, target: &http::Uri, request: &mut http::Request<B>) {
        if let Some(authority) = target.authority() {
            rewrite(request.uri_mut(), target.scheme(), authority);
        }
    }
}

/// Nothing in it allocates.
#[cfg(feature = "http")]
fn rewrite(uri: &mut http::Uri, scheme: Option<&http::uri::Scheme>, authority: &http::uri::Authority) {
    let mut parts = std::mem::take(uri).into_parts();
    if let Some(scheme) = scheme {
        parts.scheme = Some(scheme.clone());
    }
    parts.scheme.get_or_insert(http::uri::Scheme::HTTP);
    parts.authority = Some(authority.clone());
    parts
        .path_and_query
        .get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
    // It has all three parts, so there is nothing to be refused.
    if let Ok(rewritten) = http::Uri::from_parts(parts) {
        *uri = rewritten;
    }
}

/// A pool for a stack, and how the addresses of its endpoints are written into requests; from [`Pool::addressed_by`].
///
/// # Clone
///
/// Clones share the pool.
pub struct PoolBy<T, F> {
    pub(crate) pool: Pool<T>,
    pub(crate) address: F,
}

impl<T> Pool<T> {
    /// The pool for the [stack](crate::Stack::pool) of anything but HTTP: `address` writes an endpoint's address into a
    /// request.
    pub fn addressed_by<F>(&self, address: F) -> PoolBy<T, F> {
        PoolBy {
            pool: self.clone(),
            address,
        }
    }
}

impl<T, F: Clone> Clone for PoolBy<T, F> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            address: self.address.clone(),
        }
    }
}

impl<T, F> fmt::Debug for PoolBy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolBy").field(&self.pool).finish()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use http::{Request, Uri, uri::Authority};

    use super::*;

    #[test]
    fn host_and_port_are_the_endpoints_and_the_rest_is_the_requests() {
        let authority = Authority::from_static("a:9001");
        let whole = Uri::from_static("https://b:9002/");
        for (uri, by_authority, by_uri) in [
            ("/x?y=1", "http://a:9001/x?y=1", "https://b:9002/x?y=1"),
            ("http://old:1/x", "http://a:9001/x", "https://b:9002/x"),
            ("https://old", "https://a:9001/", "https://b:9002/"),
            ("*", "http://a:9001*", "https://b:9002*"),
        ] {
            let request = || Request::get(uri).header("host", "h").body(()).expect("valid");
            let (mut one, mut other) = (request(), request());
            ToAuthority.address(&authority, &mut one);
            ToAuthority.address(&whole, &mut other);
            assert_eq!(one.uri().to_string(), by_authority);
            assert_eq!(other.uri().to_string(), by_uri);
            assert_eq!(one.headers()["host"], "h");
        }
    }

    #[test]
    fn writing_an_address_allocates_nothing() {
        let authority: Authority = "a.example:9001".parse().expect("valid");
        // The first clone of one that was parsed is what makes it shared.
        let _shared = authority.clone();
        let mut request = Request::get("http://old.example/path?query")
            .body(())
            .expect("valid");
        let used = allocation_counter::measure(|| ToAuthority.address(&authority, &mut request));
        assert_eq!(used.count_total, 0);
        assert_eq!(request.uri().host(), Some("a.example"));
    }
}
