use std::sync::Arc;

/// The route of a request, in its extensions: the [route](crate::RequestProtocol::route) that [`Http`](super::Http) knows.
///
/// Only a router knows it, so only who routes can put it there: a layer that translates what the host has (axum's
/// `MatchedPath`), or a proxy that has a list. It becomes a label and stands in the access log, so it is the route's own
/// name, of which there are few, and never a path that a client has chosen.
///
/// ```
/// use buttress::{Http, RequestProtocol, http::MatchedRoute};
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(MatchedRoute::from("/books/{id}"));
/// assert_eq!(Http::new().route(&request), Some("/books/{id}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatchedRoute(pub Arc<str>);

impl From<&str> for MatchedRoute {
    fn from(route: &str) -> Self {
        Self(route.into())
    }
}

impl From<Arc<str>> for MatchedRoute {
    fn from(route: Arc<str>) -> Self {
        Self(route)
    }
}
