//! HTTP and gRPC: contexts in the extensions, `grpc-timeout`, bodies.

use std::future::{pending, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::WithTrailers};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{ServiceBuilder, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    BodyProtocol, Grpc, Http, RequestProtocol,
    http::respond::RespondLayer,
    timeout::{Deadline, DeadlineLayer, Timeout, TimeoutLayer},
};

fn asking(timeout: &str) -> Request<()> {
    Request::builder()
        .header("grpc-timeout", timeout)
        .body(())
        .expect("a request")
}

fn attempt(time: u64) -> Timeout {
    Timeout::after(millis(time))
        .name("attempt")
        .build()
        .expect("valid limits")
}

/// Answers with what arrived: the time left by the context in its extensions, and its `grpc-timeout`.
#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<(Option<u64>, Option<String>)>;
    type Error = Refusal;
    type Future = std::future::Ready<Result<Self::Response, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let context = request.extensions().get::<CallContext>();
        if let Some(around) = CallContext::current() {
            assert_eq!(
                around.deadline(),
                context.and_then(CallContext::deadline),
                "both ways lead to the same deadline"
            );
        }
        let left = context.and_then(|c| Some(c.deadline()?.duration_since(clock::now())));
        let left = left.map(|left| u64::try_from(left.as_millis()).expect("short"));
        let asked = request.headers().get("grpc-timeout");
        let asked = asked.map(|v| v.to_str().expect("ASCII").to_owned());
        ready(Ok(Response::new((left, asked))))
    }
}

/// What arrives behind a deadline for gRPC.
async fn arrives(deadline: &Deadline, request: Request<()>) -> Option<u64> {
    let response = deadline.layer_for(Grpc::new()).layer(Echo).call(request).await;
    response.expect("in time").into_body().into_inner().0
}

impl<B> super::super::TimeoutBody<B> {
    fn into_inner(self) -> B {
        self.take().expect("it has not timed out")
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_reads_the_clients_deadline_and_caps_it() {
    let server = Deadline::after(millis(60_000))
        .default_total(millis(15_000))
        .build()
        .expect("valid limits");
    for (asked, left) in [
        ("2S", 2000),
        ("250m", 250),
        ("1M", 60_000),
        ("99999999H", 60_000),
        ("99999999M", 60_000),
        // No timeout by the letter: as if there were none.
        ("2s", 15_000),
        ("", 15_000),
        ("123456789n", 15_000),
        ("-1S", 15_000),
    ] {
        assert_eq!(arrives(&server, asking(asked)).await, Some(left), "{asked}");
    }
    assert_eq!(arrives(&server, Request::new(())).await, Some(15_000));

    let trusting = Deadline::new();
    assert_eq!(arrives(&trusting, Request::new(())).await, None);
    assert_eq!(arrives(&trusting, asking("2S")).await, Some(2000));
    let ten_years = 10 * 365 * 24 * 3600 * 1000;
    assert_eq!(arrives(&trusting, asking("99999999H")).await, Some(ten_years));
}

/// A handler makes a request of its own, which knows nothing of the one that it is in the course of.
#[tokio::test(start_paused = true)]
async fn what_a_handler_asks_of_another_service_has_the_time_that_is_left() {
    let upstream = service_fn(async |request: Request<()>| {
        let asked = request.headers()["grpc-timeout"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        Ok::<_, Refusal>(Response::new(asked))
    });
    let client = attempt(60_000).layer_for(Grpc::new()).layer(upstream);
    let handler = service_fn(move |_: Request<()>| {
        let mut client = client.clone();
        async move {
            pass(1000).await;
            let answer = client.call(Request::new(())).await?;
            Ok::<_, Refusal>(Response::new(answer.into_body().into_inner()))
        }
    });
    let mut server = Deadline::after(millis(6000))
        .build()
        .expect("valid limits")
        .layer_for(Grpc::new())
        .layer(handler);
    for (request, left) in [(Request::new(()), "5000000u"), (asking("3S"), "2000000u")] {
        let answer = server.call(request).await.expect("in time");
        assert_eq!(answer.into_body().into_inner(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn over_http_the_header_means_nothing() {
    let deadline = Deadline::after(millis(3000)).build().expect("valid limits");
    let mut service = ServiceBuilder::new()
        .layer(deadline.layer_for(Http::new()))
        .layer(attempt(1000).layer_for(Http::new()))
        .service(Echo);
    for (request, asked) in [(asking("1S"), Some("1S".to_owned())), (Request::new(()), None)] {
        let response = service.call(request).await.expect("in time");
        let seen = response.into_body().into_inner().into_inner();
        assert_eq!(seen, (Some(3000), asked));
    }
}

/// What a client's attempt sends on: its `grpc-timeout`.
async fn sends(layer: &TimeoutLayer<Grpc>, request: Request<()>) -> Option<String> {
    let response = layer.layer(Echo).call(request).await.expect("in time");
    response.into_body().into_inner().1
}

#[tokio::test(start_paused = true)]
async fn a_client_lowers_the_timeout_that_it_sends_on_and_never_raises_it() {
    let with_deadline = |mut request: Request<()>, left| {
        let context = context_until(clock::now() + millis(left));
        Grpc::new()
            .set_context(&mut request, context)
            .expect("there is room");
        request
    };
    let layer = attempt(2000).layer_for(Grpc::new());
    let sent = |text: &str| Some(text.to_owned());
    // Its own limit is for the headers: sent on it would cut off, on the other side, a stream in the midst of its answer.
    assert_eq!(sends(&layer, Request::new(())).await, None);
    for asked in ["10S", "1S", "nonsense"] {
        assert_eq!(sends(&layer, asking(asked)).await, sent(asked));
    }
    let nearer = with_deadline(Request::new(()), 50);
    assert_eq!(sends(&layer, nearer).await, sent("50000000n"));
    let further = with_deadline(asking("10S"), 5000);
    assert_eq!(sends(&layer, further).await, sent("5000000u"));
    let nonsense = with_deadline(asking("nonsense"), 5000);
    assert_eq!(sends(&layer, nonsense).await, sent("5000000u"));

    let no_limit = Timeout::new().layer_for(Grpc::new());
    assert_eq!(sends(&no_limit, Request::new(())).await, None);
    assert_eq!(sends(&no_limit, asking("7S")).await, sent("7S"));
    let deadline = with_deadline(asking("7S"), 5000);
    assert_eq!(sends(&no_limit, deadline).await, sent("5000000u"));

    // A handler's own limit sends nothing on; a policy that is off does nothing at all.
    let inbound = attempt(2000).layer_for(Grpc::new()).inbound();
    assert_eq!(sends(&inbound, asking("10S")).await, sent("10S"));
    let off = TimeoutLayer::new(None, Grpc::new());
    assert_eq!(sends(&off, with_deadline(asking("10S"), 5)).await, sent("10S"));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sends_what_is_left_of_the_call() {
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = {
        let sent = sent.clone();
        service_fn(move |request: Request<()>| {
            let asked = request.headers()["grpc-timeout"]
                .to_str()
                .expect("ASCII")
                .to_owned();
            sent.lock().expect("no panic").push(asked);
            pending::<Result<Response<Full<Bytes>>, Refusal>>()
        })
    };
    let attempts = attempt(40).layer_for(Grpc::new()).layer(upstream);
    let retry = service_fn(move |request: Request<()>| {
        let mut attempts = attempts.clone();
        async move {
            for _ in 0..9 {
                match attempts.call(request.clone()).await {
                    Err(Error::Rejected(r)) if r.kind() == RejectionKind::TimedOut => {}
                    other => return other,
                }
            }
            panic!("it never ends")
        }
    });
    // The caller's own deadline is the total, however it was told: here by what tonic's `set_timeout` writes.
    let mut client = Deadline::new().layer_for(Grpc::new()).layer(retry);
    let error = client.call(asking("90m")).await.expect_err("out of time");
    assert_eq!(refusal::<(), _>(Err(error)), expired("attempt"));
    let sent = sent.lock().expect("no panic").clone();
    assert_eq!(sent, ["90m", "50000000n", "10000000n"], "and no `0n`");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_has_given_up_is_not_handled() {
    let probe = Probe::answering();
    let handler = {
        let probe = probe.clone();
        service_fn(move |request: Request<()>| {
            let mut probe = probe.clone();
            async move {
                probe
                    .call(request)
                    .await
                    .map(|_| Response::new(Full::<Bytes>::default()))
            }
        })
    };
    let mut server = Deadline::new().layer_for(Grpc::new()).layer(handler);
    let error = server.call(asking("0m")).await.expect_err("too late");
    assert_eq!(refusal::<(), _>(Err(error)), expired("deadline"));
    assert_eq!(probe.calls_and_dropped(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_stops_work_when_the_clients_deadline_passes() {
    let probe = Probe::default();
    let handler = {
        let probe = probe.clone();
        service_fn(move |request: Request<()>| {
            let mut probe = probe.clone();
            async move {
                probe
                    .call(request)
                    .await
                    .map(|_| Response::new(Full::<Bytes>::default()))
            }
        })
    };
    let mut server = ServiceBuilder::new()
        .layer(RespondLayer::grpc())
        .layer(Deadline::new().layer_for(Grpc::new()))
        .service(handler);
    let mut call = task::spawn(server.call(asking("250m")));
    assert_pending!(call.poll());
    pass(249).await;
    assert_pending!(call.poll());
    pass(1).await;
    let response = assert_ready!(call.poll()).expect("an answer, not an error");
    assert_eq!(probe.calls_and_dropped(), (1, 1), "the handler was dropped");
    assert_eq!(response.headers()["grpc-status"], "4");
}

/// A body that has half of an answer and then nothing.
fn half() -> WithTrailers<Full<Bytes>, std::future::Pending<Option<Result<http::HeaderMap, Infallible>>>> {
    Full::from("half").with_trailers(pending())
}

#[tokio::test(start_paused = true)]
async fn a_grpc_deadline_is_that_of_the_stream_and_an_http_one_only_if_asked() {
    async fn ends<P>(layer: DeadlineLayer<P>) -> Option<Duration>
    where
        P: Clone
            + RequestProtocol<Request<()>>
            + BodyProtocol<
                Response<Half>,
                Body = Half,
                Response<TimeoutBody<Half>> = Response<TimeoutBody<Half>>,
            >,
    {
        let began = clock::now();
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            ready(Ok::<_, Refusal>(Response::new(half())))
        }));
        let response = service.call(Request::new(())).await.expect("good headers");
        pass(1000).await;
        let body = tokio::time::timeout(millis(1_000_000), response.into_body().collect());
        let error = body.await.ok()?.expect_err("cut off");
        assert_eq!(refusal::<(), _>(Err(error)), timed_out("deadline"));
        Some(began.elapsed())
    }
    type Half = WithTrailers<Full<Bytes>, std::future::Pending<Option<Result<http::HeaderMap, Infallible>>>>;
    use crate::timeout::TimeoutBody;

    let total = Deadline::after(millis(3000));
    let deadline = total.clone().build().expect("valid limits");
    assert_eq!(ends(deadline.layer_for(<Grpc>::new())).await, Some(millis(3000)));
    assert_eq!(deadline.snapshot().body_total, 1);
    assert_eq!(ends(deadline.layer_for(<Http>::new())).await, None);
    let through = total.through_body(true).build().expect("valid limits");
    assert_eq!(ends(through.layer_for(<Http>::new())).await, Some(millis(3000)));
    assert_eq!(ends(DeadlineLayer::new(None, <Grpc>::new())).await, None);
}

/// PITFALLS: "timeouts did not cover the body".
#[tokio::test(start_paused = true)]
async fn an_attempt_ends_with_its_headers_and_the_body_has_limits_of_its_own() {
    for (idle, total, ends) in [
        (Some(5000), None, Some(5000)),
        (None, Some(7000), Some(7000)),
        (Some(5000), Some(4000), Some(4000)),
        (None, None, None),
    ] {
        let timeout = Timeout::after(millis(100))
            .body_idle(idle.map(millis))
            .body_total(total.map(millis))
            .build()
            .expect("valid limits");
        let mut service = timeout
            .layer_for(Http::new())
            .layer(service_fn(|_: Request<()>| async {
                tokio::time::sleep(millis(99)).await;
                Ok::<_, Refusal>(Response::new(half()))
            }));
        let response = service.call(Request::new(())).await.expect("good headers");
        let began = clock::now();
        let body = tokio::time::timeout(millis(1_000_000), response.into_body().collect());
        let cut = body.await.ok().map(|whole| {
            assert_eq!(refusal(whole.map(|_| ())), timed_out("timeout"));
            began.elapsed()
        });
        assert_eq!(cut, ends.map(millis));
        assert_eq!(timeout.snapshot().timed_out, 0);
    }
}

#[test]
fn a_plain_response_keeps_its_type() {
    fn same<S: Service<(), Response = &'static str>>(_: S) {}
    same(attempt(1).layer().layer(Probe::default()));
    same(Deadline::new().layer().layer(Probe::default()));
}
