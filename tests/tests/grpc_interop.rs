//! gRPC's [interoperability cases][cases], as far as tonic itself is tested with them, with a whole stack on the client,
//! on the server, and on both, each against tonic's own other side.
//!
//! [cases]: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use buttress::{
    Registry, circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry, timeout::Deadline,
    trace_id::TraceId,
};
use buttress_tests::{
    interop::{
        Channel, ECHO_INITIAL, ECHO_TRAILING, EchoStatus, Echoed, Empty, ResponseParameters, SimpleRequest,
        StreamingInputCallRequest, StreamingOutputCallRequest, TestService, TestServiceClient,
        TestServiceServer, UnimplementedServiceClient, payload,
    },
    server, soon,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Status,
    body::Body,
    metadata::MetadataValue,
    transport::{Endpoint, Server},
};
use tower::{BoxError, ServiceExt, layer::layer_fn, util::BoxCloneSyncService};
use tower_service::Service;

/// A client of a server, and the books of the stacks that are there.
struct Sides {
    channel: Channel,
    books: Vec<Metrics>,
}

impl Sides {
    async fn set_up(on_client: bool, on_server: bool) -> Self {
        let mut books = Vec::new();
        let address = if on_server {
            let metrics = Metrics::new();
            books.push(metrics.clone());
            let stack = buttress_tonic::server("interop")
                .registry(&Registry::new())
                .trace_id(TraceId::w3c())
                .metrics(metrics)
                .deadline(Deadline::new())
                .circuit_breaker(CircuitBreaker::new())
                .recover()
                .build();
            server::tonic(|incoming| {
                Server::builder()
                    .layer(layer_fn(Echo))
                    .layer(stack)
                    .add_service(TestServiceServer::new(TestService))
                    .serve_with_incoming(incoming)
            })
            .await
        } else {
            server::tonic(|incoming| {
                Server::builder()
                    .layer(layer_fn(Echo))
                    .add_service(TestServiceServer::new(TestService))
                    .serve_with_incoming(incoming)
            })
            .await
        };
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address")
            .connect_lazy();
        let channel = if on_client {
            let metrics = Metrics::new();
            books.push(metrics.clone());
            let stack = buttress_tonic::client("interop")
                .trace_id(TraceId::w3c())
                .metrics(metrics)
                .total_timeout(Duration::from_secs(20))
                .expect("a good limit")
                .retry(Retry::standard())
                .circuit_breaker(CircuitBreaker::new())
                .attempt_timeout(Duration::from_secs(10))
                .expect("a good limit")
                .recover()
                .build();
            let service = stack
                .service(channel)
                .map_response(|response| response.map(Body::new));
            BoxCloneSyncService::new(service)
        } else {
            BoxCloneSyncService::new(channel.map_err(|error| Status::from_error(error.into())))
        };
        Self { channel, books }
    }

    fn client(&self) -> TestServiceClient<Channel> {
        TestServiceClient::new(self.channel.clone())
    }

    /// Every call has ended, and was seen by every stack.
    async fn settled(self, calls: u64) {
        for metrics in self.books {
            soon(async {
                while metrics.snapshot().in_flight > 0 || metrics.snapshot().requests() < calls {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            assert_eq!(metrics.snapshot().requests(), calls);
        }
    }
}

/// What tonic's interop server does, too: metadata that come back. A service, since the body changes its type.
#[derive(Clone, Debug)]
struct Echo<S>(S);

impl<S, B> Service<http::Request<Body>> for Echo<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Future: Send + 'static>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echoed = Echoed::of(&request);
        let answer = self.0.call(request);
        Box::pin(async move { Ok(echoed.into_answer(answer.await?.map(Body::new))) })
    }
}

// ===== the cases =====

async fn empty_unary(sides: Sides) {
    let reply = soon(sides.client().empty_call(Empty {})).await.expect("a reply");
    assert_eq!(reply.into_inner(), Empty {});
    sides.settled(1).await;
}

async fn large_unary(sides: Sides) {
    let request = SimpleRequest {
        response_size: 314_159,
        payload: payload(271_828),
        response_status: None,
    };
    let reply = soon(sides.client().unary_call(request)).await.expect("a reply");
    let body = reply.into_inner().payload.expect("a payload").body;
    assert_eq!(body.len(), 314_159);
    assert!(body.iter().all(|&byte| byte == 0));
    sides.settled(1).await;
}

async fn client_streaming(sides: Sides) {
    let requests = [27_182, 8, 1_828, 45_904].map(|size| StreamingInputCallRequest {
        payload: payload(size),
    });
    let reply = soon(sides.client().streaming_input_call(tokio_stream::iter(requests))).await;
    assert_eq!(
        reply.expect("a reply").into_inner().aggregated_payload_size,
        74_922
    );
    sides.settled(1).await;
}

fn sized(size: i32) -> ResponseParameters {
    ResponseParameters { size, interval_us: 0 }
}

async fn server_streaming(sides: Sides) {
    let sizes = [31_415, 9, 2_653, 58_979];
    let request = StreamingOutputCallRequest {
        response_parameters: sizes.map(sized).into(),
        ..Default::default()
    };
    let replies = soon(sides.client().streaming_output_call(request))
        .await
        .expect("headers");
    let replies: Vec<_> = soon(replies.into_inner().collect()).await;
    let got: Vec<_> = replies
        .into_iter()
        .map(|reply| reply.expect("a reply").payload.expect("a payload").body.len() as i32)
        .collect();
    assert_eq!(got, sizes);
    sides.settled(1).await;
}

fn ping(of: i32, size: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![sized(of)],
        payload: payload(size),
        response_status: None,
    }
}

async fn ping_pong(sides: Sides) {
    let (send, requests) = mpsc::channel(1);
    send.send(ping(31_415, 27_182)).await.expect("there is room");
    let replies = soon(sides.client().full_duplex_call(ReceiverStream::new(requests))).await;
    let mut replies = replies.expect("headers").into_inner();
    for (of, next) in [
        (31_415, Some((9, 8))),
        (9, Some((2_653, 1_828))),
        (2_653, Some((58_979, 45_904))),
        (58_979, None),
    ] {
        let reply = soon(replies.message()).await.expect("no error").expect("a reply");
        assert_eq!(reply.payload.expect("a payload").body.len() as i32, of);
        if let Some((of, size)) = next {
            send.send(ping(of, size)).await.expect("there is room");
        }
    }
    drop(send);
    assert_eq!(soon(replies.message()).await.expect("no error"), None);
    sides.settled(1).await;
}

async fn empty_stream(sides: Sides) {
    let nothing = tokio_stream::empty::<StreamingOutputCallRequest>();
    let replies = soon(sides.client().full_duplex_call(nothing))
        .await
        .expect("headers");
    assert_eq!(
        soon(replies.into_inner().message()).await.expect("no error"),
        None
    );
    sides.settled(1).await;
}

async fn custom_metadata(sides: Sides) {
    let (initial, trailing) = ("test_initial_metadata_value", [0xab, 0xab, 0xab]);
    fn with<T>(message: T, initial: &'static str, trailing: &[u8]) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(ECHO_INITIAL.as_str(), MetadataValue::from_static(initial));
        metadata.insert_bin(ECHO_TRAILING.as_str(), MetadataValue::from_bytes(trailing));
        request
    }

    let request = SimpleRequest {
        response_size: 314_159,
        payload: payload(271_828),
        response_status: None,
    };
    let reply = soon(sides.client().unary_call(with(request, initial, &trailing)))
        .await
        .expect("a reply");
    // Of a unary call tonic gives both as one.
    let metadata = reply.metadata();
    assert_eq!(
        metadata.get(ECHO_INITIAL.as_str()).expect("it came back"),
        initial
    );
    let back = metadata.get_bin(ECHO_TRAILING.as_str()).expect("it came back");
    assert_eq!(back.to_bytes().expect("base64"), &trailing[..]);

    let pings = tokio_stream::iter([ping(314_159, 271_828)]);
    let reply = soon(sides.client().full_duplex_call(with(pings, initial, &trailing)))
        .await
        .expect("headers");
    assert_eq!(
        reply.metadata().get(ECHO_INITIAL.as_str()).expect("it came back"),
        initial
    );
    let mut replies = reply.into_inner();
    while soon(replies.message()).await.expect("no error").is_some() {}
    let trailers = soon(replies.trailers())
        .await
        .expect("no error")
        .expect("trailers");
    let back = trailers.get_bin(ECHO_TRAILING.as_str()).expect("it came back");
    assert_eq!(back.to_bytes().expect("base64"), &trailing[..]);
    sides.settled(2).await;
}

async fn status_comes_back(sides: Sides, message: &str) {
    let status = EchoStatus {
        code: 2,
        message: message.to_owned(),
    };
    let unary = SimpleRequest {
        response_status: Some(status.clone()),
        ..Default::default()
    };
    let streamed = StreamingOutputCallRequest {
        response_status: Some(status),
        ..Default::default()
    };
    let refused = soon(sides.client().unary_call(unary))
        .await
        .expect_err("as asked");
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, message));

    let refused = match soon(sides.client().full_duplex_call(tokio_stream::iter([streamed]))).await {
        Err(status) => status,
        Ok(replies) => soon(replies.into_inner().message()).await.expect_err("as asked"),
    };
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, message));
    sides.settled(2).await;
}

async fn status_code_and_message(sides: Sides) {
    status_comes_back(sides, "test status message").await;
}

async fn special_status_message(sides: Sides) {
    status_comes_back(
        sides,
        "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n",
    )
    .await;
}

async fn unimplemented_method(sides: Sides) {
    let status = soon(sides.client().unimplemented_call(Empty {}))
        .await
        .expect_err("nobody does");
    assert_eq!(status.code(), Code::Unimplemented);
    sides.settled(1).await;
}

async fn unimplemented_service(sides: Sides) {
    let mut client = UnimplementedServiceClient::new(sides.channel.clone());
    let status = soon(client.unimplemented_call(Empty {}))
        .await
        .expect_err("nobody does");
    assert_eq!(status.code(), Code::Unimplemented);
    sides.settled(1).await;
}

async fn cancel_after_begin(sides: Sides) {
    let (send, requests) = mpsc::channel::<StreamingInputCallRequest>(1);
    let mut client = sides.client();
    let call = tokio::spawn(async move { client.streaming_input_call(ReceiverStream::new(requests)).await });
    // It has begun: what is sent now is taken.
    for size in [1, 1, 1] {
        let request = StreamingInputCallRequest {
            payload: payload(size),
        };
        soon(send.send(request)).await.expect("the call is running");
    }
    for metrics in &sides.books {
        soon(async {
            while metrics.snapshot().in_flight == 0 {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
    call.abort();
    assert!(call.await.expect_err("given up").is_cancelled());
    let books = sides.books.clone();
    sides.settled(1).await;
    assert!(
        books
            .iter()
            .all(|metrics| metrics.snapshot().outcomes.cancelled == 1)
    );
}

async fn cancel_after_first_response(sides: Sides) {
    let (send, requests) = mpsc::channel(1);
    send.send(ping(31_415, 27_182)).await.expect("there is room");
    let replies = soon(sides.client().full_duplex_call(ReceiverStream::new(requests))).await;
    let mut replies = replies.expect("headers").into_inner();
    soon(replies.message()).await.expect("no error").expect("a reply");
    drop(replies);
    // hyper resets the stream when both of its halves are given up.
    drop(send);
    let books = sides.books.clone();
    sides.settled(1).await;
    assert!(
        books
            .iter()
            .all(|metrics| metrics.snapshot().outcomes.cancelled == 1)
    );
}

async fn timeout_on_sleeping_server(sides: Sides) {
    if sides.books.is_empty() {
        // tonic alone limits the time to the headers, which here come at once.
        return;
    }
    let sleepy = StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters {
            size: 31_415,
            interval_us: 60_000_000,
        }],
        ..Default::default()
    };
    let mut request = Request::new(tokio_stream::iter([sleepy]));
    request.set_timeout(Duration::from_millis(1));
    let status = match soon(sides.client().full_duplex_call(request)).await {
        Err(status) => status,
        Ok(replies) => soon(replies.into_inner().message()).await.expect_err("too late"),
    };
    // tonic's own client says `CANCELLED` of the time limit that it has set itself.
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    for metrics in &sides.books {
        soon(async {
            while metrics.snapshot().in_flight > 0 {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
}

macro_rules! cases {
    ($($case:ident)*) => {
        cases! { @ on_the_client (true, false) $($case)* }
        cases! { @ on_the_server (false, true) $($case)* }
        cases! { @ on_both (true, true) $($case)* }
        // That the cases are what they should be, without us.
        cases! { @ on_neither (false, false) $($case)* }
    };
    (@ $sides:ident ($client:literal, $server:literal) $($case:ident)*) => {
        mod $sides {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(super::Sides::set_up($client, $server).await).await;
                }
            )*
        }
    };
}

cases! {
    empty_unary large_unary client_streaming server_streaming ping_pong empty_stream custom_metadata
    status_code_and_message special_status_message unimplemented_method unimplemented_service cancel_after_begin
    cancel_after_first_response timeout_on_sleeping_server
}
