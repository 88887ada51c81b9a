use std::sync::Arc;

use axum::extract::MatchedPath;
use buttress::{
    Http, Outcome, Stack,
    http::{ClassifyHead, HttpResponder, RespondLayer, ResponseHead, StatusVerdict},
    stack::{Server, Slots},
};
use http::Extensions;
use tower_layer::Identity;

/// A judgement that knows the route of a request too: the pattern that axum has matched, `/users/{id}`.
///
/// There is none for a fallback, nor for what is below a `nest_service`: axum does not tell. A nested `Router` has the
/// whole pattern.
///
/// ```
/// use buttress::{Http, Stack, http::StatusVerdict};
/// use buttress_axum::ByRoute;
///
/// // The same as `buttress_axum::server("api")`:
/// let stack = Stack::http_server("api").protocol(Http::with(ByRoute::new(StatusVerdict::new())));
/// # let _ = stack;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ByRoute<C = StatusVerdict> {
    judge: C,
}

impl<C> ByRoute<C> {
    /// Judges as `judge` does.
    pub const fn new(judge: C) -> Self {
        Self { judge }
    }
}

impl<C: ClassifyHead> ClassifyHead for ByRoute<C> {
    #[inline]
    fn classify(&self, head: ResponseHead<'_>) -> Outcome {
        self.judge.classify(head)
    }

    #[inline]
    fn route<'a>(&self, extensions: &'a Extensions) -> Option<&'a str> {
        extensions.get().map(MatchedPath::as_str)
    }
}

/// The stack of a router, as [`server`] begins it.
pub type ServerStart = Stack<Server<Http<ByRoute>>, Slots<Identity, Identity, RespondLayer<HttpResponder>>>;

/// Begins the stack around a router, a route or a handler: [`Stack::http_server`] by [route](ByRoute).
///
/// For a judgement of your own: `.protocol(Http::with(ByRoute::new(yours)))`.
pub fn server(name: impl Into<Arc<str>>) -> ServerStart {
    Stack::http_server(name).protocol(Http::with(ByRoute::default()))
}
