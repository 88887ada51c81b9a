use buttress::http::{BodyMode, ReplayBody};
use tonic::body::Body;

/// The [mode](buttress::replay) in which a request body that can be sent again is given to a channel: in tonic's own
/// body type. [`client`](crate::client) presets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TonicBody;

impl BodyMode<Body> for TonicBody {
    type Body = Body;

    fn body(&self, body: ReplayBody<Body>) -> Body {
        match body.try_into_passed() {
            Ok(passed) => passed,
            Err(replayed) => Body::new(replayed),
        }
    }
}
