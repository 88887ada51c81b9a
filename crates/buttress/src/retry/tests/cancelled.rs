//! Dropped at any point, nothing goes on.

use tokio_test::{assert_pending, assert_ready, task};

use super::*;
use crate::test_services::{Alive, Counted, Probe, Probed};

type AlwaysFailed = Plain<fn(&Probed) -> Outcome>;

fn retried(alive: &Arc<Alive>) -> RetryService<Probe, AlwaysFailed> {
    // A failure that is an answer, and holds something as long as it lives.
    let failed: fn(&Probed) -> Outcome = |_| Outcome::failure(Reason::Error);
    plain()
        .build()
        .expect("valid")
        .layer_for(Plain::classify(failed))
        .layer(Probe::new(alive, 1))
}

#[tokio::test(start_paused = true)]
async fn dropping_it_after_any_poll_leaves_nothing_behind() {
    // How many polls a whole call takes: to be ready, to answer and to wait, for each attempt.
    let mut whole = None;
    for polls in 0..50 {
        let alive = Arc::new(Alive::default());
        let mut service = retried(&alive);
        std::future::poll_fn(|cx| service.poll_ready(cx))
            .await
            .expect("ready");
        let request = Counted::request(&alive);
        let mut call = task::spawn(service.call(request));
        let mut ended = false;
        for _ in 0..polls {
            if call.poll().is_ready() {
                ended = true;
                break;
            }
            if !call.is_woken() {
                tokio::time::advance(ms(1000)).await;
            }
        }
        let calls = alive.calls();
        drop(call);
        drop(service);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(alive.all(), [0; 4], "after {polls} polls");
        assert_eq!(alive.calls(), calls, "nothing goes on");
        if ended {
            whole = Some(polls);
            break;
        }
    }
    assert!(
        whole.is_some_and(|polls| polls > 6),
        "{whole:?}: every point was tried"
    );
}

#[tokio::test(start_paused = true)]
async fn response_and_attempt_are_gone_before_the_wait_begins() {
    let alive = Arc::new(Alive::default());
    let mut service = retried(&alive);
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .expect("ready");
    let request = Counted::request(&alive);
    let mut call = task::spawn(service.call(request));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    assert!(!call.is_woken(), "it waits for the timer");
    let [responses, futures, ..] = alive.all();
    assert_eq!((responses, futures), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_sleeps_holds_no_slot_of_what_is_inside() {
    // Four calls through a single slot, each failing twice: the waits overlap.
    let slots = Arc::new(tokio::sync::Semaphore::new(1));
    let limited = service_fn(move |()| {
        let slots = slots.clone();
        async move {
            let _slot = slots.acquire_owned().await.expect("open");
            tokio::time::sleep(ms(10)).await;
            BUSY
        }
    });
    let service = plain().build().expect("valid").layer().layer(limited);
    let began = clock::now();
    let call = || service.clone().oneshot(());
    let _ = tokio::join!(call(), call(), call(), call());
    // One alone takes 30 + 300 ms.
    assert!(began.elapsed() < ms(450), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_dropped_is_not_called_again() {
    let calls = Arc::new(AtomicU32::new(0));
    for polls in 0..4 {
        let count = calls.clone();
        let retry = plain().build().expect("valid");
        let mut call = task::spawn(retry.call(move |_| {
            count.fetch_add(1, SeqCst);
            ready(Err::<(), _>(std::io::Error::other("busy")))
        }));
        for _ in 0..polls {
            let _ = call.poll();
            tokio::time::advance(ms(1000)).await;
        }
        let before = calls.load(SeqCst);
        drop(call);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(calls.load(SeqCst), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_leaves_no_mark_on_the_task() {
    let service = service_fn(|()| async { panic!("out of paper") as Answer });
    let mut call = task::spawn(Retry::standard().layer().layer(service).oneshot(()));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll().is_ready()));
    assert!(caught.is_err());
    assert!(crate::CallContext::current().is_none());
    let script = Script::new([BUSY, Ok(2)]);
    let (answer, _) = called(plain(), &script).await;
    assert_eq!(answer, Ok(2), "a retry on the same task works as ever");
}

#[tokio::test(start_paused = true)]
async fn dropping_it_before_its_first_poll_is_fine() {
    let script = Script::new([BUSY]);
    let mut service = plain().build().expect("valid").layer().layer(script.clone());
    drop(service.call(()));
    assert_eq!(script.calls(), 1);
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    drop(call);
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    tokio::time::advance(ms(101)).await;
    assert_pending!(call.poll());
    tokio::time::advance(ms(201)).await;
    assert_eq!(assert_ready!(call.poll()), BUSY);
}
