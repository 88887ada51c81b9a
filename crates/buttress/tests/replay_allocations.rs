//! What it costs to keep a request, counted exactly.
#![cfg(feature = "http")]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use buttress::{
    Http, Plain,
    http::ReplayBody,
    replay::{Bare, Replay, Same},
};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};

fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

fn drain<B>(mut body: ReplayBody<B>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<buttress::BoxError>,
{
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = pin!(&mut body).poll_frame(&mut cx) {
        black_box(frame.expect("no error"));
    }
}

#[test]
fn an_empty_or_whole_body_is_kept_and_sent_again_for_nothing() {
    assert_eq!(
        allocations(|| {
            let (first, saved) = ReplayBody::save(Empty::<Bytes>::new(), 64 << 10);
            drain(first);
            drain::<Empty<Bytes>>(saved.expect("kept").again().expect("complete"));
        }),
        0
    );
    // As a body that was read from somewhere: it counts its owners already.
    let shared = Bytes::from(vec![7; 32 << 10]);
    let _other = shared.clone();
    let body = Full::new(shared);
    assert_eq!(
        allocations(|| {
            let (first, saved) = ReplayBody::save(body, 64 << 10);
            drain(first);
            drain::<Full<Bytes>>(saved.expect("kept").again().expect("complete"));
        }),
        0
    );
}

#[test]
fn a_body_that_is_too_long_or_only_passed_on_costs_nothing() {
    let long = Full::new(Bytes::from_static(&[7; 100]));
    assert_eq!(
        allocations(|| {
            let (first, saved) = ReplayBody::save(long, 99);
            assert!(saved.is_none());
            drain(first);
        }),
        0
    );
    let request = Request::post("/items")
        .header("accept", "text/plain")
        .body(Full::new(Bytes::from_static(b"ab")))
        .expect("a request");
    assert_eq!(
        allocations(|| {
            let (first, saved) = Http::new().save(&Bare, request, 99);
            assert!(saved.is_none());
            black_box(first);
        }),
        0
    );
}

/// A unary gRPC message is such a body: tonic does not say how long it is.
#[test]
fn a_single_frame_of_unknown_size_costs_one_allocation() {
    let message = OneFrame(Some(Bytes::from_static(b"message")));
    assert_eq!(
        allocations(|| {
            let (first, saved) = ReplayBody::save(message, 64 << 10);
            drain(first);
            drain::<Full<Bytes>>(saved.expect("kept").again().expect("complete"));
        }),
        1
    );
}

#[test]
fn a_plain_request_costs_its_clone() {
    let protocol = Plain::new();
    assert_eq!(
        allocations(|| {
            let (first, saved): (u64, Option<u64>) = protocol.save(&Same, 7_u64, 0);
            black_box((first, saved));
        }),
        0
    );
}

/// The counter counts.
#[test]
fn a_box_is_an_allocation() {
    assert_eq!(
        allocations(|| {
            black_box(Full::new(Bytes::new()).boxed());
        }),
        1
    );
}

/// One frame, of a size that nobody tells.
struct OneFrame(Option<Bytes>);

impl Body for OneFrame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}
