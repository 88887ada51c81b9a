//! Values, functions, and what they leave to the service.

use super::*;

#[tokio::test]
async fn a_call_that_succeeds_keeps_its_answer() {
    let (answer, books) = after(Fallback::value("instead"), Ok("good")).await;
    assert_eq!(answer, Ok("good"));
    assert_eq!((books.answered, books.declined, books.failed), (0, 0, 0));
}

#[tokio::test]
async fn a_value_answers_in_place_of_a_failure() {
    let (answer, books) = after(Fallback::value("instead"), BROKEN).await;
    assert_eq!(answer, Ok("instead"));
    assert_eq!(causes(&books), [("error", 1)]);
    assert_eq!(books.answered, 1);
}

#[tokio::test]
async fn a_function_knows_why() {
    let by_cause = Fallback::with(|cause: Cause<'_, Failure>| {
        Some(match (cause.rejection(), cause.error) {
            (Some(RejectionKind::CircuitOpen), Some(Error::Rejected(rejected))) => {
                assert_eq!(rejected.policy(), "inside");
                "open"
            }
            (None, Some(Error::Inner(error))) => error,
            other => unreachable!("{other:?}"),
        })
    });
    let (answer, _) = after(by_cause.clone(), Err(rejected(RejectionKind::CircuitOpen))).await;
    assert_eq!(answer, Ok("open"));
    let (answer, _) = after(by_cause, BROKEN).await;
    assert_eq!(answer, Ok("broken"));
}

#[tokio::test]
async fn a_function_that_has_nothing_leaves_what_the_service_said() {
    let nothing = Fallback::with(|_| None);
    let (answer, books) = after(nothing, BROKEN).await;
    assert_eq!(answer, BROKEN);
    assert_eq!((books.answered, books.declined, books.failed), (0, 1, 0));

    let nothing = Fallback::with_async(|_| async { None });
    let (answer, books) = after(nothing, BROKEN).await;
    assert_eq!(answer, BROKEN);
    assert_eq!((books.answered, books.declined, books.failed), (0, 1, 0));
}

#[tokio::test]
async fn the_error_of_a_function_is_that_of_the_call() {
    let failing = Fallback::with(|_| Err(Error::Inner("no cache either")));
    let (answer, books) = after(failing, BROKEN).await;
    assert_eq!(answer, Err(Error::Inner("no cache either")));
    assert_eq!((books.answered, books.declined, books.failed), (0, 0, 1));

    let failing = Fallback::with_async(|_| async { Err(Error::Inner("no cache either")) });
    let (answer, books) = after(failing, BROKEN).await;
    assert_eq!(answer, Err(Error::Inner("no cache either")));
    assert_eq!((books.answered, books.declined, books.failed), (0, 0, 1));
}

#[tokio::test]
async fn a_function_gets_what_was_kept_of_the_request() {
    let fallback = Fallback::keep(|request: &(u32, &'static str)| request.0)
        .with(|cause| (cause.kept > 5).then_some(cause.kept * 10))
        .build()
        .expect("valid");
    let service = fallback.layer().layer(service_fn(|_: (u32, &'static str)| {
        ready(Err::<u32, Failure>(Error::Inner("broken")))
    }));
    assert_eq!(service.clone().oneshot((7, "all")).await, Ok(70));
    assert_eq!(service.oneshot((3, "all")).await, Err(Error::Inner("broken")));

    let fallback = Fallback::keep(|word: &&'static str| word.len())
        .with_async(|cause| async move { Some(cause.kept) })
        .build()
        .expect("valid");
    let service = fallback.layer().layer(service_fn(|_: &'static str| {
        ready(Err::<usize, Failure>(Error::Inner("broken")))
    }));
    assert_eq!(service.oneshot("four").await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_function_may_take_its_time() {
    let slow = Fallback::with_async(|_| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some("late")
    });
    let fallback = slow.build().expect("valid");
    let mut call = task::spawn(fallback.layer().layer(saying(BROKEN)).oneshot(()));
    assert_pending!(call.poll());
    tokio::time::advance(Duration::from_millis(2999)).await;
    assert_pending!(call.poll());
    assert_eq!(fallback.snapshot().answered, 0, "not yet");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok("late"));
    assert_eq!(fallback.snapshot().answered, 1);
}

#[tokio::test]
async fn dropping_the_call_drops_the_fallback() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = alive.clone();
    let fallback = Fallback::with_async(move |_| {
        let one = Counted::by(&count);
        async move {
            let _one = one;
            std::future::pending::<Option<&'static str>>().await
        }
    })
    .build()
    .expect("valid");
    let mut service = fallback.layer().layer(saying(BROKEN));
    let call = service.call(());
    assert_eq!(alive.load(SeqCst), 0);
    drop(call);

    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    assert_eq!(alive.load(SeqCst), 1);
    drop(call);
    assert_eq!(alive.load(SeqCst), 0);
    let books = fallback.snapshot();
    assert_eq!((books.answered, books.declined, books.failed), (0, 0, 0));
}

#[tokio::test]
async fn the_call_is_gone_before_the_fallback_begins() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (count, seen) = (alive.clone(), alive.clone());
    let fallback = Fallback::with_async(move |_| {
        let seen = seen.clone();
        async move {
            Some(if seen.load(SeqCst) == 0 {
                "alone"
            } else {
                "not alone"
            })
        }
    })
    .build()
    .expect("valid");
    let service = fallback.layer().layer(service_fn(move |()| {
        let one = Counted::by(&count);
        // It is held to the end of the future, not to its last poll.
        std::future::poll_fn(move |_| {
            let _held = &one;
            Poll::Ready(BROKEN)
        })
    }));
    assert_eq!(service.oneshot(()).await, Ok("alone"));
}

#[tokio::test]
async fn a_value_is_cloned_only_when_it_is_needed() {
    #[derive(Debug)]
    struct Dear(Arc<AtomicUsize>);
    impl Clone for Dear {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, SeqCst);
            Self(self.0.clone())
        }
    }
    let clones = Arc::new(AtomicUsize::new(0));
    let fallback = Fallback::value(Dear(clones.clone())).build().expect("valid");
    let own = clones.clone();
    let mut service = fallback.layer().layer(service_fn(move |good: bool| {
        ready(if good {
            Ok(Dear(own.clone()))
        } else {
            Err(Failure::Inner("broken"))
        })
    }));
    for _ in 0..3 {
        service.call(true).await.expect("good");
        let _ = service.clone();
    }
    assert_eq!(clones.load(SeqCst), 0);
    service.call(false).await.expect("answered");
    assert_eq!(clones.load(SeqCst), 1);
}

#[tokio::test]
async fn switched_off_it_answers_nothing_and_keeps_its_type() {
    let on = Fallback::value("instead").build().expect("valid");
    let layers = [
        FallbackLayer::new(on, Plain::new(), crate::replay::Same),
        FallbackLayer::new(None, Plain::new(), crate::replay::Same),
    ];
    let service = saying(BROKEN);
    let [on, off] = layers.map(|layer| layer.layer(service.clone()));
    assert_eq!(on.oneshot(()).await, Ok("instead"));
    assert_eq!(off.oneshot(()).await, BROKEN);
}

#[tokio::test]
async fn a_future_is_answered_for_without_a_service() {
    let fallback = Fallback::value(10).build().expect("valid");
    let broken = || async { Err(std::io::Error::other("no line")) };
    assert_eq!(fallback.call(broken()).await.expect("answered"), 10);
    assert_eq!(
        fallback
            .call(async { Ok::<_, std::io::Error>(1) })
            .await
            .expect("good"),
        1
    );
    assert_eq!(causes(&fallback.snapshot()), [("error", 1)]);

    // A rejection is found among the causes of an error.
    let open = Fallback::value(10)
        .on([RejectionKind::CircuitOpen])
        .build()
        .expect("valid");
    let refused = async {
        let rejected = Rejected::new(RejectionKind::CircuitOpen, "db");
        Err(Error::<Error<std::io::Error>>::Inner(rejected.into()))
    };
    assert_eq!(open.call(refused).await.expect("answered"), 10);
    assert!(open.call(broken()).await.is_err());

    let judge = Plain::classify(|result: &Result<u8, &'static str>| match result {
        Err("no such item") => Outcome::neutral(Reason::Error),
        Err(_) => Outcome::failure(Reason::Error),
        Ok(_) => Outcome::SUCCESS,
    });
    let zero = Fallback::value(0).build().expect("valid");
    assert_eq!(zero.call_with(judge, async { Err("no line") }).await, Ok(0));
    assert_eq!(
        zero.call_with(judge, async { Err("no such item") }).await,
        Err("no such item")
    );
}

#[tokio::test]
async fn a_service_that_is_no_more_is_not_answered_for() {
    #[derive(Clone)]
    struct Gone;
    impl Service<()> for Gone {
        type Response = &'static str;
        type Error = Failure;
        type Future = std::future::Ready<Said>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
            Poll::Ready(Err(Error::Inner("gone")))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            unreachable!("it is not ready")
        }
    }
    let fallback = Fallback::value("instead").build().expect("valid");
    let mut service = fallback.layer().layer(Gone);
    assert_eq!(service.ready().await.map(drop), Err(Error::Inner("gone")));
}

#[test]
fn it_is_as_free_as_what_it_is_made_of() {
    fn free<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: T) {}

    let fallback = Fallback::service(saying(Ok("instead"))).build().expect("valid");
    let mut service = fallback.layer().layer(saying(BROKEN));
    free(&service);
    sent(service.call(()));
    // An error that is not shared does not make what answers for it so.
    let function = Fallback::with(|_: Cause<'_, std::cell::Cell<u8>>| Some(1));
    free(&function.build().expect("valid"));
}
