//! A layer that tells when a call is gone: its response's body, or the future that never had one, is dropped.
//!
//! Put [`outside`](buttress::stack::Stack::outside) of a stack, it tells after all of the stack's own has been
//! dropped, so that the books are closed when a test reads them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;
use tower_layer::Layer;
use tower_service::Service;

/// The layer.
#[derive(Clone, Debug)]
pub struct Watch {
    tell: mpsc::UnboundedSender<()>,
}

/// Hears of the calls that are gone.
#[derive(Debug)]
pub struct Gone {
    told: mpsc::UnboundedReceiver<()>,
}

/// The layer, and the one that hears.
#[must_use]
pub fn watch() -> (Watch, Gone) {
    let (tell, told) = mpsc::unbounded_channel();
    (Watch { tell }, Gone { told })
}

impl Gone {
    /// Waits until one more call is gone.
    ///
    /// # Panics
    ///
    /// If none goes.
    pub async fn one(&mut self) {
        crate::soon(self.told.recv()).await.expect("the watch is there");
    }
}

#[derive(Debug)]
struct Guard(mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        // A test that is over hears nothing any more.
        let _ = self.0.send(());
    }
}

impl<S> Layer<S> for Watch {
    type Service = WatchService<S>;

    fn layer(&self, inner: S) -> WatchService<S> {
        WatchService {
            inner,
            watch: self.clone(),
        }
    }
}

/// The service that [`Watch`] makes.
#[derive(Clone, Debug)]
pub struct WatchService<S> {
    inner: S,
    watch: Watch,
}

impl<S, A, B> Service<Request<A>> for WatchService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<WatchedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let guard = Guard(self.watch.tell.clone());
        let future = self.inner.call(request);
        Box::pin(async move {
            let guard = guard; // it goes after the future
            let response = future.await?;
            Ok(response.map(|body| WatchedBody { body, guard }))
        })
    }
}

pin_project! {
    /// The body of a watched call.
    #[derive(Debug)]
    pub struct WatchedBody<B> {
        // In this order they are dropped.
        #[pin]
        body: B,
        guard: Guard,
    }
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
