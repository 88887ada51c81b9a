//! HTTP and gRPC: which requests may be sent twice, what of them, and what the answers say about it.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use tokio_test::{assert_pending, task};

use super::*;
use crate::{
    CallContext, Grpc, Http, Protocol,
    replay::{Bare, Peek, Replay},
    test_services::{Answered, Failed, Frames, Upstream, a_book, a_long_body, answer, get, headers, status},
};

/// One call; the answer with what has become of its body, and the policy's books.
async fn send<P, B>(
    options: RetryBuilder,
    protocol: P,
    upstream: &Upstream,
    request: Request<B>,
) -> (Result<P::Peeked, Failed>, Snapshot)
where
    P: Replay<Request<B>, Bare> + Peek<Response<Frames>, Failed>,
    Upstream: Service<P::Request, Response = Response<Frames>, Error = Failed>,
{
    let retry = options.build().expect("valid");
    let service = RetryLayer::new(retry.clone(), protocol, Bare).layer(upstream.clone());
    (service.oneshot(request).await, retry.snapshot())
}

fn post(key: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from("one book")));
    *request.method_mut() = Method::POST;
    if let Some(key) = key {
        let key = key.parse().expect("a value");
        request.headers_mut().insert("idempotency-key", key);
    }
    request
}

// ===== what may be sent twice =====

#[tokio::test(start_paused = true)]
async fn a_post_without_a_key_is_sent_at_most_once_whatever_fails() {
    let timed_out = || Err(Rejected::new(RejectionKind::TimedOut, "attempt").into());
    let failures: [fn() -> Answered; 4] = [
        || status(503),
        || status(429),
        || Err(Error::Inner("connection refused")),
        timed_out,
    ];
    for fail in failures {
        let upstream = Upstream::new(move |_| fail());
        let (_, books) = send(plain(), Http::new(), &upstream, post(None)).await;
        assert_eq!((upstream.calls(), books.not_repeatable), (1, 1));

        let upstream = Upstream::new(move |_| fail());
        send(plain(), Http::new(), &upstream, post(Some("k-1")))
            .await
            .0
            .ok();
        assert_eq!(upstream.calls(), 3, "with a key it is repeated");
        assert!(
            upstream
                .each(|a| a.0.headers["idempotency-key"] == "k-1")
                .iter()
                .all(|same| *same)
        );

        let upstream = Upstream::new(move |_| fail());
        let opted_in = plain().retry_non_idempotent(true);
        send(opted_in, Http::new(), &upstream, post(None)).await.0.ok();
        assert_eq!(upstream.calls(), 3, "and if one has asked for it");
    }
}

/// The method of a gRPC call does not say whether it may be carried out twice, so a status has to.
#[tokio::test(start_paused = true)]
async fn a_grpc_call_that_timed_out_is_not_sent_again() {
    let timed_out = || Err(Rejected::new(RejectionKind::TimedOut, "attempt").into());
    let upstream = Upstream::new(move |_| timed_out());
    let (_, books) = send(plain(), Grpc::new(), &upstream, post(None)).await;
    assert_eq!((upstream.calls(), books.not_repeatable), (1, 1));

    let upstream = Upstream::new(move |_| timed_out());
    let opted_in = plain().retry_non_idempotent(true);
    send(opted_in, Grpc::new(), &upstream, post(None)).await.0.ok();
    assert_eq!(upstream.calls(), 3, "unless somebody has asked for it");

    let upstream = Upstream::new(move |_| Err(Error::Inner("connection refused")));
    send(plain(), Grpc::new(), &upstream, post(None)).await.0.ok();
    assert_eq!(upstream.calls(), 3, "there was nobody to carry it out");
}

#[tokio::test(start_paused = true)]
async fn a_small_body_is_sent_again_byte_for_byte_with_its_trailers() {
    let (request, arrives_whole) = a_book();
    let upstream = Upstream::new(|call| status(if call < 2 { 503 } else { 200 }));
    let (response, books) = send(plain(), Http::new(), &upstream, request).await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!((upstream.calls(), books.recovered), (3, 1));
    assert!(upstream.each(arrives_whole).into_iter().all(|whole| whole));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_is_sent_once_and_whole() {
    let (pieces, whole) = a_long_body();
    let upstream = Upstream::new(|_| status(503));
    let streamed = Request::put("/").body(pieces).expect("valid");
    let (response, books) = send(plain(), Http::new(), &upstream, streamed).await;
    assert_eq!(response.expect("the original answer").status(), 503);
    assert_eq!((upstream.calls(), books.not_repeatable), (1, 1));

    // One whose length is known beforehand is not even looked at.
    let known = Request::put("/").body(Full::new(whole.clone())).expect("valid");
    let (_, books) = send(plain(), Http::new(), &upstream, known).await;
    assert_eq!((upstream.calls(), books.not_repeatable), (2, 1));
    assert!(
        upstream
            .each(|(_, body, _)| *body == whole)
            .iter()
            .all(|same| *same)
    );

    let known = Request::put("/").body(Full::new(whole)).expect("valid");
    send(plain().max_body(1 << 20), Http::new(), &upstream, known)
        .await
        .0
        .ok();
    assert_eq!(upstream.calls(), 2 + 3, "there may be room for it");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_is_not_repeated() {
    let early = service_fn(|request: Request<crate::http::ReplayBody<Frames>>| async move {
        // It has read the beginning, and has enough of it.
        let mut body = request.into_body();
        body.frame().await;
        status(503)
    });
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let counted = early.map_request(move |request| {
        count.fetch_add(1, SeqCst);
        request
    });
    let mut body = Frames::new([Frame::data(Bytes::from("half"))]);
    body.goes_on = true;
    let retry = plain().build().expect("valid");
    let service = RetryLayer::new(retry.clone(), Http::new(), Bare).layer(counted);
    let response = service
        .oneshot(Request::put("/").body(body).expect("valid"))
        .await;
    assert_eq!(response.expect("the original answer").status(), 503);
    assert_eq!((calls.load(SeqCst), retry.snapshot().not_repeatable), (1, 1));
}

// ===== what the answer says =====

#[tokio::test(start_paused = true)]
async fn the_statuses_that_may_pass_are_repeated_and_the_original_answer_returned() {
    for (code, calls) in [
        (200, 1),
        (404, 1),
        (429, 3),
        (500, 1),
        (502, 3),
        (503, 3),
        (504, 3),
    ] {
        let upstream = Upstream::new(move |_| status(code));
        let (response, _) = send(plain(), Http::new(), &upstream, get()).await;
        assert_eq!(response.expect("an answer").status(), code);
        assert_eq!(upstream.calls(), calls, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_in_seconds_and_as_a_date_and_capped() {
    const NOON: &str = "Wed, 21 Oct 2015 12:00:00 GMT";
    const A_SECOND_LATER: &str = "Wed, 21 Oct 2015 12:00:01 GMT";
    const AN_HOUR_LATER: &str = "Wed, 21 Oct 2015 13:00:00 GMT";
    for (after, waits) in [
        ("1", vec![1000, 1000]),
        (A_SECOND_LATER, vec![1000, 1000]),
        ("0", vec![100, 200]),
        ("10", vec![10_000, 10_000]),
        ("soon", vec![100, 200]),
        // Longer than anybody waits: the caller gets the answer at once.
        ("11", vec![]),
        ("99999999999999999999", vec![]),
        (AN_HOUR_LATER, vec![]),
    ] {
        let upstream = Upstream::new(move |_| Ok(answer(503, &[("retry-after", after), ("date", NOON)], [])));
        let (response, books) = send(plain(), Http::new(), &upstream, get()).await;
        assert_eq!(response.expect("an answer").headers()["retry-after"], after);
        assert_eq!(upstream.waits(), waits, "{after}");
        assert_eq!(books.forbidden, u64::from(waits.is_empty()));
    }
}

fn call_grpc(code: &'static str, pushback: Option<&'static str>, in_trailers: bool) -> Upstream {
    Upstream::new(move |_| {
        let mut head = vec![("grpc-status", code)];
        head.extend(pushback.map(|ms| ("grpc-retry-pushback-ms", ms)));
        Ok(match in_trailers {
            true => answer(200, &[], [Frame::trailers(headers(&head))]),
            false => answer(200, &head, []),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn grpc_pushback_is_obeyed_and_capped_and_minus_one_means_stop() {
    for in_trailers in [false, true] {
        for (code, pushback, waits) in [
            ("14", None, vec![100, 200]),
            ("14", Some("200"), vec![200, 200]),
            ("14", Some("10001"), vec![]),
            ("14", Some("-1"), vec![]),
            ("8", None, vec![]),
            ("8", Some("200"), vec![200, 200]),
            ("8", Some("-1"), vec![]),
            ("13", Some("200"), vec![]),
            ("4", None, vec![]),
            ("0", None, vec![]),
        ] {
            let upstream = call_grpc(code, pushback, in_trailers);
            let mut request = get();
            *request.method_mut() = Method::POST;
            let (response, _) = send(plain(), Grpc::new(), &upstream, request).await;
            assert_eq!(upstream.waits(), waits, "{code} {pushback:?} {in_trailers}");
            // The last answer is whole, though it was looked at.
            let response = response.expect("an answer");
            let head = response.headers().get("grpc-status").cloned();
            let body = response.into_body().collect().await.expect("a body");
            let status = head.or_else(|| body.trailers()?.get("grpc-status").cloned());
            assert_eq!(status.expect("a status"), code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn once_there_is_data_for_the_caller_nothing_is_repeated() {
    let failed = headers(&[("grpc-status", "14")]);
    let upstream = Upstream::new(move |_| {
        let data = Frame::data(Bytes::from("half an answer"));
        Ok(answer(200, &[], [data, Frame::trailers(failed.clone())]))
    });
    let (response, books) = send(plain(), Grpc::new(), &upstream, get()).await;
    assert_eq!((upstream.calls(), books.retries), (1, 0));
    let body = response
        .expect("an answer")
        .into_body()
        .collect()
        .await
        .expect("a body");
    assert!(body.trailers().is_some());
    assert_eq!(body.to_bytes(), "half an answer");
}

#[tokio::test(start_paused = true)]
async fn headers_are_not_held_back_for_trailers() {
    let upstream = Upstream::new(|_| {
        let mut response = answer(200, &[], []);
        response.body_mut().goes_on = true;
        Ok(response)
    });
    let began = clock::now();
    let (response, _) = send(plain(), Grpc::new(), &upstream, get()).await;
    assert!(response.is_ok());
    assert_eq!((upstream.calls(), began.elapsed()), (1, Duration::ZERO));
}

// ===== what inner layers and the service are told =====

#[tokio::test(start_paused = true)]
async fn the_attempt_is_sent_as_a_header_if_asked() {
    let seen = |upstream: &Upstream, name: &'static str| {
        upstream.each(|(head, ..)| {
            head.headers
                .get(name)
                .map(|v| v.to_str().expect("text").to_owned())
        })
    };
    let numbered = |n: &str| Some(n.to_owned());
    let upstream = Upstream::new(|_| status(503));
    send(plain().attempt_header(true), Http::new(), &upstream, get())
        .await
        .0
        .ok();
    assert_eq!(
        seen(&upstream, "x-retry-attempt"),
        [None, numbered("2"), numbered("3")]
    );

    let upstream = call_grpc("14", None, false);
    send(plain().attempt_header(true), Grpc::new(), &upstream, get())
        .await
        .0
        .ok();
    assert_eq!(
        seen(&upstream, "grpc-previous-rpc-attempts"),
        [None, numbered("1"), numbered("2")]
    );

    let upstream = Upstream::new(|_| status(503));
    send(plain(), Http::new(), &upstream, get()).await.0.ok();
    assert_eq!(seen(&upstream, "x-retry-attempt"), [None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn the_requests_context_has_the_attempt_and_obeys_its_deadline() {
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + ms(250));
    let tally = context.tally().clone();
    let mut request = get();
    request.extensions_mut().insert(context);
    let upstream = Upstream::new(|_| status(503));
    let (_, books) = send(plain(), Http::new(), &upstream, request).await;
    let seen = upstream.each(|(head, ..)| {
        let context = head.extensions.get::<CallContext>().expect("a context");
        (context.attempt(), context.is_repeated())
    });
    assert_eq!(seen, [(1, true), (2, true)]);
    assert_eq!((tally.attempts(), books.out_of_time), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_context_tells_a_retry_on_another_task() {
    for has_context in [true, false] {
        let upstream = Upstream::new(|_| status(503));
        let layer = || RetryLayer::new(plain().build().expect("valid"), Http::new(), Bare);
        // The mark on the task does not get past a queue to another one; the context does.
        let boxed = |error: Failed| crate::BoxError::from(format!("{error:?}"));
        let inner = layer().layer(tower::util::MapErr::new(upstream.clone(), boxed));
        let queue = tower::buffer::Buffer::new(inner, 8);
        let outer = layer().layer(queue);
        let mut request = get();
        if has_context {
            request.extensions_mut().insert(CallContext::new());
        }
        assert_eq!(outer.oneshot(request).await.expect("an answer").status(), 503);
        assert_eq!(upstream.calls(), if has_context { 3 } else { 9 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_repeated() {
    let upstream = Upstream::new(|call| match call {
        0 => Err(Rejected::new(RejectionKind::TimedOut, "attempt").into()),
        _ => status(200),
    });
    let (response, _) = send(plain(), Http::new(), &upstream, get()).await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_first_try_over_http_allocates_a_list_of_its_headers() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let request = || {
        let mut request = get();
        for (name, value) in [("accept", "text/html"), ("user-agent", "test")] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        request
    };
    let ok = service_fn(|_: Request<crate::http::ReplayBody<Empty<Bytes>>>| {
        ready(Ok::<_, Failed>(Response::new(Empty::<Bytes>::new())))
    });
    let mut service = RetryLayer::new(Retry::standard(), Http::new(), Bare).layer(ok);
    let mut call = |request| {
        let mut future = std::pin::pin!(service.call(request));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call(request());
    let request = request();
    let used = allocation_counter::measure(|| call(request)).count_total;
    assert_eq!(used, 1, "a list of the headers");
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_waits_it_sends_nothing_more() {
    let upstream = Upstream::new(|_| status(503));
    let service = RetryLayer::new(plain().build().expect("valid"), Http::new(), Bare).layer(upstream.clone());
    let mut call = task::spawn(service.oneshot(get()));
    assert_pending!(call.poll());
    drop(call);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_a_user_judges_otherwise_is_as_judged() {
    let lost = Http::classify(|head: crate::http::ResponseHead<'_>| match head.status.as_u16() {
        404 => Outcome::failure(Reason::Custom("lost its database")),
        503 => Outcome::SUCCESS,
        _ => Outcome::SUCCESS,
    });
    for (code, calls) in [(404, 3), (503, 1)] {
        let upstream = Upstream::new(move |_| status(code));
        send(plain(), lost, &upstream, get()).await.0.ok();
        assert_eq!(upstream.calls(), calls);
    }
    let outcome = lost.verdict(&status(404));
    assert_eq!(outcome.map(|o| o.verdict()), Some(crate::Verdict::Failure));
}
