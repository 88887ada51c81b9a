use super::*;
use crate::{
    BoxError,
    http::{BodyMode, HostBody},
    replay::{Bare, Same, With},
};

/// A host's body: one that is its own, or another put into it.
enum Host {
    Own(Script),
    Held(Box<ReplayBody<Host>>),
}

impl HostBody for Host {
    fn from_replay(body: ReplayBody<Self>) -> Self {
        Self::Held(Box::new(body))
    }
}

impl Body for Host {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Held(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Held(body) => body.size_hint(),
        }
    }
}

#[tokio::test]
async fn a_host_body_comes_out_as_it_went_in() {
    let host = Host::Own(Script::new([data("ab"), data("c")]));
    let (body, saved) = ReplayBody::save(host, 64);
    let first: Host = Same.body(body);
    assert_eq!(first.collect().await.expect("no error").to_bytes(), "abc");
    let again: Host = Same.body(saved.and_then(|saved| saved.again()).expect("complete"));
    assert!(matches!(again, Host::Held(_)));
    assert_eq!(again.collect().await.expect("no error").to_bytes(), "abc");
}

#[test]
fn a_host_body_that_is_only_passed_on_is_not_wrapped() {
    let long = Host::Own(Script::new([data("abc")]).sized(Size::Exact));
    let (body, saved) = ReplayBody::save(long, 2);
    assert!(saved.is_none());
    assert!(matches!(Same.body(body), Host::Own(_)));
}

#[tokio::test]
async fn a_boxed_body_holds_its_replay() {
    type Boxed = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;
    let boxed: Boxed = Box::pin(Full::new(Bytes::from_static(b"abc")).map_err(Into::into));
    let (body, saved) = ReplayBody::save(boxed, 64);
    for body in [body, saved.and_then(|saved| saved.again()).expect("complete")] {
        let boxed: Boxed = Same.body(body);
        assert_eq!(boxed.collect().await.expect("no error").to_bytes(), "abc");
    }
}

#[tokio::test]
async fn a_function_makes_any_body_of_it() {
    let (body, _) = ReplayBody::save(Script::new([data("ab"), data("c")]).telling_end(), 64);
    let boxed = With(BodyExt::boxed_unsync).body(body);
    assert_eq!(boxed.collect().await.expect("no error").to_bytes(), "abc");

    let body: ReplayBody<Script> = Bare.body(ReplayBody::pass(Script::new([data("a")])));
    assert_eq!(read(body).bytes(), b"a");
}
