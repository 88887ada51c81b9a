//! HTTP and gRPC: where the class comes from, and how long a slot is kept.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Service, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{CallContext, Error, Grpc, Http, RequestProtocol};

type Refusal = Error<Infallible>;

/// A body of so many pieces.
#[derive(Debug)]
struct Pieces(u32);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
    }
}

/// Running calls once the headers are there, once a piece is, and in the end.
async fn held<P>(
    protocol: P,
    options: PriorityQueueBuilder,
    request: Request<()>,
    response: fn() -> Response<Pieces>,
) -> [u32; 3]
where
    P: RequestProtocol<Request<()>> + crate::Protocol<Response<Pieces>, Refusal, Response<Permit>: IntoBody>,
{
    let queue = built(options);
    let mut service = queue.layer_for(protocol).layer(service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Refusal>(response()))
    }));
    let response = service.call(request).await.expect("an answer");
    let mut body = std::pin::pin!(response.into_the_body());
    let at_head = queue.status().running;
    body.frame().await;
    let at_piece = queue.status().running;
    while body.frame().await.is_some() {}
    let status = queue.status();
    assert_eq!(status.completed + status.failed, 1, "{status:?}");
    [at_head, at_piece, status.running]
}

trait IntoBody {
    fn into_the_body(self) -> impl Body;
}

impl<B: Body> IntoBody for Response<B> {
    fn into_the_body(self) -> impl Body {
        self.into_body()
    }
}

fn get() -> Request<()> {
    Request::new(())
}

fn download() -> Response<Pieces> {
    Response::new(Pieces(3))
}

fn events() -> Response<Pieces> {
    let mut response = download();
    let event_stream = "Text/Event-Stream; charset=utf-8".parse().expect("a value");
    response.headers_mut().insert("content-type", event_stream);
    response
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_kept_to_the_end_of_the_body() {
    assert_eq!(held(Http::new(), queue(1, 1), get(), download).await, [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_end_keeps_its_slot_to_the_headers() {
    assert_eq!(held(Http::new(), queue(1, 1), get(), events).await, [0, 0, 0]);
    let upgrade = || {
        let mut response = download();
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response
    };
    assert_eq!(held(Http::new(), queue(1, 1), get(), upgrade).await, [0, 0, 0]);
    let connect = || {
        let mut request = get();
        *request.method_mut() = Method::CONNECT;
        request
    };
    assert_eq!(
        held(Http::new(), queue(1, 1), connect(), download).await,
        [0, 0, 0]
    );
    assert_eq!(held(Grpc::new(), queue(1, 1), get(), download).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_slot_is_kept_can_be_chosen_for_all_and_for_a_route() {
    let end = || queue(1, 1).hold(Hold::End);
    assert_eq!(held(Http::new(), end(), get(), events).await, [1, 1, 0]);
    let headers = || queue(1, 1).hold(Hold::Headers);
    assert_eq!(held(Http::new(), headers(), get(), download).await, [0, 0, 0]);
    let by_route = || queue(1, 1).hold_route("/chat.Room/Say", Hold::End);
    let to = |path: &str| Request::builder().uri(path).body(()).expect("a request");
    assert_eq!(
        held(Grpc::new(), by_route(), to("/chat.Room/Say"), download).await,
        [1, 1, 0]
    );
    assert_eq!(
        held(Grpc::new(), by_route(), to("/chat.Room/Join"), download).await,
        [0, 0, 0]
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_gives_the_slot_back() {
    let queue = built(queue(1, 1));
    let mut service = queue.layer_for(Http::new()).layer(service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Refusal>(download()))
    }));
    let response = service.call(get()).await.expect("an answer");
    assert_eq!(queue.status().running, 1);
    drop(response);
    let status = queue.status();
    assert_eq!((status.running, status.cancelled), (0, 1));
}

/// The class that a request gets, from a queue that is full.
fn class_of<P>(protocol: P, options: PriorityQueueBuilder, request: Request<()>) -> u8
where
    P: RequestProtocol<Request<()>> + crate::Protocol<Response<Pieces>, Refusal>,
{
    let queue = built(options);
    let _slot = queue.try_acquire(60).expect("free");
    let mut service = queue.layer_for(protocol).layer(service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Refusal>(download()))
    }));
    let mut call = tokio_test::task::spawn(service.call(request));
    assert!(call.poll().is_pending());
    queue.status().queued_by_class[0].0.get()
}

fn claiming(value: &str) -> Request<()> {
    Request::builder()
        .uri("/chat.Room/Join")
        .header("priority", value)
        .body(())
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_believed_only_if_configured_and_only_within_bounds() {
    assert_eq!(
        class_of(Http::new(), queue(1, 1), claiming("u=0")),
        60,
        "nobody asked"
    );
    let configured = || queue(1, 1).classifier(Classifier::new().field("priority"));
    assert_eq!(
        class_of(Http::new(), configured(), claiming("u=0")),
        80,
        "no higher than that"
    );
    assert_eq!(class_of(Http::new(), configured(), claiming("u=7")), 20);
    assert_eq!(class_of(Http::new(), configured(), claiming("background")), 20);
    assert_eq!(class_of(Http::new(), configured(), claiming("nonsense")), 60);
    assert_eq!(class_of(Http::new(), configured(), get()), 60);
    assert_eq!(class_of(Grpc::new(), configured(), claiming("33")), 33);
    let trusting = Classifier::new()
        .field("priority")
        .claims(Priority::LOW..=Priority::CRITICAL);
    let trusting = || queue(1, 1).classifier(trusting.clone());
    assert_eq!(class_of(Http::new(), trusting(), claiming("u=0")), 100);
    assert_eq!(class_of(Http::new(), trusting(), claiming("u=7")), 40);
}

#[tokio::test(start_paused = true)]
async fn a_route_has_its_class_and_no_claim_goes_above_it() {
    let routes = Classifier::new()
        .route("/chat.Room/Join", Priority::LOW)
        .otherwise(Priority::BACKGROUND);
    let with_claims = routes.clone().field("priority");
    let by_route = || queue(1, 1).classifier(routes.clone());
    assert_eq!(class_of(Grpc::new(), by_route(), claiming("u=0")), 40);
    assert_eq!(class_of(Grpc::new(), by_route(), get()), 20);
    let both = || queue(1, 1).classifier(with_claims.clone());
    assert_eq!(class_of(Grpc::new(), both(), claiming("u=0")), 40);
    assert_eq!(class_of(Grpc::new(), both(), claiming("u=7")), 20);
}

#[tokio::test(start_paused = true)]
async fn what_this_process_says_goes_before_what_a_client_claims() {
    let configured = || queue(1, 1).classifier(Classifier::new().field("priority"));
    let mut request = claiming("u=7");
    let mut context = CallContext::new();
    context.set_priority(77);
    request.extensions_mut().insert(context);
    assert_eq!(class_of(Http::new(), configured(), request.clone()), 77);
    request.extensions_mut().insert(Priority::CRITICAL);
    assert_eq!(class_of(Http::new(), configured(), request), 100);
}

#[tokio::test(start_paused = true)]
async fn inner_layers_find_class_and_tally_in_the_request() {
    let queue = built(queue(1, 1).classifier(Classifier::new().otherwise(Priority::HIGH)));
    let mut service = queue
        .layer_for(Http::new())
        .layer(service_fn(|request: Request<()>| {
            let context = request.extensions().get::<CallContext>();
            assert_eq!(context.and_then(CallContext::priority), Some(80));
            std::future::ready(Ok::<_, Refusal>(download()))
        }));
    let context = CallContext::new();
    let tally = context.tally().clone();
    let mut request = get();
    request.extensions_mut().insert(context);
    let slot = queue.try_acquire(60).expect("free");
    let mut call = tokio_test::task::spawn(service.call(request));
    tokio_test::assert_pending!(call.poll());
    advance(ms(12)).await;
    drop(slot);
    tokio_test::assert_ready!(call.poll()).expect("an answer");
    assert_eq!(tally.queued(), ms(12));
}
