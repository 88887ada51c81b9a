//! The secret that lets an operator change things.

use std::{fmt, hint};

/// The administrator's token. It is never printed.
#[derive(Clone, Default)]
pub struct AdminToken(Box<[u8]>);

impl AdminToken {
    /// The token. Of an empty one it is as if there were none.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(token.as_bytes().into())
    }

    /// Is there one?
    #[must_use]
    pub fn is_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// Is this the `Authorization` of one who knows the token? The scheme's name is in any case (RFC 9110,
    /// section 11.1). How long it takes to say so depends on lengths only.
    #[must_use]
    pub fn admits(&self, authorization: &[u8]) -> bool {
        match authorization.split_at_checked(7) {
            Some((scheme, token)) => {
                self.is_some() && scheme.eq_ignore_ascii_case(b"bearer ") && same(token, &self.0)
            }
            None => false,
        }
    }
}

impl From<&str> for AdminToken {
    fn from(token: &str) -> Self {
        Self::new(token)
    }
}

impl From<String> for AdminToken {
    fn from(token: String) -> Self {
        Self::new(&token)
    }
}

impl From<Option<Self>> for AdminToken {
    fn from(token: Option<Self>) -> Self {
        token.unwrap_or_default()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// Are they the same? How long it takes to say so depends on the lengths only: whoever measures it does not learn
/// how much of a guess was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a
        .iter()
        .zip(b)
        .fold(0, |seen, (a, b)| hint::black_box(seen | (a ^ b)));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_texts_are_the_same() {
        assert!(same(b"", b""));
        assert!(same(b"secret", b"secret"));
        for other in [&b"secreT"[..], b"Secret", b"secre", b"secrets", b"", b"terces"] {
            assert!(!same(b"secret", other) && !same(other, b"secret"), "{other:?}");
        }
    }

    #[test]
    fn only_the_bearer_is_admitted() {
        let token = AdminToken::new("secret");
        assert!(token.admits(b"Bearer secret"));
        assert!(token.admits(b"bEARER secret"));
        for wrong in [
            &b"Bearer secre"[..],
            b"Bearer secrets",
            b"Bearer  secret",
            b"Bearer",
            b"Bearer ",
            b"Basic secret",
            b"secret",
            b"",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(!token.admits(wrong), "{wrong:?}");
        }
        assert!(!AdminToken::new("").admits(b"Bearer "));
    }
}
