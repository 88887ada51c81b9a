use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::address::Address;
use crate::error::{Error, ErrorFuture};

/// How a call gets to the endpoint that was chosen: makes a service of what stands behind it.
pub trait Reach<T> {
    /// The service.
    type Service;

    /// A service for one call, whose readiness has not been driven yet.
    fn service(&self, target: &T) -> Self::Service;
}

/// Each endpoint is a service of its own; every call gets a clone of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own;

impl<S: Clone> Reach<S> for Own {
    type Service = S;

    #[inline]
    fn service(&self, target: &S) -> S {
        target.clone()
    }
}

/// One transport reaches all endpoints: what stands behind an endpoint is its address, which `F` writes into the
/// request.
#[derive(Clone, Copy)]
pub struct Through<S, F> {
    pub(super) transport: S,
    pub(super) address: F,
}

/// A service that addresses each request to one endpoint: see [`Through`].
#[derive(Clone, Copy)]
pub struct Addressed<S, T, F> {
    transport: S,
    target: T,
    address: F,
}

impl<S: Clone, T: Clone, F: Clone> Reach<T> for Through<S, F> {
    type Service = Addressed<S, T, F>;

    fn service(&self, target: &T) -> Self::Service {
        Addressed {
            transport: self.transport.clone(),
            target: target.clone(),
            address: self.address.clone(),
        }
    }
}

impl<S, T, F, Request> Service<Request> for Addressed<S, T, F>
where
    S: Service<Request>,
    F: Address<T, Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.transport.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> S::Future {
        self.address.address(&self.target, &mut request);
        self.transport.call(request)
    }
}

/// What stands behind an endpoint is a client of any kind, and the call is a function of it.
#[derive(Clone, Copy)]
pub struct Operation<F> {
    pub(super) operation: F,
}

/// A function of one client as a service: see [`Operation`].
#[derive(Clone, Copy)]
pub struct OperationService<T, F> {
    client: Option<T>,
    operation: F,
}

impl<T: Clone, F: Clone> Reach<T> for Operation<F> {
    type Service = OperationService<T, F>;

    fn service(&self, client: &T) -> Self::Service {
        OperationService {
            client: Some(client.clone()),
            operation: self.operation.clone(),
        }
    }
}

impl<T, F, Fut, R, E> Service<()> for OperationService<T, F>
where
    F: Fn(T) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    type Response = R;
    type Error = Error<E>;
    type Future = ErrorFuture<Fut>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<E>>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, (): ()) -> ErrorFuture<Fut> {
        let Some(client) = self.client.take() else {
            panic!("an `OperationService` is for one call");
        };
        ErrorFuture::new((self.operation)(client))
    }
}

macro_rules! debug {
    ($($Type:ident<$($generic:ident),*>)*) => {$(
        impl<$($generic),*> fmt::Debug for $Type<$($generic),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Type)).finish_non_exhaustive()
            }
        }
    )*};
}

debug! { Through<S, F> Addressed<S, T, F> Operation<F> OperationService<T, F> }
