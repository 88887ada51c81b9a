use super::TraceParent;
use crate::{
    context::Trace,
    error::Rejected,
    outcome::{Plain, RequestProtocol},
};

/// How the requests of a protocol carry the ids of traces: in headers, or, [`Plain`] ones, not at all.
///
/// A protocol of your own that wraps another hands its calls on.
pub trait Carrier<Request>: RequestProtocol<Request> {
    /// Whether there is anything that ids could be written to.
    const CARRIES: bool;

    /// What a request that has come in says of its trace. What no use can be made of is taken out of it, so that
    /// nobody further in comes upon it.
    fn receive(&self, request: &mut Request) -> Received;

    /// Takes out of the request what it says of its trace.
    fn strip(&self, request: &mut Request);

    /// Takes the request-id out of the request.
    fn strip_request_id(&self, request: &mut Request);

    /// What a request that is going out says already, if it can be understood.
    fn sending(&self, request: &Request) -> Option<TraceParent>;

    /// Has a request that is going out say that it is sent from that place in a trace. A request-id that it has
    /// stays.
    fn send(&self, request: &mut Request, trace: &Trace);

    /// Has a request that is going out bear the request-id, unless it has one.
    fn send_request_id(&self, request: &mut Request, trace: &Trace);

    /// The request's method, where there are several: `GET`.
    fn method<'a>(&self, request: &'a Request) -> Option<&'a str>;
}

/// How the responses of a protocol carry ids, and what an access log says of them.
pub trait Answer<Response> {
    /// Has a response tell the caller by which id its request is found.
    fn answer(&self, response: &mut Response, trace: &Trace);

    /// The status in numbers: 404.
    fn status(&self, response: &Response) -> Option<u16>;

    /// The refusal by a layer further in that this response is.
    fn rejected<'a>(&self, response: &'a Response) -> Option<&'a Rejected>;
}

/// What a request says of the trace that it is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The trace and the piece of work that sent the request.
    pub parent: Option<TraceParent>,
    /// What is to be sent on for other tracing systems. Only ever there with a `parent`.
    pub state: Option<Box<str>>,
    /// The id by which the caller knows the request.
    pub request_id: Option<Box<str>>,
    /// How many of them were there and could not be used.
    pub refused: u8,
}

impl Received {
    #[inline]
    pub(super) fn says_nothing(&self) -> bool {
        self.parent.is_none() && self.request_id.is_none()
    }
}

/// A plain request carries nothing: its context travels in a [scope](crate::CallContext::scope).
impl<Request, C> Carrier<Request> for Plain<C> {
    const CARRIES: bool = false;

    #[inline]
    fn receive(&self, _: &mut Request) -> Received {
        Received::default()
    }

    #[inline]
    fn strip(&self, _: &mut Request) {}

    #[inline]
    fn strip_request_id(&self, _: &mut Request) {}

    #[inline]
    fn sending(&self, _: &Request) -> Option<TraceParent> {
        None
    }

    #[inline]
    fn send(&self, _: &mut Request, _: &Trace) {}

    #[inline]
    fn send_request_id(&self, _: &mut Request, _: &Trace) {}

    #[inline]
    fn method<'a>(&self, _: &'a Request) -> Option<&'a str> {
        None
    }
}

impl<Response, C> Answer<Response> for Plain<C> {
    #[inline]
    fn answer(&self, _: &mut Response, _: &Trace) {}

    #[inline]
    fn status(&self, _: &Response) -> Option<u16> {
        None
    }

    #[inline]
    fn rejected<'a>(&self, _: &'a Response) -> Option<&'a Rejected> {
        None
    }
}
