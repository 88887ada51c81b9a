use std::convert::identity;

use bytes::Bytes;
use http::Request;
use http_body::Body;

use super::{BodyMode, ReplayBody, SavedRequest};
use crate::{
    context::CallContext,
    error::BoxError,
    http::{ClassifyCode, ClassifyHead, Grpc, Http},
    outcome::RequestProtocol,
    replay::{Again, Replay},
};

fn again<M: BodyMode<B>, B>(mode: &M, saved: &SavedRequest) -> Option<Request<M::Body>> {
    let body = saved.body().again()?;
    Some(Request::from_parts(saved.head(), mode.body(body)))
}

/// What both protocols do, with a body that nobody has wrapped and with one that somebody has.
macro_rules! replayed {
    ($($(#[$meta:meta])* $Protocol:ident: $Judge:ident)*) => {$(
        $(#[$meta])*
        impl<B, C, M> Replay<Request<B>, M> for $Protocol<C>
        where
            C: $Judge,
            B: Body<Data = Bytes> + Unpin,
            B::Error: Into<BoxError>,
            M: BodyMode<B>,
        {
            replayed! { @ B, M, |mode| mode, ReplayBody::pass, ReplayBody::save }
        }

        /// A body that a layer further out has wrapped already.
        impl<B, C, M> Replay<Request<ReplayBody<B>>, Again<M>> for $Protocol<C>
        where
            C: $Judge,
            B: Body<Data = Bytes> + Unpin,
            B::Error: Into<BoxError>,
            M: BodyMode<B>,
        {
            replayed! { @ ReplayBody<B>, Again<M>, |mode| &mode.0, identity, ReplayBody::save_again }
        }
    )*};
    (@ $Body:ty, $Mode:ty, |$mode:ident| $last:expr, $pass:path, $save:path) => {
        type Request = Request<M::Body>;
        type Saved = SavedRequest;

        fn pass(&self, $mode: &$Mode, request: Request<$Body>) -> Self::Request {
            request.map(|body| $last.body($pass(body)))
        }

        fn keep(
            &self,
            $mode: &$Mode,
            request: Request<$Body>,
            limit: usize,
        ) -> (Self::Request, Option<SavedRequest>) {
            let (head, body) = request.into_parts();
            let (body, saved) = $save(body, limit);
            let saved = saved.map(|body| SavedRequest::new(&head, body));
            (Request::from_parts(head, $last.body(body)), saved)
        }

        fn can_repeat(&self, saved: &SavedRequest) -> bool {
            saved.body().can_repeat()
        }

        fn again(&self, $mode: &$Mode, saved: &SavedRequest) -> Option<Self::Request> {
            again($last, saved)
        }

        fn set_attempt_context(&self, request: &mut Self::Request, context: CallContext) -> Result<(), CallContext> {
            self.set_context(request, context)
        }

        fn announce_attempt(&self, request: &mut Self::Request, attempt: u32) {
            self.say_attempt(request, attempt);
        }
    };
}

replayed! {
    /// The body goes through a [`ReplayBody`]. An attempt after the first is told by `x-retry-attempt`.
    Http: ClassifyHead
    /// The body goes through a [`ReplayBody`]. An attempt after the first is told by `grpc-previous-rpc-attempts`.
    Grpc: ClassifyCode
}
