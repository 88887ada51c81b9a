//! What a gateway calls itself in `Via`, and how it knows a request that has been here before.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderValue, header::VIA};

/// A name in place of a host name, which is nobody's business (RFC 9110, section 7.6.3). It is drawn anew for every
/// gateway: one that stands before another of its kind is no loop.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonym {
    name: Box<str>,
    /// What most requests need, so that it is never copied, however often such a head is.
    of_http_11: HeaderValue,
}

impl Pseudonym {
    pub(crate) fn draw() -> Self {
        // std's keys for hashing are random, and no two `RandomState`s have the same.
        Self::of(RandomState::new().hash_one(VIA.as_str()))
    }

    pub(crate) fn of(number: u64) -> Self {
        let name = format!("buttress-{number:016x}");
        let of_http_11 = HeaderValue::try_from(format!("1.1 {name}"));
        Self {
            name: name.into(),
            of_http_11: of_http_11.unwrap_or(HeaderValue::from_static("1.1 buttress")),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// The whole field of a request that came in HTTP/1.1 and through nobody else.
    pub(crate) fn of_http_11(&self) -> &HeaderValue {
        &self.of_http_11
    }

    /// Whether a request has been here before. Bytes, not texts: a client could hide us behind one that is no text.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        let mut members = lines.flat_map(|line| line.split(|byte| *byte == b','));
        members.any(|member| {
            // The protocol, who received it, and perhaps a comment.
            let mut words = member
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            words
                .nth(1)
                .is_some_and(|by| by.eq_ignore_ascii_case(self.name.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_gateways_have_the_same_pseudonym() {
        assert_ne!(Pseudonym::draw().as_str(), Pseudonym::draw().as_str());
        assert_eq!(Pseudonym::of(7).of_http_11(), "1.1 buttress-0000000000000007");
    }

    #[test]
    fn a_request_that_was_here_is_known_among_any_company() {
        let me = Pseudonym::of(0xabc);
        let is_in = |lines: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(VIA, HeaderValue::from_bytes(line).expect("a value"));
            }
            me.is_in(&headers)
        };
        assert!(is_in(&[b"1.1 buttress-0000000000000abc"]));
        assert!(is_in(&[
            b"2 edge",
            b"HTTP/1.1 x (y, z) ,1.1\tButtress-0000000000000ABC (again), 2 b"
        ]));
        assert!(is_in(&[b"\xff, 1.1 buttress-0000000000000abc"]));

        assert!(!is_in(&[]));
        assert!(!is_in(&[b"1.1 buttress-0000000000000abd, 2 buttress"]));
        assert!(!is_in(&[
            b"buttress-0000000000000abc",
            b"1.1 x buttress-0000000000000abc"
        ]));
    }
}
