//! The algorithms against a simulated server, on the paused clock.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::LocalSet};

mod model;

use super::*;
use crate::{
    Outcome, clock,
    outcome::{Reason, Verdict},
    priority::{Ageing, PriorityQueue},
    random::Source,
};

/// Works on so many calls at a time, each for about 20 ms; others wait inside, or are refused.
struct Server {
    places: Arc<Semaphore>,
    capacity: Cell<usize>,
    /// Places that are given up when they become free.
    surplus: Cell<usize>,
    refuses: bool,
    stalled: Cell<bool>,
    varies: bool,
    random: Source,
}

impl Server {
    fn new(capacity: usize, refuses: bool) -> Self {
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            capacity: Cell::new(capacity),
            surplus: Cell::new(0),
            refuses,
            stalled: Cell::new(false),
            varies: false,
            random: Source::new(Some(11)),
        }
    }

    fn varying(mut self) -> Self {
        self.varies = true;
        self
    }

    fn set_capacity(&self, capacity: usize) {
        let before = self.capacity.replace(capacity);
        if capacity > before {
            self.places.add_permits(capacity - before);
        } else {
            // Those that are at work end there.
            self.surplus.set(before - capacity);
        }
    }

    /// 19 to 21 ms, or whatever an exponential distribution gives.
    fn time(&self, number: u64) -> Duration {
        if self.varies {
            let time = -20.0 * (1.0 - self.random.unit()).ln();
            return Duration::from_millis(time.round() as u64);
        }
        Duration::from_millis(19 + number % 3)
    }

    async fn work(&self, time: Duration) -> Outcome {
        let place = if self.refuses {
            match self.places.try_acquire() {
                Ok(place) => place,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    return Outcome::new(Verdict::Throttled, Reason::HttpStatus(429));
                }
            }
        } else {
            self.places.acquire().await.expect("never closed")
        };
        while self.stalled.get() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(time).await;
        if self.surplus.get() > 0 {
            self.surplus.set(self.surplus.get() - 1);
            place.forget();
        }
        Outcome::SUCCESS
    }
}

/// A queue before a server, and callers that never rest.
struct Simulation {
    queue: PriorityQueue,
    server: Rc<Server>,
    completed: Rc<Cell<usize>>,
    /// The limit after each completed call.
    limits: Rc<RefCell<Vec<u32>>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Simulation {
    fn start(limit: impl Into<Adaptive>, server: Server, callers: usize) -> Self {
        let queue = PriorityQueue::builder()
            .concurrency(limit.into())
            .queue(100_000)
            .shed_by_load(false)
            .ageing(Ageing::Off)
            .build()
            .expect("valid options");
        let mut simulation = Self {
            queue,
            server: Rc::new(server),
            completed: Rc::default(),
            limits: Rc::default(),
            callers: Vec::new(),
        };
        simulation.add_callers(callers);
        simulation
    }

    fn add_callers(&mut self, callers: usize) {
        for caller in 0..callers {
            let (queue, server) = (self.queue.clone(), self.server.clone());
            let (completed, limits) = (self.completed.clone(), self.limits.clone());
            self.callers.push(tokio::task::spawn_local(async move {
                for call in 0_u64.. {
                    let time = server.time(caller as u64 * 7 + call * 3);
                    let permit = queue.acquire(60).await.expect("there is room to wait");
                    let outcome = server.work(time).await;
                    permit.record(outcome);
                    if outcome.verdict() == Verdict::Success {
                        completed.set(completed.get() + 1);
                        limits.borrow_mut().push(queue.limit());
                    }
                }
            }));
        }
    }

    fn limit(&self) -> u32 {
        self.queue.limit()
    }

    /// The limit that most of the last calls found: probes are short.
    fn resting(&self) -> u32 {
        let mut last: Vec<_> = self.limits.borrow().iter().rev().take(400).copied().collect();
        last.sort_unstable();
        last[last.len() / 2]
    }

    /// Runs until so many more calls are completed.
    async fn complete(&self, calls: usize) {
        let goal = self.completed.get() + calls;
        while self.completed.get() < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// After how many completed calls the limit is within a fifth of the capacity, if that is within the next 200; and
    /// what it is on average in the 500 after those.
    async fn next(&self, capacity: u32) -> (Option<usize>, f64) {
        let begin = self.limits.borrow().len();
        self.complete(700).await;
        let limits = self.limits.borrow();
        let (first, then) = limits[begin..].split_at(200);
        let near = first.iter().position(|limit| is_near(*limit, capacity));
        let mean = then.iter().map(|limit| f64::from(*limit)).sum::<f64>() / then.len() as f64;
        (near, mean)
    }

    fn stop(self) {
        self.callers.iter().for_each(|caller| caller.abort());
    }
}

fn is_near(limit: u32, capacity: u32) -> bool {
    let (limit, capacity) = (f64::from(limit), f64::from(capacity));
    (limit - capacity).abs() <= capacity / 5.0
}

fn simulate<F: Future<Output = ()>>(simulation: impl FnOnce() -> F) {
    let runtime = crate::test_services::paused();
    LocalSet::new().block_on(&runtime, async { simulation().await });
}

fn follows(name: &str, limit: Adaptive, refuses: bool) {
    simulate(|| async {
        let sim = Simulation::start(limit.initial(20), Server::new(40, refuses), 300);
        let check = async |what: &str, capacity: u32| {
            let (near, mean) = sim.next(capacity).await;
            assert!(
                near.is_some(),
                "{name} {what}: it is not near {capacity} after 200 calls"
            );
            assert!(
                is_near(mean.round() as u32, capacity),
                "{name} {what}: {mean:.1} on average for {capacity}"
            );
            sim.complete(2000).await;
            let resting = sim.resting();
            assert!(
                is_near(resting, capacity),
                "{name} {what}: it rests at {resting} of {capacity}"
            );
        };
        check("began", 40).await;
        sim.server.set_capacity(80);
        check("doubled", 80).await;
        sim.server.set_capacity(40);
        check("halved", 40).await;
        sim.server.stalled.set(true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        sim.server.stalled.set(false);
        // Those that were in it end first.
        sim.complete(45).await;
        check("stalled", 40).await;
        sim.stop();
    });
}

#[test]
fn aimd_follows_a_capacity_that_doubles_halves_and_stalls() {
    follows("aimd", Adaptive::aimd(), true);
}

#[test]
fn vegas_follows_a_capacity_that_doubles_halves_and_stalls() {
    follows("vegas", Adaptive::vegas(), false);
}

#[test]
fn gradient2_follows_a_capacity_that_doubles_halves_and_stalls() {
    follows("gradient2", Adaptive::gradient2(), false);
}

fn all() -> [(&'static str, Adaptive, bool); 3] {
    [
        ("aimd", Adaptive::aimd(), true),
        ("vegas", Adaptive::vegas(), false),
        ("gradient2", Adaptive::gradient2(), false),
    ]
}

/// Netflix's Gradient2 creeps upward as long as an overload lasts; a minimum that is measured under load does as well.
#[test]
fn under_an_overload_that_lasts_the_limit_does_not_creep_away() {
    for (name, limit, refuses) in all() {
        simulate(|| async {
            let sim = Simulation::start(limit, Server::new(40, refuses), 300);
            sim.complete(30_000).await;
            let limits = sim.limits.borrow();
            let late = &limits[15_000..];
            let most = late.iter().max().copied().unwrap_or_default();
            let mean = late.iter().map(|l| f64::from(*l)).sum::<f64>() / late.len() as f64;
            assert!(
                most <= 80 && (32.0..=48.0).contains(&mean),
                "{name}: at most {most}, {mean:.1} on average"
            );
            drop(limits);
            sim.stop();
        });
    }
}

#[test]
fn where_latencies_vary_widely_it_takes_longer_and_comes_to_the_same() {
    for (name, limit, _) in &all()[1..] {
        simulate(|| async {
            let sim = Simulation::start(limit.clone(), Server::new(40, false).varying(), 300);
            sim.complete(40_000).await;
            let limits = sim.limits.borrow();
            let late = &limits[20_000..];
            let mean = late.iter().map(|l| f64::from(*l)).sum::<f64>() / late.len() as f64;
            assert!(
                (28.0..=56.0).contains(&mean),
                "{name}: {mean:.1} of 40 on average"
            );
            drop(limits);
            sim.stop();
        });
    }
}

#[test]
fn a_limit_that_is_not_reached_does_not_grow() {
    for (name, limit, refuses) in all() {
        simulate(|| async {
            let sim = Simulation::start(limit.initial(20), Server::new(40, refuses), 5);
            sim.complete(5_000).await;
            assert!(sim.limit() <= 20, "{name}: it ran away to {}", sim.limit());
            sim.stop();
        });
    }
}

/// In an outage nothing succeeds: the drops alone have to say that it goes on.
#[test]
fn with_nothing_but_drops_the_limit_goes_to_its_minimum_and_comes_back() {
    let timed_out = Outcome::failure(Reason::Rejected(crate::RejectionKind::TimedOut));
    let throttled = Outcome::new(Verdict::Throttled, Reason::HttpStatus(429));
    for (name, limit, _) in all() {
        for drop in [timed_out, throttled] {
            simulate(|| async {
                let queue = PriorityQueue::builder()
                    .concurrency(limit.clone().min(1).initial(100))
                    .shed_by_load(false)
                    .build()
                    .expect("valid options");
                let round = async |outcome| {
                    let permits: Vec<_> = (0..queue.limit())
                        .map(|_| queue.try_acquire(60).expect("free"))
                        .collect();
                    tokio::time::advance(Duration::from_secs(1)).await;
                    permits
                        .into_iter()
                        .rev()
                        .for_each(|permit| permit.record(outcome));
                    tokio::time::advance(Duration::from_millis(1)).await;
                };
                round(drop).await;
                assert_eq!(queue.limit(), 90, "{name}: one cut for all that were in flight");
                for _ in 0..2 {
                    round(Outcome::SUCCESS).await;
                }
                // AIMD takes its time.
                let has_grown = name == "aimd" || queue.limit() > 90;
                assert!(has_grown, "{name}: those that began after it are not heard");
                for _ in 0..100 {
                    round(drop).await;
                }
                assert_eq!(queue.limit(), 1, "{name}: {drop:?}");
                for _ in 0..200 {
                    round(Outcome::SUCCESS).await;
                }
                assert!(queue.limit() >= 20, "{name}: {} after the outage", queue.limit());
            });
        }
    }
}

#[test]
fn one_very_fast_answer_does_not_pin_the_limit() {
    for (name, limit, refuses) in all() {
        simulate(|| async {
            let sim = Simulation::start(limit, Server::new(40, refuses), 300);
            sim.complete(1000).await;
            // A hundred times faster than any other.
            let permit = sim.queue.acquire(100).await.expect("it waits for its turn");
            tokio::time::advance(Duration::from_micros(200)).await;
            permit.record(Outcome::SUCCESS);
            sim.complete(400).await;
            assert!(is_near(sim.resting(), 40), "{name}: {} of 40", sim.resting());
            sim.stop();
        });
    }
}

/// Here it is not one answer but as many as decide: a cache that answered for a while.
#[test]
fn a_while_of_fast_answers_is_forgotten() {
    for (name, limit, refuses) in all() {
        simulate(|| async {
            let sim = Simulation::start(limit, Server::new(40, refuses), 0);
            for _ in 0..200 {
                let permit = sim.queue.acquire(60).await.expect("free");
                tokio::time::advance(Duration::from_millis(1)).await;
                permit.record(Outcome::SUCCESS);
            }
            let mut sim = sim;
            sim.add_callers(300);
            sim.complete(8000).await;
            assert!(is_near(sim.resting(), 40), "{name}: {} of 40", sim.resting());
            sim.stop();
        });
    }
}

#[test]
fn clients_that_cancel_do_not_drive_the_limit_down() {
    for (name, limit, refuses) in all() {
        simulate(|| async {
            let sim = Simulation::start(limit, Server::new(40, refuses), 300);
            sim.complete(2000).await;
            for _ in 0..2000 {
                let permit = sim.queue.acquire(100).await.expect("its turn");
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(permit);
            }
            assert!(is_near(sim.resting(), 40), "{name}: {} of 40", sim.resting());
            sim.stop();
        });
    }
}

#[test]
fn only_successes_are_samples_and_drops_only_of_what_has_too_much_to_do() {
    let queue = PriorityQueue::builder()
        .concurrency(Adaptive::aimd().min(1).initial(10))
        .build()
        .expect("valid options");
    let end = |outcome: Option<Outcome>| {
        let permits: Vec<_> = (0..queue.limit())
            .map(|_| queue.try_acquire(60).expect("free"))
            .collect();
        for permit in permits {
            match outcome {
                Some(outcome) => permit.record(outcome),
                None => drop(permit),
            }
        }
        queue.limit()
    };
    assert_eq!(end(None), 10, "cancelled");
    assert_eq!(
        end(Some(Outcome::failure(Reason::Error))),
        10,
        "failed, for whatever reason"
    );
    assert_eq!(
        end(Some(Outcome::neutral(Reason::HttpStatus(404)))),
        10,
        "neutral"
    );
    let timed_out = Reason::Rejected(crate::RejectionKind::TimedOut);
    assert_eq!(
        end(Some(Outcome::failure(timed_out))),
        9,
        "too slow; all of one round"
    );
    std::thread::yield_now();
    let _ = clock::now();
    assert_eq!(
        end(Some(Outcome::new(Verdict::Throttled, Reason::HttpStatus(429)))),
        8
    );
}

#[test]
fn an_algorithm_of_ones_own_is_kept_within_the_bounds() {
    #[derive(Debug)]
    struct Wild(u32);
    impl LimitAlgorithm for Wild {
        fn observe(&mut self, _: &Sample, _: f64) -> f64 {
            self.0 += 1;
            [f64::NAN, f64::INFINITY, -5.0, 30.0][self.0 as usize % 4]
        }
    }
    let adaptive = Adaptive::with(|| Wild(u32::MAX - 3)).min(5).max(50).initial(7);
    let queue = PriorityQueue::builder()
        .concurrency(adaptive)
        .build()
        .expect("valid");
    let mut seen = vec![queue.limit()];
    for _ in 0..3 {
        queue.try_acquire(60).expect("free").record(Outcome::SUCCESS);
        seen.push(queue.limit());
    }
    assert_eq!(seen, [7, 50, 5, 30]);
}
