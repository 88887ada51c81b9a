//! An account with the provider: where it is asked, and its key.

use std::fmt;

use buttress::pool::{Address, ToAuthority};
use http::{HeaderName, HeaderValue, Request, uri::Authority};

/// The header that the provider wants the key in.
pub(crate) static KEY: HeaderName = HeaderName::from_static("x-api-key");

#[derive(Clone)]
pub(crate) struct Account {
    provider: Authority,
    key: HeaderValue,
}

impl Account {
    /// The key is a text that a header can carry.
    pub(crate) fn new(provider: Authority, key: &str) -> Option<Self> {
        let mut key = HeaderValue::from_str(key).ok()?;
        // Whoever prints the headers prints "Sensitive".
        key.set_sensitive(true);
        Some(Self { provider, key })
    }
}

/// Writes provider and key into a request: this is all that the accounts differ in.
pub(crate) fn address<B>(account: &Account, request: &mut Request<B>) {
    ToAuthority.address(&account.provider, request);
    request.headers_mut().insert(&KEY, account.key.clone());
}

/// Without the key, whoever prints it and wherever.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_request_and_in_no_text() {
        let account = Account::new(Authority::from_static("provider:1"), "sk-secret").expect("a key");
        let mut request = Request::post("/v1/messages").body(()).expect("valid");
        address(&account, &mut request);
        assert_eq!(request.headers()[&KEY], "sk-secret");
        assert_eq!(request.uri(), "http://provider:1/v1/messages");
        let text = format!("{account:?} {request:?}");
        assert!(!text.contains("secret"), "{text}");
    }
}
