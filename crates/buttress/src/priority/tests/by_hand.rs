use super::*;
use crate::Outcome;
use crate::outcome::{Reason, Verdict};

#[tokio::test(start_paused = true)]
async fn so_many_run_and_the_others_wait() {
    let queue = built(queue(2, 10));
    let [first, second, mut third] = enter_all(&queue, [Priority::NORMAL; 3]);
    let (first, second) = (first.permit(), second.permit());
    assert!(third.waits());
    let status = queue.status();
    assert_eq!((status.running, status.queued, status.limit), (2, 1, 2));
    assert_eq!(status.queued_by_class, [(Priority::NORMAL, 1)]);
    drop(first);
    assert!(third.runs());
    drop((second, third));
    let status = queue.status();
    assert_eq!((status.running, status.queued, status.cancelled), (0, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn the_most_important_goes_first_and_among_equals_the_first() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let classes = [20, 60, 100, 60, 100, 55].map(Priority::new);
    let mut waiting = enter_all(&queue, classes);
    assert_eq!(order_of_service(&mut waiting, slot), [2, 4, 1, 3, 5, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_pass_those_who_wait() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let mut low = Waiting::enter(&queue, Priority::LOW);
    assert!(low.waits());
    drop(slot);
    // The slot is the waiter's, though it has not looked yet.
    let refused = queue.try_acquire(Priority::CRITICAL).expect_err("no slot");
    assert_eq!(refused.kind(), RejectionKind::QueueFull);
    assert!(low.runs());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_while_it_waits_leaves_no_trace() {
    let queue = built(queue(1, 2));
    let slot = queue.try_acquire(60).expect("free");
    let [first, mut second] = enter_all(&queue, [Priority::NORMAL; 2]);
    drop(first);
    assert_eq!(queue.status().left, 1);
    drop(slot);
    assert!(second.runs());
    drop(second);
    let permit = queue
        .try_acquire(60)
        .expect("nobody waits any more: the fast way is open");
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_came_too_late_goes_to_the_next() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let [first, mut second] = enter_all(&queue, [Priority::NORMAL; 2]);
    drop(slot); // granted to the first, which does not look any more
    drop(first);
    assert!(second.runs());
    drop(second);
    assert_eq!(queue.status().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once_and_says_when_to_come_back() {
    let queue = built(queue(1, 2));
    let mut slot = queue.try_acquire(60).expect("free");
    // The line moves one place in 20 ms.
    for _ in 0..5 {
        let mut next = Waiting::enter(&queue, 60);
        let _behind = Waiting::enter(&queue, 60);
        advance(ms(20)).await;
        drop(slot);
        assert!(next.runs());
        slot = next.permit();
    }
    let mut line: Vec<_> = (0..8).map(|_| Waiting::enter(&queue, 60)).collect();
    assert!(line[0].waits() && line[1].waits());
    let refused = line[2].result.take().expect("at once").expect_err("full");
    assert_eq!(
        (refused.kind(), refused.http_status()),
        (RejectionKind::QueueFull, 503)
    );
    assert!(refused.retry_after().is_some());
    assert_eq!(refused.retry_after_secs(), Some(1));
    assert_eq!(queue.status().rejected_full, 6);
}

/// tower-resilience's bulkhead: by default the line had no end, and "full" was reported as a timeout.
#[tokio::test(start_paused = true)]
async fn by_default_the_line_has_an_end_and_full_is_no_timeout() {
    let queue = PriorityQueue::new();
    let mut calls: Vec<_> = (0..64 + 1024)
        .map(|_| Waiting::enter(&queue, Priority::NORMAL))
        .collect();
    assert!(calls[..64].iter_mut().all(Waiting::runs) && calls[64..].iter_mut().all(Waiting::waits));
    let mut late = Waiting::enter(&queue, Priority::NORMAL);
    assert_eq!(late.refused(), Some(RejectionKind::QueueFull));
    let books = queue.status();
    assert_eq!((books.rejected_full, books.rejected_timeout), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_time_to_come_back_is_that_of_those_in_front() {
    let queue = built(queue(1, 20));
    let slot = queue.try_acquire(60).expect("free");
    let mut line: Vec<_> = (0..20).map(|_| Waiting::enter(&queue, 60)).collect();
    let mut slot = Some(slot);
    for waiting in &mut line[..10] {
        advance(ms(100)).await;
        drop(slot.take());
        waiting.poll();
        slot = waiting.result.take().and_then(Result::ok);
        waiting.result = Some(Err(Rejected::new(RejectionKind::Custom, "over")));
    }
    let mut more: Vec<_> = (0..11).map(|_| Waiting::enter(&queue, 60)).collect();
    let refused = more[10].result.take().expect("at once").expect_err("full");
    let after = refused.retry_after().expect("known by now");
    assert!((ms(1900)..ms(2300)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn the_more_important_displaces_the_youngest_of_the_least_important() {
    let queue = built(queue(1, 3));
    let slot = queue.try_acquire(60).expect("free");
    let mut line = enter_all(
        &queue,
        [Priority::LOW, Priority::NORMAL, Priority::LOW, Priority::HIGH],
    );
    assert_eq!(line[2].refused(), Some(RejectionKind::QueueFull));
    assert!(line[0].waits() && line[1].waits() && line[3].waits());
    let mut equal = Waiting::enter(&queue, Priority::LOW);
    assert_eq!(
        equal.refused(),
        Some(RejectionKind::QueueFull),
        "it displaces nobody like itself"
    );
    let status = queue.status();
    assert_eq!((status.displaced, status.rejected_full), (1, 2));
    assert_eq!(order_of_service(&mut line, slot), [3, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_highest_class_has_slots_of_its_own() {
    let queue = built(queue(3, 10).reserved(1));
    let normal: Vec<_> = (0..2)
        .map(|_| queue.try_acquire(60).expect("two are for all"))
        .collect();
    let mut waiting = Waiting::enter(&queue, Priority::HIGH);
    assert!(waiting.waits(), "the third is reserved");
    let mut critical = Waiting::enter(&queue, Priority::CRITICAL);
    assert!(critical.runs());
    let mut second = Waiting::enter(&queue, Priority::CRITICAL);
    assert!(second.waits());
    drop(critical);
    assert!(second.runs(), "it goes before those who cannot have it");
    assert!(waiting.waits());
    drop(second);
    assert!(waiting.waits());
    assert!(
        queue.try_acquire(100).is_ok(),
        "free again, though somebody waits"
    );
    drop(normal);
    assert!(waiting.runs());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_the_class_may() {
    let queue = built(
        queue(1, 10)
            .max_queue_time(Priority::NORMAL, ms(100))
            .max_queue_time(Priority::BACKGROUND, ms(20)),
    );
    let _slot = queue.try_acquire(60).expect("free");
    let between = Priority::new(75);
    let mut line = enter_all(
        &queue,
        [Priority::NORMAL, Priority::BACKGROUND, Priority::LOW, between],
    );
    advance(ms(21)).await;
    assert_eq!(line[1].refused(), Some(RejectionKind::QueueTimeout));
    assert!(line[0].waits());
    advance(ms(80)).await;
    assert_eq!(line[0].refused(), Some(RejectionKind::QueueTimeout));
    assert_eq!(
        line[3].refused(),
        Some(RejectionKind::QueueTimeout),
        "it belongs to the class below"
    );
    advance(ms(10_000)).await;
    assert!(line[2].waits());
    assert_eq!(queue.status().rejected_timeout, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_never_started() {
    let queue = built(queue(1, 10).max_queue_time(Priority::NORMAL, ms(500)));
    let slot = queue.try_acquire(60).expect("free");
    let past = queue.acquire(60).until(clock::now());
    let refused = past.await.expect_err("its deadline has passed");
    assert_eq!(
        (refused.kind(), refused.retry_after()),
        (RejectionKind::DeadlineExpired, None)
    );

    let deadline = clock::now() + ms(50);
    let mut late = Waiting {
        acquire: Box::pin(queue.acquire(60).until(deadline)),
        result: None,
    };
    assert!(late.waits());
    let mut next = Waiting::enter(&queue, 40);
    advance(ms(60)).await;
    drop(slot); // nobody has looked at the clock for the first one yet
    assert!(next.runs());
    assert_eq!(late.refused(), Some(RejectionKind::DeadlineExpired));

    let mut granted_in_time = Waiting {
        acquire: Box::pin(queue.acquire(60).until(clock::now() + ms(50))),
        result: None,
    };
    assert!(granted_in_time.waits());
    drop(next);
    advance(ms(60)).await;
    assert_eq!(
        granted_in_time.refused(),
        Some(RejectionKind::DeadlineExpired),
        "its task was slow"
    );
    assert!(queue.try_acquire(60).is_ok(), "the slot came back");
    assert_eq!(queue.status().rejected_deadline, 3);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_sent_away_by_hand() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let mut line = enter_all(
        &queue,
        [
            Priority::LOW,
            Priority::HIGH,
            Priority::NORMAL,
            Priority::BACKGROUND,
        ],
    );
    assert_eq!(queue.shed_below(Priority::NORMAL), 2);
    assert_eq!(line[0].refused(), Some(RejectionKind::Shed));
    assert_eq!(line[3].refused(), Some(RejectionKind::Shed));
    assert!(line[1].waits() && line[2].waits());
    assert!(
        Waiting::enter(&queue, Priority::LOW).waits(),
        "it was for those who waited"
    );
    assert_eq!(queue.clear(), 2);
    assert_eq!(
        queue.status().rejected_shed,
        2,
        "the other two have not looked yet"
    );
    assert_eq!(line[1].refused(), Some(RejectionKind::Shed));
    drop(slot);
    assert!(queue.try_acquire(0).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_limit_can_be_changed_while_it_runs() {
    let queue = built(queue(1, 10));
    let first = queue.try_acquire(60).expect("free");
    let mut line = enter_all(&queue, [Priority::NORMAL; 3]);
    queue.set_concurrency(3).expect("valid");
    assert!(line[0].runs() && line[1].runs() && line[2].waits());
    queue.set_concurrency(1).expect("valid");
    drop(first);
    let [a, b, mut c] = line;
    drop(a.permit());
    assert!(c.waits(), "one still runs");
    drop(b.permit());
    assert!(c.runs());
    assert!(queue.set_concurrency(0).is_err());
    assert_eq!(queue.status().limit, 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_drains() {
    let queue = built(queue(1, 10));
    let first = queue.try_acquire(60).expect("free");
    let mut second = Waiting::enter(&queue, 60);
    queue.close();
    assert_eq!(Waiting::enter(&queue, 100).refused(), Some(RejectionKind::Shed));
    assert_eq!(
        queue.try_acquire(100).expect_err("closed").kind(),
        RejectionKind::Shed
    );
    let mut drained = tokio_test::task::spawn(queue.drained());
    tokio_test::assert_pending!(drained.poll());
    drop(first);
    assert!(second.runs(), "those inside end as they would have");
    tokio_test::assert_pending!(drained.poll());
    drop(second);
    assert!(drained.is_woken());
    tokio_test::assert_ready!(drained.poll());
    assert!(queue.status().closed);

    let other = built(super::queue(1, 10));
    let slot = other.try_acquire(60).expect("free");
    let waiting = Waiting::enter(&other, 60);
    other.close();
    let mut drained = tokio_test::task::spawn(other.drained());
    tokio_test::assert_pending!(drained.poll());
    drop(slot);
    drop(waiting); // the slot that it got, it gives back
    tokio_test::assert_ready!(drained.poll());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_it_to_drain_before_it_is_closed_is_told() {
    let queue = built(queue(1, 10));
    let mut early = tokio_test::task::spawn(queue.drained());
    tokio_test::assert_pending!(early.poll(), "others may still come");
    let slot = queue.try_acquire(60).expect("free");
    let mut drained = tokio_test::task::spawn(queue.drained());
    tokio_test::assert_pending!(drained.poll());
    drop(slot);
    tokio_test::assert_pending!(drained.poll());
    queue.close();
    for drained in [&mut early, &mut drained] {
        assert!(drained.is_woken());
        tokio_test::assert_ready!(drained.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_counted_apart() {
    let queue = built(queue(4, 4));
    let permit = || queue.try_acquire(60).expect("free");
    permit().record(Outcome::SUCCESS);
    permit().record(Outcome::new(Verdict::Neutral, Reason::Answered));
    permit().record(Outcome::failure(Reason::Error));
    drop(permit());
    let status = queue.status();
    assert_eq!(
        (status.completed, status.failed, status.cancelled, status.running),
        (2, 1, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_future_runs_in_its_turn_and_knows_its_class() {
    let queue = built(queue(1, 10));
    let slot = queue.try_acquire(60).expect("free");
    let context = crate::CallContext::new();
    let tally = context.tally().clone();
    let seen = queue.clone();
    let call = context.scope(async move {
        seen.call(80, async {
            Ok::<_, std::io::Error>(crate::CallContext::current().and_then(|c| c.priority()))
        })
        .await
    });
    let mut call = tokio_test::task::spawn(call);
    tokio_test::assert_pending!(call.poll());
    advance(ms(30)).await;
    drop(slot);
    assert!(call.is_woken());
    assert_eq!(tokio_test::assert_ready!(call.poll()).expect("it ran"), Some(80));
    assert_eq!(tally.queued(), ms(30));
    assert_eq!(queue.status().completed, 1);
    let time = queue.status().time_in_queue;
    assert_eq!((time.count(), time.sum()), (1, ms(30)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_runs_each_in_its_class() {
    let queue = built(queue(1, 100));
    let slot = queue.try_acquire(60).expect("free");
    let ran = std::sync::Mutex::new(Vec::new());
    let batch = (0..70_u8).map(|n| {
        let ran = &ran;
        (n, async move {
            ran.lock().expect("no panic").push(n);
            tokio::time::sleep(ms(1)).await;
            if n == 13 {
                Err(std::io::Error::other("bad luck"))
            } else {
                Ok(n)
            }
        })
    });
    let mut all = tokio_test::task::spawn(queue.call_all(batch));
    tokio_test::assert_pending!(all.poll());
    assert_eq!(queue.status().queued, 70);
    drop(slot);
    assert!(all.is_woken());
    let results = all.into_inner().await;
    assert_eq!(results.len(), 70);
    assert!(results.iter().enumerate().all(|(n, r)| match r {
        Ok(value) => usize::from(*value) == n,
        Err(_) => n == 13,
    }));
    assert!(
        ran.lock().expect("no panic").iter().rev().copied().eq(0..70),
        "the most important first"
    );
    let empty = queue.call_all(Vec::<(u8, std::future::Ready<Result<(), ()>>)>::new());
    assert!(empty.await.is_empty());
}
