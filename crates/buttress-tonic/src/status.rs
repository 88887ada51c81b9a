use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use buttress::{BoxError, Rejected, SplitError, http::Responder};
use http::Response;
use pin_project_lite::pin_project;
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use crate::{StatusBody, StatusResponder, retry_info};

/// The status that a refusal is: its code, a message that names no policy, when to come again in the metadata and in the
/// details, and the refusal itself as the [source](std::error::Error::source).
///
/// It is what a server of this crate sends, so a handler that hands it on, by `?`, says no more than that would.
#[must_use]
pub fn status(rejected: &Rejected) -> Status {
    let response = StatusResponder::new().respond(rejected);
    let status = Status::from_header_map(response.headers());
    let mut status = status.unwrap_or_else(|| Status::new(i32::from(rejected.grpc_code()).into(), ""));
    // tonic's own, not metadata.
    status.metadata_mut().remove("content-type");
    status.set_source(Arc::new(rejected.clone()));
    status
}

/// The refusal by a layer of this process that the status was made of.
#[must_use]
pub fn rejected(status: &Status) -> Option<&Rejected> {
    Rejected::find(status)
}

/// When the status says to come again, wherever it says so: the refusal that it was made of,
/// `grpc-retry-pushback-ms`, `google.rpc.RetryInfo`, or `retry-after` in seconds.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    if let Some(rejected) = rejected(status) {
        return rejected.retry_after();
    }
    let number = |name| {
        let value = status.metadata().get(name)?.to_str().ok()?;
        // `parse` would take a sign.
        value
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| value.parse().ok())?
    };
    number("grpc-retry-pushback-ms")
        .map(Duration::from_millis)
        .or_else(|| retry_info::retry_delay(status.details()))
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// Makes a [`Status`] of every error that comes by: the [status of a refusal](status()), else what tonic itself makes of
/// the error. It stands outermost on a client, where generated code takes statuses as they are.
///
/// The errors of a response's body become statuses in the same way, so that a stream that is cut off says by what.
///
/// An error from `poll_ready`, which generated clients make `UNKNOWN` of, is kept for the call, and returned by that.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusLayer {
    _private: (),
}

impl StatusLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for StatusLayer {
    type Service = StatusService<S>;

    fn layer(&self, inner: S) -> StatusService<S> {
        StatusService { inner, unready: None }
    }
}

/// The service that [`StatusLayer`] makes.
#[derive(Debug)]
pub struct StatusService<S> {
    inner: S,
    /// What `poll_ready` came to, for the next call. A clone has to ask for itself.
    unready: Option<Status>,
}

impl<S: Clone> Clone for StatusService<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            unready: None,
        }
    }
}

impl<S, Request, B> Service<Request> for StatusService<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Error: SplitError<Inner: Into<BoxError>>,
{
    type Response = Response<StatusBody<B>>;
    type Error = Status;
    type Future = StatusFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.unready.is_none() {
            match self.inner.poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.unready = Some(status_of(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let state = match self.unready.take() {
            None => State::Called {
                future: self.inner.call(request),
            },
            Some(status) => State::Unready { status: Some(status) },
        };
        StatusFuture { state }
    }
}

#[cold]
fn status_of<E>(error: E) -> Status
where
    E: SplitError<Inner: Into<BoxError>>,
{
    match error.split() {
        Ok(rejected) => status(&rejected),
        Err(error) => status_of_error(error.into()),
    }
}

/// What tonic makes of an error, if there is no refusal in it.
#[cold]
pub(crate) fn status_of_error(error: BoxError) -> Status {
    match Rejected::find(&*error) {
        Some(rejected) => status(rejected),
        None => Status::from_error(error),
    }
}

pin_project! {
    /// The future of [`StatusService`].
    #[derive(Debug)]
    pub struct StatusFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Called { #[pin] future: F },
        Unready { status: Option<Status> },
    }
}

impl<F, B, E> Future for StatusFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: SplitError<Inner: Into<BoxError>>,
{
    type Output = Result<Response<StatusBody<B>>, Status>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Called { future } => {
                let result = ready!(future.poll(cx));
                Poll::Ready(
                    result
                        .map(|response| response.map(StatusBody::new))
                        .map_err(status_of),
                )
            }
            StateProjection::Unready { status } => match status.take() {
                Some(status) => Poll::Ready(Err(status)),
                None => panic!("`StatusFuture` polled after it was ready"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, io};

    use buttress::{Error, RejectionKind};
    use tonic::Code;
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn limited() -> Rejected {
        Rejected::new(RejectionKind::RateLimited, "secret-name").with_retry_after(Duration::from_millis(1500))
    }

    #[test]
    fn a_refusal_says_when_to_come_again_in_every_way() {
        let status = status(&limited());
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "Too many requests. Try again later.");
        assert_eq!(
            status
                .metadata()
                .get("grpc-retry-pushback-ms")
                .expect("it is there"),
            "1500"
        );
        assert_eq!(status.metadata().get("retry-after").expect("it is there"), "2");
        assert!(!status.metadata().contains_key("content-type"));
        assert_eq!(
            retry_info::retry_delay(status.details()),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(rejected(&status), Some(&limited()));
        assert!(status.source().is_some_and(|source| source.is::<Rejected>()));
    }

    #[test]
    fn every_kind_has_its_code() {
        use RejectionKind::*;
        for (kind, code) in [
            (CircuitOpen, Code::Unavailable),
            (RateLimited, Code::ResourceExhausted),
            (QueueFull, Code::ResourceExhausted),
            (QueueTimeout, Code::ResourceExhausted),
            (DeadlineExpired, Code::DeadlineExceeded),
            (TimedOut, Code::DeadlineExceeded),
            (Panicked, Code::Internal),
            (NoEndpoint, Code::Unavailable),
            (Shed, Code::ResourceExhausted),
        ] {
            let status = status(&Rejected::new(kind, "p"));
            assert_eq!(status.code(), code, "{kind}");
            assert_eq!(retry_after(&status), None);
            assert!(status.details().is_empty());
        }
        let own = Rejected::new(Custom, "p").with_grpc_code(9);
        assert_eq!(status(&own).code(), Code::FailedPrecondition);
    }

    #[test]
    fn what_a_server_says_is_read_wherever_it_says_it() {
        let said = |name: &'static str, value: &'static str| {
            let mut status = Status::unavailable("");
            status
                .metadata_mut()
                .insert(name, value.parse().expect("a value"));
            retry_after(&status)
        };
        assert_eq!(
            said("grpc-retry-pushback-ms", "250"),
            Some(Duration::from_millis(250))
        );
        assert_eq!(said("retry-after", "3"), Some(Duration::from_secs(3)));
        for none in ["-1", "+1", "soon", ""] {
            assert_eq!(said("grpc-retry-pushback-ms", none), None, "{none:?}");
        }
    }

    #[tokio::test]
    async fn a_status_of_the_service_and_a_broken_transport_stay_what_they_are() {
        let call = |error: fn() -> Error<BoxError>| async move {
            let service =
                StatusLayer::new().layer(service_fn(
                    move |()| async move { Err::<Response<()>, _>(error()) },
                ));
            service.oneshot(()).await.expect_err("an error")
        };
        let own = call(|| Error::Inner(Status::not_found("nobody").into())).await;
        assert_eq!((own.code(), own.message()), (Code::NotFound, "nobody"));
        let other = call(|| Error::Inner(io::Error::other("broken").into())).await;
        assert_eq!(other.code(), Code::Unknown);
        let refused = call(|| Error::Rejected(limited())).await;
        assert_eq!(rejected(&refused), Some(&limited()));
        // From under a `Buffer`.
        let boxed = call(|| Error::Inner(BoxError::from(Error::<io::Error>::from(limited())))).await;
        assert!(rejected(&boxed).is_some());
    }

    /// Never ready, because it refuses.
    #[derive(Clone, Debug)]
    struct Unready;

    impl Service<()> for Unready {
        type Response = Response<()>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<()>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Err(limited().into()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            unreachable!("it was not ready")
        }
    }

    #[tokio::test]
    async fn what_is_not_ready_refuses_the_call() {
        let mut service = StatusLayer::new().layer(Unready);
        for _ in 0..2 {
            let refused = service.ready().await.expect("it takes the call").call(());
            assert_eq!(
                refused.await.expect_err("refused").code(),
                Code::ResourceExhausted
            );
        }
    }
}
