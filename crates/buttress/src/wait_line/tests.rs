use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use proptest::prelude::*;

use super::*;
use crate::clock;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (bell.clone(), Waker::from(bell))
}

fn waiter(class: u8) -> Waiter {
    Waiter {
        class,
        weight: 1,
        entered: clock::now(),
        until: None,
    }
}

/// Enters and looks, as a future does in its first poll.
fn enter(line: &WaitLine, class: u8, waker: &Waker) -> (Option<Ticket>, Standing) {
    let mut open = line.open();
    let mut ticket = Some(open.enter(waiter(class)));
    let standing = open.look(&mut ticket, waker);
    (ticket, standing)
}

fn grant_first(line: &WaitLine) -> Option<Waiter> {
    let mut open = line.open();
    let first = open.first()?;
    open.grant(first)
}

#[test]
fn the_most_important_go_first_and_the_oldest_among_them() {
    let line = WaitLine::new(101, Heads::Untold);
    let classes = [20, 60, 100, 60, 100, 0];
    let mut tickets: Vec<_> = classes
        .iter()
        .map(|class| enter(&line, *class, Waker::noop()).0)
        .collect();
    let mut order = Vec::new();
    while grant_first(&line).is_some() {
        let granted = |ticket: &Option<Ticket>| {
            let place = ticket.as_ref().map(|t| t.0);
            place.is_some_and(|p| line.open().waiter(p).is_none())
        };
        let i = tickets.iter().position(granted).expect("one was granted");
        assert!(matches!(
            line.look(&mut tickets[i], Waker::noop()),
            Standing::Granted(_)
        ));
        order.push(i);
    }
    assert_eq!(order, [2, 4, 1, 3, 0, 5]);
    assert!(line.is_empty());
}

#[test]
fn a_grant_that_nobody_lived_to_see_is_passed_on() {
    let line = WaitLine::new(1, Heads::Untold);
    let (bell, waker) = bell();
    let (ticket, _) = enter(&line, 0, &waker);
    assert!(grant_first(&line).is_some());
    assert_eq!(bell.rung(), 1);
    let left = line.leave(ticket.expect("it has not looked"));
    assert!(matches!(left, Left::Granted(waiter) if waiter.weight == 1));
    assert!(grant_first(&line).is_none());
}

#[test]
fn the_place_of_one_that_leaves_goes_to_those_behind() {
    let line = WaitLine::new(1, Heads::Told);
    let bells: Vec<_> = (0..4).map(|_| bell()).collect();
    let mut tickets: Vec<_> = bells.iter().map(|(_, waker)| enter(&line, 0, waker)).collect();
    let standings: Vec<_> = tickets.iter().map(|(_, standing)| *standing).collect();
    assert_eq!(standings[0], Standing::First);
    assert_eq!(standings[1..], [Standing::Waiting; 3]);
    let rung = || bells.iter().map(|(bell, _)| bell.rung()).collect::<Vec<_>>();
    assert_eq!(rung(), [0; 4], "who enters has just looked");

    let mut leave = |i: usize| line.leave(tickets[i].0.take().expect("it waits"));
    assert_eq!(leave(1), Left::Waiting);
    assert_eq!(rung(), [0; 4], "the first is who it was");
    assert_eq!(leave(0), Left::Waiting);
    assert_eq!(rung(), [0, 0, 1, 0]);
    assert_eq!(line.look(&mut tickets[2].0, &bells[2].1), Standing::First);
    assert_eq!(line.look(&mut tickets[3].0, &bells[3].1), Standing::Waiting);
    assert_eq!(rung(), [0, 0, 1, 0], "once");
}

#[test]
fn a_first_that_is_overtaken_is_told_when_it_is_the_first_again() {
    let line = WaitLine::new(2, Heads::Told);
    let (bell, waker) = bell();
    let (mut low, standing) = enter(&line, 0, &waker);
    assert_eq!(standing, Standing::First);
    let (high, standing) = enter(&line, 1, Waker::noop());
    assert_eq!(standing, Standing::First);
    assert_eq!(line.look(&mut low, &waker), Standing::Waiting);
    assert_eq!(bell.rung(), 0);
    assert_eq!(line.leave(high.expect("it waits")), Left::Waiting);
    assert_eq!(bell.rung(), 1);
    assert_eq!(line.look(&mut low, &waker), Standing::First);
}

#[test]
fn the_latest_waker_is_the_one_that_is_woken() {
    let line = WaitLine::new(1, Heads::Untold);
    let ((old, old_waker), (new, new_waker)) = (bell(), bell());
    let (mut ticket, _) = enter(&line, 0, &old_waker);
    assert_eq!(line.look(&mut ticket, &new_waker), Standing::First);
    assert!(grant_first(&line).is_some());
    assert_eq!((old.rung(), new.rung()), (0, 1));
}

#[test]
fn a_place_means_nobody_else_once_its_waiter_is_gone() {
    let line = WaitLine::new(1, Heads::Untold);
    let (gone, _) = enter(&line, 0, Waker::noop());
    let place = line.open().first().expect("one waits");
    assert_eq!(line.leave(gone.expect("it waits")), Left::Waiting);
    let (mut next, _) = enter(&line, 0, Waker::noop());
    assert_eq!(line.open().grant(place), None);
    assert_eq!(line.open().dismiss(place, RejectionKind::Shed), None);
    line.open().reclassify(place, 0);
    assert_eq!(line.look(&mut next, Waker::noop()), Standing::First);
}

#[test]
fn a_class_that_the_line_does_not_have_is_the_most_important() {
    let line = WaitLine::new(3, Heads::Untold);
    let (beyond, _) = enter(&line, 7, Waker::noop());
    let (_highest, _) = enter(&line, 2, Waker::noop());
    let (_middle, _) = enter(&line, 1, Waker::noop());
    let place = line.open().first().expect("three wait");
    assert_eq!(beyond.map(|ticket| ticket.0), Some(place));
    assert_eq!(line.open().waiter(place).map(|waiter| waiter.class), Some(2));

    line.open().reclassify(place, 0);
    line.open().reclassify(place, 9);
    assert_eq!(line.open().waiter(place).map(|waiter| waiter.class), Some(2));
    assert_eq!(line.open().youngest(2), Some(place), "behind those who are there");
}

/// A waker whose drop, and whose wake-up, open the line that holds it: as those of a task do in which the last
/// reference to a future with a ticket goes.
struct Reentrant(Arc<WaitLine>, Arc<AtomicUsize>);

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.0.open().first();
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.0.open().first();
        self.1.fetch_add(1, SeqCst);
    }
}

#[test]
fn wakers_are_woken_and_dropped_with_the_line_closed() {
    let line = Arc::new(WaitLine::new(1, Heads::Told));
    let dropped = Arc::new(AtomicUsize::new(0));
    let waker = || Waker::from(Arc::new(Reentrant(line.clone(), dropped.clone())));
    let (mut first, _) = enter(&line, 0, &waker());
    let (second, _) = enter(&line, 0, &waker());
    let (_third, _) = enter(&line, 0, &waker());
    line.look(&mut first, &waker()); // the waker before is dropped
    assert_eq!(line.leave(second.expect("it waits")), Left::Waiting); // dropped
    assert_eq!(line.leave(first.expect("it waits")), Left::Waiting); // dropped, and the third woken
    assert_eq!(dropped.load(SeqCst), 4);
    let crowd: Vec<_> = (0..100).map(|_| enter(&line, 0, &waker())).collect();
    assert_eq!(line.open().dismiss_below(1, RejectionKind::Shed), 101);
    assert_eq!(dropped.load(SeqCst), 104);
    drop(crowd);
}

#[test]
fn a_million_enter_half_of_them_leave_and_all_end() {
    const MILLION: u32 = 1_000_000;
    let line = WaitLine::new(101, Heads::Untold);
    let mut tickets = Vec::with_capacity(MILLION as usize);
    let growth = allocation_counter::measure(|| {
        for i in 0..MILLION {
            let class = [100, 80, 60, 40, 20][i as usize % 5];
            tickets.push(enter(&line, class, Waker::noop()).0);
        }
    });
    assert_eq!(line.len(), MILLION as usize);
    let each = growth.bytes_max / u64::from(MILLION);
    assert!(each <= 144, "{each} bytes a waiter");
    assert!(growth.count_total < 64, "{} allocations", growth.count_total);

    let mut granted = 0;
    let end = allocation_counter::measure(|| {
        for ticket in tickets.iter_mut().step_by(2) {
            assert_eq!(line.leave(ticket.take().expect("it waits")), Left::Waiting);
        }
        while grant_first(&line).is_some() {}
        for ticket in tickets.iter_mut().filter(|ticket| ticket.is_some()) {
            granted += u32::from(matches!(line.look(ticket, Waker::noop()), Standing::Granted(_)));
        }
    });
    assert_eq!(granted, MILLION / 2);
    assert!(line.is_empty());
    let kept = growth.bytes_current + end.bytes_current;
    assert!(kept < 16 * 1024, "{kept} bytes are kept");
}

// ===== a naive model =====

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter { class: u8, weight: u32 },
    Leave(usize),
    Look(usize),
    GrantFirst,
    DismissLast,
    GrantOldest(u8),
    GrantYoungest(u8),
    DismissBelow(u8),
    Reclassify { who: usize, class: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = || 0..6_u8;
    let step = prop_oneof![
        8 => (class(), 1..5_u32).prop_map(|(class, weight)| Step::Enter { class, weight }),
        4 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Look),
        2 => Just(Step::GrantFirst),
        1 => Just(Step::DismissLast),
        1 => class().prop_map(Step::GrantOldest),
        1 => class().prop_map(Step::GrantYoungest),
        1 => (0..3_u8).prop_map(Step::DismissBelow),
        2 => (any::<usize>(), class()).prop_map(|(who, class)| Step::Reclassify { who, class }),
    ];
    prop::collection::vec(step, 0..600)
}

/// One that has a ticket.
struct Holder {
    number: u32,
    ticket: Option<Ticket>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Those in the line, in the order in which they came to their class; what became of the others that hold tickets.
#[derive(Default)]
struct Naive {
    waiting: Vec<(u32, Waiter)>,
    granted: Vec<u32>,
    dismissed: Vec<u32>,
}

impl Naive {
    /// The best, and among equals the first.
    fn first(&self) -> Option<(u32, Waiter)> {
        let best = self.waiting.iter().map(|(_, w)| w.class).max()?;
        self.waiting.iter().find(|(_, w)| w.class == best).copied()
    }

    fn last(&self) -> Option<(u32, Waiter)> {
        let worst = self.waiting.iter().map(|(_, w)| w.class).min()?;
        self.waiting.iter().rfind(|(_, w)| w.class == worst).copied()
    }

    fn remove(&mut self, number: u32) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(n, _)| *n != number);
        self.waiting.len() < before
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_line_agrees_with_a_naive_one(steps in steps()) {
        let line = WaitLine::new(6, Heads::Untold);
        let mut naive = Naive::default();
        let mut holders: Vec<Holder> = Vec::new();
        for (number, step) in (0_u32..).zip(steps) {
            let mut woken = None;
            match step {
                Step::Enter { class, weight } => {
                    let (bell, waker) = bell();
                    let waiter = Waiter { weight, ..waiter(class) };
                    let mut open = line.open();
                    let mut ticket = Some(open.enter(waiter));
                    open.look(&mut ticket, &waker);
                    holders.push(Holder { number, ticket, bell, waker });
                    naive.waiting.push((number, waiter));
                }
                Step::Leave(i) if !holders.is_empty() => {
                    let holder = holders.swap_remove(i % holders.len());
                    let left = line.leave(holder.ticket.expect("it is kept while it waits"));
                    if naive.remove(holder.number) {
                        prop_assert_eq!(left, Left::Waiting);
                    } else if naive.granted.contains(&holder.number) {
                        prop_assert!(matches!(left, Left::Granted(_)));
                    } else {
                        prop_assert!(naive.dismissed.contains(&holder.number));
                        prop_assert_eq!(left, Left::Dismissed(RejectionKind::Shed));
                    }
                }
                Step::Look(i) if !holders.is_empty() => {
                    let i = i % holders.len();
                    let Holder { number, ticket, waker, .. } = &mut holders[i];
                    let standing = line.look(ticket, waker);
                    if naive.first().is_some_and(|(first, _)| first == *number) {
                        prop_assert_eq!(standing, Standing::First);
                    } else if naive.granted.contains(number) {
                        prop_assert!(matches!(standing, Standing::Granted(_)));
                    } else if naive.dismissed.contains(number) {
                        prop_assert_eq!(standing, Standing::Dismissed(RejectionKind::Shed));
                    } else {
                        prop_assert_eq!(standing, Standing::Waiting);
                    }
                    if ticket.is_none() {
                        holders.swap_remove(i);
                    }
                }
                Step::GrantFirst => {
                    let mut open = line.open();
                    let got = open.first().and_then(|place| open.grant(place));
                    prop_assert_eq!(got, naive.first().map(|(_, w)| w));
                    woken = naive.first();
                    naive.granted.extend(woken.map(|(n, _)| n));
                }
                Step::DismissLast => {
                    let mut open = line.open();
                    let got = open.last().and_then(|place| open.dismiss(place, RejectionKind::Shed));
                    prop_assert_eq!(got, naive.last().map(|(_, w)| w));
                    woken = naive.last();
                    naive.dismissed.extend(woken.map(|(n, _)| n));
                }
                Step::GrantOldest(class) => {
                    let mut open = line.open();
                    let got = open.oldest(class).and_then(|place| open.grant(place));
                    woken = naive.waiting.iter().find(|(_, w)| w.class == class).copied();
                    prop_assert_eq!(got, woken.map(|(_, w)| w));
                    naive.granted.extend(woken.map(|(n, _)| n));
                }
                Step::GrantYoungest(class) => {
                    let mut open = line.open();
                    let got = open.youngest(class).and_then(|place| open.grant(place));
                    woken = naive.waiting.iter().rfind(|(_, w)| w.class == class).copied();
                    prop_assert_eq!(got, woken.map(|(_, w)| w));
                    naive.granted.extend(woken.map(|(n, _)| n));
                }
                Step::DismissBelow(class) => {
                    let below: Vec<_> = naive.waiting.iter().filter(|(_, w)| w.class < class).map(|(n, _)| *n).collect();
                    prop_assert_eq!(line.open().dismiss_below(class, RejectionKind::Shed), below.len());
                    naive.waiting.retain(|(_, w)| w.class >= class);
                    naive.dismissed.extend(below);
                }
                Step::Reclassify { who, class } if !naive.waiting.is_empty() => {
                    let (number, mut waiter) = naive.waiting.remove(who % naive.waiting.len());
                    let holder = holders.iter().find(|h| h.number == number).expect("it holds a ticket");
                    let place = holder.ticket.as_ref().expect("it waits").0;
                    line.open().reclassify(place, class);
                    waiter.class = class;
                    naive.waiting.push((number, waiter));
                }
                _ => {}
            }
            if let Some((number, _)) = woken {
                naive.remove(number);
                let holder = holders.iter().find(|h| h.number == number).expect("it holds a ticket");
                prop_assert_eq!(holder.bell.rung(), 1);
            }
            prop_assert_eq!(line.len(), naive.waiting.len());
            let open = line.open();
            prop_assert_eq!(open.weight(), naive.waiting.iter().map(|(_, w)| u64::from(w.weight)).sum::<u64>());
            for class in 0..6 {
                let ours = naive.waiting.iter().filter(|(_, w)| w.class == class).count();
                prop_assert_eq!(open.len_of(class), ours);
            }
        }
    }
}
