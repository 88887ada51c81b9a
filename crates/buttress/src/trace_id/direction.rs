use std::convert::Infallible;

use super::{Answer, Carrier, TraceBody, TraceId, TraceToken};
use crate::{
    context::CallContext,
    error::Error,
    outcome::{BodyProtocol, Protocol},
};

/// Which way requests go: to the handler of a server, or out of a client.
///
/// It is a type because the two ask different things of a service. A server's error is what is left when refusals
/// have been answered, often none at all, so nothing can be asked of it.
pub trait Direction<P, Response, Error>: private::Sealed {
    /// The response while the layer watches it.
    type Response;

    /// Watches a call to its end.
    #[doc(hidden)]
    fn observe(
        protocol: &P,
        result: Result<Response, Error>,
        token: Option<TraceToken>,
        context: Option<CallContext>,
    ) -> Result<Self::Response, Error>;
}

/// Requests come in, to the handler of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inbound {
    _private: (),
}

/// Requests go out, from a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outbound {
    _private: (),
}

impl<P, R, E> Direction<P, R, E> for Outbound
where
    P: Protocol<R, E> + Answer<R>,
{
    type Response = P::Response<TraceToken>;

    // Always: by a call of it the response would be moved once more.
    #[inline(always)]
    fn observe(
        protocol: &P,
        result: Result<R, E>,
        mut token: Option<TraceToken>,
        _: Option<CallContext>,
    ) -> Result<Self::Response, E> {
        if let (Some(token), Ok(response)) = (&mut token, &result) {
            token.answered(protocol, response);
        }
        protocol.observe(result, token)
    }
}

/// The body of a response with its context around it.
type Body<P, R> = <P as BodyProtocol<R>>::Response<TraceBody<<P as BodyProtocol<R>>::Body>>;

impl<P, R, E> Direction<P, R, E> for Inbound
where
    P: BodyProtocol<R> + Answer<R> + Protocol<Body<P, R>, Error<Infallible>>,
{
    type Response = <P as Protocol<Body<P, R>, Error<Infallible>>>::Response<TraceToken>;

    // Always: by a call of it the response would be moved once more.
    #[inline(always)]
    fn observe(
        protocol: &P,
        result: Result<R, E>,
        mut token: Option<TraceToken>,
        context: Option<CallContext>,
    ) -> Result<Self::Response, E> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(token) = token {
                    token.failed();
                }
                return Err(error);
            }
        };
        if let Some(token) = &mut token {
            token.answered(protocol, &response);
        }
        let span = token.as_ref().and_then(TraceToken::span);
        let response = P::map_body(response, |body| TraceBody::new(body, context, span));
        match protocol.observe(Ok(response), token) {
            Ok(response) => Ok(response),
            // What a protocol observes it does not turn into an error.
            Err(Error::Inner(never)) => match never {},
            Err(Error::Rejected(rejected)) => unreachable!("an answer became {rejected}"),
        }
    }
}

mod private {
    use super::{CallContext, Carrier, TraceId};

    pub trait Sealed {
        const IS_INBOUND: bool;

        /// The context of a request.
        fn context<P: Carrier<R>, R>(policy: &TraceId, protocol: &P, request: &mut R) -> CallContext;

        /// Sends the context along with the request; what is returned has to be around the call besides.
        fn carry<P: Carrier<R>, R>(
            protocol: &P,
            request: &mut R,
            context: CallContext,
        ) -> Option<CallContext>;
    }

    impl Sealed for super::Inbound {
        const IS_INBOUND: bool = true;

        #[inline]
        fn context<P: Carrier<R>, R>(policy: &TraceId, protocol: &P, request: &mut R) -> CallContext {
            policy.read_request(protocol, request)
        }

        #[inline]
        fn carry<P: Carrier<R>, R>(
            protocol: &P,
            request: &mut R,
            context: CallContext,
        ) -> Option<CallContext> {
            // Layers further in look into the request, a handler looks around itself: it gets both.
            let _ = protocol.set_context(request, context.clone());
            Some(context)
        }
    }

    impl Sealed for super::Outbound {
        const IS_INBOUND: bool = false;

        #[inline]
        fn context<P: Carrier<R>, R>(policy: &TraceId, protocol: &P, request: &mut R) -> CallContext {
            policy.depart(protocol, request)
        }

        #[inline]
        fn carry<P: Carrier<R>, R>(
            protocol: &P,
            request: &mut R,
            context: CallContext,
        ) -> Option<CallContext> {
            // A request that has room for the context carries it further in by itself.
            protocol.set_context(request, context).err()
        }
    }
}
