//! Every interleaving of those who enter, leave and grant, explored by loom on the very source that runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p buttress --lib --release loom_`

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use loom::{
    model,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::{Heads, Left, Standing, Ticket, WaitLine, Waiter};
use crate::{clock, sync::block_on};

fn enter(line: &WaitLine, cx: &Context<'_>) -> Option<Ticket> {
    let mut open = line.open();
    let waiter = Waiter {
        class: 0,
        weight: 1,
        entered: clock::now(),
        until: None,
    };
    let mut ticket = Some(open.enter(waiter));
    open.look(&mut ticket, cx.waker());
    ticket
}

/// Waits in the line until it is granted something.
fn wait(line: &WaitLine) {
    let mut ticket = None;
    block_on(poll_fn(|cx| {
        if ticket.is_none() {
            ticket = enter(line, cx);
            return Poll::Pending;
        }
        match line.look(&mut ticket, cx.waker()) {
            Standing::Granted(_) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
}

/// Grants one, who is or will be there.
fn grant_one(line: &WaitLine) {
    loop {
        let mut open = line.open();
        let first = open.first();
        if first.is_some_and(|place| open.grant(place).is_some()) {
            return;
        }
        drop(open);
        thread::yield_now();
    }
}

#[test]
fn loom_who_is_granted_something_wakes_up() {
    model(|| {
        let line = Arc::new(WaitLine::new(1, Heads::Untold));
        let other = line.clone();
        let waiting = thread::spawn(move || wait(&other));
        grant_one(&line);
        waiting.join().expect("no panic");
        assert!(line.is_empty());
    });
}

#[test]
fn loom_a_grant_meets_one_who_leaves() {
    model(|| {
        let line = Arc::new(WaitLine::new(1, Heads::Untold));
        let ticket = enter(&line, &Context::from_waker(Waker::noop())).expect("it waits");
        let granted = Arc::new(AtomicUsize::new(0));
        let (other, count) = (line.clone(), granted.clone());
        let granting = thread::spawn(move || {
            let mut open = other.open();
            if open.first().is_some_and(|place| open.grant(place).is_some()) {
                count.fetch_add(1, SeqCst);
            }
        });
        let passed_on = matches!(line.leave(ticket), Left::Granted(_));
        granting.join().expect("no panic");
        assert_eq!(granted.load(SeqCst), usize::from(passed_on), "lost, or doubled");
        assert!(line.is_empty());
    });
}

#[test]
fn loom_the_next_is_told_when_the_first_leaves() {
    model(|| {
        let line = Arc::new(WaitLine::new(1, Heads::Told));
        let first = enter(&line, &Context::from_waker(Waker::noop())).expect("it waits");
        let other = line.clone();
        let second = thread::spawn(move || {
            let mut ticket = None;
            block_on(poll_fn(|cx| {
                if ticket.is_none() {
                    let mut open = other.open();
                    ticket = Some(open.enter(Waiter {
                        class: 0,
                        weight: 1,
                        entered: clock::now(),
                        until: None,
                    }));
                    return match open.look(&mut ticket, cx.waker()) {
                        Standing::First => Poll::Ready(()),
                        _ => Poll::Pending,
                    };
                }
                match other.look(&mut ticket, cx.waker()) {
                    Standing::First => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }));
            let ticket = ticket.take().expect("it has not left");
            assert_eq!(other.leave(ticket), Left::Waiting);
        });
        assert_eq!(line.leave(first), Left::Waiting);
        second.join().expect("no panic");
        assert!(line.is_empty());
    });
}
