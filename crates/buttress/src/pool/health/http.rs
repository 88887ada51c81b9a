use std::{fmt, marker::PhantomData, pin::Pin};

use tower_service::Service;

use super::Check;

/// Whether an endpoint answers `GET` of a path with a 2xx.
///
/// The request has no authority: it is the endpoint's service that knows it, as for every other request. The body of
/// the answer is not read.
pub struct HttpCheck<B> {
    path: http::Uri,
    body: PhantomData<fn() -> B>,
}

impl<B: Default> HttpCheck<B> {
    /// A check of that path, with or without an authority before it: `"/healthz"`.
    ///
    /// # Errors
    ///
    /// Those of an URI that is none.
    pub fn path(path: &str) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self {
            path: path.parse()?,
            body: PhantomData,
        })
    }
}

impl<S, B, R> Check<S> for HttpCheck<B>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Default + Send + 'static,
    R: Send,
{
    // Not on the way of a call.
    type Future = Pin<Box<dyn Future<Output = bool> + Send>>;

    fn check(&self, mut service: S) -> Self::Future {
        let mut request = http::Request::new(B::default());
        *request.uri_mut() = self.path.clone();
        Box::pin(async move {
            if std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
                return false;
            }
            let answer = service.call(request).await;
            answer.is_ok_and(|response| response.status().is_success())
        })
    }
}

impl<B> fmt::Debug for HttpCheck<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpCheck").field(&self.path).finish()
    }
}
