//! `grpc-retry-pushback-ms`, gRFC A6.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::http::retry_after::LONGEST;

/// Metadata in which a server says when to come again.
pub(in crate::http) static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What the server asks of those who would retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushback {
    /// To come again after that time; cut to what any server is believed.
    After(Duration),
    /// Not to come again: a negative number, or none at all. It says nothing about how long to leave the
    /// service alone.
    Stop,
}

impl Pushback {
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(&PUSHBACK)?;
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Self::Stop);
        }
        let after = Duration::from_millis(text.parse().unwrap_or(u64::MAX));
        Some(Self::After(after.min(LONGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Option<Pushback> {
        let mut headers = HeaderMap::new();
        headers.insert(&PUSHBACK, http::HeaderValue::from_static(value));
        Pushback::read(&headers)
    }

    #[test]
    fn milliseconds_are_read_and_bounded() {
        assert_eq!(read("0"), Some(Pushback::After(Duration::ZERO)));
        assert_eq!(read("1500"), Some(Pushback::After(Duration::from_millis(1500))));
        assert_eq!(read("86400001"), Some(Pushback::After(LONGEST)));
        assert_eq!(read("99999999999999999999"), Some(Pushback::After(LONGEST)));
        assert_eq!(Pushback::read(&HeaderMap::new()), None);
    }

    #[test]
    fn a_negative_or_unreadable_pushback_means_stop() {
        for value in ["-1", "", "soon", "1.5", "+1"] {
            assert_eq!(read(value), Some(Pushback::Stop), "{value:?}");
        }
    }
}
