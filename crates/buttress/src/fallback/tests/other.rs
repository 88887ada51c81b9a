//! Another service.

use super::*;

fn upper()
-> impl Service<String, Response = String, Error = Failure, Future = Ready<Result<String, Failure>>> + Clone {
    service_fn(|text: String| ready(Ok(text.to_uppercase())))
}

fn broken()
-> impl Service<String, Response = String, Error = Failure, Future = Ready<Result<String, Failure>>> + Clone {
    service_fn(|_: String| ready(Err(Error::Inner("broken"))))
}

#[tokio::test]
async fn another_service_gets_the_same_request() {
    let fallback = Fallback::service(upper()).build().expect("valid");
    let service = fallback.layer().layer(broken());
    assert_eq!(service.oneshot("word".to_owned()).await.as_deref(), Ok("WORD"));
    assert_eq!(causes(&fallback.snapshot()), [("error", 1)]);
}

#[tokio::test]
async fn the_error_of_the_other_service_is_that_of_the_call() {
    let other = service_fn(|_: String| ready(Err::<String, Failure>(Error::Inner("broken as well"))));
    let fallback = Fallback::service(other).build().expect("valid");
    let service = fallback.layer().layer(broken());
    assert_eq!(
        service.oneshot("word".to_owned()).await,
        Err(Error::Inner("broken as well"))
    );
    assert_eq!(fallback.snapshot().failed, 1);
    assert_eq!(fallback.snapshot().answered, 0);
}

#[tokio::test]
async fn the_other_service_is_asked_when_it_is_ready() {
    use crate::BoxError;

    let (other, mut handle) = tower_test::mock::pair::<&'static str, &'static str>();
    let fallback = Fallback::service(other).build().expect("valid");
    let service = fallback.layer().layer(service_fn(|_: &'static str| {
        ready(Err::<&'static str, BoxError>("broken".into()))
    }));
    handle.allow(0);
    let mut call = task::spawn(service.oneshot("request"));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    handle.allow(1);
    assert!(call.is_woken(), "whoever becomes ready wakes");
    assert_pending!(call.poll());
    let (request, respond) = handle.next_request().await.expect("it is asked");
    assert_eq!(request, "request");
    respond.send_response("instead");
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()).expect("answered"), "instead");
}

#[tokio::test]
async fn the_other_service_is_cloned_only_when_it_is_needed() {
    struct Dear(Arc<AtomicUsize>);
    impl Clone for Dear {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, SeqCst);
            Self(self.0.clone())
        }
    }
    impl Service<()> for Dear {
        type Response = &'static str;
        type Error = Failure;
        type Future = std::future::Ready<Said>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok("instead"))
        }
    }
    let clones = Arc::new(AtomicUsize::new(0));
    let fallback = Fallback::service(Dear(clones.clone())).build().expect("valid");
    fallback
        .layer()
        .layer(saying(Ok("good")))
        .oneshot(())
        .await
        .expect("good");
    assert_eq!(clones.load(SeqCst), 0);
    let answer = fallback.layer().layer(saying(BROKEN)).oneshot(()).await;
    assert_eq!((answer, clones.load(SeqCst)), (Ok("instead"), 1));
}

#[tokio::test]
async fn what_the_service_said_is_gone_before_the_other_is_asked() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (count, seen) = (alive.clone(), alive.clone());
    let protocol = Plain::classify(|_: &Result<Counted, Failure>| Outcome::failure(Reason::Custom("all")));
    let other = service_fn(move |()| {
        let alone = seen.load(SeqCst) == 0;
        ready(if alone {
            Ok(Counted::by(&seen))
        } else {
            Err(Failure::Inner("not alone"))
        })
    });
    let fallback = Fallback::service(other).build().expect("valid");
    let service = fallback
        .layer_for(protocol)
        .layer(service_fn(move |()| ready(Ok::<_, Failure>(Counted::by(&count)))));
    assert!(service.oneshot(()).await.is_ok());
}
