use std::time::Duration;

use super::Outcome;
#[cfg(doc)]
use super::Plain;
use crate::{clock::Instant, context::CallContext};

/// What the headers of a response, good ones that do not end the matter, say about the service already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is answering; whether it answers well is known with the data.
    Promising,
    /// It has answered as well as one can ask, whatever becomes of the body: a 2xx or 3xx in plain
    /// HTTP.
    Good,
}

/// The interest of one layer in the end of one call.
///
/// A token sees its call in this order: [`head`](Self::head) if the answer is one that goes on after its
/// headers, [`data`](Self::data) at the first data frame, then [`finish`](Self::finish), once. Dropped before
/// that, at any point, the call was **cancelled**; implement `Drop` to count it.
pub trait Token {
    /// Good headers have arrived, the body is yet to come. Every duration that *decides* something ends here:
    /// the rest of a body is paced by whoever reads it.
    fn head(&mut self, head: Head) {
        let _ = head;
    }

    /// The first data frame has arrived.
    fn data(&mut self) {}

    /// The call is over. It must not panic: then the response may be leaked.
    fn finish(self, outcome: Outcome);
}

/// How a kind of service ends its calls, and what their answers say about it.
///
/// [`Plain`] for any request and response, `Http` and `Grpc` (with the `http` feature) for those on the wire.
/// Each takes a judgement of the user's own: [`Plain::classify`], `Http::classify`, `Grpc::classify`.
///
/// [`Plain`]: super::Plain
/// [`Plain::classify`]: super::Plain::classify
pub trait Protocol<Response, Error>: Clone {
    /// The response while a token watches it.
    type Response<T: Token>;

    /// What can be said of the result as it is, without waiting for more: `None` while the end of a body has
    /// yet to decide. This is what retry, hedging and failover go by.
    fn verdict(&self, result: &Result<Response, Error>) -> Option<Outcome>;

    /// Whether what follows the head of this answer is a stream that goes on for as long as anybody listens: an event
    /// stream, the protocol after an upgrade, a gRPC stream. It occupies a connection, but not one of the places that
    /// are meant for calls that do work and end.
    fn is_open_ended(&self, response: &Response) -> bool {
        let _ = response;
        false
    }

    /// Watches the result to its real end and finishes the token there. `None` is a policy that is off: the
    /// response takes the same type and nothing is watched.
    ///
    /// # Errors
    ///
    /// The result's own.
    fn observe<T: Token>(
        &self,
        result: Result<Response, Error>,
        token: Option<T>,
    ) -> Result<Self::Response<T>, Error>;
}

/// Where in a response of that kind of service there is a body: nowhere in a [`Plain`] one's, in the body of an
/// `Http` or `Grpc` one's.
///
/// A layer that has something to do with what comes after the headers (catch its panics, limit its time) wraps
/// the body by [`map_body`](Self::map_body). It does so where its policy is off, too, so that the type stays the
/// same.
///
/// [`Plain`]: super::Plain
pub trait BodyProtocol<Response> {
    /// Whether the time that a call may take goes on to the end of the body. In gRPC it does: a deadline is that of
    /// the whole call. A download over plain HTTP may well take longer than anyone would wait for its headers.
    const DEADLINE_SPANS_BODY: bool = false;

    /// The body; where there is none, a type that has no values.
    type Body;

    /// The response with another body.
    type Response<Body>;

    /// Replaces the body by what `wrap` makes of it.
    fn map_body<Body>(response: Response, wrap: impl FnOnce(Self::Body) -> Body) -> Self::Response<Body>;
}

/// What layers may ask about a request.
pub trait RequestProtocol<Request> {
    /// May the request be sent a second time without harm? An idempotent method, or a key that makes it so.
    fn repeatable(&self, request: &Request) -> bool;

    /// May the request be sent a second time while the first is still at work, or though it may have been carried
    /// out? Where nothing but the request has a say in whether it is repeatable, the two are one.
    fn idempotent(&self, request: &Request) -> bool {
        self.repeatable(request)
    }

    /// The context that the request carries, if it can carry one and does.
    fn context<'a>(&self, request: &'a Request) -> Option<&'a CallContext>;

    /// The same, to be changed.
    fn context_mut<'a>(&self, request: &'a mut Request) -> Option<&'a mut CallContext> {
        let _ = request;
        None
    }

    /// Puts the context into the request, in place of the one it carries.
    ///
    /// # Errors
    ///
    /// The context, if requests of this kind have no room for one: it then travels by
    /// [`CallContext::scope`].
    fn set_context(&self, request: &mut Request, context: CallContext) -> Result<(), CallContext>;

    /// Brings the deadline in the request's context forward, in one made for the purpose if it carries none. Where requests
    /// have no room for one, it travels by [`WithDeadline`](crate::context::WithDeadline) alone.
    fn limit_deadline(&self, request: &mut Request, deadline: Instant) {
        if let Some(context) = self.context_mut(request) {
            return context.limit_deadline(deadline);
        }
        let known = self.context(request).cloned();
        let mut context = known.or_else(CallContext::current).unwrap_or_default();
        context.limit_deadline(deadline);
        let _ = self.set_context(request, context);
    }

    /// A name for the kind of request that has few values: a gRPC method, a matched route. Never a raw path.
    fn route<'a>(&self, request: &'a Request) -> Option<&'a str>;

    /// Whether the [route](Self::route) is what the caller calls it, such as a gRPC method, whose name is the path that
    /// was asked for, and not what somebody here has found to be there. Then whoever calls may make up any number of them.
    fn is_route_claimed(&self) -> bool {
        false
    }

    /// What the request says under that name, in lower case, beside its content: a header of HTTP, metadata of gRPC.
    /// `None` also where that is no text.
    fn field<'a>(&self, request: &'a Request, name: &str) -> Option<&'a str> {
        let _ = (request, name);
        None
    }

    /// The extension of that type that somebody in this process has put into the request, if requests of this kind can
    /// carry one.
    fn extension<'a, T: Send + Sync + 'static>(&self, request: &'a Request) -> Option<&'a T> {
        let _ = request;
        None
    }

    /// The protocol as it judges the answer to this request: it may have a say in where that ends. The answer to a `HEAD`
    /// of HTTP is over with its headers, whatever body somebody has made for it.
    #[must_use]
    fn for_request(&self, request: &Request) -> Self
    where
        Self: Clone,
    {
        let _ = request;
        self.clone()
    }

    /// Whether the request asks for a tunnel (`CONNECT`): if it gets one, the answer
    /// [has no end](Protocol::is_open_ended).
    fn asks_for_tunnel(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// How much time the request itself says that it may take, where it can say that: gRPC's `grpc-timeout`.
    fn timeout(&self, request: &Request) -> Option<Duration> {
        let _ = request;
        None
    }

    /// Has the request say that it may take no more than `limit`, where it can say that. It is only ever lowered.
    fn limit_timeout(&self, request: &mut Request, limit: Duration) {
        let _ = (request, limit);
    }

    /// Has the request say which attempt it is (the first is 1), where it can say that. Of a first attempt there is
    /// nothing to say.
    fn say_attempt(&self, request: &mut Request, attempt: u32) {
        let _ = (request, attempt);
    }
}
