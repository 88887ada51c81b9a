use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{ReplayBody, head::SavedHead, memory::Memory};

/// What is kept of a request body: see [`ReplayBody`].
#[derive(Clone, Debug)]
pub struct SavedBody(Kept);

#[derive(Clone)]
enum Kept {
    Whole(Option<Bytes>),
    /// Empty until the first attempt has read the body to its end, and for ever if it does not.
    Remembered(Arc<OnceLock<Memory>>),
}

impl SavedBody {
    pub(super) const fn whole(data: Option<Bytes>) -> Self {
        Self(Kept::Whole(data))
    }

    pub(super) const fn remembered(memory: Arc<OnceLock<Memory>>) -> Self {
        Self(Kept::Remembered(memory))
    }

    /// Is all of the body there? Only once the first attempt has sent it to its end.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        match &self.0 {
            Kept::Whole(_) => true,
            Kept::Remembered(memory) => memory.get().is_some(),
        }
    }

    /// The body from its beginning, or `None` where it [cannot](Self::can_repeat) be repeated.
    #[must_use]
    pub fn again<B>(&self) -> Option<ReplayBody<B>> {
        match &self.0 {
            Kept::Whole(data) => Some(ReplayBody::whole(data.clone())),
            Kept::Remembered(memory) => {
                memory.get()?;
                Some(ReplayBody::remembered(Arc::clone(memory), 0))
            }
        }
    }
}

/// Without the bytes: they may be secrets.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(_) => f.write_str("Whole"),
            Self::Remembered(memory) => f.debug_tuple("Remembered").field(memory).finish(),
        }
    }
}

/// What is kept of an HTTP request: its head, and what there is of its body.
#[derive(Clone, Debug)]
pub struct SavedRequest {
    head: SavedHead,
    body: SavedBody,
}

impl SavedRequest {
    /// A copy of that head, and that body. The copy costs one allocation for the headers, however many there are, and
    /// none for a [`CallContext`](crate::CallContext) that is the only extension; other extensions are cloned. (Bytes
    /// that nobody has cloned yet, as of a header value made for this call, cost one the first time.)
    #[must_use]
    pub fn new(head: &http::request::Parts, body: SavedBody) -> Self {
        Self {
            head: SavedHead::of(head),
            body,
        }
    }

    /// The head as it came in, made anew: method, URI, headers, extensions.
    #[must_use]
    pub fn head(&self) -> http::request::Parts {
        self.head.to_parts()
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &SavedBody {
        &self.body
    }
}
