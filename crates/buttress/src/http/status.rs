use http::{HeaderMap, HeaderName, header::CONTENT_LENGTH};
use http_body::Body;

use super::{
    Observed, ResponseHead,
    observed::{AtHead, EndOfBody, observe},
};
use crate::{
    context::CallContext,
    error::CallError,
    outcome::{BodyProtocol, Head, Outcome, Protocol, Reason, RequestProtocol, Token, Verdict},
};

/// draft-ietf-httpapi-idempotency-key-header.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The number of an attempt after the first, 2 and up.
static RETRY_ATTEMPT: HeaderName = HeaderName::from_static("x-retry-attempt");

/// HTTP: the status decides, then the body.
///
/// | | |
/// |---|---|
/// | 5xx, and what is no status at all (600 and above) | failure |
/// | 429 | throttled |
/// | other 4xx | neutral |
/// | 1xx, 2xx, 3xx | as the body ends: cleanly is a success, broken off a failure |
/// | the service's error | failure, or what the rejection in it says |
///
/// A verdict other than success is final at the headers, and so is the success of a response that has no body:
/// one already at its end, 204, 304, and 101, because what follows it is another protocol. `Retry-After` goes
/// into the [`Outcome`]; see [`ResponseHead::retry_after`] for how far it is believed.
///
/// A body that is promised a length, by itself or by `content-length`, is over when that much of it has come, for nobody
/// asks it for more. The answer to a `HEAD` is over with its headers, for those who
/// [know of the request](RequestProtocol::for_request).
///
/// [`classify`](Self::classify) replaces the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http<C = StatusVerdict> {
    classify: C,
    // Whether it judges the answer to a `HEAD`.
    of_head: bool,
}

/// The judgement of [`Http`] by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusVerdict {
    _private: (),
}

/// A judgement over the head of a response: a closure `Fn(ResponseHead<'_>) -> Outcome`, [`StatusVerdict`], or a
/// type of your own.
pub trait ClassifyHead {
    /// What the head says about the service.
    ///
    /// A success is so only once the body has ended well (and is then [`Outcome::SUCCESS`]); any other verdict
    /// is final. Where the outcome names no [`retry_after`](Outcome::retry_after), that of the headers is added.
    fn classify(&self, head: ResponseHead<'_>) -> Outcome;

    /// The route that a request has been matched with, if a router outside has left it in the request's extensions:
    /// the pattern, of which there are few, never the path. It is a [`MatchedRoute`](super::MatchedRoute), unless a
    /// host's own judgement knows where else to look.
    fn route<'a>(&self, extensions: &'a http::Extensions) -> Option<&'a str> {
        extensions.get::<super::MatchedRoute>().map(|route| &*route.0)
    }
}

impl<F: Fn(ResponseHead<'_>) -> Outcome> ClassifyHead for F {
    #[inline]
    fn classify(&self, head: ResponseHead<'_>) -> Outcome {
        self(head)
    }
}

impl StatusVerdict {
    /// The table of [`Http`].
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl ClassifyHead for StatusVerdict {
    #[inline]
    fn classify(&self, head: ResponseHead<'_>) -> Outcome {
        let status = head.status.as_u16();
        let verdict = match status {
            ..400 => return Outcome::SUCCESS,
            429 => Verdict::Throttled,
            400..500 => Verdict::Neutral,
            // Beyond 599 there is no status; a recipient treats it as 5xx (RFC 9110, section 15).
            500.. => Verdict::Failure,
        };
        Outcome::new(verdict, Reason::HttpStatus(status))
    }
}

impl Http {
    /// HTTP, judged by its status.
    #[must_use]
    pub const fn new() -> Self {
        Self::with(StatusVerdict::new())
    }
}

impl<C> Http<C> {
    /// Judges by `classify` instead.
    ///
    /// ```
    /// use buttress::{Http, Outcome, outcome::Reason, http::{ClassifyHead, StatusVerdict}};
    ///
    /// // This service says 404 when it has lost its database.
    /// let protocol = Http::classify(|head| match head.status.as_u16() {
    ///     404 => Outcome::failure(Reason::HttpStatus(404)),
    ///     _ => StatusVerdict::new().classify(head),
    /// });
    /// # let _ = protocol;
    /// ```
    pub const fn classify(classify: C) -> Self
    where
        C: Fn(ResponseHead<'_>) -> Outcome + Clone,
    {
        Self::with(classify)
    }

    /// The same with a judgement that has a name, for a protocol whose type can be written down.
    pub const fn with(classify: C) -> Self {
        Self {
            classify,
            of_head: false,
        }
    }
}

impl<C: ClassifyHead> Http<C> {
    #[inline]
    fn at_head<B: Body>(&self, response: &http::Response<B>) -> AtHead {
        let head = ResponseHead::of(response);
        let outcome = self.classify.classify(head);
        if outcome.verdict() != Verdict::Success {
            let after = outcome.retry_after().or_else(|| head.retry_after());
            AtHead::Over(outcome.with_retry_after(after))
        } else if self.of_head || head.has_no_body() || response.body().is_end_stream() {
            AtHead::Over(Outcome::SUCCESS)
        } else if head.status.is_success() || head.status.is_redirection() {
            AtHead::GoesOn(Head::Good)
        } else {
            AtHead::GoesOn(Head::Promising)
        }
    }
}

/// How long the body is to be: its own word, or that of the head, which whoever sends it goes by.
fn promised<B: Body>(response: &http::Response<B>) -> Option<u64> {
    let said = || {
        response
            .headers()
            .get(CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    };
    response.body().size_hint().exact().or_else(said)
}

/// A body that ends is a success, with trailers or without: the headers have said so already.
impl EndOfBody for Http {
    #[inline]
    fn ended(&self) -> Outcome {
        Outcome::SUCCESS
    }

    #[inline]
    fn trailers(&self, _: &HeaderMap) -> Outcome {
        Outcome::SUCCESS
    }
}

impl<B, E, C> Protocol<http::Response<B>, E> for Http<C>
where
    B: Body,
    E: CallError,
    C: ClassifyHead + Clone,
{
    // The end of a body asks for no judgement, so the body does not carry a user's own along.
    type Response<T: Token> = http::Response<Observed<B, T>>;

    #[inline]
    fn verdict(&self, result: &Result<http::Response<B>, E>) -> Option<Outcome> {
        match result {
            Ok(response) => self.at_head(response).outcome(),
            Err(error) => Some(Outcome::of_error(error)),
        }
    }

    /// Event streams, streams of replaced parts (as cameras send them), and whatever follows a 101.
    #[inline]
    fn is_open_ended(&self, response: &http::Response<B>) -> bool {
        ResponseHead::of(response).is_open_ended()
    }

    #[inline]
    fn observe<T: Token>(
        &self,
        result: Result<http::Response<B>, E>,
        token: Option<T>,
    ) -> Result<Self::Response<T>, E> {
        observe(result, token, Http::new(), promised, |response| {
            self.at_head(response)
        })
    }
}

impl<B, C> BodyProtocol<http::Response<B>> for Http<C> {
    type Body = B;
    type Response<Body> = http::Response<Body>;

    #[inline]
    fn map_body<Body>(response: http::Response<B>, wrap: impl FnOnce(B) -> Body) -> http::Response<Body> {
        response.map(wrap)
    }
}

/// Repeatable are the idempotent methods (RFC 9110, section 9.2.2) and whatever has an `Idempotency-Key`. The
/// context travels in the extensions. The route is what the judgement [finds there](ClassifyHead::route): only a
/// router knows it.
impl<B, C: ClassifyHead> RequestProtocol<http::Request<B>> for Http<C> {
    fn repeatable(&self, request: &http::Request<B>) -> bool {
        let key = || request.headers().get(&IDEMPOTENCY_KEY);
        request.method().is_idempotent() || key().is_some_and(|key| !key.is_empty())
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

    #[inline]
    fn route<'a>(&self, request: &'a http::Request<B>) -> Option<&'a str> {
        self.classify.route(request.extensions())
    }

    fn say_attempt(&self, request: &mut http::Request<B>, attempt: u32) {
        if attempt > 1 {
            request.headers_mut().insert(&RETRY_ATTEMPT, attempt.into());
        }
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
    fn for_request(&self, request: &http::Request<B>) -> Self
    where
        Self: Clone,
    {
        Self {
            of_head: matches!(*request.method(), http::Method::HEAD),
            ..self.clone()
        }
    }

    #[inline]
    fn asks_for_tunnel(&self, request: &http::Request<B>) -> bool {
        request.method() == http::Method::CONNECT
    }
}
