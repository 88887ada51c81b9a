//! A layer with what the rules have to know of it, around a service that does as it is told.

use std::{
    fmt::Debug,
    future::poll_fn,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tower_layer::Layer;
use tower_service::Service;

use super::inner::{Inner, World};

/// Reads a number in a policy's books.
type Reading = Box<dyn Fn() -> u64>;

/// What is known of a layer beside its type.
pub(super) struct Facts<L> {
    layer: L,
    pub(super) known: Known,
}

#[derive(Default)]
pub(super) struct Known {
    /// Its `poll_ready` is not that of the service inside, which is seen to in the future.
    pub(super) is_ready_at_once: bool,
    /// Panics of the service inside are errors.
    pub(super) catches: bool,
    /// Of a plain call that is answered at once. Over HTTP it depends on the heads; see the stack's own tests.
    pub(super) allocations: u64,
    /// What is held by calls that have not ended.
    holds: Vec<(&'static str, Reading)>,
    /// Calls that were given up.
    cancelled: Vec<(&'static str, Reading)>,
    /// After that long the policy is what it was, whatever it has seen of the service inside.
    rest: Duration,
    /// Has the policy refuse whatever comes.
    pub(super) refuse: Option<Box<dyn FnOnce()>>,
}

#[cfg_attr(
    not(all(feature = "metrics", feature = "pool", feature = "recover")),
    allow(dead_code)
)]
impl<L> Facts<L> {
    /// A layer that forwards readiness, allocates nothing and catches nothing.
    pub(super) fn of(layer: L) -> Self {
        Self {
            layer,
            known: Known::default(),
        }
    }

    pub(super) fn ready_at_once(mut self) -> Self {
        self.known.is_ready_at_once = true;
        self
    }

    pub(super) fn catches(mut self) -> Self {
        self.known.catches = true;
        self
    }

    pub(super) fn allocates(mut self, count: u64) -> Self {
        self.known.allocations = count;
        self
    }

    pub(super) fn holds(mut self, what: &'static str, reading: impl Fn() -> u64 + 'static) -> Self {
        self.known.holds.push((what, Box::new(reading)));
        self
    }

    pub(super) fn cancelled(mut self, who: &'static str, reading: impl Fn() -> u64 + 'static) -> Self {
        self.known.cancelled.push((who, Box::new(reading)));
        self
    }

    pub(super) fn rests(mut self, rest: Duration) -> Self {
        self.known.rest = rest;
        self
    }

    pub(super) fn refuses(mut self, refuse: impl FnOnce() + 'static) -> Self {
        self.known.refuse = Some(Box::new(refuse));
        self
    }

    /// Around a plain service. The bounds are a rule: what the service inside is, its service is.
    pub(super) fn plain<S>(self) -> Case
    where
        L: Layer<Inner, Service = S> + Clone + Send + Sync + 'static,
        S: Service<u32, Response: Send, Error: Debug + Send, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.around(
            false,
            || 7,
            |_| Answer {
                status: 200,
                body: None,
            },
        )
    }

    /// Around one that speaks HTTP.
    #[cfg(feature = "http")]
    pub(super) fn http<S, B>(self) -> Case
    where
        L: Layer<Inner, Service = S> + Clone + Send + Sync + 'static,
        S: Service<
                http::Request<http_body_util::Empty<bytes::Bytes>>,
                Response = http::Response<B>,
                Error: Debug + Send,
                Future: Send + 'static,
            > + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data: Send, Error: Debug + Send> + Send + 'static,
    {
        self.around(true, crate::test_services::get, |response| {
            let status = response.status().as_u16();
            let mut body = Box::pin(response.into_body());
            let body: Body = Box::new(move |cx| {
                let frame = body.as_mut().poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map(drop).map_err(|e| format!("{e:?}"))))
            });
            Answer {
                status,
                body: Some(body),
            }
        })
    }

    fn around<Q: 'static, S>(
        self,
        is_cost_unknown: bool,
        request: fn() -> Q,
        answer: fn(S::Response) -> Answer,
    ) -> Case
    where
        L: Layer<Inner, Service = S>,
        S: Service<Q, Error: Debug, Future: 'static> + Clone + 'static,
    {
        let world = Arc::new(World::default());
        let service = Erased {
            service: self.layer.layer(Inner::new(&world)),
            request,
            answer,
            is_cost_unknown,
            requests: PhantomData,
        };
        Case {
            world,
            service: Box::new(service),
            known: self.known,
        }
    }
}

/// Polls the next frame of a body.
type Body = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<(), String>>>>;

/// What came of a call.
pub(super) struct Answer {
    /// 200 where there is none.
    pub(super) status: u16,
    /// Where there is one.
    pub(super) body: Option<Body>,
}

impl Answer {
    /// Reads it to its end.
    pub(super) async fn read(&mut self) -> Result<(), String> {
        if let Some(body) = &mut self.body {
            while let Some(frame) = poll_fn(&mut *body).await {
                frame?;
            }
        }
        Ok(())
    }
}

pub(super) type Call = Pin<Box<dyn Future<Output = Result<Answer, String>>>>;

/// Any service, whatever its types: so each rule is compiled once.
pub(super) trait Subject {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>>;
    fn call(&mut self) -> Call;
    fn again(&self) -> Box<dyn Subject>;
    /// What a call that is answered at once allocates, if that is to be known of its kind.
    fn allocations(&mut self) -> Option<u64>;
}

struct Erased<S, Q, R> {
    service: S,
    request: fn() -> Q,
    answer: fn(R) -> Answer,
    is_cost_unknown: bool,
    requests: PhantomData<fn(Q)>,
}

impl<S, Q> Subject for Erased<S, Q, S::Response>
where
    S: Service<Q, Error: Debug, Future: 'static> + Clone + 'static,
    Q: 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.service.poll_ready(cx).map_err(|error| format!("{error:?}"))
    }

    fn call(&mut self) -> Call {
        let (call, answer) = (self.service.call((self.request)()), self.answer);
        Box::pin(async move { call.await.map(answer).map_err(|error| format!("{error:?}")) })
    }

    fn again(&self) -> Box<dyn Subject> {
        Box::new(Self {
            service: self.service.clone(),
            ..*self
        })
    }

    fn allocations(&mut self) -> Option<u64> {
        if self.is_cost_unknown {
            return None;
        }
        let request = (self.request)();
        let used = allocation_counter::measure(|| {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(self.service.poll_ready(&mut cx).is_ready());
            let mut call = pin!(self.service.call(request));
            let answer = call.as_mut().poll(&mut cx);
            assert!(matches!(answer, Poll::Ready(Ok(_))));
        });
        Some(used.count_total)
    }
}

/// A layer that is to be looked at.
pub(super) struct Case {
    pub(super) world: Arc<World>,
    /// Nobody has called it: each part of a rule looks at a clone.
    service: Box<dyn Subject>,
    pub(super) known: Known,
}

impl Case {
    pub(super) fn service(&self) -> Box<dyn Subject> {
        self.service.again()
    }

    /// Calls that were given up, as each of those who count them has it.
    pub(super) fn cancelled(&self) -> Vec<(&'static str, u64)> {
        let read = |(who, reading): &(&'static str, Reading)| (*who, reading());
        self.known.cancelled.iter().map(read).collect()
    }

    /// Lets the policy forget what it has seen of the service inside.
    pub(super) async fn rest(&self) {
        if !self.known.rest.is_zero() {
            tokio::time::advance(self.known.rest).await;
        }
    }

    /// Nothing is left of any call, and another one passes.
    pub(super) async fn assert_as_new(&self, after: &str) {
        self.assert_idle(after);
        self.rest().await;
        let ended = self.call_through().await;
        assert_eq!(ended, Ok(200), "another call after {after}");
        self.assert_idle(after);
    }

    pub(super) fn assert_idle(&self, after: &str) {
        let left = self.world.alive();
        assert_eq!(left, [0; 3], "places, futures, bodies left after {after}");
        for (what, reading) in &self.known.holds {
            assert_eq!(reading(), 0, "{what} after {after}");
        }
        assert_eq!(
            self.world.calls_unready(),
            0,
            "calls of an instance that was not ready, after {after}"
        );
    }

    /// One call through a clone to the end of its body, and its status.
    pub(super) async fn call_through(&self) -> Result<u16, String> {
        through(&mut *self.service()).await
    }
}

/// One call to the end of its body, and its status.
pub(super) async fn through(service: &mut dyn Subject) -> Result<u16, String> {
    let mut answer = answered(service).await?;
    answer.read().await?;
    Ok(answer.status)
}

/// One call until there is an answer.
pub(super) async fn answered(service: &mut dyn Subject) -> Result<Answer, String> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call().await
}
