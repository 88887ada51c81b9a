use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready, task};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    CallError, Error, Grpc, Http, Plain, RejectionKind,
    error::BoxError,
    outcome::BodyProtocol,
    recover::{Catcher, Panic, Place, Recover, RecoverBody, RecoverLayer},
    registry::Registry,
};

/// A body by script. What goes wrong with it is counted, not asserted: its panics would be caught.
#[derive(Debug)]
struct Script {
    steps: VecDeque<Step>,
    hint_panics: bool,
    end_panics: bool,
    drop_panics: bool,
    asked_after_panic: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    panicked: std::cell::Cell<bool>,
}

#[derive(Debug)]
enum Step {
    Data(&'static str),
    Pend,
    Fail,
    Panic,
}

#[derive(Debug, PartialEq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

fn script(steps: impl Into<VecDeque<Step>>) -> Script {
    Script {
        steps: steps.into(),
        hint_panics: false,
        end_panics: false,
        drop_panics: false,
        asked_after_panic: Arc::default(),
        dropped: Arc::default(),
        panicked: std::cell::Cell::new(false),
    }
}

impl Script {
    fn asked(&self, panics: bool) {
        if self.panicked.get() {
            self.asked_after_panic.fetch_add(1, SeqCst);
        }
        if panics {
            self.panicked.set(true);
            panic!("no more pages");
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let step = self.steps.pop_front();
        self.asked(matches!(step, Some(Step::Panic)));
        Poll::Ready(match step {
            Some(Step::Data(text)) => Some(Ok(Frame::data(text.into()))),
            Some(Step::Pend) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Fail) => Some(Err(Broken)),
            Some(Step::Panic) | None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.asked(self.end_panics);
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.asked(self.hint_panics);
        SizeHint::with_exact(3)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
        if self.drop_panics {
            panic!("nor a decent end");
        }
    }
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

fn poll<B: Body + Unpin>(body: &mut B) -> Polled<B> {
    task::spawn(()).enter(|cx, _| Pin::new(body).poll_frame(cx))
}

fn is_panicked(error: &BoxError, policy: &str) -> bool {
    error
        .rejected()
        .is_some_and(|r| r.kind() == RejectionKind::Panicked && r.policy() == policy)
}

/// The only error, and that the body is over behind it.
fn breaks_off<B: Body<Error = BoxError> + Unpin>(body: &mut B, policy: &str) {
    let Some(Err(error)) = assert_ready!(poll(body)) else {
        panic!("a body that panicked looks whole");
    };
    assert!(is_panicked(&error, policy), "{error}");
    assert!(assert_ready!(poll(body)).is_none(), "one error, then the end");
    assert!(assert_ready!(poll(body)).is_none());
    assert!(body.is_end_stream());
}

#[test]
fn a_body_that_panics_breaks_off_and_never_looks_whole() {
    let registry = Registry::new();
    let recover = Recover::new().named("api");
    registry.register("api", &recover);
    let mut events = registry.subscribe();
    let mut script = script([Step::Data("abc"), Step::Pend, Step::Panic, Step::Data("def")]);
    script.drop_panics = true;
    let (asked, dropped) = (script.asked_after_panic.clone(), script.dropped.clone());
    let mut body = RecoverBody::new(script, recover.catcher());

    let frame = assert_ready!(poll(&mut body)).expect("a frame").expect("data");
    assert_eq!(frame.into_data().expect("data"), "abc");
    assert_pending!(poll(&mut body));
    assert!(!body.is_end_stream());
    breaks_off(&mut body, "api");
    assert_eq!(
        dropped.load(SeqCst),
        1,
        "dropped at once, once, and its own panic caught"
    );
    drop(body);
    assert_eq!((asked.load(SeqCst), dropped.load(SeqCst)), (0, 1));

    assert_eq!((recover.panics_in(Place::Body), recover.panics()), (1, 1));
    let event = events.try_next().expect("an event").expect("not lagged");
    let panic = event.detail::<Panic>().expect("a panic");
    assert_eq!((panic.place, &*panic.message), (Place::Body, "no more pages"));
}

#[test]
fn a_panic_in_is_end_stream_is_the_next_polls_error() {
    let recover = Recover::new().named("api");
    let mut script = script([]);
    script.end_panics = true;
    let asked = script.asked_after_panic.clone();
    let mut body = RecoverBody::new(script, recover.catcher());
    assert!(!body.is_end_stream(), "`true` would be a clean end");
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), None);
    breaks_off(&mut body, "api");
    assert_eq!((asked.load(SeqCst), recover.panics_in(Place::Body)), (0, 1));
}

#[test]
fn a_panic_in_size_hint_is_the_next_polls_error() {
    let recover = Recover::new().named("api");
    let mut script = script([]);
    script.hint_panics = true;
    let asked = script.asked_after_panic.clone();
    let mut body = RecoverBody::new(script, recover.catcher());
    assert_eq!(body.size_hint().exact(), None);
    assert!(
        !body.is_end_stream(),
        "the script is at its end, but its panic is not told yet"
    );
    breaks_off(&mut body, "api");
    assert_eq!((asked.load(SeqCst), recover.panics_in(Place::Body)), (0, 1));
}

#[test]
fn a_body_that_does_not_panic_passes_unchanged() {
    let recover = Recover::new();
    let mut body = RecoverBody::new(script([Step::Data("abc"), Step::Fail]), recover.catcher());
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    assert!(matches!(assert_ready!(poll(&mut body)), Some(Ok(_))));
    let Some(Err(error)) = assert_ready!(poll(&mut body)) else {
        panic!("its error");
    };
    assert_eq!(error.downcast_ref(), Some(&Broken), "converted, not wrapped");
    assert!(body.is_end_stream());
    assert!(assert_ready!(poll(&mut body)).is_none());
    assert_eq!(recover.panics(), 0);
}

#[test]
fn a_body_under_a_policy_that_is_off_panics_as_ever() {
    let mut body = RecoverBody::new(script([Step::Data("abc"), Step::Panic]), Catcher::OFF);
    assert!(matches!(assert_ready!(poll(&mut body)), Some(Ok(_))));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut body))).is_err());
    let mut hint = script([]);
    hint.hint_panics = true;
    let body = RecoverBody::new(hint, Catcher::OFF);
    assert!(catch_unwind(AssertUnwindSafe(|| body.size_hint())).is_err());
}

#[tokio::test]
async fn a_guard_around_a_guard_keeps_the_inner_ones_error() {
    let (inner, outer) = (Recover::new().named("inner"), Recover::new().named("outer"));
    let body = RecoverBody::new(script([Step::Data("abc"), Step::Panic]), inner.catcher());
    let error = RecoverBody::new(body, outer.catcher())
        .collect()
        .await
        .expect_err("broken off");
    assert!(is_panicked(&error, "inner"));
    assert_eq!((inner.panics(), outer.panics()), (1, 0));
}

/// Answers with one body.
struct Answer(Option<Script>);

impl Service<()> for Answer {
    type Response = http::Response<Script>;
    type Error = Error<BoxError>;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let body = self.0.take().expect("called once");
        std::future::ready(Ok(http::Response::builder()
            .status(203)
            .body(body)
            .expect("a response")))
    }
}

#[tokio::test]
async fn a_layer_for_http_or_grpc_guards_the_body() {
    async fn ends_in_an_error<P>(layer: RecoverLayer<P>)
    where
        P: BodyProtocol<
                http::Response<Script>,
                Body = Script,
                Response<RecoverBody<Script>> = http::Response<RecoverBody<Script>>,
            >,
    {
        let steps = [Step::Data("abc"), Step::Panic];
        let response = layer
            .layer(Answer(Some(script(steps))))
            .call(())
            .await
            .expect("good headers");
        assert_eq!(response.status(), 203);
        let error = response.into_body().collect().await.expect_err("broken off");
        assert!(is_panicked(&error, "api"));
    }
    let recover = Recover::new().named("api");
    ends_in_an_error(recover.layer_for(<Http>::default())).await;
    ends_in_an_error(recover.layer_for(<Grpc>::default())).await;
    assert_eq!(recover.panics_in(Place::Body), 2);
}

#[test]
fn a_plain_response_keeps_its_type() {
    fn same<P: BodyProtocol<R, Response<RecoverBody<std::convert::Infallible>> = R>, R>() {}
    same::<Plain, http::Response<Full<Bytes>>>();
}
