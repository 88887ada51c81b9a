//! Who is woken, and what is there when the source has come to its end.

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A body that waits for the word, and wakes who asked last.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<Awaited>>);

#[derive(Default)]
struct Awaited {
    waker: Option<Waker>,
    data: Option<Bytes>,
}

impl Body for Waiting {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut inner = self.0.lock().expect("no panic while locked");
        match inner.data.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(2)
    }
}

#[test]
fn whoever_reads_the_body_is_woken_even_if_it_was_asked_before() {
    let source = Waiting::default();
    let (mut body, _) = ReplayBody::save(source.clone(), 64);
    assert!(
        source.0.lock().expect("no panic").waker.is_some(),
        "asked when it was saved"
    );
    for _ in 0..2 {
        // Each time in another task: a body may move.
        let task = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&task));
        assert!(
            pin!(&mut body)
                .poll_frame(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let woken = source.0.lock().expect("no panic").waker.take();
        woken.expect("a waker").wake();
        assert_eq!(task.0.load(Relaxed), 1);
    }
    source.0.lock().expect("no panic").data = Some(Bytes::from_static(b"ab"));
    let mut seen = Seen::default();
    assert!(matches!(
        pin!(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Some(Ok(_)))
    ));
    step(&mut body, &mut seen);
}

/// hyper asks before its first poll, and by then the end may have come over the network.
#[test]
fn what_was_read_ahead_is_not_forgotten_when_the_source_has_come_to_its_end() {
    #[derive(Default)]
    struct EndsLater(Option<Bytes>, Arc<AtomicUsize>);

    impl Body for EndsLater {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }

        fn is_end_stream(&self) -> bool {
            self.1.load(Relaxed) == 1
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.len() as u64))
        }
    }

    let source = EndsLater(Some(Bytes::from_static(b"ab")), Arc::default());
    let end = Arc::clone(&source.1);
    let (body, _) = ReplayBody::save(source, 64);
    end.store(1, Relaxed);
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(2));
    assert_eq!(read(body).bytes(), b"ab");
}
