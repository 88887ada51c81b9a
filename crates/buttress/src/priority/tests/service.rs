//! Through the layer.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{CallContext, Error, ErrorLayer, Plain};

type Refusal = Error<Infallible>;

fn class_of(request: &u8) -> Priority {
    Priority::new(*request)
}

/// Counts calls, and those that asked whether it is ready; never answers if told so.
#[derive(Clone, Default)]
struct Probe {
    asked: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<u8>>>,
    hangs: bool,
}

impl Service<u8> for Probe {
    type Response = u8;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<u8, Refusal>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.asked.fetch_add(1, SeqCst);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u8) -> Self::Future {
        self.seen.lock().expect("no panic").push(request);
        match self.hangs {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(Ok(request))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_asks_nothing_of_the_service() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let probe = Probe::default();
    let mut service = queue.layer().classify(class_of).layer(probe.clone());
    let mut call = tokio_test::task::spawn(service.ready().await.expect("at once").call(60));
    tokio_test::assert_pending!(call.poll());
    assert_eq!(
        probe.asked.load(SeqCst),
        0,
        "its readiness belongs to those who are admitted"
    );
    drop(slot);
    assert_eq!(tokio_test::assert_ready!(call.poll()).expect("an answer"), 60);
    assert_eq!(probe.asked.load(SeqCst), 1);
}

/// An idle clone that was ready held the permit, and the others waited for ever.
#[tokio::test(start_paused = true)]
async fn a_clone_that_is_ready_and_idle_holds_no_slot() {
    let queue = built(queue(1, 10));
    let service = queue.layer().layer(Probe::default());
    let mut clones: Vec<_> = (0..20).map(|_| service.clone()).collect();
    for clone in &mut clones {
        tokio_test::assert_ready!(tokio_test::task::spawn(clone.ready()).poll()).expect("ready");
    }
    assert_eq!(queue.status().running, 0);
    assert_eq!(clones[7].call(3).await.expect("an answer"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_holds_no_slot() {
    let queue = built(queue(1, 10));
    let mut service = queue.layer().layer(Probe::default());
    let _idle = service.call(1);
    assert_eq!(service.call(2).await.expect("an answer"), 2);
}

#[tokio::test(start_paused = true)]
async fn five_thousand_wait_over_a_buffer_of_one_and_a_critical_call_goes_first() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    let slow = service_fn(move |request: u8| {
        let seen = seen.clone();
        async move {
            seen.lock().expect("no panic").push(request);
            tokio::time::sleep(ms(1)).await;
            Ok::<_, BoxError>(request)
        }
    });
    let queue = built(queue(4, 10_000));
    let service = ServiceBuilder::new()
        .layer(queue.layer().classify(class_of))
        .buffer(1)
        .service(slow);
    let calls: Vec<_> = (0..5000)
        .map(|_| tokio::spawn(service.clone().oneshot(40)))
        .collect();
    tokio::time::sleep(ms(10)).await;
    let before = order.lock().expect("no panic").len();
    assert!((4..200).contains(&before), "{before}");
    let critical = tokio::spawn(service.clone().oneshot(100));
    tokio::time::sleep(ms(5)).await;
    critical.await.expect("no panic").expect("an answer");
    let at = order
        .lock()
        .expect("no panic")
        .iter()
        .position(|class| *class == 100);
    let at = at.expect("it was served");
    assert!(at - before <= 10, "{} others went before it", at - before);
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
    assert_eq!(queue.status().completed, 5001);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_from_the_future() {
    let queue = built(queue(1, 0));
    let slot = queue.try_acquire(60).expect("free");
    let mut service = queue.layer().layer(Probe::default());
    let refused = service.ready().await.expect("ready at once").call(1).await;
    let error = refused.expect_err("no slot, no line");
    let rejected = error.rejected().expect("a rejection");
    assert_eq!(
        (rejected.kind(), rejected.policy()),
        (RejectionKind::QueueFull, "q")
    );
    drop(slot);
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_a_queue_only_passes_on() {
    let mut service = PriorityLayer::new(None, Plain::new())
        .classify(class_of)
        .layer(Probe::default());
    assert_eq!(
        service
            .ready()
            .await
            .expect("ready")
            .call(9)
            .await
            .expect("an answer"),
        9
    );
}

/// A host's service may cost an allocation to clone: where nobody waits there is no need to.
#[test]
fn a_layer_without_a_queue_calls_the_service_that_is_ready_and_clones_nothing() {
    struct Once {
        asked: bool,
    }

    impl Clone for Once {
        fn clone(&self) -> Self {
            panic!("it was cloned")
        }
    }

    impl Service<u8> for Once {
        type Response = u8;
        type Error = Refusal;
        type Future = std::future::Ready<Result<u8, Refusal>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
            if std::mem::replace(&mut self.asked, true) {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, request: u8) -> Self::Future {
            std::future::ready(Ok(request))
        }
    }

    let mut service = PriorityLayer::new(None, Plain::new())
        .classify(class_of)
        .layer(Once { asked: false });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_pending());
    assert!(service.poll_ready(&mut cx).is_ready());
    let answer = std::pin::pin!(service.call(9)).poll(&mut cx);
    assert!(matches!(answer, Poll::Ready(Ok(9))));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_slot_back_wherever_it_is() {
    let queue = built(queue(1, 10));
    let mut service = queue.layer().layer(Probe {
        hangs: true,
        ..Probe::default()
    });
    let mut running = tokio_test::task::spawn(service.call(1));
    tokio_test::assert_pending!(running.poll());
    let mut waiting = tokio_test::task::spawn(service.call(2));
    tokio_test::assert_pending!(waiting.poll());
    let mut next = tokio_test::task::spawn(service.call(3));
    tokio_test::assert_pending!(next.poll());
    drop(waiting);
    drop(running);
    tokio_test::assert_pending!(next.poll());
    assert_eq!(queue.status().running, 1, "the third runs");
    drop(next);
    let status = queue.status();
    assert_eq!((status.running, status.cancelled, status.left), (0, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_the_slot_back() {
    let queue = built(queue(1, 10));
    let service = queue
        .layer()
        .layer(service_fn(async |_: u8| -> Result<u8, Refusal> {
            panic!("on purpose")
        }));
    assert!(tokio::spawn(service.oneshot(1)).await.is_err());
    assert_eq!(queue.status().running, 0);
    assert!(queue.try_acquire(60).is_ok());
}

#[derive(Clone)]
struct NeverReady;

impl Service<u8> for NeverReady {
    type Response = u8;
    type Error = Refusal;
    type Future = std::future::Ready<Result<u8, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Err(Rejected::new(RejectionKind::Custom, "broken").into()))
    }

    fn call(&mut self, _: u8) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_be_ready_fails_the_call_and_frees_the_slot() {
    let queue = built(queue(1, 10));
    let mut service = queue.layer().layer(NeverReady);
    let error = service
        .ready()
        .await
        .expect("the queue is ready")
        .call(1)
        .await
        .expect_err("broken");
    assert_eq!(error.rejected().map(Rejected::policy), Some("broken"));
    assert_eq!(queue.status().running, 0);
}

#[tokio::test(start_paused = true)]
async fn inner_layers_know_the_class_and_the_time_in_the_queue() {
    let queue = built(queue(1, 10));
    let seen = service_fn(async |_: u8| {
        Ok::<_, Refusal>(CallContext::current().and_then(|context| context.priority()))
    });
    let mut service = queue.layer().classify(class_of).layer(seen);
    assert_eq!(
        service.call(80).await.expect("an answer"),
        None,
        "there is no context to put it into"
    );

    let context = CallContext::new();
    let tally = context.tally().clone();
    let slot = queue.try_acquire(60).expect("free");
    let mut call = tokio_test::task::spawn(context.scope(service.call(80)));
    tokio_test::assert_pending!(call.poll());
    advance(ms(70)).await;
    drop(slot);
    assert_eq!(tally.queued(), Duration::ZERO);
    // The class is taken from the context that was current in `call`, which there was none of.
    assert!(tokio_test::assert_ready!(call.poll()).is_ok());
    assert_eq!(tally.queued(), ms(70));

    let mut context = CallContext::new();
    context.set_priority(20);
    let answer = context.scope(async { service.call(80).await }).await;
    assert_eq!(answer.expect("an answer"), Some(80));
}

#[tokio::test(start_paused = true)]
async fn the_context_of_the_caller_says_how_important_it_is() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let mut service = queue.layer().layer(Probe::default());
    let mut context = CallContext::new();
    context.set_priority(35);
    let mut known = tokio_test::task::spawn(context.sync_scope(|| service.call(1)));
    tokio_test::assert_pending!(known.poll());
    let mut unknown = tokio_test::task::spawn(service.call(2));
    tokio_test::assert_pending!(unknown.poll());
    let by_class = queue.status().queued_by_class;
    assert_eq!(by_class, [(Priority::NORMAL, 1), (Priority::new(35), 1)]);
    drop(slot);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_call_is_obeyed() {
    let queue = built(queue(1, 10));
    let _slot = queue.try_acquire(60).expect("free");
    let mut service = queue.layer().layer(Probe::default());
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + ms(40));
    let before = clock::now();
    let error = context
        .scope(async { service.call(1).await })
        .await
        .expect_err("too late");
    assert_eq!(
        error.rejected().map(Rejected::kind),
        Some(RejectionKind::DeadlineExpired)
    );
    assert!((ms(40)..ms(42)).contains(&(clock::now() - before)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_failure_and_a_refusal_further_in_is_not() {
    let queue = built(queue(2, 10));
    let service = service_fn(|request: u8| {
        std::future::ready(match request {
            0 => Err(Error::Inner("down")),
            1 => Err(Rejected::new(RejectionKind::CircuitOpen, "breaker").into()),
            n => Ok(n),
        })
    });
    let mut service = queue.layer().layer(service);
    for request in 0..5 {
        let _ = service.call(request).await;
    }
    let status = queue.status();
    assert_eq!((status.failed, status.completed), (1, 4));
}

/// A task that has used up its budget was taken for one that came too late.
#[tokio::test(start_paused = true)]
async fn a_task_without_budget_is_not_taken_for_overload() {
    let queue = built(queue(1, 10).max_queue_time(Priority::NORMAL, ms(100)));
    let busy = tokio::spawn(async move {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..200 {
            let _ = sender.send(());
        }
        // All of the task's budget.
        let use_up = |receiver: &mut tokio::sync::mpsc::UnboundedReceiver<()>| {
            let mut cx = Context::from_waker(Waker::noop());
            while receiver.poll_recv(&mut cx).is_ready() {}
        };
        use_up(&mut receiver);
        let first = queue.acquire(60).await.map(drop);
        let slot = queue.try_acquire(60).expect("free");
        let mut second = Waiting::enter(&queue, 60);
        let waits = second.waits();
        drop(slot);
        (first.is_ok(), waits, second.runs())
    });
    assert_eq!(busy.await.expect("no panic"), (true, true, true));
}

#[tokio::test(start_paused = true)]
async fn it_takes_any_service_whose_error_can_carry_a_rejection() {
    fn is_service<S: Service<u8, Error: crate::CallError> + Send + Sync + Clone + 'static>(_: &S)
    where
        S::Future: Send,
    {
    }
    let queue = built(queue(1, 1));
    let service = ServiceBuilder::new()
        .layer(queue.layer())
        .layer(ErrorLayer::new())
        .service(service_fn(async |n: u8| Ok::<_, std::io::Error>(n)));
    is_service(&service);
}
