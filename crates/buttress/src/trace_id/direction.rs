use std::convert::Infallible;

use super::{Answer, TraceBody, TraceToken};
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

    #[inline]
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

    #[inline]
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
    pub trait Sealed {}
    impl Sealed for super::Inbound {}
    impl Sealed for super::Outbound {}
}
