use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

use crate::context::CallContext;

/// What is kept of a request's head, for attempts that will most likely never be made.
///
/// So keeping it has to be cheap, and making a head of it need not be: the headers are a list and not a map, which is
/// one allocation and not two, and our own extension, which is most often the only one, is kept without its map, which
/// is none and not three.
#[derive(Clone, Debug)]
pub(super) struct SavedHead {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Nothing,
    Context(CallContext),
    Every(Extensions),
}

impl SavedHead {
    pub(super) fn of(head: &Parts) -> Self {
        let mut headers = Vec::with_capacity(head.headers.len());
        headers.extend(
            head.headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers,
            extensions: Kept::of(&head.extensions),
        }
    }

    /// A head like the one that it was kept of.
    pub(super) fn to_parts(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        head.headers = self.to_headers();
        match &self.extensions {
            Kept::Nothing => {}
            Kept::Context(context) => {
                head.extensions.insert(context.clone());
            }
            Kept::Every(extensions) => head.extensions = extensions.clone(),
        }
        head
    }

    fn to_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Where there are too many for that, they have found their places before, and do so again.
        let _ = headers.try_reserve(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        headers
    }
}

impl Kept {
    fn of(extensions: &Extensions) -> Self {
        match (extensions.len(), extensions.get::<CallContext>()) {
            (0, _) => Self::Nothing,
            (1, Some(context)) => Self::Context(context.clone()),
            _ => Self::Every(extensions.clone()),
        }
    }
}
