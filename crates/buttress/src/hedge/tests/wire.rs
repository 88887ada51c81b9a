//! HTTP and gRPC: which requests may be made twice at a time, what of them, and which answer wins.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use tokio_test::{assert_pending, task};

use super::*;
use crate::{
    Grpc, Http,
    replay::{Bare, Peek, Replay, With},
    test_services::{Answered, Failed, Frames, Upstream, a_book, a_long_body, answer, get, headers, status},
};

/// One call; the answer, how long it took in milliseconds, and the policy's books.
async fn send<P, B>(
    options: HedgeBuilder,
    protocol: P,
    upstream: &Upstream,
    request: Request<B>,
) -> (Result<P::Peeked, Failed>, u64, Snapshot)
where
    P: Replay<Request<B>, Bare> + Peek<Response<Frames>, Failed>,
    Upstream: Service<P::Request, Response = Response<Frames>, Error = Failed>,
{
    let hedge = options.build().expect("valid");
    let service = HedgeLayer::new(hedge.clone(), protocol, Bare).layer(upstream.clone());
    let began = clock::now();
    let answer = service.oneshot(request).await;
    (answer, began.elapsed().as_millis() as u64, hedge.snapshot())
}

/// The first call takes a second, the others 10 ms.
fn first_is_slow(answer: impl Fn(usize) -> Answered + Send + Sync + 'static) -> Upstream {
    Upstream::new(answer).taking(|call| ms(if call == 0 { 1000 } else { 10 }))
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

fn grpc_call(path: &'static str) -> Request<Empty<Bytes>> {
    let mut request = get();
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

// ===== what may be made twice =====

#[tokio::test(start_paused = true)]
async fn a_post_without_a_key_is_made_once_however_slow_and_whatever_fails() {
    let upstream = first_is_slow(|_| status(200));
    let (_, took, books) = send(fixed(), Http::new(), &upstream, post(None)).await;
    assert_eq!((upstream.calls(), took, books.not_repeatable), (1, 1000, 1));
    let upstream = Upstream::new(|_| status(503));
    send(fixed(), Http::new(), &upstream, post(None)).await.0.ok();
    assert_eq!(upstream.calls(), 1);

    for (options, request) in [
        (fixed(), post(Some("k-1"))),
        (fixed().hedge_non_idempotent(true), post(None)),
    ] {
        let upstream = first_is_slow(|_| status(200));
        let (_, took, books) = send(options, Http::new(), &upstream, request).await;
        assert_eq!((upstream.calls(), took, books.won), (2, 110, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_method_is_hedged_only_if_somebody_says_that_it_is_idempotent() {
    let answered = |_| Ok(answer(200, &[("grpc-status", "0")], []));
    for (options, path, calls) in [
        (fixed(), "/catalog.Catalog/Get", 1),
        (fixed().hedge_non_idempotent(true), "/shop.Orders/Create", 2),
        (
            fixed().idempotent_routes(["/catalog.Catalog/Get"]),
            "/catalog.Catalog/Get",
            2,
        ),
        (
            fixed().idempotent_routes(["/catalog.Catalog/Get"]),
            "/shop.Orders/Create",
            1,
        ),
    ] {
        let upstream = first_is_slow(answered);
        let (response, ..) = send(options, Grpc::new(), &upstream, grpc_call(path)).await;
        assert!(response.is_ok());
        assert_eq!(upstream.calls(), calls, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_body_is_sent_again_byte_for_byte_with_its_trailers() {
    let (request, arrives_whole) = a_book();
    let upstream = first_is_slow(|_| status(200));
    let (response, took, books) = send(fixed(), Http::new(), &upstream, request).await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!((upstream.calls(), took, books.won), (2, 110, 1));
    assert!(upstream.each(arrives_whole).into_iter().all(|whole| whole));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_is_sent_once_and_whole() {
    let (pieces, whole) = a_long_body();
    let upstream = Upstream::new(|_| status(200)).taking(|_| ms(1000));
    let streamed = Request::put("/").body(pieces).expect("valid");
    let (_, took, books) = send(fixed(), Http::new(), &upstream, streamed).await;
    assert_eq!((upstream.calls(), took, books.not_repeatable), (1, 1000, 1));
    // One whose length is known beforehand is not even looked at.
    let known = Request::put("/").body(Full::new(whole.clone())).expect("valid");
    let (_, _, books) = send(fixed(), Http::new(), &upstream, known).await;
    assert_eq!((upstream.calls(), books.not_repeatable), (2, 1));
    assert!(
        upstream
            .each(|(_, body, _)| *body == whole)
            .iter()
            .all(|same| *same)
    );
    let known = Request::put("/").body(Full::new(whole)).expect("valid");
    send(fixed().max_body(1 << 20), Http::new(), &upstream, known)
        .await
        .0
        .ok();
    assert_eq!(upstream.calls(), 2 + 2, "there may be room for it");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_is_not_hedged() {
    for fails in [true, false] {
        let calls = Arc::new(AtomicU32::new(0));
        let count = calls.clone();
        let service = service_fn(move |request: Request<crate::http::ReplayBody<Frames>>| {
            count.fetch_add(1, SeqCst);
            async move {
                let mut body = request.into_body();
                body.frame().await;
                // It has read the beginning.
                tokio::time::sleep(ms(if fails { 20 } else { 1000 })).await;
                status(if fails { 503 } else { 200 })
            }
        });
        let mut body = Frames::new([Frame::data(Bytes::from("half"))]);
        body.goes_on = true;
        let hedge = fixed().build().expect("valid");
        let service = HedgeLayer::new(hedge.clone(), Http::new(), Bare).layer(service);
        let response = service
            .oneshot(Request::put("/").body(body).expect("valid"))
            .await;
        assert_eq!(
            response.expect("an answer").status(),
            if fails { 503 } else { 200 }
        );
        assert_eq!((calls.load(SeqCst), hedge.snapshot().not_repeatable), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_below_may_want_its_own_body() {
    use http_body_util::combinators::UnsyncBoxBody;
    type Boxed = UnsyncBoxBody<Bytes, crate::BoxError>;
    let upstream = first_is_slow(|_| status(200));
    let hedge = fixed().build().expect("valid");
    let below = upstream.clone().map_request(|request: Request<Boxed>| request);
    let service = HedgeLayer::new(hedge, Http::new(), With(Boxed::new)).layer(below);
    let request = Request::put("/")
        .body(Full::new(Bytes::from("book")))
        .expect("valid");
    assert_eq!(service.oneshot(request).await.expect("an answer").status(), 200);
    assert_eq!(upstream.each(|(_, body, _)| body.clone()), ["book", "book"]);
}

// ===== which answer wins =====

#[tokio::test(start_paused = true)]
async fn a_status_that_is_a_failure_does_not_beat_one_that_may_be_none() {
    // The second is a 503 and quick, the first is good.
    let upstream = first_is_slow(|call| status(if call == 0 { 200 } else { 503 }));
    let (response, took, _) = send(fixed(), Http::new(), &upstream, get()).await;
    assert_eq!(
        (response.expect("an answer").status().as_u16(), took),
        (200, 1000)
    );
    // A 503 starts the second at once, a 429 and one with `Retry-After` do not; a 404 is an answer.
    for (first, head, last, calls) in [
        (503, &[][..], 200, 2),
        (500, &[][..], 200, 2),
        (429, &[][..], 429, 1),
        (503, &[("retry-after", "1")][..], 503, 1),
        (404, &[][..], 404, 1),
    ] {
        let upstream = Upstream::new(move |call| match call {
            0 => Ok(answer(first, head, [])),
            _ => status(200),
        });
        let (response, ..) = send(fixed(), Http::new(), &upstream, get()).await;
        assert_eq!(response.expect("an answer").status(), last);
        assert_eq!(upstream.calls(), calls, "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_statuses_decide_in_headers_and_in_trailers_that_are_there() {
    for in_trailers in [false, true] {
        let answered = move |pairs: &[(&'static str, &str)]| {
            Ok(match in_trailers {
                true => answer(200, &[], [Frame::trailers(headers(pairs))]),
                false => answer(200, pairs, []),
            })
        };
        for (code, pushback, calls) in [
            ("0", None, 1),
            ("5", None, 1),
            ("14", None, 2),
            ("13", None, 2),
            ("8", None, 1),
            ("14", Some("-1"), 1),
            ("14", Some("200"), 1),
            ("14", Some("0"), 2),
        ] {
            let upstream = Upstream::new(move |call| {
                let mut head = vec![("grpc-status", if call == 0 { code } else { "0" })];
                head.extend(
                    pushback
                        .filter(|_| call == 0)
                        .map(|ms| ("grpc-retry-pushback-ms", ms)),
                );
                answered(&head)
            });
            let options = fixed().hedge_non_idempotent(true);
            let (response, ..) = send(options, Grpc::new(), &upstream, grpc_call("/a.B/C")).await;
            assert_eq!(upstream.calls(), calls, "{code} {pushback:?} {in_trailers}");
            // The answer is whole, though it was looked at.
            let response = response.expect("an answer");
            let head = response.headers().get("grpc-status").cloned();
            let body = response.into_body().collect().await.expect("a body");
            let status = head.or_else(|| body.trailers()?.get("grpc-status").cloned());
            assert_eq!(status.expect("a status"), if calls == 2 { "0" } else { code });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_begun_is_an_answer() {
    // Headers end the latency, and are not held back for what comes after them.
    let upstream = Upstream::new(|_| {
        let mut response = answer(200, &[], [Frame::data(Bytes::from("half an answer"))]);
        response.body_mut().goes_on = true;
        Ok(response)
    });
    let options = fixed().hedge_non_idempotent(true);
    let (response, took, books) = send(options, Grpc::new(), &upstream, grpc_call("/a.B/C")).await;
    assert!(response.is_ok());
    assert_eq!((upstream.calls(), took, books.hedges), (1, 0, 0));
}

// ===== what inner layers and the service are told =====

#[tokio::test(start_paused = true)]
async fn the_requests_context_has_the_attempt_and_obeys_its_deadline() {
    for (deadline, expected) in [
        (5000, vec![(4, true, true), (5, true, true)]),
        (50, vec![(4, true, true)]),
    ] {
        let mut context = CallContext::new();
        context.limit_deadline(clock::now() + ms(deadline));
        context.set_attempt(4);
        let tally = context.tally().clone();
        let mut request = get();
        request.extensions_mut().insert(context);
        let upstream = Upstream::new(|_| status(200)).taking(|_| ms(1000));
        send(fixed(), Http::new(), &upstream, request).await.0.ok();
        let seen = upstream.each(|(head, ..)| {
            let context = head.extensions.get::<CallContext>().expect("a context");
            (context.attempt(), context.is_repeated(), context.is_hedged())
        });
        assert_eq!(seen, expected);
        assert_eq!(tally.attempts() as usize, expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_context_tells_a_hedge_on_another_task() {
    for has_context in [true, false] {
        let upstream = Upstream::new(|_| status(200)).taking(|_| ms(1000));
        let layer = || HedgeLayer::new(fixed().build().expect("valid"), Http::new(), Bare);
        // The mark on the task does not get past a queue to another one; the context does.
        let boxed = |error: Failed| crate::BoxError::from(format!("{error:?}"));
        let inner = layer().layer(tower::util::MapErr::new(upstream.clone(), boxed));
        let queue = tower::buffer::Buffer::new(inner, 8);
        let outer = layer().layer(queue);
        let mut request = get();
        if has_context {
            request.extensions_mut().insert(CallContext::new());
        }
        assert_eq!(outer.oneshot(request).await.expect("an answer").status(), 200);
        assert_eq!(upstream.calls(), if has_context { 2 } else { 4 });
    }
}

#[tokio::test(start_paused = true)]
async fn the_attempt_is_sent_as_a_header_if_asked() {
    for (on, expected) in [(true, Some("2")), (false, None)] {
        let upstream = first_is_slow(|_| status(200));
        send(fixed().attempt_header(on), Http::new(), &upstream, get())
            .await
            .0
            .ok();
        let seen = upstream.each(|(head, ..)| head.headers.get("x-retry-attempt").cloned());
        let second = seen[1].as_ref().map(|value| value.to_str().expect("text"));
        assert_eq!((seen[0].as_ref(), second), (None, expected));
    }
    let upstream = first_is_slow(|_| Ok(answer(200, &[("grpc-status", "0")], [])));
    let options = fixed().attempt_header(true).hedge_non_idempotent(true);
    send(options, Grpc::new(), &upstream, get()).await.0.ok();
    let seen = upstream.each(|(head, ..)| head.headers.get("grpc-previous-rpc-attempts").cloned());
    assert_eq!(seen[1].as_ref().expect("a header"), "1");
}

#[cfg(feature = "retry")]
#[tokio::test(start_paused = true)]
async fn a_retry_outside_replays_what_the_hedge_inside_replays() {
    use crate::retry::{Jitter, Retry, RetryLayer};
    let retry = Retry::builder().jitter(Jitter::None).build().expect("valid");
    // Both attempts fail, then the retry's is slow and its hedge good.
    let upstream = Upstream::new(|call| status(if call < 2 { 503 } else { 200 }))
        .taking(|call| ms(if call == 2 { 1000 } else { 10 }));
    let hedged = HedgeLayer::new(fixed().build().expect("valid"), Http::new(), Bare).layer(upstream.clone());
    let service = RetryLayer::new(retry, Http::new(), Bare).layer(hedged);
    let pieces = (0..4_u8).map(|n| Frame::data(Bytes::from(vec![n; 8 << 10])));
    let request = Request::put("/").body(Frames::new(pieces)).expect("valid");
    let began = clock::now();
    assert_eq!(service.oneshot(request).await.expect("an answer").status(), 200);
    assert_eq!(began.elapsed(), ms(10 + 10 + 100 + 100 + 10));
    let whole: Vec<u8> = (0..4_u8).flat_map(|n| vec![n; 8 << 10]).collect();
    assert_eq!(upstream.each(|(_, body, _)| *body == whole), [true; 4]);
}

#[test]
fn an_answer_at_once_over_http_allocates_a_list_of_its_headers() {
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
        std::future::ready(Ok::<_, Failed>(Response::new(Empty::<Bytes>::new())))
    });
    let mut service = HedgeLayer::new(Hedge::new(), Http::new(), Bare).layer(ok);
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
    let upstream = Upstream::new(|_| status(200)).taking(|_| ms(1000));
    let service = HedgeLayer::new(fixed().build().expect("valid"), Http::new(), Bare).layer(upstream.clone());
    let mut call = task::spawn(service.oneshot(get()));
    assert_pending!(call.poll());
    drop(call);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(upstream.calls(), 1);
}
