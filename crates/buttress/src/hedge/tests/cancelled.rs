//! Dropped at any point, nothing goes on; what loses goes at once.

use tokio_test::{assert_pending, assert_ready, task};

use super::*;
use crate::test_services::{Alive, Counted, Probe, Probed};

type Judged = Plain<fn(&Probed) -> Outcome>;

fn hedged(alive: &Arc<Alive>, pending: u32, outcome: fn(&Probed) -> Outcome) -> HedgeService<Probe, Judged> {
    fixed()
        .build()
        .expect("valid")
        .layer_for(Plain::classify(outcome))
        .layer(Probe::new(alive, pending))
}

async fn ready<S: Service<Counted, Error: std::fmt::Debug>>(service: &mut S) {
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .expect("ready");
}

#[tokio::test(start_paused = true)]
async fn dropping_it_after_any_poll_leaves_nothing_behind() {
    let failed: fn(&Probed) -> Outcome = |_| Outcome::failure(Reason::Error);
    let good: fn(&Probed) -> Outcome = |_| Outcome::SUCCESS;
    // Slow and good; slow and failing; failing before the second attempt is due.
    for (pending, outcome, step) in [(8, good, 40), (8, failed, 40), (2, failed, 1)] {
        let mut whole = None;
        for polls in 0..50 {
            let alive = Arc::new(Alive::default());
            let mut service = hedged(&alive, pending, outcome);
            ready(&mut service).await;
            let mut call = task::spawn(service.call(Counted::request(&alive)));
            let mut ended = false;
            for _ in 0..polls {
                if call.poll().is_ready() {
                    ended = true;
                    break;
                }
                tokio::time::advance(ms(step)).await;
            }
            let calls = alive.calls();
            assert!(calls <= 2);
            drop(call);
            drop(service);
            tokio::time::advance(Duration::from_secs(60)).await;
            assert_eq!(alive.all(), [0; 4], "after {polls} polls");
            assert_eq!(alive.calls(), calls, "nothing goes on");
            if ended {
                assert_eq!(calls, 2, "it was hedged");
                whole = Some(polls);
                break;
            }
        }
        assert!(
            whole.is_some_and(|polls| polls > 4),
            "{whole:?}: every point was tried"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn losers_are_gone_when_the_winner_is_known() {
    // Whichever wins, the future is kept and holds neither attempt, request nor clone.
    for pending in [6, 40] {
        let alive = Arc::new(Alive::default());
        let mut service = hedged(&alive, pending, |_| Outcome::SUCCESS);
        ready(&mut service).await;
        let mut call = task::spawn(service.call(Counted::request(&alive)));
        let mut answer = Poll::Pending;
        while answer.is_pending() {
            answer = call.poll();
            tokio::time::advance(ms(30)).await;
        }
        assert_eq!(alive.calls(), 2);
        assert_eq!(alive.all(), [1, 0, 0, 1], "the answer, and the service outside");
        drop(call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_the_second_attempt_waits_for_is_given_up_when_the_first_answers() {
    let limited = tower::limit::ConcurrencyLimit::new(
        service_fn(|()| async {
            tokio::time::sleep(ms(150)).await;
            Ok::<_, Error<&'static str>>(1)
        }),
        1,
    );
    let mut service = fixed().build().expect("valid").layer().layer(limited);
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .expect("ready");
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    tokio::time::advance(ms(101)).await;
    assert_pending!(call.poll());
    tokio::time::advance(ms(51)).await;
    assert_eq!(assert_ready!(call.poll()), Ok(1));
    // The future is kept; the only slot is free all the same.
    let mut other = service.get_ref().clone();
    let mut is_ready = task::spawn(std::future::poll_fn(|cx| {
        Service::<()>::poll_ready(&mut other, cx)
    }));
    assert_ready!(is_ready.poll()).expect("ready");
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_before_its_first_poll_is_fine() {
    let script = Script::new([(1000, Ok(1))]);
    let hedge = fixed().build().expect("valid");
    drop(hedge.layer().layer(script.clone()).call(()));
    drop(hedge.call(async |_| Ok::<_, std::io::Error>(())));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!((script.calls(), hedge.snapshot().calls), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_dropped_is_not_called_again() {
    let alive = Arc::new(());
    for polls in 0..6 {
        let calls = Arc::new(AtomicU32::new(0));
        let (count, lives) = (calls.clone(), alive.clone());
        let hedge = fixed().build().expect("valid");
        let mut call = task::spawn(hedge.call(move |_| {
            count.fetch_add(1, SeqCst);
            let lives = lives.clone();
            async move {
                let _lives = lives;
                std::future::pending::<Result<(), std::io::Error>>().await
            }
        }));
        for _ in 0..polls {
            assert_pending!(call.poll());
            tokio::time::advance(ms(40)).await;
        }
        let before = calls.load(SeqCst);
        drop(call);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((calls.load(SeqCst), Arc::strong_count(&alive)), (before, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_either_attempt_propagates_and_leaks_nothing() {
    for panics in [1, 2] {
        let alive = Arc::new(());
        let lives = alive.clone();
        let hedge = fixed().build().expect("valid");
        let call = hedge.call(move |attempt| {
            let lives = lives.clone();
            async move {
                let _lives = lives;
                tokio::time::sleep(ms(150)).await;
                assert_ne!(attempt, panics, "out of paper");
                std::future::pending::<Result<u32, std::io::Error>>().await
            }
        });
        let mut call = task::spawn(call);
        let mut panicked = false;
        for _ in 0..20 {
            let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll().is_ready()));
            panicked = polled.is_err();
            if panicked {
                break;
            }
            tokio::time::advance(ms(20)).await;
        }
        assert!(panicked);
        assert!(CallContext::current().is_none(), "no mark is left on the task");
        drop(call);
        assert_eq!(Arc::strong_count(&alive), 1);
        let script = Script::new([(1000, Ok(1)), (0, Ok(2))]);
        assert_eq!(
            called(fixed(), &script).await.0,
            Ok(2),
            "a hedge on the same task works as ever"
        );
    }
}

#[cfg(feature = "recover")]
#[tokio::test(start_paused = true)]
async fn a_panic_that_is_caught_inside_is_a_failure_beside_the_other() {
    for (first, second) in [(150, 300), (300, 10)] {
        let panics = if first == 150 { 1 } else { 2 };
        let service = service_fn(move |()| {
            let attempt = CallContext::current().map_or(0, |c| c.attempt());
            async move {
                tokio::time::sleep(ms(if attempt == 1 { first } else { second })).await;
                assert_ne!(attempt, panics, "out of paper");
                Ok::<_, Error<&'static str>>(attempt)
            }
        });
        let inside = crate::recover::Recover::new().layer().layer(service);
        let service = fixed().build().expect("valid").layer().layer(inside);
        assert_eq!(service.oneshot(()).await, Ok(3 - panics));
    }
}
