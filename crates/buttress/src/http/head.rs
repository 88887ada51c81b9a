use std::time::Duration;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::retry_after::retry_after;

/// Media types of what has no end of its own.
const ENDLESS: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];

/// What a judgement sees of a response: its head, without the body that is yet to come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> ResponseHead<'a> {
    /// The head of a response that is not an [`http::Response`].
    #[must_use]
    pub const fn new(status: StatusCode, headers: &'a HeaderMap) -> Self {
        Self { status, headers }
    }

    /// The head of that response.
    #[must_use]
    pub fn of<B>(response: &'a http::Response<B>) -> Self {
        Self::new(response.status(), response.headers())
    }

    /// How long the server asks to be left alone by `Retry-After`: seconds or a date.
    ///
    /// A date counts from the response's own `Date`, so that a clock that runs wrong on either side does no
    /// harm, or from this machine's clock where there is none. A date in the past is zero. No server is
    /// believed beyond **one day**: what is longer is cut to that. Anything that is neither seconds nor a date
    /// is ignored.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.headers)
    }

    /// Whether what follows goes on for as long as anybody listens.
    pub(super) fn is_open_ended(&self) -> bool {
        if self.status == StatusCode::SWITCHING_PROTOCOLS {
            return true;
        }
        let media_type = self
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], |value| value.as_bytes());
        ENDLESS.iter().any(|endless| {
            let head = media_type.get(..endless.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(endless))
        })
    }

    /// Whether a response of this status ends with its head, whatever its headers say (RFC 9112, section 6.3).
    /// What follows a 101 is another protocol.
    pub(super) fn has_no_body(&self) -> bool {
        self.status.is_informational() || matches!(self.status.as_u16(), 204 | 304)
    }
}
