//! What keeps a call from a second attempt: its deadline, the budget.

use super::*;

async fn called_until(deadline: u64, options: HedgeBuilder, script: &Script) -> (u64, Snapshot) {
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + ms(deadline));
    let (_, took, books) = context.scope(called(options, script)).await;
    (took, books)
}

#[tokio::test(start_paused = true)]
async fn no_second_attempt_is_begun_after_the_deadline() {
    for (deadline, calls) in [(50, 1), (100, 1), (101, 2), (5000, 2)] {
        let script = Script::new([(1000, Ok(1))]);
        let (took, _) = called_until(deadline, fixed(), &script).await;
        assert_eq!(script.calls(), calls, "{deadline}");
        assert_eq!(took, 1000, "whose deadline it is will see to the end");
    }
    for (deadline, calls) in [(20, 1), (21, 2)] {
        let script = Script::new([(20, BUSY)]);
        let (_, books) = called_until(deadline, fixed(), &script).await;
        assert_eq!(script.calls(), calls, "{deadline}");
        assert_eq!(books.out_of_time, 2 - calls as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_others_work_is_noticed() {
    // It is due in time, but its task is polled late.
    let script = Script::new([(1000, Ok(1))]);
    let hedge = fixed().build().expect("valid");
    let mut context = CallContext::new();
    context.limit_deadline(clock::now() + ms(200));
    let call = context.scope(hedge.layer().layer(script.clone()).oneshot(()));
    let mut call = tokio_test::task::spawn(call);
    tokio_test::assert_pending!(call.poll());
    tokio::time::advance(ms(300)).await;
    tokio_test::assert_pending!(call.poll());
    assert_eq!((script.calls(), hedge.snapshot().out_of_time), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_leaves_the_first_attempt_alone() {
    let hedge = fixed().budget(Budget::new(0.0, 2)).build().expect("valid");
    let events = Arc::new(AtomicU32::new(0));
    let heard = events.clone();
    hedge.listen(move |event| {
        assert_eq!(event.concern, "hedge");
        assert!(event.detail::<BudgetExhausted>().is_some());
        heard.fetch_add(1, SeqCst);
    });
    let script = Script::new([(300, Ok(1))]);
    let call = || hedge.layer().layer(script.clone()).oneshot(());
    let answers = tokio::join!(call(), call(), call(), call(), call());
    assert_eq!(answers, (Ok(1), Ok(1), Ok(1), Ok(1), Ok(1)));
    assert_eq!(script.calls(), 5 + 2);
    let books = hedge.snapshot();
    assert_eq!((books.hedges, books.out_of_budget), (2, 3));
    assert_eq!(events.load(SeqCst), 1, "said once, not three times");

    // A failure has no other budget.
    let script = Script::new([(20, BUSY)]);
    assert_eq!(hedge.layer().layer(script.clone()).oneshot(()).await, BUSY);
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_budget() {
    let hedge = fixed().budget(Budget::new(0.0, 3)).build().expect("valid");
    let script = Script::new([(20, BUSY)]);
    for _ in 0..10 {
        // As axum does for every connection.
        let _ = hedge
            .clone()
            .layer()
            .clone()
            .layer(script.clone())
            .clone()
            .oneshot(())
            .await;
    }
    assert_eq!(script.calls(), 13);
}

#[tokio::test(start_paused = true)]
async fn calls_earn_second_attempts() {
    let hedge = fixed().budget(Budget::new(0.05, 0)).build().expect("valid");
    let (fast, failing) = (Script::new([(0, Ok(1))]), Script::new([(0, BUSY)]));
    let mut service = hedge.layer().layer(failing.clone());
    let _ = service.call(()).await;
    assert_eq!(failing.calls(), 1, "nobody has earned anything");
    for _ in 0..100 {
        let _ = hedge.layer().layer(fast.clone()).oneshot(()).await;
    }
    for _ in 0..10 {
        let _ = service.call(()).await;
    }
    // Five that the hundred have earned.
    assert_eq!(failing.calls(), 11 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_burst_after_a_rest_earns_what_it_earns() {
    let hedge = fixed().budget(Budget::new(0.05, 0)).build().expect("valid");
    let (fast, failing) = (Script::new([(0, Ok(1))]), Script::new([(0, BUSY)]));
    tokio::time::advance(Duration::from_secs(3600)).await;
    for _ in 0..1000 {
        let _ = hedge.layer().layer(fast.clone()).oneshot(()).await;
        tokio::time::advance(ms(1)).await;
    }
    assert_eq!(hedge.layer().layer(failing.clone()).oneshot(()).await, BUSY);
    assert_eq!(failing.calls(), 2, "a thousand calls in a second have earned one");
}
