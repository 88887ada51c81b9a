use std::task::{Context, Poll};

use tower_service::Service;

use super::{
    Classifier, Classify, Configured, Hold, Permit, Priority, PriorityFuture, PriorityQueue, future::Way,
};
use crate::{
    context::{self, CallContext},
    error::CallError,
    outcome::{Plain, Protocol, RequestProtocol},
};

/// A service whose calls wait for a slot, the most important first.
///
/// With a queue it is always ready: a call waits in its future, where it can be overtaken. What is called then is a clone of the inner
/// service, whose readiness is driven once the call is admitted; so a call that waits holds no place of those there may
/// be inside, and those who wait for readiness inside are as few as there are slots.
#[derive(Clone, Debug)]
pub struct PriorityService<S, P = Plain, C = Configured> {
    inner: S,
    queue: Option<PriorityQueue>,
    protocol: P,
    classify: C,
}

impl<S, P, C> PriorityService<S, P, C> {
    pub(super) fn new(inner: S, queue: Option<PriorityQueue>, protocol: P, classify: C) -> Self {
        Self {
            inner,
            queue,
            protocol,
            classify,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the queue.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// The class of a request and how long it keeps its slot, by what is configured.
    #[inline(never)]
    fn look_up<Request>(
        &self,
        queue: &PriorityQueue,
        request: &Request,
        known: Option<Priority>,
    ) -> (Priority, Hold)
    where
        P: RequestProtocol<Request>,
        C: Classify<Request, P>,
    {
        let options = queue.options_in_force();
        let class = self
            .classify
            .classify(&self.protocol, request, known, &options.classifier);
        if options.hold_routes.is_empty() {
            return (class, options.hold);
        }
        let route = self.protocol.route(request);
        let hold = route.and_then(|route| options.hold_routes.get(route));
        (class, *hold.unwrap_or(&options.hold))
    }
}

/// Where nothing is configured the options are not even fetched.
static UNCONFIGURED: Classifier = Classifier::new();

impl<S, P, C, Request> Service<Request> for PriorityService<S, P, C>
where
    S: Service<Request> + Clone,
    S::Error: CallError,
    P: RequestProtocol<Request> + Protocol<S::Response, S::Error>,
    C: Classify<Request, P>,
{
    type Response = P::Response<Permit>;
    type Error = S::Error;
    type Future = PriorityFuture<S, P, Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &self.queue {
            Some(_) => Poll::Ready(Ok(())),
            // Nobody waits, so there is nothing to clone.
            None => self.inner.poll_ready(cx),
        }
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let protocol = self.protocol.clone();
        let Some(queue) = &self.queue else {
            return PriorityFuture::unlimited(self.inner.call(request), protocol);
        };
        let inner = self.inner.clone();
        let carried = protocol.context(&request).map(CallContext::priority);
        let is_carried = carried.is_some();
        let claim = carried.or_else(context::current_priority);
        let known = claim.flatten().map(Priority::new);
        let (class, hold) = if queue.is_plain() {
            let class = self.classify.classify(&protocol, &request, known, &UNCONFIGURED);
            (class, Hold::Auto)
        } else {
            self.look_up(queue, &request, known)
        };
        let hold = match hold {
            Hold::Auto if protocol.asks_for_tunnel(&request) => Hold::Headers,
            hold => hold,
        };
        // Inner layers find the class in the context that there is, wherever that is.
        if is_carried {
            if let Some(context) = protocol.context_mut(&mut request) {
                context.set_priority(class.get());
            }
        }
        let announce = !is_carried && claim.is_some() && known != Some(class);
        let way = Way::new(class, hold, announce);
        PriorityFuture::new(queue.clone(), way, inner, request, protocol)
    }
}
