use bytes::Bytes;
use http::Request;
use http_body::Body;

use super::{BodyMode, ReplayBody, SavedRequest};
use crate::{
    context::CallContext,
    error::BoxError,
    http::{Grpc, Http},
    outcome::RequestProtocol,
    replay::Replay,
};

fn pass<M: BodyMode<B>, B>(mode: &M, request: Request<B>) -> Request<M::Body> {
    request.map(|body| mode.body(ReplayBody::pass(body)))
}

fn keep<M, B>(mode: &M, request: Request<B>, limit: usize) -> (Request<M::Body>, Option<SavedRequest>)
where
    M: BodyMode<B>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let (body, saved) = ReplayBody::save(body, limit);
    let saved = saved.map(|body| SavedRequest::new(head.clone(), body));
    (Request::from_parts(head, mode.body(body)), saved)
}

fn again<M: BodyMode<B>, B>(mode: &M, saved: &SavedRequest) -> Option<Request<M::Body>> {
    let body = saved.body().again()?;
    Some(Request::from_parts(saved.head().clone(), mode.body(body)))
}

macro_rules! replayed {
    ($($(#[$meta:meta])* $Protocol:ident)*) => {$(
        $(#[$meta])*
        impl<B, C, M> Replay<Request<B>, M> for $Protocol<C>
        where
            B: Body<Data = Bytes> + Unpin,
            B::Error: Into<BoxError>,
            M: BodyMode<B>,
        {
            type Request = Request<M::Body>;
            type Saved = SavedRequest;

            fn pass(&self, mode: &M, request: Request<B>) -> Self::Request {
                pass(mode, request)
            }

            fn keep(&self, mode: &M, request: Request<B>, limit: usize) -> (Self::Request, Option<SavedRequest>) {
                keep(mode, request, limit)
            }

            fn can_repeat(&self, saved: &SavedRequest) -> bool {
                saved.body().can_repeat()
            }

            fn again(&self, mode: &M, saved: &SavedRequest) -> Option<Self::Request> {
                again(mode, saved)
            }

            fn set_attempt_context(
                &self,
                request: &mut Self::Request,
                context: CallContext,
            ) -> Result<(), CallContext> {
                self.set_context(request, context)
            }

            fn announce_attempt(&self, request: &mut Self::Request, attempt: u32) {
                self.say_attempt(request, attempt);
            }
        }
    )*};
}

replayed! {
    /// The body goes through a [`ReplayBody`]. An attempt after the first is told by `x-retry-attempt`.
    Http
    /// The body goes through a [`ReplayBody`]. An attempt after the first is told by `grpc-previous-rpc-attempts`.
    Grpc
}
