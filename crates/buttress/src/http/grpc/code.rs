use http::{HeaderMap, HeaderName, StatusCode};

use crate::outcome::{Outcome, Reason, Verdict};

/// The header, or trailer, that ends every gRPC call.
pub(in crate::http) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

const OK: u8 = 0;
const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const DATA_LOSS: u8 = 15;
const UNAUTHENTICATED: u8 = 16;

/// The judgement of [`Grpc`](super::Grpc) by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeVerdict {
    _private: (),
}

/// A judgement over a gRPC status code: a closure `Fn(u8) -> Outcome`, [`CodeVerdict`], or a type of your own.
pub trait ClassifyCode {
    /// What the code, 0 to 16, says about the service.
    ///
    /// Where the outcome is not a success and names no [`retry_after`](Outcome::retry_after), what the server
    /// asked for is added.
    fn classify(&self, code: u8) -> Outcome;
}

impl<F: Fn(u8) -> Outcome> ClassifyCode for F {
    #[inline]
    fn classify(&self, code: u8) -> Outcome {
        self(code)
    }
}

impl CodeVerdict {
    /// The table of [`Grpc`](super::Grpc).
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl ClassifyCode for CodeVerdict {
    #[inline]
    fn classify(&self, code: u8) -> Outcome {
        let verdict = match code {
            OK => return Outcome::SUCCESS,
            UNKNOWN | DEADLINE_EXCEEDED | INTERNAL | UNAVAILABLE | DATA_LOSS => Verdict::Failure,
            RESOURCE_EXHAUSTED => Verdict::Throttled,
            _ => Verdict::Neutral,
        };
        Outcome::new(verdict, Reason::GrpcStatus(code))
    }
}

/// The code in these headers or trailers, if there is one. What is no code is `UNKNOWN`, as gRPC demands.
pub(super) fn code_in(headers: &HeaderMap) -> Option<u8> {
    let value = headers.get(&GRPC_STATUS)?;
    let code = value.to_str().ok().and_then(|text| match text.as_bytes() {
        // `parse` would take a sign.
        digits if digits.iter().all(u8::is_ascii_digit) => text.parse().ok(),
        _ => None,
    });
    Some(code.filter(|code| *code <= UNAUTHENTICATED).unwrap_or(UNKNOWN))
}

/// The code that stands for the HTTP status of an answer that is not gRPC's own: a proxy's, say.
///
/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
pub(super) fn code_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_no_code_is_unknown() {
        for (text, code) in [
            ("0", 0),
            ("14", 14),
            ("16", 16),
            ("007", 7),
            ("17", 2),
            ("300", 2),
            ("99999999999999999999", 2),
            ("", 2),
            ("-1", 2),
            ("+0", 2),
            ("OK", 2),
            ("0 ", 2),
            ("é", 2),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                &GRPC_STATUS,
                HeaderValue::from_bytes(text.as_bytes()).expect("a value"),
            );
            assert_eq!(code_in(&headers), Some(code), "{text:?}");
        }
        assert_eq!(code_in(&HeaderMap::new()), None);
    }

    #[test]
    fn only_the_servers_own_faults_are_failures() {
        for code in 0..=16 {
            let expected = match code {
                0 => Verdict::Success,
                2 | 4 | 13 | 14 | 15 => Verdict::Failure,
                8 => Verdict::Throttled,
                _ => Verdict::Neutral,
            };
            assert_eq!(CodeVerdict::new().classify(code).verdict(), expected, "{code}");
        }
    }
}
