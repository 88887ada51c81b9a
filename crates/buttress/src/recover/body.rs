use std::sync::atomic::AtomicBool;
#[cfg(feature = "http")]
use std::{
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

#[cfg(feature = "http")]
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Catcher;
#[cfg(feature = "http")]
use crate::{error::BoxError, recover::Place};

pin_project! {
    /// A response body whose panic breaks it off with an error.
    ///
    /// After a panic it yields exactly one error, a boxed [`Rejected`](crate::Rejected), then nothing; the body
    /// inside is dropped and never asked again. `is_end_stream` and `size_hint` are guarded as well, because
    /// hosts ask them outside of any poll: they answer "not over yet" and "unknown", and the next poll has the
    /// error.
    ///
    /// # Why the error is a `BoxError`
    ///
    /// The body's own error type cannot say "it panicked", for such an error cannot be made from nothing. The
    /// stream must not end without one either: a body cut off in the middle would look whole, and a client
    /// would keep half a file as a good one. Therefore the one type that every host takes, into which errors
    /// of the body itself are converted, not wrapped: a `downcast` still finds a `tonic::Status`.
    #[derive(Debug)]
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub struct RecoverBody<B> {
        // `None` once it has panicked and was dropped.
        #[pin]
        inner: Option<B>,
        catcher: Catcher,
        // A panic behind `&self`, of which the next poll has yet to speak. Atomic only so that the body is
        // `Sync` if the inner one is.
        panicked: AtomicBool,
    }
}

impl<B> RecoverBody<B> {
    /// Guards `body`, for those who do without the layer.
    pub fn new(body: B, catcher: Catcher) -> Self {
        Self {
            inner: Some(body),
            catcher,
            panicked: AtomicBool::new(false),
        }
    }

    /// Asks the inner body something, unless it is gone or has panicked.
    #[cfg(feature = "http")]
    fn ask<T>(&self, question: impl FnOnce(&B) -> T) -> Option<T> {
        let inner = self.inner.as_ref().filter(|_| !self.panicked.load(Relaxed))?;
        let mut answer = None;
        if self
            .catcher
            .catch(Place::Body, || answer = Some(question(inner)))
            .is_err()
        {
            // It cannot be dropped from behind `&self`: that, and the error, are left to the next poll.
            self.panicked.store(true, Relaxed);
        }
        answer
    }
}

/// A default body that nobody guards. The `with_interceptor` of tonic's generated clients asks for it, to answer a
/// call that its interceptor refused.
impl<B: Default> Default for RecoverBody<B> {
    fn default() -> Self {
        Self::new(B::default(), Catcher::OFF)
    }
}

#[cfg(feature = "http")]
impl<B> Body for RecoverBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let catcher = *this.catcher;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let mut poll = Poll::Pending;
        let panicked = if *this.panicked.get_mut() {
            *this.panicked.get_mut() = false;
            Err(catcher.rejection())
        } else {
            // The error's conversion is a user's code as well.
            let work = || {
                poll = inner
                    .poll_frame(cx)
                    .map(|frame| frame.map(|f| f.map_err(Into::into)))
            };
            catcher.catch(Place::Body, work)
        };
        if let Err(rejected) = panicked {
            catcher.discard(Place::Body, || this.inner.set(None));
            poll = Poll::Ready(Some(Err(rejected.into())));
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        // One that panicked just now, or earlier behind `&self`, still owes its error.
        self.ask(B::is_end_stream).unwrap_or(self.inner.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        self.ask(B::size_hint).unwrap_or_default()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests;
