//! Spans and the access log.

use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use super::*;
use crate::{
    CallContext, Error, Grpc, Http, Rejected, RejectionKind,
    http::RespondLayer,
    trace_id::{self, Id, TraceId},
};

type Refusable = Error<Infallible>;

fn named(name: &str) -> TraceId {
    TraceId::builder().name(name).build().expect("valid")
}

async fn answer(status: u16) -> Result<Response<Full<Bytes>>, Refusable> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    if let Some(context) = CallContext::current() {
        context.tally().add_attempt();
        context.tally().add_attempt();
        context.tally().add_queued(Duration::from_millis(5));
    }
    let mut response = Response::new(Full::from("a body"));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn one_line_a_call_when_its_body_has_ended() {
    let log = Log::down_to(Level::INFO);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut server = named("api")
        .layer_for(Http::new())
        .inbound()
        .layer(service_fn(async |_: Request<()>| answer(200).await));
    let response = server
        .call(Request::post("/raw/path").body(()).expect("valid"))
        .await
        .expect("well");
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(log.lines().is_empty(), "it is not over");
    tokio::time::advance(Duration::from_millis(30)).await;
    response.into_body().collect().await.expect("it ends");

    let [line] = &log.lines()[..] else {
        panic!("one line")
    };
    for (field, value) in [
        ("direction", "inbound"),
        ("stack", "api"),
        ("trace_id", &*id),
        ("method", "POST"),
        ("status", "200"),
        ("outcome", "success"),
        ("reason", "answered"),
        ("attempts", "2"),
        ("queued_ms", "5.0"),
        ("headers_ms", "20.0"),
        ("total_ms", "50.0"),
    ] {
        assert_eq!(line.get(field), value, "{field}");
    }
    assert_eq!(line.level(), Level::INFO);
    assert!(!line.has("route") && !line.has("rejected_by"));
    assert!(!format!("{:?}", log.entries()).contains("raw"), "never a path");

    let span = log.span("request");
    assert_eq!(line.within, span.id);
    for (field, value) in [
        ("stack", "api"),
        ("trace_id", &*id),
        ("method", "POST"),
        ("status", "200"),
        ("outcome", "success"),
        ("attempts", "2"),
        ("latency_ms", "50.0"),
    ] {
        assert_eq!(span.get(field), value, "{field}");
    }
}

/// Somebody who exports them begins his own then, and at no other time may take these ids.
#[tokio::test]
async fn the_ids_of_a_span_are_told_when_it_is_entered_first() {
    let log = Log::down_to(Level::DEBUG);
    let _default = tracing::subscriber::set_default(log.clone());
    let trace = named("api");
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(trace.attempt_layer_for(Http::new()))
        .service(service_fn(async |_: Request<()>| {
            assert!(trace_id::beginning().is_none());
            tokio::task::yield_now().await;
            Ok::<_, Refusable>(Response::new(Full::<Bytes>::default()))
        }));
    let inbound = trace.layer_for(Http::new()).inbound();
    inbound.layer(client).call(Request::new(())).await.expect("well");
    for name in ["request", "call", "attempt"] {
        let span = log.span(name);
        let entered = log.entered.lock().expect("no panic under it").clone();
        let mut told = entered
            .into_iter()
            .filter(|(id, _)| *id == span.id)
            .map(|(_, told)| told);
        let first = told.next().flatten().expect("at the first time");
        assert_eq!(span.get("trace_id"), Id::from(first.id()).to_string());
        assert_eq!(span.get("span_id"), format!("{:016x}", first.span()));
        let again: Vec<_> = told.collect();
        assert!(
            again.len() > 1 && again.iter().all(Option::is_none),
            "{name}: {again:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_out_has_its_own_line_and_spans_that_nest() {
    let log = Log::down_to(Level::DEBUG);
    let _default = tracing::subscriber::set_default(log.clone());
    let trace = named("upstream");
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Grpc::new()))
        .layer(trace.attempt_layer_for(Grpc::new()))
        .service(service_fn(async |_: Request<()>| {
            let response = Response::builder()
                .header("grpc-status", "14")
                .body(Full::<Bytes>::default());
            Ok::<_, Refusable>(response.expect("valid"))
        }));
    let mut server = named("api")
        .layer_for(Http::new())
        .inbound()
        .layer(service_fn(move |_: Request<()>| {
            let mut client = client.clone();
            async move {
                client
                    .call(Request::post("/echo.Echo/Say").body(()).expect("valid"))
                    .await
            }
        }));
    drop(server.call(Request::new(())).await.expect("well"));

    let (request, call, attempt) = (log.span("request"), log.span("call"), log.span("attempt"));
    assert_eq!(
        (request.within, call.within, attempt.within),
        (0, request.id, call.id)
    );
    assert_eq!(call.get("parent_id"), request.get("span_id"));
    assert_eq!(attempt.get("parent_id"), call.get("span_id"));
    assert_eq!(attempt.get("trace_id"), request.get("trace_id"));
    assert_eq!((attempt.get("attempt"), attempt.level()), ("1", Level::DEBUG));

    let lines = log.lines();
    let line = lines
        .iter()
        .find(|l| l.get("direction") == "outbound")
        .expect("its line");
    assert_eq!(line.level(), Level::DEBUG);
    assert_eq!(
        (line.get("route"), line.get("reason")),
        ("/echo.Echo/Say", "gRPC status 14")
    );
    assert_eq!((line.get("outcome"), line.get("attempts")), ("failure", "1"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_one_though_it_was_answered() {
    let log = Log::down_to(Level::INFO);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut server = ServiceBuilder::new()
        .layer(named("api").layer_for(Http::new()).inbound())
        .layer(RespondLayer::http())
        .service(service_fn(async |_: Request<()>| {
            Err::<Response<Full<Bytes>>, Refusable>(Rejected::new(RejectionKind::CircuitOpen, "db").into())
        }));
    let response = server.call(Request::new(())).await.expect("answered");
    assert!(
        response.headers().contains_key("x-request-id"),
        "refusals tell the id too"
    );
    let line = &log.lines()[0];
    assert_eq!(
        (line.get("status"), line.get("outcome"), line.get("rejected_by")),
        ("503", "rejected", "db")
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_or_panics_has_its_line() {
    let log = Log::down_to(Level::INFO);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut server =
        named("api")
            .layer_for(Http::new())
            .inbound()
            .layer(service_fn(async |request: Request<()>| {
                if request.uri().path() == "/hang" {
                    pending::<()>().await;
                }
                if request.uri().path() == "/panic" {
                    panic!("as the test wants it");
                }
                answer(200).await
            }));
    let get = |path: &str| Request::get(path).body(()).expect("valid");
    let mut hung = tokio_test::task::spawn(server.call(get("/hang")));
    assert!(hung.poll().is_pending());
    drop(hung);
    let unread = server.call(get("/unread")).await.expect("well");
    drop(unread);
    let mut panics = tokio_test::task::spawn(server.call(get("/panic")));
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(panics.poll())));
    assert!(unwound.is_err());

    let outcomes: Vec<String> = log.lines().iter().map(|l| l.get("outcome").to_owned()).collect();
    assert_eq!(outcomes, ["cancelled", "cancelled", "panicked"]);
    assert!(!log.lines()[0].has("headers_ms") && log.lines()[1].has("headers_ms"));
}

#[tokio::test]
async fn an_error_of_a_client_is_told_as_what_it_is() {
    let log = Log::down_to(Level::DEBUG);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut client = named("db")
        .layer_for(Http::new())
        .layer(service_fn(async |_: Request<()>| {
            Err::<Response<Full<Bytes>>, Refusable>(Rejected::new(RejectionKind::TimedOut, "db").into())
        }));
    client.call(Request::new(())).await.expect_err("refused");
    let line = &log.lines()[0];
    assert_eq!(
        (line.get("outcome"), line.get("reason")),
        ("timed_out", "timed_out")
    );
}

#[tokio::test]
async fn each_can_be_switched_off() {
    let log = Log::down_to(Level::DEBUG);
    let _default = tracing::subscriber::set_default(log.clone());
    let run = async |trace: TraceId| {
        let mut client = ServiceBuilder::new()
            .layer(trace.layer_for(Http::new()))
            .layer(trace.attempt_layer_for(Http::new()))
            .service(service_fn(async |_: Request<()>| {
                Ok::<_, Refusable>(Response::new(Full::<Bytes>::default()))
            }));
        client.call(Request::new(())).await.expect("well");
        let spans = log.entries().iter().filter(|e| e.id > 0).count();
        let lines = log.lines().len();
        log.seen.lock().expect("no panic").clear();
        (spans, lines)
    };
    let build = |b: crate::trace_id::TraceIdBuilder| b.build().expect("valid");
    assert_eq!(run(TraceId::w3c()).await, (2, 1));
    assert_eq!(run(build(TraceId::builder().spans(false))).await, (0, 1));
    assert_eq!(run(build(TraceId::builder().access_log(false))).await, (2, 0));
}

#[test]
fn an_id_is_shown_in_digits() {
    let id: Id = "00000000000000000000000000000abc".parse().expect("an id");
    assert_eq!(
        format!("{id} {id:?} {}", id.get()),
        format!("{0} {0} 2748", "00000000000000000000000000000abc")
    );
}
