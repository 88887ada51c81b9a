//! Which requests reach the upstream a second time, and as what.

use std::{convert::Infallible, future::pending, io, time::Duration};

use buttress::{Stack, retry::Retry, timeout::Timeout};
use buttress_tests::scripted::Version;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, ServiceExt};

use super::{
    load::get,
    upstream::{Answer, Answers, Upstream, status, upstream, with_header},
};

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// Sends a request under a retry and a timeout, and reads the answer's status.
async fn send<A, B>(upstream: &Upstream<A>, version: Version, request: Request<B>) -> Option<StatusCode>
where
    A: Answers,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let client = Stack::http_client("upstream")
        .retry(Retry::standard())
        .attempt_timeout(
            Timeout::after(Duration::from_secs(2))
                .build()
                .expect("good options"),
        )
        .any_request_body()
        .build()
        .service(upstream.client(version));
    let response = client.oneshot(request).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

fn request<B>(method: Method, body: B) -> Request<B> {
    let request = Request::builder().method(method).uri("http://upstream/");
    request.body(body).expect("a good request")
}

/// Every way in which an upstream can fail that would be repeated.
async fn fails(how: usize) -> Answer {
    match how {
        0 => Err(io::Error::other("the connection breaks")),
        1 => pending().await,
        n => status([429, 502, 503, 504][n - 2]),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_idempotent_reaches_the_upstream_once_whatever_fails() {
    for version in VERSIONS {
        for how in 0..6 {
            let upstream = upstream(move |_| fails(how));
            let post = request(Method::POST, Full::<Bytes>::from("buy"));
            send(&upstream, version, post).await;
            assert_eq!(upstream.calls(), 1, "{version:?}, {how}");
            let patch = request(Method::PATCH, Full::<Bytes>::from("more"));
            send(&upstream, version, patch).await;
            assert_eq!(upstream.calls(), 2, "{version:?}, {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_idempotency_key_it_is_repeated_with_the_same_key() {
    for version in VERSIONS {
        for how in 0..6 {
            let upstream =
                upstream(move |n| async move { if n < 2 { fails(how).await } else { status(201) } });
            let mut post = request(Method::POST, Full::<Bytes>::from("buy"));
            let key = HeaderValue::from_static("5f1c");
            post.headers_mut().insert("idempotency-key", key.clone());
            assert_eq!(send(&upstream, version, post).await, Some(StatusCode::CREATED));
            assert_eq!(upstream.calls(), 3, "{version:?}, {how}");
            for seen in upstream.seen() {
                assert_eq!(seen.headers.get("idempotency-key"), Some(&key));
                assert_eq!(seen.body.as_deref(), Some(&b"buy"[..]));
            }
        }
    }
}

/// A body of so many bytes, no two neighbours alike, in pieces of up to 4 KiB that come one after another.
fn streamed(
    length: usize,
    trailers: Option<HeaderMap>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    let bytes = content(length);
    let pieces = (0..length.div_ceil(4096)).map(move |n| {
        let piece = bytes.slice(n * 4096..length.min((n + 1) * 4096));
        Ok(Frame::data(piece))
    });
    let end = trailers.map(|trailers| Ok(Frame::trailers(trailers)));
    StreamBody::new(tokio_stream::iter(pieces.chain(end)))
}

fn content(length: usize) -> Bytes {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn a_body_too_long_to_be_remembered_is_sent_once_and_whole() {
    for version in VERSIONS {
        let upstream = upstream(async |_| status(503));
        let put = request(Method::PUT, streamed(1 << 20, None));
        // And the caller gets the answer that there was.
        assert_eq!(
            send(&upstream, version, put).await,
            Some(StatusCode::SERVICE_UNAVAILABLE)
        );
        let seen = upstream.seen();
        assert_eq!((seen.len(), upstream.calls()), (1, 1));
        assert_eq!(seen[0].body.as_ref(), Some(&content(1 << 20)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_body_is_sent_again_byte_for_byte_with_its_trailers() {
    for version in VERSIONS {
        let upstream = upstream(async |n| status(if n < 2 { 503 } else { 200 }));
        let trailers = HeaderMap::from_iter([(
            "checksum".parse().expect("a name"),
            HeaderValue::from_static("a7"),
        )]);
        let mut put = request(Method::PUT, streamed(32 << 10, Some(trailers.clone())));
        // HTTP/1 sends those that were announced, to those who want them.
        put.headers_mut()
            .insert("trailer", HeaderValue::from_static("checksum"));
        assert_eq!(send(&upstream, version, put).await, Some(StatusCode::OK));
        let seen = upstream.seen();
        assert_eq!(seen.len(), 3);
        for seen in seen {
            assert_eq!(seen.body, Some(content(32 << 10)));
            assert_eq!(seen.trailers.as_ref(), Some(&trailers), "{version:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_says_when_to_come_again() {
    let date = "Wed, 21 Oct 2015 12:00:00 GMT";
    for (value, at_least, at_most) in [
        ("1", 1000, 1200),
        ("Wed, 21 Oct 2015 12:00:01 GMT", 1000, 1200),
        ("7", 7000, 7200),
    ] {
        let upstream = upstream(move |n| async move {
            match n {
                0 => {
                    let mut response = with_header(503, "retry-after", value)?;
                    response
                        .headers_mut()
                        .insert("date", HeaderValue::from_static(date));
                    Ok(response)
                }
                _ => status(200),
            }
        });
        let began = Instant::now();
        let answer = send(&upstream, Version::Http1, get()).await;
        assert_eq!(answer, Some(StatusCode::OK));
        let took = began.elapsed().as_millis();
        assert!((at_least..at_most).contains(&took), "{took} ms");
    }
    // Longer than anyone would wait: the answer is the caller's, at once.
    let upstream = upstream(async |_| with_header(503, "retry-after", "3600"));
    let began = Instant::now();
    let answer = send(&upstream, Version::Http1, get()).await;
    assert_eq!(answer, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!((upstream.calls(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_dropped_upstream_too_wherever_it_was() {
    for version in VERSIONS {
        // At work on the first attempt, waiting for the second, at work on the second.
        for (patience, calls, running) in [(50, 1, 1), (1500, 1, 0), (2500, 2, 1)] {
            let upstream = upstream(async |n| match n {
                0 => {
                    sleep(Duration::from_millis(1000)).await;
                    with_header(503, "retry-after", "1")
                }
                _ => pending().await,
            });
            let call = tokio::spawn({
                let upstream = upstream.clone();
                async move { send(&upstream, version, get()).await }
            });
            sleep(Duration::from_millis(patience)).await;
            assert_eq!(
                (upstream.calls(), upstream.running()),
                (calls, running),
                "{version:?}"
            );
            call.abort();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(upstream.running(), 0, "{version:?}, {patience} ms");
            advance(Duration::from_secs(60)).await;
            assert_eq!(upstream.calls(), calls, "{version:?}, {patience} ms");
        }
    }
}
