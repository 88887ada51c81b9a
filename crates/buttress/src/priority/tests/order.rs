//! Ageing and the disciplines within a class.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_ageing_the_order_is_strict() {
    let queue = built(queue(1, 100));
    let slot = queue.try_acquire(60).expect("free");
    let mut waiting = vec![Waiting::enter(&queue, Priority::BACKGROUND)];
    for _ in 0..20 {
        advance(ms(60_000)).await;
        waiting.push(Waiting::enter(&queue, Priority::LOW));
    }
    let order: Vec<_> = (1..=20).chain([0]).collect();
    assert_eq!(order_of_service(&mut waiting, slot), order);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_long_becomes_more_important_step_by_step() {
    let queue = built(queue(1, 100).ageing(Ageing::Promote { after: ms(2000) }));
    let slot = queue.try_acquire(60).expect("free");
    let background = Waiting::enter(&queue, Priority::BACKGROUND);
    advance(ms(3999)).await;
    // By now it is as important as low, and came before it.
    let low = Waiting::enter(&queue, Priority::LOW);
    let normal = Waiting::enter(&queue, Priority::NORMAL);
    assert_eq!(order_of_service(&mut [background, low, normal], slot), [2, 0, 1]);

    let slot = queue.try_acquire(60).expect("free");
    let background = Waiting::enter(&queue, Priority::BACKGROUND);
    advance(ms(8000)).await;
    let critical = Waiting::enter(&queue, Priority::CRITICAL);
    let mut waiting = [background, critical];
    assert_eq!(order_of_service(&mut waiting, slot), [0, 1], "nobody starves");
}

#[tokio::test(start_paused = true)]
async fn by_default_a_step_of_promotion_takes_two_seconds() {
    for (waited, order) in [(1999, [1, 0]), (2000, [0, 1])] {
        let queue = built(PriorityQueue::builder().concurrency(1));
        let slot = queue.try_acquire(60).expect("free");
        let low = Waiting::enter(&queue, Priority::LOW);
        advance(ms(waited)).await;
        let normal = Waiting::enter(&queue, Priority::NORMAL);
        assert_eq!(order_of_service(&mut [low, normal], slot), order, "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_aged_is_not_displaced_by_those_it_is_as_important_as() {
    let queue = built(queue(1, 1).ageing(Ageing::Promote { after: ms(100) }));
    let _slot = queue.try_acquire(60).expect("free");
    let mut low = Waiting::enter(&queue, Priority::LOW);
    advance(ms(100)).await;
    assert_eq!(
        Waiting::enter(&queue, Priority::NORMAL).refused(),
        Some(RejectionKind::QueueFull)
    );
    assert!(Waiting::enter(&queue, Priority::HIGH).waits());
    assert_eq!(low.refused(), Some(RejectionKind::QueueFull));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_long_becomes_less_important() {
    let demote = Ageing::Demote {
        after: ms(5000),
        to: Priority::LOW,
    };
    let queue = built(queue(1, 100).ageing(demote));
    let slot = queue.try_acquire(60).expect("free");
    let high = Waiting::enter(&queue, Priority::HIGH);
    let low = Waiting::enter(&queue, Priority::LOW);
    let background = Waiting::enter(&queue, Priority::BACKGROUND);
    advance(ms(4999)).await;
    let second = Waiting::enter(&queue, Priority::HIGH);
    advance(ms(1)).await;
    let normal = Waiting::enter(&queue, Priority::NORMAL);
    let mut waiting = [high, low, background, second, normal];
    assert_eq!(order_of_service(&mut waiting, slot), [3, 4, 1, 0, 2]);
}

/// Keeps somebody waiting in the class for a while, and returns the slot.
async fn keep_standing(queue: &PriorityQueue, class: Priority, time: u64) -> (Permit, Waiting) {
    let slot = queue.try_acquire(class).expect("free");
    let waiting = Waiting::enter(queue, class);
    advance(ms(time)).await;
    (slot, waiting)
}

#[tokio::test(start_paused = true)]
async fn in_an_overloaded_class_the_last_goes_first() {
    for (time, order) in [(50, [0, 1, 2, 3]), (101, [3, 2, 1, 0])] {
        let queue = built(queue(1, 100).discipline(Discipline::adaptive_lifo()));
        let (slot, first) = keep_standing(&queue, Priority::NORMAL, time).await;
        let [second, third, fourth] = enter_all(&queue, [Priority::NORMAL; 3]);
        let mut waiting = [first, second, third, fourth];
        assert_eq!(order_of_service(&mut waiting, slot), order);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_aged_goes_before_the_last_to_come() {
    let options = queue(1, 100)
        .discipline(Discipline::adaptive_lifo())
        .ageing(Ageing::Promote { after: ms(1000) });
    let queue = built(options);
    let (slot, first) = keep_standing(&queue, Priority::NORMAL, 1000).await;
    let [second, third] = enter_all(&queue, [Priority::NORMAL; 2]);
    assert_eq!(order_of_service(&mut [first, second, third], slot), [0, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn in_an_overloaded_class_who_has_waited_for_too_long_is_sent_away() {
    let queue = built(queue(1, 100).discipline(Discipline::codel()));
    let (slot, mut first) = keep_standing(&queue, Priority::NORMAL, 97).await;
    let mut second = Waiting::enter(&queue, Priority::NORMAL);
    advance(ms(4)).await;
    let third = Waiting::enter(&queue, Priority::NORMAL);
    drop(slot);
    assert_eq!(first.refused(), Some(RejectionKind::QueueTimeout), "101 ms");
    assert!(second.runs(), "4 ms");
    advance(ms(1000)).await;
    drop(second);
    let mut third = third;
    assert!(third.runs(), "nobody else is there");
    assert_eq!(queue.status().rejected_timeout, 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_empty_is_not_overloaded() {
    let queue = built(queue(1, 100).discipline(Discipline::codel()));
    for _ in 0..20 {
        let (slot, mut waiting) = keep_standing(&queue, Priority::NORMAL, 90).await;
        let mut other = Waiting::enter(&queue, Priority::NORMAL);
        drop(slot);
        assert!(waiting.runs());
        drop(waiting);
        assert!(other.runs());
    }
}
