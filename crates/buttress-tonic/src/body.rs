use buttress::{
    http::{BodyMode, ReplayBody},
    pool::health::GrpcCheck,
};
use bytes::Bytes;
use http_body_util::Full;
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

/// The check of a pool's endpoints by `grpc.health.v1.Health`: whether that service, or the server as a whole where it
/// is empty, says `SERVING`. It asks over the endpoints' own channels, and needs no generated code.
///
/// ```
/// use buttress::pool::{Pool, health::HealthCheck};
///
/// let pool = Pool::<tonic::transport::Channel>::builder()
///     .health_check(HealthCheck::new(), buttress_tonic::health_check("users.Users"));
/// # let _ = pool;
/// ```
#[must_use]
pub fn health_check(service: &str) -> GrpcCheck<fn(Bytes) -> Body> {
    GrpcCheck::new(service, |bytes| Body::new(Full::new(bytes)))
}
