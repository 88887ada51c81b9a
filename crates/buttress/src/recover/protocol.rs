use super::Catcher;
use crate::outcome::Plain;

/// Where in a response there is something left that can panic, by the kind of service: nowhere in a
/// [`Plain`] one's, in the body of an `Http` or `Grpc` one's.
///
/// Implement it for a protocol of your own whose responses have bodies; wrap these in a `RecoverBody`, or run
/// them by any guard of yours.
pub trait RecoverProtocol<Response> {
    /// The response with its rest guarded. It is the same type for a policy that is off.
    type Response;

    /// Guards what is left of the response.
    fn guard(response: Response, catcher: Catcher) -> Self::Response;
}

/// The response is not touched.
impl<R, C> RecoverProtocol<R> for Plain<C> {
    type Response = R;

    #[inline]
    fn guard(response: R, _: Catcher) -> R {
        response
    }
}

#[cfg(feature = "http")]
impl<B, C> RecoverProtocol<http::Response<B>> for crate::http::Http<C> {
    type Response = http::Response<super::RecoverBody<B>>;

    #[inline]
    fn guard(response: http::Response<B>, catcher: Catcher) -> Self::Response {
        response.map(|body| super::RecoverBody::new(body, catcher))
    }
}

#[cfg(feature = "http")]
impl<B, C> RecoverProtocol<http::Response<B>> for crate::http::Grpc<C> {
    type Response = http::Response<super::RecoverBody<B>>;

    #[inline]
    fn guard(response: http::Response<B>, catcher: Catcher) -> Self::Response {
        response.map(|body| super::RecoverBody::new(body, catcher))
    }
}
