use super::Quota;
use crate::outcome::Plain;

/// A protocol whose responses can say what is left of a limit. The default says nothing.
pub trait QuotaProtocol<Response> {
    /// Has the response say it, beside what limits further in have said.
    fn announce(&self, response: &mut Response, quota: &Quota) {
        let _ = (response, quota);
    }
}

impl<Response, C> QuotaProtocol<Response> for Plain<C> {}
