//! What a server's stack makes of bodies that go on: over axum, and over hyper alone by `TowerToHyperService`.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use buttress::{
    Http, Stack,
    circuit_breaker::{CircuitBreaker, State},
    metrics::Metrics,
    recover::{Place, Recover},
    stack::FullServer,
};
use buttress_tests::{
    books::{Books, CANCELLED, Ends, FAILURE, NOTHING, SUCCESS},
    scripted::{Calls, Handler, handler, status},
    server, soon,
    watch::{Gone, watch},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// HTTP/1 and HTTP/2.
fn clients() -> [Client; 2] {
    let client = |http2| {
        legacy::Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http()
    };
    [client(false), client(true)]
}

type Started = tokio::task::JoinHandle<Result<Response<Incoming>, legacy::Error>>;

fn get(client: &Client, address: SocketAddr) -> Started {
    let uri = format!("http://{address}/").parse().expect("a uri");
    tokio::spawn(client.get(uri))
}

async fn answered(call: Started) -> Response<Incoming> {
    soon(call).await.expect("no panic").expect("an answer")
}

async fn first_frame(body: &mut Incoming) -> Bytes {
    let frame = soon(body.frame()).await.expect("a frame").expect("no error");
    frame.into_data().expect("data")
}

/// A handler that is played, behind a stack of these policies, on an axum server.
async fn axum(books: &Books, recover: Option<Recover>) -> (SocketAddr, Calls<axum::body::Body>, Gone) {
    let (watch, gone) = watch();
    let stack = Stack::http_server("api")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(recover)
        .outside(watch)
        .build();
    let (handler, calls) = handler();
    let server = server::axum(Router::new().fallback_service(handler).layer(stack)).await;
    (server, calls, gone)
}

/// The same on hyper alone.
async fn hyper(books: &Books, recover: Option<Recover>) -> (SocketAddr, Calls<Incoming>, Gone) {
    let (watch, gone) = watch();
    let stack = Stack::http_server("api")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(recover)
        .outside(watch)
        .build();
    let (handler, calls) = handler();
    let service = stack.service(handler);
    let server = server::connections(move |connection| {
        let service = TowerToHyperService::new(service.clone());
        async move {
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service)
                .await
        }
    })
    .await;
    (server, calls, gone)
}

fn half_open(successes: u32) -> Books {
    let breaker = CircuitBreaker::builder()
        .half_open_probes(1)
        .success_threshold(successes)
        .open_for(Duration::from_secs(200))
        .build()
        .expect("good options");
    breaker.transition_to(State::HalfOpen);
    Books {
        breaker,
        metrics: Metrics::new(),
    }
}

/// Runs a test's body with each kind of server and each kind of client.
macro_rules! everywhere {
    ($books:expr, $recover:expr, |$b:ident, $client:ident, $server:ident, $calls:ident, $gone:ident| $body:block) => {
        for $client in clients() {
            {
                let $b = $books;
                let ($server, mut $calls, mut $gone) = axum(&$b, $recover).await;
                $body
            }
            {
                let $b = $books;
                let ($server, mut $calls, mut $gone) = hyper(&$b, $recover).await;
                $body
            }
        }
    };
}

#[tokio::test]
async fn an_answer_is_a_success_once_its_end_is_sent() {
    everywhere!(Books::new(), None, |books, client, server, calls, gone| {
        let call = get(&client, server);
        let frames = calls.next().await.begin(status(200));
        frames.data("hel");
        let mut body = answered(call).await.into_body();
        assert_eq!(first_frame(&mut body).await, "hel");
        assert_eq!(books.metrics.snapshot().in_flight, 1, "it is not over");
        frames.data("lo");
        drop(frames);
        assert_eq!(soon(body.collect()).await.expect("the rest").to_bytes(), "lo");
        gone.one().await;
        assert_eq!(books.ends(), SUCCESS);
    });
}

#[tokio::test]
async fn streams_without_an_end_close_a_half_open_breaker() {
    everywhere!(half_open(2), None, |books, client, server, calls, _gone| {
        let mut running = Vec::new();
        for _ in 0..2 {
            assert_eq!(books.breaker.state(), State::HalfOpen);
            let call = get(&client, server);
            let frames = calls
                .next()
                .await
                .begin(status(200).header("content-type", "text/event-stream"));
            let mut body = answered(call).await.into_body();
            frames.data("data: 1\n\n");
            assert_eq!(first_frame(&mut body).await, "data: 1\n\n");
            running.push((frames, body));
        }
        assert_eq!(books.breaker.state(), State::Closed);
        assert_eq!(books.metrics.snapshot().in_flight, 2);
    });
}

#[tokio::test]
async fn a_client_that_goes_away_in_mid_stream_is_cancelled_and_its_slot_comes_back() {
    everywhere!(half_open(2), None, |books, client, server, calls, gone| {
        // Before the headers.
        let call = get(&client, server);
        let arrived = calls.next().await;
        call.abort();
        assert!(call.await.expect_err("aborted").is_cancelled());
        arrived.given_up().await;
        gone.one().await;
        assert_eq!(
            (books.ends(), books.breaker.state()),
            (CANCELLED, State::HalfOpen)
        );

        // After the headers, which are proof enough; and after data, which was.
        for (dropped, state) in [(2, State::HalfOpen), (3, State::Closed)] {
            let call = get(&client, server);
            let frames = calls.next().await.begin(status(200));
            let mut body = answered(call).await.into_body();
            if dropped == 3 {
                frames.data("x");
                first_frame(&mut body).await;
            }
            drop(body);
            frames.dropped().await;
            gone.one().await;
            let expected = Ends {
                cancelled: dropped,
                ..NOTHING
            };
            assert_eq!((books.ends(), books.breaker.state()), (expected, state));
        }
    });
}

#[tokio::test]
async fn a_body_that_breaks_is_a_failure_and_looks_broken() {
    everywhere!(Books::new(), None, |books, client, server, calls, gone| {
        let call = get(&client, server);
        let frames = calls.next().await.begin(status(200));
        frames.data("hel");
        let mut body = answered(call).await.into_body();
        first_frame(&mut body).await;
        frames.break_off();
        soon(body.collect()).await.expect_err("it broke");
        gone.one().await;
        assert_eq!(books.ends(), FAILURE);
    });
}

#[tokio::test]
async fn a_body_that_panics_looks_broken_and_the_server_lives() {
    let recover = Recover::new();
    let mut panics = 0;
    everywhere!(
        Books::new(),
        Some(recover.clone()),
        |books, client, server, calls, gone| {
            // One that runs meanwhile: on HTTP/2 over the same connection.
            let call = get(&client, server);
            let other = calls.next().await.begin(status(200));
            let mut untouched = answered(call).await.into_body();

            let call = get(&client, server);
            let frames = calls.next().await.begin(status(200));
            frames.data("hel");
            let mut body = answered(call).await.into_body();
            first_frame(&mut body).await;
            frames.panic();
            soon(body.collect())
                .await
                .expect_err("a clean end would make half an answer a whole one");
            gone.one().await;
            panics += 1;
            assert_eq!(recover.panics_in(Place::Body), panics);
            let snapshot = books.breaker.snapshot();
            assert_eq!((snapshot.failure, snapshot.success), (1, 0));

            other.data("fine");
            assert_eq!(first_frame(&mut untouched).await, "fine");
            drop(other);
            soon(untouched.collect()).await.expect("a whole body");
            let call = get(&client, server);
            calls.next().await.end(status(200));
            assert_eq!(answered(call).await.status(), 200);
            gone.one().await;
            gone.one().await;
            assert_eq!(
                books.ends(),
                Ends {
                    success: 2,
                    failure: 1,
                    ..NOTHING
                }
            );
        }
    );
}

#[tokio::test]
async fn a_body_that_panics_is_counted_though_nothing_catches_it() {
    everywhere!(Books::new(), None, |books, client, server, calls, gone| {
        let call = get(&client, server);
        let frames = calls.next().await.begin(status(200));
        frames.data("hel");
        let mut body = answered(call).await.into_body();
        first_frame(&mut body).await;
        frames.panic();
        soon(body.collect()).await.expect_err("its task is gone");
        gone.one().await;
        assert_eq!(books.ends(), FAILURE);
        assert_eq!(books.metrics.snapshot().outcomes.panicked, 1);
    });
}

#[tokio::test]
async fn hyper_alone_serves_refusals_and_panics() {
    let books = Books::new();
    let stack: FullServer<Http> = Stack::http_server("api")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(Recover::new())
        .full()
        .build();
    let service = stack.service(service_fn(
        async |_: Request<Incoming>| -> Result<Response<Full<Bytes>>, _> {
            panic!("unlucky");
            #[allow(unreachable_code)]
            Err(std::io::Error::other("for its type"))
        },
    ));
    let server = server::connections(move |connection| {
        let service = TowerToHyperService::new(service.clone());
        async move {
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service)
                .await
        }
    })
    .await;
    for client in clients() {
        assert_eq!(answered(get(&client, server)).await.status(), 500);
        books.breaker.transition_to(State::Open);
        let refused = answered(get(&client, server)).await;
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        let body = soon(refused.into_body().collect())
            .await
            .expect("a whole body")
            .to_bytes();
        assert!(body.starts_with(br#"{"error":{"kind":"circuit_open""#));
        books.breaker.reset();
    }
}

/// A megabyte in which no two places look alike, in frames of odd sizes.
fn megabyte() -> Bytes {
    (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect()
}

fn streamed(data: Bytes) -> BoxBody<Bytes, std::convert::Infallible> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("as sent"));
    let frames: Vec<_> = data
        .chunks(10_007)
        .map(|chunk| Ok(Frame::data(data.slice_ref(chunk))))
        .chain([Ok(Frame::trailers(trailers))])
        .collect();
    StreamBody::new(tokio_stream::iter(frames)).boxed()
}

#[tokio::test]
async fn a_megabyte_with_trailers_passes_unchanged_both_ways() {
    let (here, there) = (Books::new(), Books::new());
    let stack = Stack::http_server("there")
        .metrics(there.metrics.clone())
        .circuit_breaker(there.breaker.clone())
        .recover()
        .build();
    // It gives back what it gets, frame by frame.
    let echo = service_fn(async |request: Request<Incoming>| {
        Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
    });
    let service = ServiceBuilder::new().layer(stack).service(echo);
    let server = server::connections(move |connection| {
        let service = TowerToHyperService::new(service.clone());
        async move {
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service)
                .await
        }
    })
    .await;

    let client = Stack::http_client("here")
        .metrics(here.metrics.clone())
        .circuit_breaker(here.breaker.clone())
        .recover()
        .build()
        .service(
            legacy::Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
        );
    let sent = megabyte();
    let request = Request::post(format!("http://{server}/"))
        .body(streamed(sent.clone()))
        .expect("a good request");
    let response = soon(client.oneshot(request)).await.expect("an answer");
    let whole = soon(response.into_body().collect()).await.expect("a whole body");
    assert_eq!(whole.trailers().expect("trailers")["x-checksum"], "as sent");
    assert!(whole.to_bytes() == sent);
    assert_eq!((here.ends(), there.ends()), (SUCCESS, SUCCESS));
}

#[tokio::test]
async fn an_answer_with_a_length_keeps_it() {
    let (handler, mut calls): (Handler<axum::body::Body>, _) = handler();
    let stack = Stack::http_server("api")
        .metrics(Metrics::new())
        .recover()
        .build();
    let app = Router::new()
        .route("/hello", axum::routing::get(|| async { "hello" }))
        .fallback_service(handler)
        .layer(stack);
    let server = server::axum(app).await;
    let [http1, _] = clients();
    let uri = format!("http://{server}/hello").parse().expect("a uri");
    let response = soon(http1.get(uri)).await.expect("an answer");
    assert_eq!(response.headers()["content-length"], "5");
    let call = get(&http1, server);
    calls.next().await.end(status(200));
    assert_eq!(answered(call).await.headers()["content-length"], "0");
}
