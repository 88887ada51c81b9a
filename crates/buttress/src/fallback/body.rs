#[cfg(feature = "http")]
use std::{
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "http")]
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

#[cfg(feature = "http")]
use crate::error::BoxError;
use crate::outcome::BodyProtocol;

/// How an answer that is made here takes the type of those of the service. Every protocol that says where a response
/// has its body does: the two bodies share a [`FallbackBody`], and where there are none, both are of one type.
pub trait Substitute<Response, Local> {
    /// The type of both.
    type Substituted;

    /// The service's answer.
    fn pass(response: Response) -> Self::Substituted;

    /// The answer that is made here.
    fn local(response: Local) -> Self::Substituted;
}

type BodyOf<P, R> = <P as BodyProtocol<R>>::Body;
type Either<P, R, L> = FallbackBody<BodyOf<P, R>, BodyOf<P, L>>;

impl<P, R, L> Substitute<R, L> for P
where
    P: BodyProtocol<R>,
    P: BodyProtocol<L, Response<Either<P, R, L>> = <P as BodyProtocol<R>>::Response<Either<P, R, L>>>,
{
    type Substituted = <P as BodyProtocol<R>>::Response<Either<P, R, L>>;

    #[inline]
    fn pass(response: R) -> Self::Substituted {
        <P as BodyProtocol<R>>::map_body(response, FallbackBody::inner)
    }

    fn local(response: L) -> Self::Substituted {
        <P as BodyProtocol<L>>::map_body(response, FallbackBody::local)
    }
}

pin_project! {
    /// A response body: the service's own, or that of an answer in place of it.
    ///
    /// Their errors may differ, so the error is a `BoxError`. It is converted, not wrapped: a `downcast` still finds a
    /// `tonic::Status`.
    #[derive(Debug)]
    pub struct FallbackBody<B, L> {
        #[pin]
        origin: Origin<B, L>,
    }
}

pin_project! {
    #[project = OriginProjection]
    #[derive(Debug)]
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    enum Origin<B, L> {
        Inner {
            #[pin]
            body: B,
        },
        Local {
            #[pin]
            body: L,
        },
    }
}

impl<B, L> FallbackBody<B, L> {
    #[inline]
    const fn inner(body: B) -> Self {
        Self {
            origin: Origin::Inner { body },
        }
    }

    const fn local(body: L) -> Self {
        Self {
            origin: Origin::Local { body },
        }
    }

    /// Whether this is the body of an answer that the fallback gave.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.origin, Origin::Local { .. })
    }
}

/// A default body of the service's kind. The `with_interceptor` of tonic's generated clients asks for it, to answer a
/// call that its interceptor refused.
impl<B: Default, L> Default for FallbackBody<B, L> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

#[cfg(feature = "http")]
impl<B, L> Body for FallbackBody<B, L>
where
    B: Body,
    B::Error: Into<BoxError>,
    L: Body<Data = B::Data>,
    L::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        match self.project().origin.project() {
            OriginProjection::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            OriginProjection::Local { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.origin {
            Origin::Inner { body } => body.is_end_stream(),
            Origin::Local { body } => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.origin {
            Origin::Inner { body } => body.size_hint(),
            Origin::Local { body } => body.size_hint(),
        }
    }
}
