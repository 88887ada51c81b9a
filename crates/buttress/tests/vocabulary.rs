//! The vocabulary carries concerns that it was not written with: a pool of two endpoints and a waiting line, each
//! written here against the public traits alone, over plain services and over HTTP bodies that are watched to their
//! end.
#![cfg(all(feature = "circuit-breaker", feature = "http"))]

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use buttress::{
    CallError, Error, Grpc, Http, Outcome, Plain, Protocol, Rejected, RejectionKind, RequestProtocol, Token,
    Verdict,
    circuit_breaker::{CircuitBreaker, State},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service, ServiceExt, service_fn};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// ===== a pool of two endpoints =====

/// Least requests of two, with failover to the other for what may be repeated.
#[derive(Clone)]
struct TwoEndpoints<S, P> {
    endpoints: [Endpoint<S>; 2],
    protocol: P,
}

#[derive(Clone)]
struct Endpoint<S> {
    service: S,
    breaker: CircuitBreaker,
    in_flight: Arc<AtomicUsize>,
}

/// One call in flight at an endpoint, to the end of its body.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Token for InFlight {
    fn finish(self, _: Outcome) {}
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl<S, P> TwoEndpoints<S, P> {
    fn new(protocol: P, services: [S; 2]) -> Self {
        let endpoints = services.map(|service| Endpoint {
            service,
            breaker: CircuitBreaker::builder()
                .consecutive_failures(2)
                .build()
                .expect("valid"),
            in_flight: Arc::default(),
        });
        Self { endpoints, protocol }
    }

    /// The endpoints that may be used, the least busy first.
    fn ranked(&self) -> Vec<usize> {
        let now = buttress::clock::now();
        let mut usable: Vec<usize> = (0..2)
            .filter(|&i| self.endpoints[i].breaker.would_admit(now))
            .collect();
        usable.sort_by_key(|&i| self.endpoints[i].in_flight.load(SeqCst));
        usable
    }
}

impl<S, P, Q> Service<Q> for TwoEndpoints<S, P>
where
    S: Service<Q, Response: Send, Error: CallError + Send, Future: Send> + Clone + Send + 'static,
    P: Protocol<S::Response, S::Error, Response<InFlight>: Send> + RequestProtocol<Q> + Send + 'static,
    Q: Clone + Send + 'static,
{
    type Response = P::Response<InFlight>;
    type Error = S::Error;
    type Future = Boxed<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // It may choose another endpoint later, so each call drives the readiness of its own clone.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let pool = self.clone();
        Box::pin(async move {
            let repeatable = pool.protocol.repeatable(&request);
            let mut last = None;
            for i in pool.ranked() {
                let Endpoint {
                    service,
                    breaker,
                    in_flight,
                } = pool.endpoints[i].clone();
                let token = InFlight::begin(&in_flight);
                let permit = match breaker.try_acquire() {
                    Ok(permit) => permit,
                    Err(_) => continue,
                };
                let result = service.oneshot(request.clone()).await;
                // What can be said now decides on failover, before any body is read.
                let verdict = pool.protocol.verdict(&result);
                permit.record(verdict.unwrap_or(Outcome::SUCCESS));
                let failed = verdict.is_some_and(|o| o.verdict() == Verdict::Failure);
                let observed = pool.protocol.observe(result, Some(token));
                if !(failed && repeatable) {
                    return observed;
                }
                last = Some(observed);
            }
            last.unwrap_or_else(|| Err(Rejected::new(RejectionKind::NoEndpoint, "pool").into()))
        })
    }
}

// ===== a waiting line =====

/// So many calls at a time; the others wait for their turn.
#[derive(Clone)]
struct WaitingLine<S, P> {
    inner: S,
    protocol: P,
    places: Arc<Semaphore>,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    outcomes: Vec<Verdict>,
    longest: Duration,
    given_up: usize,
}

/// Made after admission: waiting is not slowness of the service. It holds the place until the body has ended.
struct Turn {
    _place: OwnedSemaphorePermit,
    books: Arc<Mutex<Books>>,
    began: buttress::clock::Instant,
    over: bool,
}

impl Token for Turn {
    fn head(&mut self, _: buttress::outcome::Head) {
        let taken = self.began.elapsed();
        let mut books = self.books.lock().expect("no panic");
        books.longest = books.longest.max(taken);
    }

    fn finish(mut self, outcome: Outcome) {
        self.over = true;
        let mut books = self.books.lock().expect("no panic");
        books.outcomes.push(outcome.verdict());
        books.longest = books.longest.max(self.began.elapsed());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.books.lock().expect("no panic").given_up += usize::from(!self.over);
    }
}

impl<S, P, Q> Service<Q> for WaitingLine<S, P>
where
    S: Service<Q, Response: Send, Error: CallError + Send, Future: Send> + Clone + Send + 'static,
    P: Protocol<S::Response, S::Error, Response<Turn>: Send> + Send + 'static,
    Q: Send + 'static,
{
    type Response = P::Response<Turn>;
    type Error = S::Error;
    type Future = Boxed<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let line = self.clone();
        Box::pin(async move {
            let Ok(_place) = line.places.acquire_owned().await else {
                return Err(Rejected::new(RejectionKind::Shed, "line").into());
            };
            let turn = Turn {
                _place,
                books: line.books,
                began: buttress::clock::now(),
                over: false,
            };
            let result = line.inner.oneshot(request).await;
            line.protocol.observe(result, Some(turn))
        })
    }
}

fn line<S, P>(places: usize, protocol: P, inner: S) -> (WaitingLine<S, P>, Arc<Mutex<Books>>) {
    let books = Arc::<Mutex<Books>>::default();
    let line = WaitingLine {
        inner,
        protocol,
        places: Arc::new(Semaphore::new(places)),
        books: books.clone(),
    };
    (line, books)
}

// ===== what they are tried on =====

/// A body that is played frame by frame, an exhausted one hanging unless it has ended.
#[derive(Debug)]
struct Script(VecDeque<Result<Frame<Bytes>, &'static str>>, bool);

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.0.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if self.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

type Answer = Result<Response<Full<Bytes>>, Error<Infallible>>;

fn answering(status: u16) -> impl Fn(Request<()>) -> std::future::Ready<Answer> + Clone {
    move |_| {
        let mut response = Response::new(Full::from("body"));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        std::future::ready(Ok(response))
    }
}

#[tokio::test]
async fn a_pool_fails_over_before_a_body_is_read_and_counts_to_its_end() {
    let mut pool = TwoEndpoints::new(
        Http::new(),
        [503, 200].map(|status| service_fn(answering(status))),
    );
    let busy = |pool: &TwoEndpoints<_, _>| pool.endpoints.each_ref().map(|e| e.in_flight.load(SeqCst));

    let response = pool
        .call(Request::get("/").body(()).expect("valid"))
        .await
        .expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(
        busy(&pool),
        [0, 1],
        "the failed response is gone, the good one in flight until it is read"
    );
    response.into_body().collect().await.expect("a body");
    assert_eq!(busy(&pool), [0, 0]);

    // A POST is not repeated: its failure is the caller's to see.
    let post = || Request::post("/").body(()).expect("valid");
    assert_eq!(pool.call(post()).await.expect("answered").status(), 503);
    // Two failures opened that endpoint; it is passed over now.
    assert_eq!(pool.endpoints[0].breaker.state(), State::Open);
    assert_eq!(pool.call(post()).await.expect("answered").status(), 200);

    pool.endpoints[1].breaker.force_open();
    let error = pool.call(post()).await.expect_err("none left");
    assert_eq!(
        error.rejected().map(|r| r.kind()),
        Some(RejectionKind::NoEndpoint)
    );
    assert_eq!(busy(&pool), [0, 0]);
}

#[tokio::test]
async fn a_pool_of_plain_services_needs_nothing_else() {
    let up = |n: u32| std::future::ready(Ok::<_, Error<&str>>(n + 1));
    let down = |_: u32| std::future::ready(Err(Error::Inner("down")));
    type Plainly = fn(u32) -> std::future::Ready<Result<u32, Error<&'static str>>>;
    let services: [Plainly; 2] = [down, up];
    let mut pool = TwoEndpoints::new(Plain::new(), services.map(service_fn));
    assert_eq!(pool.call(1).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_line_holds_its_place_to_the_end_of_the_body() {
    let (mut line, books) = line(1, Http::new(), service_fn(answering(200)));
    let get = || Request::get("/").body(()).expect("valid");
    let first = line.call(get()).await.expect("answered");
    let mut second = tokio_test::task::spawn(line.call(get()));
    assert!(second.poll().is_pending(), "the first one's body is not read yet");

    tokio::time::advance(Duration::from_secs(10)).await;
    first.into_body().collect().await.expect("a body");
    assert!(second.is_woken());
    let second = second.await.expect("answered");
    drop(second);

    let books = books.lock().expect("no panic");
    assert_eq!(books.outcomes, [Verdict::Success]);
    assert_eq!(books.given_up, 1, "the second body was dropped unread");
    assert_eq!(
        books.longest,
        Duration::from_secs(10),
        "the first was read late; waiting counted for nothing"
    );
}

#[tokio::test]
async fn one_that_gives_up_waiting_was_never_begun() {
    let (mut line, books) = line(
        1,
        Plain::new(),
        service_fn(async |n: u32| Ok::<_, Error<Infallible>>(n)),
    );
    let place = line.places.clone().acquire_owned().await.expect("open");
    let mut waiting = tokio_test::task::spawn(line.call(1));
    assert!(waiting.poll().is_pending());
    drop(waiting);
    drop(place);
    assert_eq!(line.call(2).await, Ok(2));
    let books = books.lock().expect("no panic");
    assert_eq!((books.outcomes.len(), books.given_up), (1, 0));
}

#[tokio::test]
async fn both_stand_on_each_other_and_on_the_layers() {
    // Line over pool over breaker over a gRPC stream that fails in its trailers.
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .expect("valid");
    let stream = |_: Request<()>| async {
        let trailers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("14"),
        )]);
        let frames = [
            Ok(Frame::data(Bytes::from("some"))),
            Ok(Frame::trailers(trailers)),
        ];
        Ok::<_, Error<Infallible>>(Response::new(Script(frames.into(), true)))
    };
    let protected = breaker.layer_for(Grpc::new()).layer(service_fn(stream));
    let pool = TwoEndpoints::new(Grpc::new(), [protected.clone(), protected]);
    let (mut line, books) = line(4, Grpc::new(), pool);

    let response = line.call(Request::new(())).await.expect("headers are well");
    assert_eq!(
        breaker.state(),
        State::Closed,
        "nothing is decided before the trailers"
    );
    let mut body = response.into_body();
    while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(books.lock().expect("no panic").outcomes, [Verdict::Failure]);
}
