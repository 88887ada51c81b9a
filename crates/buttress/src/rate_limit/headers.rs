//! What is left of a limit, in the headers of a response; the address of a client, in those of a request.
//!
//! The headers are those of [draft-ietf-httpapi-ratelimit-headers-10], structured fields:
//!
//! ```text
//! RateLimit-Policy: "default";q=200;w=2
//! RateLimit: "default";r=143;t=1
//! ```
//!
//! `q` permits can be had in any `w` seconds, `r` can be had now, and after `t` seconds all can again; in a refusal `t`
//! is when the call is worth repeating. For a token bucket `q` is the burst and `w` the time in which it comes back; a
//! time that is no whole number of seconds is rounded up, and where it is less than one, `q` is what comes in a second.
//! So a client that keeps to them is never refused. No name of a policy is sent: that is the operator's business.
//!
//! A response says so if the limiter is told to by [`headers`](super::RateLimiterBuilder::headers). A refusal always says
//! so, and when to come again in `Retry-After` (in gRPC `retry-after` and `grpc-retry-pushback-ms`); it becomes a response
//! only at the edge of the server: there [`RateLimiter::responder`] adds them, and a [`Stack`](crate::Stack) has it do so.
//!
//! [draft-ietf-httpapi-ratelimit-headers-10]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/

use std::{
    net::{IpAddr, SocketAddr},
    str,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{KeyBy, KeyProtocol, Quota, QuotaProtocol, RateLimitKey, RateLimiter, key::Key, shared::Shared};
use crate::{
    error::{Rejected, RejectionKind},
    http::{ClassifyHead, Grpc, Http, PeerAddr, Responder},
    outcome::RequestProtocol,
};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An address and a port in brackets and quotes are shorter.
const LONGEST_ENTRY: usize = 64;

/// The largest integer that a structured field can have (RFC 9651, section 3.3.1): who reads a larger one drops the field.
/// What there is more of is not told.
const LARGEST: u64 = 999_999_999_999_999;
const DIGITS: usize = 15;

/// The name in quotes, and two parameters with numbers as large as that.
const LONGEST_LINE: usize = 9 + 2 * (3 + DIGITS);

/// Refuses as another responder does, and says what is left of the limit; from [`RateLimiter::responder`].
#[derive(Clone, Debug)]
pub struct RateLimitResponder<R> {
    inner: R,
    limiter: Option<RateLimiter>,
}

impl<R> RateLimitResponder<R> {
    /// The responder for refusals of that limiter; `None`: `inner` alone, in the same type.
    pub fn new(limiter: impl Into<Option<RateLimiter>>, inner: R) -> Self {
        Self {
            inner,
            limiter: limiter.into(),
        }
    }
}

impl RateLimiter {
    /// Has refusals of this limiter say what is left of it, in the form that `inner` gives them.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use buttress::{http::{HttpResponder, RespondLayer}, rate_limit::RateLimiter};
    ///
    /// let limiter = RateLimiter::per_minute(60).name("api").build()?;
    /// let edge = RespondLayer::with(limiter.responder(HttpResponder::new()));
    /// # let _ = edge;
    /// # }
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn responder<R>(&self, inner: R) -> RateLimitResponder<R> {
        RateLimitResponder::new(self.clone(), inner)
    }
}

impl<R: Responder> Responder for RateLimitResponder<R> {
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes> {
        let mut response = self.inner.respond(rejected);
        if let Some(limiter) = &self.limiter {
            let ours = rejected.kind() == RejectionKind::RateLimited
                && rejected.policy() == &**limiter.shared.name();
            if ours {
                say_refused(response.headers_mut(), &limiter.shared, rejected);
            }
        }
        response
    }
}

fn say_refused(headers: &mut HeaderMap, shared: &Shared, rejected: &Rejected) {
    let mut quota = shared.one.quota(shared.now());
    #[cfg(feature = "keyed")]
    let limits = shared.keys.as_ref().map(super::keys::Keys::has_others);
    #[cfg(not(feature = "keyed"))]
    let limits = None;
    if limits.is_some() {
        // Which key it was is not known here, but what a refusal means.
        quota.remaining = 0;
    }
    // Nor whether it has a limit of its own.
    if limits != Some(true) {
        say_policy(headers, &quota);
    }
    let reset = rejected.retry_after_secs();
    say(headers, quota.remaining, reset.unwrap_or_else(|| seconds(&quota)));
}

fn seconds(quota: &Quota) -> u64 {
    let reset = quota.reset;
    reset.as_secs() + u64::from(reset.subsec_nanos() > 0)
}

fn say_policy(headers: &mut HeaderMap, quota: &Quota) {
    let nanos = quota.window.as_nanos().max(1);
    let (permits, window) = match u64::try_from(nanos.div_ceil(1_000_000_000)) {
        Ok(0 | 1) => {
            let a_second = u128::from(quota.limit) * 1_000_000_000 / nanos;
            (u64::try_from(a_second).unwrap_or(u64::MAX), 1)
        }
        Ok(window) => (quota.limit, window),
        Err(_) => (quota.limit, u64::MAX),
    };
    append(headers, &RATE_LIMIT_POLICY, [("q", permits), ("w", window)]);
}

fn say(headers: &mut HeaderMap, remaining: u64, reset: u64) {
    append(headers, &RATE_LIMIT, [("r", remaining), ("t", reset)]);
}

/// Adds a line: what another limit has said stays.
fn append(headers: &mut HeaderMap, name: &HeaderName, parameters: [(&str, u64); 2]) {
    let mut line = Line::new();
    line.push(br#""default""#);
    for (key, number) in parameters {
        line.push(b";");
        line.push(key.as_bytes());
        line.push(b"=");
        line.push_number(number);
    }
    if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
        headers.append(name, value);
    }
}

/// A line that is being written, in place: many responses have two of them.
struct Line {
    bytes: [u8; LONGEST_LINE],
    length: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            bytes: [0; LONGEST_LINE],
            length: 0,
        }
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        self.bytes[self.length..end].copy_from_slice(text);
        self.length = end;
    }

    /// In decimal, and [`LARGEST`] for what is more.
    fn push_number(&mut self, number: u64) {
        let mut digits = [0; DIGITS];
        let mut first = DIGITS;
        let mut rest = number.min(LARGEST);
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn announce(headers: &mut HeaderMap, quota: &Quota) {
    say_policy(headers, quota);
    say(headers, quota.remaining, seconds(quota));
}

impl<B, C> QuotaProtocol<http::Response<B>> for Http<C> {
    fn announce(&self, response: &mut http::Response<B>, quota: &Quota) {
        announce(response.headers_mut(), quota);
    }
}

/// In the metadata that come with the headers.
impl<B, C> QuotaProtocol<http::Response<B>> for Grpc<C> {
    fn announce(&self, response: &mut http::Response<B>, quota: &Quota) {
        announce(response.headers_mut(), quota);
    }
}

impl<B, C: ClassifyHead> KeyProtocol<http::Request<B>> for Http<C> {
    fn key<'a>(&self, by: &KeyBy, request: &'a http::Request<B>) -> Option<Key<'a>> {
        key_of(self, by, request)
    }
}

impl<B, C> KeyProtocol<http::Request<B>> for Grpc<C> {
    fn key<'a>(&self, by: &KeyBy, request: &'a http::Request<B>) -> Option<Key<'a>> {
        key_of(self, by, request)
    }
}

fn key_of<'a, P, B>(protocol: &P, by: &KeyBy, request: &'a http::Request<B>) -> Option<Key<'a>>
where
    P: RequestProtocol<http::Request<B>>,
{
    match by {
        KeyBy::Header(name) => request
            .headers()
            .get(name)
            .map(|value| Key::from_bytes(value.as_bytes())),
        KeyBy::PeerIp => request
            .extensions()
            .get()
            .map(|PeerAddr(address)| Key::from(*address)),
        KeyBy::ForwardedFor(hops) => forwarded_for(request.headers(), hops.get()).map(Key::from),
        KeyBy::Extension => request
            .extensions()
            .get()
            .map(|RateLimitKey(key)| Key::from(&**key)),
        KeyBy::Route => protocol.route(request).map(Key::from),
        KeyBy::GrpcMethod => Grpc::new().route(request).map(Key::from),
    }
}

/// The address that the outermost of `hops` trusted proxies saw, from `X-Forwarded-For`.
///
/// Each proxy adds the address of its peer at the right end. So of the list, over all its lines, the last `hops` entries
/// were written by proxies that are trusted, and the first of these is the client. All before it is what the client
/// sent. A request with fewer entries has not come through all of the proxies, and one whose entry is no address has
/// none: `None`. No more is looked at than those entries, and no more than 64 bytes of each.
#[must_use]
pub fn forwarded_for(headers: &HeaderMap, hops: u8) -> Option<IpAddr> {
    let mut hops = hops;
    for value in headers.get_all(&FORWARDED_FOR).iter().rev() {
        let mut list = Some(value.as_bytes());
        while let Some(entries) = list {
            let tail = entries.len().saturating_sub(LONGEST_ENTRY);
            let comma = entries[tail..].iter().rposition(|byte| *byte == b',');
            let entry = match comma {
                Some(comma) => {
                    list = Some(&entries[..tail + comma]);
                    &entries[tail + comma + 1..]
                }
                None if tail == 0 => {
                    list = None;
                    entries
                }
                None => return None,
            };
            hops = hops.checked_sub(1)?;
            if hops == 0 {
                return address(entry);
            }
        }
    }
    None
}

/// An address as proxies write it: bare, with a port, in brackets, in quotes.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.unwrap_or(text).parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_numbers_fit_into_a_line() {
        let mut headers = HeaderMap::new();
        append(&mut headers, &RATE_LIMIT, [("r", u64::MAX), ("t", LARGEST + 1)]);
        append(&mut headers, &RATE_LIMIT, [("r", LARGEST), ("t", 0)]);
        let lines: Vec<_> = headers.get_all(&RATE_LIMIT).iter().collect();
        assert_eq!(
            lines,
            [
                r#""default";r=999999999999999;t=999999999999999"#,
                r#""default";r=999999999999999;t=0"#
            ]
        );
    }
}
