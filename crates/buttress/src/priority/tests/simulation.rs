//! Overload, on the paused clock: 32 slots, about 20 ms a call.

use std::{cell::RefCell, rc::Rc};

use tokio::task::LocalSet;

use super::*;
use crate::{Outcome, random::Source};

const SLOTS: u32 = 32;

/// Shares of the capacity that are offered, by class.
type Mix = [(Priority, f64); 5];

const TWICE: Mix = [
    (Priority::CRITICAL, 0.2),
    (Priority::HIGH, 0.5),
    (Priority::NORMAL, 0.6),
    (Priority::LOW, 0.4),
    (Priority::BACKGROUND, 0.3),
];

const FIVE_TIMES: Mix = [
    (Priority::CRITICAL, 0.2),
    (Priority::HIGH, 1.2),
    (Priority::NORMAL, 1.6),
    (Priority::LOW, 1.0),
    (Priority::BACKGROUND, 1.0),
];

const UNLOADED: Mix = [
    (Priority::CRITICAL, 0.2),
    (Priority::HIGH, 0.0),
    (Priority::NORMAL, 0.0),
    (Priority::LOW, 0.0),
    (Priority::BACKGROUND, 0.0),
];

#[derive(Default)]
struct Report {
    /// Milliseconds from coming to the end, by class.
    latencies: [Vec<u64>; 5],
    refused: [usize; 5],
    without_retry_after: usize,
    /// Refused later than in their first poll.
    refused_late: usize,
    busy: u64,
    longest_wait: u64,
}

impl Report {
    fn p99(&self, class: Priority) -> u64 {
        let mut latencies = self.latencies[class.index()].clone();
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100]
    }

    fn served(&self, class: Priority) -> f64 {
        let (served, refused) = (self.latencies[class.index()].len(), self.refused[class.index()]);
        served as f64 / (served + refused).max(1) as f64
    }
}

/// Calls of 15 to 25 ms, which come at random; over so many milliseconds.
fn simulate(queue: &PriorityQueue, mix: Mix, millis: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let report = Rc::new(RefCell::new(Report::default()));
    LocalSet::new().block_on(&runtime, async {
        let random = Source::new(Some(7));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..millis {
            for (class, share) in mix {
                let expected = share * f64::from(SLOTS) / 20.0;
                // A binomial in twenty parts is close enough to Poisson's.
                for _ in (0..20).filter(|_| random.unit() < expected / 20.0) {
                    let time = 15 + (random.unit() * 11.0) as u64;
                    let (queue, report) = (queue.clone(), report.clone());
                    calls.spawn_local(async move {
                        let came = clock::now();
                        let mut acquire = Box::pin(queue.acquire(class));
                        let mut polls = 0;
                        let permit = std::future::poll_fn(|cx| {
                            polls += 1;
                            acquire.as_mut().poll(cx)
                        });
                        let index = class.index();
                        match permit.await {
                            Ok(permit) => {
                                let waited = (clock::now() - came).as_millis() as u64;
                                tokio::time::sleep(ms(time)).await;
                                permit.record(Outcome::SUCCESS);
                                let mut report = report.borrow_mut();
                                report.longest_wait = report.longest_wait.max(waited);
                                report.busy += time;
                                report.latencies[index].push((clock::now() - came).as_millis() as u64);
                            }
                            Err(rejected) => {
                                let mut report = report.borrow_mut();
                                report.refused[index] += 1;
                                report.refused_late += usize::from(polls > 1);
                                report.without_retry_after += usize::from(rejected.retry_after().is_none());
                            }
                        }
                    });
                }
            }
            tokio::time::sleep(ms(1)).await;
        }
        calls.shutdown().await;
    });
    report.take()
}

fn check(options: impl Fn() -> PriorityQueueBuilder, mix: Mix) {
    const TIME: u64 = 8_000;
    let alone = simulate(&built(options()), UNLOADED, TIME).p99(Priority::CRITICAL);
    let queue = built(options());
    let loaded = simulate(&queue, mix, TIME);
    let critical = loaded.p99(Priority::CRITICAL);
    assert!(
        critical as f64 <= 1.2 * alone as f64,
        "{critical} ms for {alone} ms without load"
    );
    assert_eq!(loaded.served(Priority::CRITICAL), 1.0);
    let goodput = loaded.busy as f64 / (TIME * u64::from(SLOTS)) as f64;
    assert!(goodput >= 0.95, "{goodput:.3} of the capacity");
    assert_eq!(loaded.without_retry_after, 0);
    for [more, less] in [
        [Priority::HIGH, Priority::NORMAL],
        [Priority::NORMAL, Priority::BACKGROUND],
    ] {
        let [more, less] = [loaded.served(more), loaded.served(less)];
        assert!(
            more >= less,
            "{more:.2} of the more important, {less:.2} of the less"
        );
    }
    let status = queue.status();
    assert_eq!(status.running, 0, "{status:?}");
    assert_eq!(status.queued, 0, "{status:?}");
}

#[test]
fn at_twice_the_capacity_the_critical_goes_through_as_if_there_were_no_load() {
    check(|| queue(SLOTS, 1024), TWICE);
}

#[test]
fn at_five_times_the_capacity_the_critical_goes_through_as_if_there_were_no_load() {
    check(|| queue(SLOTS, 1024), FIVE_TIMES);
}

#[test]
fn refused_by_the_load_the_line_is_short_and_no_slot_is_idle() {
    for mix in [TWICE, FIVE_TIMES] {
        check(|| queue(SLOTS, 1024).shed_by_load(true), mix);
    }
}

/// With thresholds from admitted calls, a load of 1.5 with a third too much was refused by two thirds and more.
#[test]
fn no_more_is_refused_than_is_too_much() {
    let queue = built(queue(SLOTS, 64).shed_by_load(true));
    let mix = [
        (Priority::CRITICAL, 0.1),
        (Priority::HIGH, 0.3),
        (Priority::NORMAL, 0.5),
        (Priority::LOW, 0.3),
        (Priority::BACKGROUND, 0.3),
    ];
    let report = simulate(&queue, mix, 10_000);
    let refused: usize = report.refused.iter().sum();
    let served: usize = report.latencies.iter().map(Vec::len).sum();
    let share = refused as f64 / (refused + served) as f64;
    assert!(
        (0.28..0.38).contains(&share),
        "{share:.2} refused of a third too much"
    );
    assert_eq!(report.served(Priority::HIGH), 1.0);
    assert!(report.served(Priority::NORMAL) > 0.99);
    // And at once: a line that has to be full first makes everybody wait.
    let late = report.refused_late;
    assert!(late * 5 < refused, "{late} of {refused} refused late");
}

#[test]
fn nobody_starves_in_an_hour_with_ageing() {
    let ageing = Ageing::Promote { after: ms(500) };
    let queue = built(queue(2, 4096).ageing(ageing));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // The important alone are all that two slots can do: strictly, the others would never run.
        let longest = Rc::new(RefCell::new([0_u64; 5]));
        LocalSet::new()
            .run_until(async {
                let mut calls = tokio::task::JoinSet::new();
                let call = |class: Priority| {
                    let (queue, longest) = (queue.clone(), longest.clone());
                    async move {
                        let came = clock::now();
                        let permit = queue.acquire(class).await.expect("there is room");
                        let waited = (clock::now() - came).as_millis() as u64;
                        {
                            let longest = &mut longest.borrow_mut()[class.index()];
                            *longest = waited.max(*longest);
                        }
                        tokio::time::sleep(ms(200)).await;
                        permit.record(Outcome::SUCCESS);
                    }
                };
                for tick in 0..36_000_u64 {
                    // A little more than they can do, so that there is always somebody waiting.
                    for _ in 0..1 + u8::from(tick % 10 == 0) {
                        calls.spawn_local(call(Priority::HIGH));
                    }
                    if tick % 601 == 0 {
                        calls.spawn_local(call(Priority::BACKGROUND));
                    }
                    // Once in a while there is less to do, or the line would grow for ever.
                    let pause = if tick % 100 == 0 { 1500 } else { 100 };
                    tokio::time::sleep(ms(pause)).await;
                    while calls.try_join_next().is_some() {}
                }
                while calls.join_next().await.is_some() {}
            })
            .await;
        let longest = longest.borrow();
        assert!(longest[0] > 0 && longest[0] < 3_000, "{longest:?} ms");
    });
}
