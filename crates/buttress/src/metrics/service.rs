use std::task::{Context, Poll};

use tower_service::Service;

use super::{Metrics, MetricsFuture, MetricsToken};
use crate::outcome::{Plain, Protocol, RequestProtocol};

/// The service that [`MetricsLayer`](super::MetricsLayer) makes.
///
/// A call begins with [`call`](Service::call); waiting for readiness is not part of it. The readiness is the inner
/// service's own.
#[derive(Clone, Debug)]
pub struct MetricsService<S, P = Plain> {
    inner: S,
    protocol: P,
    metrics: Option<Metrics>,
}

impl<S, P> MetricsService<S, P> {
    pub(super) fn new(inner: S, protocol: P, metrics: Option<Metrics>) -> Self {
        Self {
            inner,
            protocol,
            metrics,
        }
    }
}

impl<S, P, Request> Service<Request> for MetricsService<S, P>
where
    S: Service<Request>,
    P: Protocol<S::Response, S::Error> + RequestProtocol<Request>,
{
    type Response = P::Response<MetricsToken>;
    type Error = S::Error;
    type Future = MetricsFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let protocol = self.protocol.for_request(&request);
        let route = || protocol.route(&request);
        let mut token = self.metrics.as_ref().map(|metrics| {
            if protocol.is_route_claimed() {
                metrics.start_by_claimed(route)
            } else {
                metrics.start_by(route)
            }
        });
        if let Some(token) = &mut token {
            token.inner_is_running(true);
        }
        let inner = self.inner.call(request);
        if let Some(token) = &mut token {
            token.inner_is_running(false);
        }
        MetricsFuture::new(inner, protocol, token)
    }
}
