//! PITFALLS, "timeouts did not cover the body": limits for a silent sender and for the whole body.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::{sync::mpsc, time::advance};
use tokio_test::{
    assert_pending, assert_ready,
    task::{self, Spawn},
};

use super::TimeoutBody;
use crate::{
    CallError, RejectionKind,
    error::BoxError,
    timeout::{
        Timeout, TimeoutBuilder,
        limit::{BodyLimits, Until},
    },
};

#[derive(Debug, PartialEq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

type Sent = Result<Frame<Bytes>, Broken>;

/// A body of what a test sends into it.
struct Feed {
    frames: mpsc::UnboundedReceiver<Sent>,
    dropped: Arc<AtomicBool>,
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.frames.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_closed() && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(42)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.dropped.store(true, SeqCst);
    }
}

struct Test {
    timeout: Timeout,
    sender: mpsc::UnboundedSender<Sent>,
    dropped: Arc<AtomicBool>,
    body: TimeoutBody<Feed>,
    task: Spawn<()>,
}

fn test(limits: impl FnOnce(TimeoutBuilder) -> TimeoutBuilder) -> Test {
    let timeout = limits(Timeout::builder().name("files"))
        .build()
        .expect("valid limits");
    let (sender, frames) = mpsc::unbounded_channel();
    let dropped = Arc::<AtomicBool>::default();
    let feed = Feed {
        frames,
        dropped: dropped.clone(),
    };
    let limits = BodyLimits {
        idle: timeout.limits.body_idle.nanos(),
        total: Until::after(timeout.limits.body_total.nanos()),
    };
    Test {
        body: TimeoutBody::new(feed, Some(timeout.ledger.id()), limits),
        timeout,
        sender,
        dropped,
        task: task::spawn(()),
    }
}

impl Test {
    fn poll(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = &mut self.body;
        self.task.enter(|cx, _| Pin::new(body).poll_frame(cx))
    }

    fn send(&self, text: &'static str) {
        self.sender
            .send(Ok(Frame::data(text.into())))
            .expect("the body is there");
    }

    fn reads(&mut self, text: &'static str) {
        let frame = assert_ready!(self.poll()).expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), text);
    }

    /// It is cut off now: one error, then the end.
    fn is_cut_off(&mut self) {
        assert!(!self.dropped.load(SeqCst));
        assert!(!self.body.is_end_stream(), "it would look whole");
        let Some(Err(error)) = assert_ready!(self.poll()) else {
            panic!("a body that was cut off looks whole");
        };
        assert!(self.dropped.load(SeqCst), "dropped in the same poll");
        let rejected = error.rejected().expect("a rejection");
        assert_eq!(
            (rejected.kind(), rejected.policy()),
            (RejectionKind::TimedOut, "files")
        );
        assert!(assert_ready!(self.poll()).is_none(), "one error, then the end");
        assert!(assert_ready!(self.poll()).is_none());
        assert!(self.body.is_end_stream());
        assert_eq!(self.body.size_hint().exact(), Some(0));
    }

    fn cut_off(&self) -> [u64; 2] {
        let counts = self.timeout.snapshot();
        assert_eq!((counts.timed_out, counts.deadline_expired), (0, 0));
        [counts.body_idle, counts.body_total]
    }
}

async fn pass(millis: u64) {
    advance(Duration::from_millis(millis)).await;
}

fn idle(builder: TimeoutBuilder) -> TimeoutBuilder {
    builder.body_idle(Duration::from_secs(30))
}

fn total(builder: TimeoutBuilder) -> TimeoutBuilder {
    builder.body_total(Duration::from_secs(60))
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_falls_silent_is_cut_off_at_the_limit_and_not_before() {
    let mut test = test(idle);
    test.send("abc");
    test.reads("abc");
    assert_pending!(test.poll());
    pass(29_999).await;
    assert_pending!(test.poll());
    assert!(!test.task.is_woken());
    pass(1).await;
    assert!(test.task.is_woken());
    test.is_cut_off();
    assert_eq!(test.cut_off(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn every_frame_ends_a_silence() {
    let mut test = test(idle);
    for _ in 0..10 {
        assert_pending!(test.poll());
        pass(29_000).await;
        test.send("abc");
        test.reads("abc");
    }
    assert_pending!(test.poll());
    pass(29_999).await;
    assert_pending!(test.poll());
    pass(1).await;
    test.is_cut_off();
}

#[tokio::test(start_paused = true)]
async fn a_frame_at_the_last_moment_is_taken() {
    let mut test = test(|limits| total(idle(limits)));
    assert_pending!(test.poll());
    pass(30_000).await;
    test.send("just so");
    test.reads("just so");
    assert_pending!(test.poll());
    pass(30_000).await;
    test.send("once more");
    test.reads("once more");
    test.is_cut_off();
    assert_eq!(test.cut_off(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_an_idle_sender() {
    let mut test = test(idle);
    assert_pending!(test.poll());
    pass(10_000).await;
    test.send("abc");
    test.reads("abc");
    // The reader goes away for long, twice: with something waiting for it, and with nothing.
    test.send("def");
    pass(100_000).await;
    test.reads("def");
    pass(100_000).await;
    assert_pending!(test.poll());
    pass(29_999).await;
    assert_pending!(test.poll());
    pass(1).await;
    test.is_cut_off();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_for_ever_is_cut_off_as_a_whole() {
    let mut test = test(|limits| total(idle(limits)));
    for _ in 0..59 {
        assert_pending!(test.poll());
        pass(1000).await;
        test.send("a");
        test.reads("a");
    }
    assert_pending!(test.poll());
    pass(999).await;
    assert_pending!(test.poll());
    pass(1).await;
    test.is_cut_off();
    assert_eq!(test.cut_off(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_counted_from_the_headers_and_cuts_off_waiting_only() {
    let mut test = test(total);
    test.send("abc");
    test.send("def");
    pass(61_000).await;
    test.reads("abc");
    test.reads("def");
    test.is_cut_off();
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_and_end_the_watch() {
    let mut test = test(idle);
    assert_pending!(test.poll());
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().expect("a value"))]);
    test.sender
        .send(Ok(Frame::trailers(trailers.clone())))
        .expect("the body is there");
    assert!(test.task.is_woken());
    let frame = assert_ready!(test.poll()).expect("a frame").expect("no error");
    assert_eq!(frame.into_trailers().expect("trailers"), trailers);
    pass(100_000).await;
    assert!(!test.task.is_woken(), "a timer survived");
    assert_eq!(test.cut_off(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_passes_unwrapped_and_a_clean_end_stays_clean() {
    let mut broken = test(idle);
    assert_pending!(broken.poll());
    broken.sender.send(Err(Broken)).expect("the body is there");
    let Some(Err(error)) = assert_ready!(broken.poll()) else {
        panic!("its error");
    };
    assert_eq!(error.downcast_ref(), Some(&Broken));

    let mut ended = test(idle);
    assert_pending!(ended.poll());
    let (sender, _) = mpsc::unbounded_channel();
    ended.sender = sender;
    assert!(assert_ready!(ended.poll()).is_none());

    pass(100_000).await;
    assert!(
        !broken.task.is_woken() && !ended.task.is_woken(),
        "a timer survived"
    );
    assert_eq!((broken.cut_off(), ended.cut_off()), ([0, 0], [0, 0]));
}

#[tokio::test(start_paused = true)]
async fn end_and_size_are_the_bodys_own() {
    let mut test = test(idle);
    assert_eq!(test.body.size_hint().exact(), Some(42));
    assert!(!test.body.is_end_stream());
    test.send("abc");
    let (sender, _) = mpsc::unbounded_channel();
    test.sender = sender;
    assert!(!test.body.is_end_stream());
    test.reads("abc");
    assert!(test.body.is_end_stream());
}

/// Outside of a runtime any timer would panic.
#[test]
fn no_timer_is_made_for_frames_that_are_there_nor_without_a_limit() {
    let mut limited = test(|limits| total(idle(limits)));
    limited.send("abc");
    limited.reads("abc");
    limited.send("def");
    limited.reads("def");
    assert!(limited.body.waiting.is_none());

    let mut unlimited = test(|limits| limits);
    assert_pending!(unlimited.poll());
    unlimited.send("abc");
    unlimited.reads("abc");
    assert_pending!(unlimited.poll());
    assert!(unlimited.body.waiting.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_timer_is_not_wound_up_for_each_frame() {
    let mut test = test(idle);
    assert_pending!(test.poll());
    let wound_up = |test: &Test| test.body.waiting.as_ref().expect("it waits").timer.deadline();
    let first = wound_up(&test);
    for _ in 0..29 {
        pass(1000).await;
        test.send("a");
        test.reads("a");
        assert_pending!(test.poll());
        assert_eq!(wound_up(&test), first);
    }
    // It goes off once, too early, and is then wound up for the silence that goes on.
    pass(1000).await;
    assert!(test.task.is_woken());
    assert_pending!(test.poll());
    assert_eq!(wound_up(&test), first + Duration::from_secs(29));
    pass(28_999).await;
    assert_pending!(test.poll());
    pass(1).await;
    test.is_cut_off();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_body_leaves_no_timer() {
    let mut test = test(|limits| total(idle(limits)));
    assert_pending!(test.poll());
    let Test { body, task, .. } = test;
    drop(body);
    pass(100_000).await;
    assert!(!task.is_woken());
}

/// What `http::Response` is moved by, layer after layer, for the sake of those that limit bodies.
#[test]
fn a_body_that_does_not_wait_carries_no_timer() {
    assert!(size_of::<TimeoutBody<[usize; 4]>>() <= 12 * size_of::<usize>());
}
