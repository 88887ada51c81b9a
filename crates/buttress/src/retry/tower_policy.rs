use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::retry::Policy;

use super::{Retry, course::Course, shared::book};
use crate::{
    context::{self, CallContext, Surroundings},
    outcome::{Plain, Protocol, RequestProtocol},
};

/// A [`Retry`] as a policy of tower's own [`RetryLayer`](tower::retry::RetryLayer), for those who keep that one; from
/// [`Retry::tower_policy`] and [`tower_policy_for`](Retry::tower_policy_for).
///
/// Conditions, backoff, what the service asks for, attempts, `max_elapsed`, the call's deadline and the budget are
/// obeyed, and the books are kept, in common with all clones of the `Retry`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use buttress::{Error, retry::Retry};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// let retry = Retry::standard();
/// let calls = AtomicU32::new(0);
/// let mut service = ServiceBuilder::new().retry(retry.tower_policy()).service(service_fn(|()| {
///     let call = calls.fetch_add(1, Relaxed) + 1;
///     async move { if call < 3 { Err(Error::Inner(std::io::Error::other("busy"))) } else { Ok(call) } }
/// }));
/// assert_eq!(service.ready().await?.call(()).await?, 3);
/// assert_eq!(retry.snapshot().recovered, 1);
/// # Ok(()) }
/// ```
///
/// # What [`RetryLayer`](super::RetryLayer) does besides
///
/// Tower's layer shows its policy a request only before it is sent, and cannot change its type. So here
///
/// * requests have to be `Clone`, bodies too, and all that is remembered of a body is what the clone shares:
///   `max_body` means nothing;
/// * a retry further in is not told by a first attempt that it is inside of this one, and makes attempts of its own;
///   by later ones it is, where requests carry a [context](crate::CallContext);
/// * of gRPC, failures are repeated that the headers tell, not those in trailers that are there already;
/// * `max_elapsed` is counted from the call, for which the clock is read.
///
/// # Clone
///
/// Tower makes a clone for each call, in which the course of that call is kept. What clones share is the `Retry`.
#[derive(Clone)]
pub struct TowerPolicy<P = Plain> {
    retry: Retry,
    protocol: P,
    // Of the call that this clone was made for; in the one that clones are made from, of whichever came last.
    course: Option<Course>,
}

impl Retry {
    /// This retry as a policy of tower's own [`RetryLayer`](tower::retry::RetryLayer), for plain services; see
    /// [`tower_policy_for`](Self::tower_policy_for) for HTTP and gRPC.
    #[must_use]
    pub fn tower_policy(&self) -> TowerPolicy {
        self.tower_policy_for(Plain::new())
    }

    /// The same for services that speak `protocol`.
    pub fn tower_policy_for<P>(&self, protocol: P) -> TowerPolicy<P> {
        TowerPolicy {
            retry: self.clone(),
            protocol,
            course: None,
        }
    }
}

impl<P> TowerPolicy<P> {
    /// The course of a call that begins with that request; none if there is to be one attempt.
    fn begin<Request>(&self, request: &Request) -> Option<Course>
    where
        P: RequestProtocol<Request>,
    {
        let plan = self.retry.begin()?;
        let around = Surroundings::look();
        let context = self.protocol.context(request);
        if around.is_repeated || context.is_some_and(CallContext::is_repeated) {
            return None;
        }
        self.count_attempt(request);
        if !plan.retry_non_idempotent && !self.protocol.repeatable(request) {
            self.retry.shared.books.add(book::NOT_REPEATABLE, 1);
            return None;
        }
        let deadline = context.map_or(around.deadline, CallContext::deadline);
        let is_idempotent = plan.retry_non_idempotent || self.protocol.idempotent(request);
        let mut course = Course::new(self.retry.shared.clone(), deadline, is_idempotent);
        // It is not seen from here whether the call has to wait.
        course.start();
        Some(course)
    }

    fn count_attempt<Request>(&self, request: &Request)
    where
        P: RequestProtocol<Request>,
    {
        match self.protocol.context(request) {
            Some(context) => context.tally().add_attempt(),
            None => context::add_attempt(),
        }
    }
}

impl<P, Request, R, E> Policy<Request, R, E> for TowerPolicy<P>
where
    Request: Clone,
    P: Protocol<R, E> + RequestProtocol<Request>,
{
    type Future = TowerWait;

    fn retry(&mut self, request: &mut Request, result: &mut Result<R, E>) -> Option<TowerWait> {
        let course = self.course.as_mut()?;
        let wait = course.next(self.protocol.verdict(result), || true)?;
        if let Some(context) = self.protocol.context_mut(request) {
            context.set_attempt(course.attempt());
        }
        if course.announces() {
            self.protocol.say_attempt(request, course.attempt());
        }
        Some(TowerWait {
            sleep: (!wait.is_zero()).then(|| tokio::time::sleep(wait)),
        })
    }

    /// Called before each attempt, the first of a call on the policy that tower clones for it.
    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        match &self.course {
            Some(course) if course.attempt() > 1 => self.count_attempt(request),
            _ => self.course = self.begin(request),
        }
        self.course.as_ref().map(|_| request.clone())
    }
}

pin_project! {
    /// The wait between two attempts. Dropping it ends it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TowerWait {
        // None: no wait at all.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Future for TowerWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl<P> fmt::Debug for TowerPolicy<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerPolicy")
            .field("retry", &self.retry)
            .field("attempt", &self.course.as_ref().map_or(1, Course::attempt))
            .finish_non_exhaustive()
    }
}
