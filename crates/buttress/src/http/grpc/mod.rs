mod code;
mod pushback;
mod timeout;

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use http_body::Body;

pub(super) use code::GRPC_STATUS;
pub use code::{ClassifyCode, CodeVerdict};
use code::{code_in, code_of};
pub(super) use pushback::PUSHBACK;
use pushback::Pushback;

use super::{
    Observed, ResponseHead,
    observed::{AtHead, EndOfBody, observe},
};
use crate::{
    context::CallContext,
    error::CallError,
    outcome::{BodyProtocol, Head, Outcome, Protocol, Reason, RequestProtocol, Token, Verdict},
};

/// gRPC: the `grpc-status` decides, in the trailers or, where there is no body, in the headers.
///
/// | | |
/// |---|---|
/// | `OK` | success |
/// | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `INTERNAL`, `UNKNOWN`, `DATA_LOSS`, and what is no code | failure |
/// | `RESOURCE_EXHAUSTED` | throttled |
/// | every other code, `CANCELLED` and `UNIMPLEMENTED` too | neutral |
/// | a stream that ends cleanly without a status, or breaks off | failure |
/// | an HTTP status other than 200 without a `grpc-status` | as the code that [gRPC maps it to][map] |
/// | the service's error | failure, or what the rejection in it says |
///
/// `grpc-retry-pushback-ms` goes into the [`Outcome`], cut to one day, and so does the `Retry-After` of a proxy
/// that answered in plain HTTP. A negative pushback ("do not retry") is no time: it
/// [forbids a retry](Outcome::retry_forbidden).
///
/// [`classify`](Self::classify) replaces the judgement of codes; a missing status and a broken stream are
/// failures whatever it says.
///
/// In gRPC-Web the trailers are part of the data, so no status would ever be found: put the layer that
/// translates gRPC-Web outside of those that observe.
///
/// [map]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc<C = CodeVerdict> {
    classify: C,
}

/// How many attempts went before this one (gRFC A6).
static PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

const MISSING: Outcome = Outcome::failure(Reason::MissingGrpcStatus);

impl Grpc {
    /// gRPC, judged by its status codes.
    #[must_use]
    pub const fn new() -> Self {
        Self::with(CodeVerdict::new())
    }
}

impl<C> Grpc<C> {
    /// Judges by `classify` instead.
    ///
    /// ```
    /// use buttress::{Grpc, Outcome, outcome::Reason, http::{ClassifyCode, CodeVerdict}};
    ///
    /// // This service says FAILED_PRECONDITION when it has lost its database.
    /// let protocol = Grpc::classify(|code| match code {
    ///     9 => Outcome::failure(Reason::GrpcStatus(9)),
    ///     _ => CodeVerdict::new().classify(code),
    /// });
    /// # let _ = protocol;
    /// ```
    pub const fn classify(classify: C) -> Self
    where
        C: Fn(u8) -> Outcome + Clone,
    {
        Self { classify }
    }

    /// The same with a judgement that has a name, for a protocol whose type can be written down.
    pub const fn with(classify: C) -> Self {
        Self { classify }
    }
}

impl<C: ClassifyCode> Grpc<C> {
    #[inline]
    fn at_head<B: Body>(&self, response: &http::Response<B>) -> AtHead {
        let head = ResponseHead::of(response);
        let pushback = || Pushback::read(head.headers);
        // A status beside an HTTP error is the server's own word and goes before the mapping.
        if let Some(code) = code_in(head.headers) {
            AtHead::Over(self.judge(code, pushback))
        } else if head.status != http::StatusCode::OK {
            let proxy = || pushback().or_else(|| head.retry_after().map(Pushback::After));
            AtHead::Over(self.judge(code_of(head.status), proxy))
        } else if response.body().is_end_stream() {
            AtHead::Over(MISSING)
        } else {
            AtHead::GoesOn(Head::Promising)
        }
    }

    fn judge(&self, code: u8, pushback: impl FnOnce() -> Option<Pushback>) -> Outcome {
        let outcome = self.classify.classify(code);
        if outcome.verdict() == Verdict::Success {
            return outcome;
        }
        match pushback() {
            Some(Pushback::After(after)) if outcome.retry_after().is_none() => {
                outcome.with_retry_after(Some(after))
            }
            None | Some(Pushback::After(_)) => outcome,
            // Whatever time a judgement of the user's own has found.
            Some(Pushback::Stop) => outcome.forbid_retry(),
        }
    }
}

impl<C: ClassifyCode> EndOfBody for Grpc<C> {
    #[inline]
    fn ended(&self) -> Outcome {
        MISSING
    }

    #[inline]
    fn trailers(&self, trailers: &HeaderMap) -> Outcome {
        match code_in(trailers) {
            Some(code) => self.judge(code, || Pushback::read(trailers)),
            None => MISSING,
        }
    }
}

impl<B, E, C> Protocol<http::Response<B>, E> for Grpc<C>
where
    B: Body,
    E: CallError,
    C: ClassifyCode + Clone,
{
    type Response<T: Token> = http::Response<Observed<B, T, Self>>;

    #[inline]
    fn verdict(&self, result: &Result<http::Response<B>, E>) -> Option<Outcome> {
        match result {
            Ok(response) => self.at_head(response).outcome(),
            Err(error) => Some(Outcome::of_error(error)),
        }
    }

    /// Every answer that goes on: nothing on the wire says whether a method streams. With a method that does not, little
    /// is missed, since servers send the headers together with the one message.
    #[inline]
    fn is_open_ended(&self, _: &http::Response<B>) -> bool {
        true
    }

    #[inline]
    fn observe<T: Token>(
        &self,
        result: Result<http::Response<B>, E>,
        token: Option<T>,
    ) -> Result<Self::Response<T>, E> {
        // Trailers come after all that is promised.
        observe(
            result,
            token,
            self.clone(),
            |_| None,
            |response| self.at_head(response),
        )
    }
}

impl<B, C> BodyProtocol<http::Response<B>> for Grpc<C> {
    const DEADLINE_SPANS_BODY: bool = true;

    type Body = B;
    type Response<Body> = http::Response<Body>;

    #[inline]
    fn map_body<Body>(response: http::Response<B>, wrap: impl FnOnce(B) -> Body) -> http::Response<Body> {
        response.map(wrap)
    }
}

/// Every call may be repeated as far as its request goes: gRPC's methods do not say whether they are idempotent,
/// so it is the status code that decides about a retry. None is taken to be idempotent where no status code has
/// come yet. The context travels in the extensions. The route is the
/// method, `/package.Service/Method`, if the path has that shape. The time that a request may take is in
/// `grpc-timeout`; one that is malformed says nothing.
impl<B, C> RequestProtocol<http::Request<B>> for Grpc<C> {
    fn repeatable(&self, _: &http::Request<B>) -> bool {
        true
    }

    fn idempotent(&self, _: &http::Request<B>) -> bool {
        false
    }

    #[inline]
    fn context<'a>(&self, request: &'a http::Request<B>) -> Option<&'a CallContext> {
        request.extensions().get()
    }

    #[inline]
    fn context_mut<'a>(&self, request: &'a mut http::Request<B>) -> Option<&'a mut CallContext> {
        request.extensions_mut().get_mut()
    }

    #[inline]
    fn set_context(&self, request: &mut http::Request<B>, context: CallContext) -> Result<(), CallContext> {
        request.extensions_mut().insert(context);
        Ok(())
    }

    /// Always: whether there is such a method, its service knows.
    #[inline]
    fn is_route_claimed(&self) -> bool {
        true
    }

    fn route<'a>(&self, request: &'a http::Request<B>) -> Option<&'a str> {
        let path = request.uri().path();
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let named = |name: &str| {
            let of_a_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            !name.is_empty() && name.bytes().all(of_a_name)
        };
        (named(service) && named(method)).then_some(path)
    }

    #[inline]
    fn field<'a>(&self, request: &'a http::Request<B>, name: &str) -> Option<&'a str> {
        request.headers().get(name)?.to_str().ok()
    }

    #[inline]
    fn extension<'a, T: Send + Sync + 'static>(&self, request: &'a http::Request<B>) -> Option<&'a T> {
        request.extensions().get()
    }

    #[inline]
    fn timeout(&self, request: &http::Request<B>) -> Option<Duration> {
        timeout::read(request.headers())
    }

    fn limit_timeout(&self, request: &mut http::Request<B>, limit: Duration) {
        timeout::lower(request.headers_mut(), limit);
    }

    fn say_attempt(&self, request: &mut http::Request<B>, attempt: u32) {
        if attempt > 1 {
            request
                .headers_mut()
                .insert(&PREVIOUS_ATTEMPTS, (attempt - 1).into());
        }
    }
}
