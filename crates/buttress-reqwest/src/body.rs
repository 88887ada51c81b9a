use std::any::Any;

use buttress::{
    BoxError,
    http::{BodyMode, ReplayBody},
};
use bytes::Bytes;
use http_body::Body;

/// The [mode](buttress::replay) in which a request body that can be sent again is given to reqwest: in its own body
/// type. [`client`](crate::client) presets it.
///
/// A body that is there in one piece stays one that reqwest can send again by itself, after a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReqwestBody;

/// For this one type, so that the compiler need not be told which.
impl BodyMode<reqwest::Body> for ReqwestBody {
    type Body = reqwest::Body;

    fn body(&self, body: ReplayBody<reqwest::Body>) -> reqwest::Body {
        match body.try_into_bytes().map_err(ReplayBody::try_into_passed) {
            Ok(bytes) => bytes.into(),
            Err(Ok(passed)) => passed,
            Err(Err(replayed)) => reqwest::Body::wrap(replayed),
        }
    }
}

/// reqwest's own body as it is, any other in one.
pub(crate) fn own_or_wrapped<B>(body: B) -> reqwest::Body
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    let any: &mut dyn Any = &mut body;
    match any.downcast_mut::<Option<reqwest::Body>>().and_then(Option::take) {
        Some(own) => own,
        None => body.map_or_else(reqwest::Body::default, reqwest::Body::wrap),
    }
}
