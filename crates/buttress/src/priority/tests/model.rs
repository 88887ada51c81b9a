//! The queue against a naive one, over long random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock::Instant;

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter {
        class: u8,
        patience: Option<u16>,
    },
    /// Drops a call that waits.
    Cancel(usize),
    /// Ends a call that runs.
    Finish(usize),
    /// Has somebody look, late.
    Look(usize),
    /// Lets time pass.
    Pass(u16),
    ShedBelow(u8),
    Clear,
    Resize(u32),
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    concurrency: u32,
    waiting: u32,
    reserved: u32,
    ageing: Ageing,
    named: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..=100_u8, prop::option::weighted(0.2, 0..400_u16))
            .prop_map(|(class, patience)| Step::Enter { class, patience }),
        3 => any::<usize>().prop_map(Step::Cancel),
        6 => any::<usize>().prop_map(Step::Finish),
        3 => any::<usize>().prop_map(Step::Look),
        4 => (0..150_u16).prop_map(Step::Pass),
        1 => (0..=100_u8).prop_map(Step::ShedBelow),
        1 => Just(Step::Resize(1)),
        1 => (1..6_u32).prop_map(Step::Resize),
    ];
    let steps = prop::collection::vec(step, 0..500);
    (steps, any::<bool>()).prop_map(|(mut steps, clear)| {
        if clear {
            steps.push(Step::Clear);
        }
        steps
    })
}

fn setups() -> impl Strategy<Value = Setup> {
    let ageing = prop_oneof![
        Just(Ageing::Off),
        Just(Ageing::Promote { after: ms(100) }),
        Just(Ageing::Demote {
            after: ms(150),
            to: Priority::LOW
        }),
    ];
    (1..5_u32, 0..8_u32, 0..2_u32, ageing, any::<bool>()).prop_map(
        |(concurrency, waiting, reserved, ageing, named)| Setup {
            concurrency,
            waiting,
            reserved: reserved.min(concurrency - 1),
            ageing,
            named,
        },
    )
}

/// One who waits, in the model.
#[derive(Clone, Copy, Debug)]
struct Naive {
    number: usize,
    /// Changes when it is demoted.
    class: u8,
    entered: Instant,
    /// Its place among those of its class.
    place: usize,
    until: Option<Instant>,
}

/// What has been decided about a call, before it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Granted,
    Refused(RejectionKind),
}

struct Model {
    setup: Setup,
    limit: u32,
    waiting: Vec<Naive>,
    /// Those who have a slot, looked or not.
    running: Vec<usize>,
    fates: BTreeMap<usize, Fate>,
    places: usize,
}

impl Model {
    fn effective(&self, waiter: &Naive, now: Instant) -> u8 {
        match self.setup.ageing {
            Ageing::Promote { after } => {
                let steps = now.duration_since(waiter.entered).as_millis() / after.as_millis();
                (u128::from(waiter.class) + 20 * steps).min(100) as u8
            }
            _ => waiter.class,
        }
    }

    /// Who has waited for too long stands behind those of a lower class, in the order in which they were.
    fn demote(&mut self, now: Instant) {
        let Ageing::Demote { after, to } = self.setup.ageing else {
            return;
        };
        let mut old: Vec<_> = (0..self.waiting.len())
            .filter(|i| {
                self.waiting[*i].class > to.get() && now.duration_since(self.waiting[*i].entered) >= after
            })
            .collect();
        old.sort_by_key(|i| (std::cmp::Reverse(self.waiting[*i].class), self.waiting[*i].place));
        for i in old {
            self.places += 1;
            (self.waiting[i].class, self.waiting[i].place) = (to.get(), self.places);
        }
    }

    /// The best by importance, then by arrival; but of a class it is always the first in it.
    fn first(&self, now: Instant, only_critical: bool) -> Option<usize> {
        let mut heads: Vec<&Naive> = Vec::new();
        for waiter in self.waiting.iter().filter(|w| !only_critical || w.class == 100) {
            match heads.iter_mut().find(|head| head.class == waiter.class) {
                Some(head) if waiter.place < head.place => *head = waiter,
                Some(_) => {}
                None => heads.push(waiter),
            }
        }
        heads
            .into_iter()
            .min_by_key(|w| {
                (
                    std::cmp::Reverse(self.effective(w, now)),
                    w.entered,
                    std::cmp::Reverse(w.class),
                )
            })
            .map(|w| w.number)
    }

    fn last(&self, now: Instant) -> Option<(usize, u8)> {
        let mut tails: Vec<&Naive> = Vec::new();
        for waiter in &self.waiting {
            match tails.iter_mut().find(|tail| tail.class == waiter.class) {
                Some(tail) if waiter.place > tail.place => *tail = waiter,
                Some(_) => {}
                None => tails.push(waiter),
            }
        }
        tails
            .into_iter()
            .min_by_key(|w| (self.effective(w, now), std::cmp::Reverse(w.entered), w.class))
            .map(|w| (w.number, self.effective(w, now)))
    }

    fn remove(&mut self, number: usize) -> Option<Naive> {
        let at = self.waiting.iter().position(|w| w.number == number)?;
        Some(self.waiting.remove(at))
    }

    fn has_room(&self, class: u8) -> bool {
        let left = if class == 100 { 0 } else { self.setup.reserved };
        (self.running.len() as u32) < self.limit.saturating_sub(left).max(1)
    }

    /// Hands out what is free.
    fn serve(&mut self, now: Instant) {
        while !self.waiting.is_empty() && self.has_room(100) {
            let only_critical = !self.has_room(0);
            if !only_critical {
                self.demote(now);
            }
            let Some(next) = self.first(now, only_critical) else {
                return;
            };
            let waiter = self.remove(next).expect("it waits");
            let fate = if waiter.until.is_some_and(|until| until <= now) {
                Fate::Refused(RejectionKind::DeadlineExpired)
            } else {
                self.running.push(next);
                Fate::Granted
            };
            self.fates.insert(next, fate);
        }
    }

    fn enter(&mut self, number: usize, class: u8, until: Option<Instant>, now: Instant) {
        // The fast way: nobody waits.
        let refused = if self.waiting.is_empty() && self.has_room(class) {
            self.running.push(number);
            self.fates.insert(number, Fate::Granted);
            return;
        } else if until.is_some_and(|until| until <= now) {
            Some(RejectionKind::DeadlineExpired)
        } else {
            self.serve(now);
            if self.has_room(class) {
                self.running.push(number);
                self.fates.insert(number, Fate::Granted);
                return;
            }
            if (self.waiting.len() as u32) < self.setup.waiting {
                None
            } else {
                self.demote(now);
                match self.last(now) {
                    Some((last, effective)) if effective < class => {
                        self.remove(last);
                        self.fates.insert(last, Fate::Refused(RejectionKind::QueueFull));
                        None
                    }
                    _ => Some(RejectionKind::QueueFull),
                }
            }
        };
        match refused {
            Some(kind) => {
                self.fates.insert(number, Fate::Refused(kind));
            }
            None => {
                self.places += 1;
                let place = self.places;
                self.waiting.push(Naive {
                    number,
                    class,
                    entered: now,
                    place,
                    until,
                });
            }
        }
    }

    /// What the call hears if it looks now.
    fn look(&mut self, number: usize, now: Instant, until: Option<Instant>) -> Option<Fate> {
        if let Some(fate) = self.fates.remove(&number) {
            if fate == Fate::Granted && until.is_some_and(|until| until <= now) {
                self.running.retain(|n| *n != number);
                self.serve(now);
                return Some(Fate::Refused(RejectionKind::DeadlineExpired));
            }
            return Some(fate);
        }
        if until.is_some_and(|until| until <= now) && self.remove(number).is_some() {
            return Some(Fate::Refused(RejectionKind::DeadlineExpired));
        }
        None
    }
}

/// A call of the real queue.
struct Call {
    number: usize,
    until: Option<Instant>,
    waiting: Waiting,
}

fn run(setup: Setup, steps: Vec<Step>) {
    let runtime = crate::test_services::paused();
    runtime.block_on(async {
        let queue = built(
            queue(setup.concurrency, setup.waiting)
                .reserved(setup.reserved)
                .ageing(setup.ageing),
        );
        let mut model = Model {
            setup,
            limit: setup.concurrency,
            waiting: Vec::new(),
            running: Vec::new(),
            fates: BTreeMap::new(),
            places: 0,
        };
        let mut calls: Vec<Call> = Vec::new();
        let mut permits: Vec<(usize, Permit)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let now = clock::now();
            match step {
                Step::Enter { class, patience } => {
                    let class = if setup.named { class % 6 * 20 } else { class };
                    let until = patience.map(|patience| now + ms(patience.into()));
                    let mut acquire = queue.acquire(class);
                    if let Some(until) = until {
                        acquire = acquire.until(until);
                    }
                    let acquire = Box::pin(acquire);
                    model.enter(number, class, until, now);
                    let mut call = Call {
                        number,
                        until,
                        waiting: Waiting {
                            acquire,
                            result: None,
                        },
                    };
                    call.waiting.poll();
                    if call.waiting.result.is_some() {
                        settle(&mut model, call, None, &mut permits);
                    } else {
                        assert!(model.waiting.iter().any(|w| w.number == number), "it waits");
                        calls.push(call);
                    }
                }
                Step::Cancel(i) if !calls.is_empty() => {
                    let call = calls.swap_remove(i % calls.len());
                    model.remove(call.number);
                    if model.fates.remove(&call.number) == Some(Fate::Granted) {
                        model.running.retain(|n| *n != call.number);
                        model.serve(now);
                    }
                    drop(call);
                }
                Step::Finish(i) if !permits.is_empty() => {
                    let (number, permit) = permits.swap_remove(i % permits.len());
                    model.running.retain(|n| *n != number);
                    model.serve(now);
                    drop(permit);
                }
                Step::Look(i) if !calls.is_empty() => {
                    let i = i % calls.len();
                    let (number, until) = (calls[i].number, calls[i].until);
                    calls[i].waiting.poll();
                    let fate = model.look(number, now, until);
                    match fate {
                        None => assert!(calls[i].waiting.result.is_none(), "{number} waits"),
                        Some(_) => settle(&mut model, calls.swap_remove(i), fate, &mut permits),
                    }
                }
                Step::Pass(time) => advance(ms(time.into())).await,
                Step::ShedBelow(class) => {
                    let (below, others): (Vec<_>, _) = model.waiting.iter().partition(|w| w.class < class);
                    assert_eq!(queue.shed_below(class), below.len());
                    model.waiting = others;
                    for waiter in below {
                        model
                            .fates
                            .insert(waiter.number, Fate::Refused(RejectionKind::Shed));
                    }
                }
                Step::Clear => {
                    assert_eq!(queue.clear(), model.waiting.len());
                    for waiter in model.waiting.drain(..) {
                        model
                            .fates
                            .insert(waiter.number, Fate::Refused(RejectionKind::Shed));
                    }
                }
                Step::Resize(limit) if limit > setup.reserved => {
                    queue.set_concurrency(limit).expect("valid");
                    model.limit = limit;
                    model.serve(now);
                }
                _ => {}
            }
            let status = queue.status();
            assert_eq!(status.queued, model.waiting.len(), "after {step:?}");
            assert_eq!(status.running as usize, model.running.len(), "after {step:?}");
        }
        drop((calls, permits));
        let status = queue.status();
        assert_eq!((status.running, status.queued), (0, 0));
        drop(queue.try_acquire(0).expect("all is free again"));
    });
}

/// The call is over, or runs; and the model agrees.
fn settle(model: &mut Model, call: Call, fate: Option<Fate>, permits: &mut Vec<(usize, Permit)>) {
    let fate = fate.or_else(|| model.fates.remove(&call.number));
    match call.waiting.result.expect("it has looked") {
        Ok(permit) => {
            assert_eq!(fate, Some(Fate::Granted), "of {}", call.number);
            permits.push((call.number, permit));
        }
        Err(rejected) => assert_eq!(fate, Some(Fate::Refused(rejected.kind())), "of {}", call.number),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_agrees_with_a_naive_one(setup in setups(), steps in steps()) {
        run(setup, steps);
    }
}
