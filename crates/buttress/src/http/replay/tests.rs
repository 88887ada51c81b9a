//! A body that follows a script, to the letter: it panics if it is asked again after its end.

mod any_body;
mod modes;
mod requests;
mod woken;

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

use super::{ReplayBody, memory::MOST_FRAMES};

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Error,
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    Unknown,
    AtLeast,
    Exact,
    /// Says that it knows, and is wrong.
    Lie(u64),
}

#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    size: Size,
    tells_end: bool,
    over: bool,
    polls: Arc<AtomicUsize>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            size: Size::Unknown,
            tells_end: false,
            over: false,
            polls: Arc::default(),
        }
    }

    fn sized(mut self, size: Size) -> Self {
        self.size = size;
        self
    }

    fn telling_end(mut self) -> Self {
        self.tells_end = true;
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        assert!(!self.over, "asked after its end");
        self.polls.fetch_add(1, Relaxed);
        match self.steps.pop_front() {
            None => {
                self.over = true;
                Poll::Ready(None)
            }
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Error) => {
                self.over = true;
                Poll::Ready(Some(Err("broken")))
            }
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.tells_end && self.steps.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let left = bytes_of(&self.steps);
        match self.size {
            Size::Unknown => SizeHint::new(),
            Size::AtLeast => {
                let mut hint = SizeHint::new();
                hint.set_lower(left / 2);
                hint
            }
            Size::Exact => SizeHint::with_exact(left),
            Size::Lie(size) => SizeHint::with_exact(size),
        }
    }
}

fn bytes_of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> u64 {
    let len = |step: &Step| match step {
        Step::Data(data) => data.len() as u64,
        _ => 0,
    };
    steps.into_iter().map(len).sum()
}

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

fn trailers(value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", http::HeaderValue::from_static(value));
    trailers
}

/// What has been read of a body.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<String>,
    ended: bool,
}

impl Seen {
    fn bytes(&self) -> Vec<u8> {
        self.frames.concat()
    }
}

/// One poll, in which all that a body says of itself has to be true.
fn step<B>(body: &mut ReplayBody<B>, seen: &mut Seen) -> bool
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<crate::BoxError>,
{
    let (hint, at_end) = (body.size_hint(), body.is_end_stream());
    let polled = pin!(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()));
    if at_end {
        assert!(matches!(polled, Poll::Ready(None)), "{polled:?} after its end");
        assert!(hint.exact().is_none_or(|left| left == 0), "{hint:?}");
    }
    match polled {
        Poll::Pending => {}
        Poll::Ready(None) => seen.ended = true,
        Poll::Ready(Some(Err(error))) => seen.error = Some(error.to_string()),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => {
                if let (Some(before), Some(after)) = (hint.exact(), body.size_hint().exact()) {
                    assert_eq!(before, data.len() as u64 + after);
                }
                if !data.is_empty() {
                    seen.frames.push(data);
                }
            }
            Err(frame) => seen.trailers = frame.into_trailers().ok(),
        },
    }
    !(seen.ended || seen.error.is_some())
}

fn read<B>(mut body: ReplayBody<B>) -> Seen
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<crate::BoxError>,
{
    let mut seen = Seen::default();
    while step(&mut body, &mut seen) {}
    seen
}

#[test]
fn a_body_is_streamed_and_can_be_repeated_once_its_end_has_gone_out() {
    let script = Script::new([
        data("ab"),
        Step::Pending,
        data("c"),
        Step::Trailers(trailers("7")),
    ]);
    let polls = Arc::clone(&script.polls);
    let (mut body, saved) = ReplayBody::save(script, 3);
    let saved = saved.expect("of unknown size");
    assert_eq!(polls.load(Relaxed), 0, "nobody has asked for it yet");

    let mut seen = Seen::default();
    for (poll, so_far) in ["ab", "ab", "abc"].into_iter().enumerate() {
        step(&mut body, &mut seen);
        assert_eq!(seen.bytes(), so_far.as_bytes());
        assert_eq!(polls.load(Relaxed), poll + 1, "one for one");
        assert!(!saved.can_repeat());
        assert!(saved.again::<Script>().is_none());
    }
    step(&mut body, &mut seen);
    assert_eq!(seen.trailers, Some(trailers("7")));
    assert!(saved.can_repeat());
    step(&mut body, &mut seen);
    assert!(seen.ended);
    assert_eq!(read(saved.again::<Script>().expect("complete")), seen);
}

#[test]
fn a_body_dropped_halfway_is_not_repeated() {
    let (mut body, saved) = ReplayBody::save(Script::new([data("ab"), data("c")]), 64);
    let saved = saved.expect("of unknown size");
    step(&mut body, &mut Seen::default());
    drop(body);
    assert!(!saved.can_repeat());
}

#[test]
fn a_body_known_to_be_too_long_is_not_touched() {
    for (size, kept) in [(Size::Exact, 4), (Size::AtLeast, 2)] {
        let script = || Script::new([data("ab"), data("cd")]).sized(size);
        let (body, saved) = ReplayBody::save(script(), kept - 1);
        assert!(saved.is_none());
        let script_again = body.try_into_passed().expect("passed through");
        assert_eq!(script_again.polls.load(Relaxed), 0);
        assert!(ReplayBody::save(script(), kept).1.is_some());
    }
}

#[test]
fn a_body_that_turns_out_too_long_is_sent_whole_and_not_repeated() {
    for (limit, kept) in [(4, false), (5, true)] {
        let (body, saved) = ReplayBody::save(Script::new([data("ab"), data("cd"), data("e")]), limit);
        let seen = read(body);
        assert_eq!((seen.bytes(), seen.error), (b"abcde".to_vec(), None));
        assert_eq!(saved.expect("of unknown size").can_repeat(), kept);
    }
}

#[test]
fn a_body_in_more_frames_than_are_remembered_is_not_repeated() {
    for (frames, kept) in [(MOST_FRAMES, true), (MOST_FRAMES + 1, false)] {
        let (body, saved) = ReplayBody::save(Script::new(vec![data("x"); frames]), 64 << 10);
        assert_eq!(read(body).bytes().len(), frames);
        assert_eq!(saved.expect("of unknown size").can_repeat(), kept);
    }
    // Frames without data are no weight.
    let (body, saved) = ReplayBody::save(Script::new(vec![data(""); 2 * MOST_FRAMES]), 0);
    assert!(read(body).ended);
    let again = saved.and_then(|saved| saved.again::<Script>()).expect("complete");
    assert!(again.is_end_stream());
}

#[test]
fn an_error_is_passed_on_and_the_body_not_repeated() {
    for size in [Size::Unknown, Size::Exact] {
        for steps in [
            vec![Step::Error, data("ab")],
            vec![data("ab"), Step::Error],
            vec![data("ab"), Step::Pending, Step::Error],
        ] {
            let (body, saved) = ReplayBody::save(Script::new(steps).sized(size), 64);
            assert_eq!(read(body).error.as_deref(), Some("broken"));
            assert!(saved.is_none_or(|saved| !saved.can_repeat()));
        }
    }
}

/// HTTP/1 stops after the last byte that `content-length` promised.
#[test]
fn a_reader_that_counts_bytes_has_seen_the_end() {
    for tells_end in [false, true] {
        let mut script = Script::new([data("ab"), Step::Pending, data("c")]).sized(Size::Exact);
        script.tells_end = tells_end;
        let (mut body, saved) = ReplayBody::save(script, 64);
        let mut seen = Seen::default();
        while seen.bytes().len() < 3 {
            step(&mut body, &mut seen);
        }
        assert!(body.is_end_stream());
        drop(body);
        assert!(saved.expect("short").can_repeat());
    }
}

/// Were the size told where the first attempt had none, HTTP/1 would send a `content-length`, and no trailers.
#[test]
fn a_replay_knows_its_size_only_if_the_first_attempt_did() {
    for (size, exact) in [
        (Size::Unknown, None),
        (Size::AtLeast, None),
        (Size::Exact, Some(3)),
    ] {
        let script = Script::new([data("ab"), data("c"), Step::Trailers(trailers("7"))]).sized(size);
        let (body, saved) = ReplayBody::save(script, 64);
        assert_eq!(body.size_hint().exact(), exact);
        read(body);
        let again = saved.and_then(|saved| saved.again::<Script>()).expect("complete");
        assert_eq!(again.size_hint().exact(), exact);
        assert_eq!(again.size_hint().lower(), 3);
    }
}

#[test]
fn a_body_cut_short_of_its_size_is_not_repeated_as_if_it_were_whole() {
    for steps in [vec![], vec![data("ab")], vec![Step::Trailers(trailers("7"))]] {
        for tells_end in [false, true] {
            let mut script = Script::new(steps.clone()).sized(Size::Lie(5));
            script.tells_end = tells_end && !steps.is_empty();
            let polls = Arc::clone(&script.polls);
            let (mut body, saved) = ReplayBody::save(script, 64);
            let mut seen = Seen::default();
            // The script would not bear to be asked again.
            while !steps.is_empty() && step(&mut body, &mut seen) {}
            assert_eq!(seen.bytes().len() as u64, bytes_of(&steps));
            assert_eq!(
                seen.trailers.is_some(),
                steps.iter().any(|s| matches!(s, Step::Trailers(_)))
            );
            assert!(polls.load(Relaxed) > 0);
            assert!(saved.is_none_or(|saved| !saved.can_repeat()));
        }
    }
}

/// What it sends is what came, though it is not what was said.
#[test]
fn a_body_longer_than_its_size_is_sent_whole() {
    for limit in [2, 64] {
        let mut script = Script::new([data("ab"), data("cd"), data("e"), Step::Trailers(trailers("7"))]);
        script.size = Size::Lie(0);
        let (mut body, saved) = ReplayBody::save(script, limit);
        let mut seen = Seen::default();
        for _ in 0..8 {
            let polled = pin!(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => seen.frames.push(data),
                    Err(frame) => seen.trailers = frame.into_trailers().ok(),
                },
                _ => break,
            }
        }
        assert_eq!(seen.bytes(), b"abcde");
        assert_eq!(seen.trailers, Some(trailers("7")));
        assert!(saved.is_none_or(|saved| !saved.can_repeat()));
    }
}

#[test]
fn attempts_that_are_alive_together_do_not_disturb_each_other() {
    let script = Script::new([data("ab"), data("c"), Step::Trailers(trailers("7"))]).sized(Size::Exact);
    let (mut first, saved) = ReplayBody::save(script, 64);
    let saved = saved.expect("short");
    let mut of_first = Seen::default();
    while of_first.bytes().len() < 3 {
        step(&mut first, &mut of_first);
    }
    // The end has been seen, the trailers have not gone out yet.
    let mut second = saved.again::<Script>().expect("complete");
    let mut of_second = Seen::default();
    step(&mut second, &mut of_second);
    assert_eq!(of_second.frames, ["ab"]);
    let third = read(saved.again::<Script>().expect("complete"));
    while step(&mut first, &mut of_first) {}
    drop(first);
    while step(&mut second, &mut of_second) {}
    assert_eq!(third, of_first);
    assert_eq!(third, of_second);
    assert_eq!(third.trailers, Some(trailers("7")));
}

#[tokio::test]
async fn a_whole_body_is_kept_as_it_is() {
    let (body, saved) = ReplayBody::save(Full::new(Bytes::from_static(b"whole")), 5);
    assert_eq!(body.size_hint().exact(), Some(5));
    let saved = saved.expect("short");
    assert!(saved.can_repeat());
    assert_eq!(body.try_into_bytes().expect("in one piece"), "whole");
    let again = saved.again::<Full<Bytes>>().expect("always");
    assert_eq!(again.collect().await.expect("no error").to_bytes(), "whole");

    let (body, saved) = ReplayBody::save(Full::new(Bytes::new()), 0);
    assert!(body.is_end_stream());
    assert!(saved.expect("nothing is never too long").can_repeat());
}

#[test]
fn a_whole_body_with_trailers_keeps_them() {
    let body = || Full::new(Bytes::from_static(b"whole")).with_trailers(async { Some(Ok(trailers("7"))) });
    let (first, saved) = ReplayBody::save(Box::pin(body()), 5);
    let seen = read(first);
    assert_eq!(seen.bytes(), b"whole");
    assert_eq!(seen.trailers, Some(trailers("7")));
    let saved = saved.expect("short");
    assert_eq!(read(saved.again::<Full<Bytes>>().expect("complete")), seen);
}

#[test]
fn a_retry_inside_a_retry_is_a_body_in_a_body() {
    let (outer, outer_saved) = ReplayBody::save(Script::new([data("ab"), data("c")]), 64);
    let (inner, inner_saved) = ReplayBody::save(outer, 64);
    let seen = read(inner);
    for saved in [outer_saved, inner_saved] {
        let saved = saved.expect("of unknown size");
        assert_eq!(read(saved.again::<Script>().expect("complete")), seen);
    }
}

#[test]
fn no_secret_is_shown() {
    let (body, saved) = ReplayBody::save(Full::new(Bytes::from_static(b"secret")), 64);
    assert!(!format!("{body:?} {saved:?}").contains("secret"));
    let (body, saved) = ReplayBody::save(Script::new([data("secret")]), 64);
    let first = format!("{body:?}");
    read(body);
    assert!(!format!("{first} {saved:?}").contains("secret"));
}

/// What hyper, tonic and reqwest ask.
#[test]
fn it_is_what_its_body_is() {
    fn sendable<T: Send + Sync + Unpin + 'static>() {}
    sendable::<ReplayBody<Full<Bytes>>>();
    sendable::<super::SavedRequest>();
}

/// What of a body is saved a second time is what was saved the first time, and one that was not is saved now.
#[tokio::test]
async fn a_body_is_saved_again_by_whoever_is_further_in() {
    let streamed = || Script::new(["fo", "ur"].map(|text| Step::Data(Bytes::from(text))));
    let read = async |body: ReplayBody<Script>| body.collect().await.expect("whole").to_bytes();
    for body in [
        ReplayBody::pass(streamed()),
        ReplayBody::save(streamed(), 64).0,
        ReplayBody::save(
            Script::new([Step::Data("four".into())])
                .sized(Size::Exact)
                .telling_end(),
            64,
        )
        .0,
    ] {
        let (body, saved) = body.save_again(64);
        let saved = saved.expect("it is kept");
        assert_eq!(read(body).await, "four");
        let again = saved.again().expect("all of it is there");
        // And once more, as an attempt after the first is.
        let (again, saved) = again.save_again(64);
        assert_eq!(read(again).await, "four");
        let again = saved.expect("it is kept").again().expect("all of it is there");
        assert_eq!(read(again).await, "four");
    }
    let (empty, saved) = ReplayBody::save(Script::new([]).telling_end(), 64)
        .0
        .save_again(64);
    assert!(empty.is_end_stream() && saved.is_some());

    // Both share one memory: what is too long for the one is too long for the other, and what has begun is late.
    let (first, saved) = ReplayBody::save(streamed(), 3);
    let (first, shared) = first.save_again(64);
    assert_eq!(read(first).await, "four");
    assert!(!saved.expect("unknown").can_repeat() && !shared.expect("unknown").can_repeat());
    let (whole, saved) = ReplayBody::save(streamed(), 64);
    read(whole).await;
    let mut again: ReplayBody<Script> = saved.expect("kept").again().expect("complete");
    again.frame().await;
    assert!(again.save_again(64).1.is_none(), "not from its beginning");
}
