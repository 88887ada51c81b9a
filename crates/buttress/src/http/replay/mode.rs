use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;

use super::ReplayBody;
use crate::{
    error::BoxError,
    replay::{Bare, Same, With},
};

/// Which body the service below gets: [`Same`], [`Bare`] or [`With`].
pub trait BodyMode<B> {
    /// The body for the service below.
    type Body;

    /// Makes it of a body that can be sent again.
    fn body(&self, body: ReplayBody<B>) -> Self::Body;
}

impl<B: HostBody> BodyMode<B> for Same {
    type Body = B;

    #[inline]
    fn body(&self, body: ReplayBody<B>) -> B {
        body.try_into_passed().unwrap_or_else(B::from_replay)
    }
}

impl<B> BodyMode<B> for Bare {
    type Body = ReplayBody<B>;

    #[inline]
    fn body(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<B, H, F> BodyMode<B> for With<F>
where
    F: Fn(ReplayBody<B>) -> H,
{
    type Body = H;

    #[inline]
    fn body(&self, body: ReplayBody<B>) -> H {
        self.0(body)
    }
}

/// A body type that can hold a [`ReplayBody`] of itself, so that a request is sent again in the type that it came in.
///
/// Implemented for the standard library's boxed bodies; implement it for a type of your own. A host's type cannot be
/// taught it from outside: give `.request_body(..)` the function that makes one.
///
/// ```
/// use bytes::Bytes;
/// use http_body::Body;
/// use http_body_util::combinators::UnsyncBoxBody;
/// use buttress::{BoxError, http::{HostBody, ReplayBody}};
///
/// # use std::{pin::Pin, task::{Context, Poll}};
/// struct MyBody(UnsyncBoxBody<Bytes, BoxError>);
///
/// impl HostBody for MyBody {
///     fn from_replay(body: ReplayBody<Self>) -> Self {
///         Self(UnsyncBoxBody::new(body))
///     }
/// }
/// # impl Body for MyBody {
/// #     type Data = Bytes;
/// #     type Error = BoxError;
/// #     fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
/// #         Pin::new(&mut self.0).poll_frame(cx)
/// #     }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a request with the body `{Self}` cannot be sent again as it is: nothing says how to put a replayed body into a `{Self}`",
    label = "not a `HostBody`",
    note = "name the function that does: `.request_body(axum::body::Body::new)`, `.request_body(tonic::body::Body::new)`, `.request_body(http_body_util::BodyExt::boxed)`",
    note = "or, if the service below takes any body, as hyper-util's client does, let it have the `ReplayBody` itself: `.any_request_body()`"
)]
pub trait HostBody: Body<Data = Bytes> + Unpin + Sized {
    /// Holds that body.
    fn from_replay(body: ReplayBody<Self>) -> Self;
}

impl HostBody for Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>> {
    fn from_replay(body: ReplayBody<Self>) -> Self {
        Box::pin(body)
    }
}

impl HostBody for Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send + Sync>> {
    fn from_replay(body: ReplayBody<Self>) -> Self {
        Box::pin(body)
    }
}
