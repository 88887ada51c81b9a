//! The pool and the naive one, side by side.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

use tokio_test::task::{Spawn, spawn};

mod compare;

use super::{
    naive::{self, At, Leave, Naive, Told},
    place::{Answer, Place, World, judge},
    *,
};
use crate::{
    clock::Instant,
    outcome::Plain,
    pool::{node::Node, snapshot::EndpointSnapshot},
    registry::Drill,
};

pub(super) struct Stage {
    pool: Pool<Place>,
    naive: Naive,
    world: World,
    log: Log,
    born: Instant,
    /// Of all endpoints that there ever were.
    nodes: Vec<(Arc<Node>, Place)>,
    calls: Vec<Call>,
    leases: Vec<(usize, Lease<Place>, Option<Leave>)>,
    emptied: Vec<(usize, Spawn<Emptied>)>,
    next: usize,
}

type Emptied = Pin<Box<dyn Future<Output = ()>>>;

struct Call {
    number: usize,
    future: Spawn<Pin<Box<dyn Future<Output = Answer>>>>,
    naive: naive::Call,
}

fn options(config: &Config, strategy: Strategy) -> PoolOptions {
    PoolOptions::default()
        .balance(strategy)
        .failover(config.failover)
        .budget(None)
        .panic_mode(config.panic_mode)
        .slow_start(ms(config.slow_start))
        .max_retry_after(ms(config.max_retry_after))
}

impl Stage {
    pub(super) fn new(config: Config, strategy: Strategy, weights: &[u32]) -> Self {
        let never = HealthCheck::new()
            .interval(secs(1 << 40))
            .rebalance_interval(None);
        let mut builder = Pool::builder()
            .options(options(&config, strategy))
            .health_check(never, async |_: Place| true);
        if let Some(rules) = &config.breaker {
            builder = builder.breaker(
                CircuitBreaker::builder()
                    .consecutive_failures(rules.failures)
                    .open_for(ms(rules.open_for))
                    .open_growth(1.0)
                    .open_jitter(0.0)
                    .half_open_probes(rules.probes as u32)
                    .success_threshold(rules.successes)
                    .slow_after(secs(1 << 20)),
            );
        }
        let pool = builder.build().expect("valid");
        let mut stage = Self {
            log: Log::of(&pool),
            pool,
            naive: Naive::new(config),
            world: World::default(),
            born: clock::now(),
            nodes: Vec::new(),
            calls: Vec::new(),
            leases: Vec::new(),
            emptied: Vec::new(),
            next: 0,
        };
        weights.iter().for_each(|weight| stage.add(None, *weight));
        stage
    }

    pub(super) async fn perform(&mut self, step: Step) {
        self.naive.step += 1;
        match step {
            Step::Call(looks) => self.begin(looks),
            Step::Look(i) if !self.calls.is_empty() => self.look(i % self.calls.len()),
            Step::End(i, ending) => {
                let runs = |call: &&Call| matches!(call.naive.at, At::Endpoint(..));
                let running: Vec<_> = self.calls.iter().filter(runs).map(|call| call.number).collect();
                if let Some(call) = running.get(i % running.len().max(1)) {
                    self.world.end(*call, ending);
                }
            }
            Step::Drop(i) if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(i % self.calls.len());
                drop(call.future);
                self.naive.cancel(call.naive);
            }
            Step::Lease => self.lease(),
            Step::GiveBack(i, told) if !self.leases.is_empty() => {
                let (e, lease, leave) = self.leases.swap_remove(i % self.leases.len());
                match told {
                    Some(ending) => {
                        self.naive.end(e, leave, ending);
                        lease.record(ending.outcome());
                    }
                    None => {
                        self.naive.cancel_at(e, leave);
                        drop(lease);
                    }
                }
            }
            Step::Wait(wait) => self.wait(wait).await,
            Step::Reconfigure(balance, config) => {
                // The endpoints keep their breakers.
                let (breaker, checks) = (self.naive.config.breaker, self.naive.config.checks);
                let options = options(&config, strategy(balance));
                self.pool.reconfigure(options).expect("valid");
                self.naive.config = Config {
                    breaker,
                    checks,
                    ..config
                };
            }
            Step::Add(weight) => self.add(None, weight),
            Step::Rebalance => {
                self.pool.rebalance();
                self.naive.rebalance();
            }
            Step::ResetAll => {
                self.pool.reset_all();
                let members = self.naive.members.clone();
                members.into_iter().for_each(|e| self.naive.reset(e));
            }
            step => self.steer(step),
        }
        self.settle();
        self.compare(step);
    }

    /// Does something to an endpoint.
    fn steer(&mut self, step: Step) {
        let members = &self.naive.members;
        let (Step::Ready(i, _)
        | Step::Check(i, _)
        | Step::Replace(i, _)
        | Step::Remove(i)
        | Step::Drain(i)
        | Step::Resume(i)
        | Step::Weigh(i, _)
        | Step::Drill(i, _)) = step
        else {
            return;
        };
        let Some(e) = members.get(i % members.len().max(1)).copied() else {
            return;
        };
        let name = self.naive.endpoints[e].name.clone();
        match step {
            Step::Ready(_, readiness) => {
                self.nodes[e].1.set(readiness);
                self.naive.endpoints[e].readiness = readiness;
            }
            Step::Check(_, is_well) => {
                let (bad, good) = self.naive.config.checks;
                self.nodes[e].0.checked(is_well, bad, good);
                self.naive.check(e, is_well);
            }
            Step::Replace(_, weight) => self.add(Some(name), weight),
            Step::Remove(_) => {
                assert!(self.pool.remove(&name));
                self.naive.remove(e);
            }
            Step::Drain(_) => {
                let mut emptied = spawn(self.emptied(&name));
                let is_empty = emptied.poll().is_ready();
                assert_eq!(is_empty, self.naive.endpoints[e].in_flight == 0);
                if !is_empty {
                    self.emptied.push((e, emptied));
                }
                assert_eq!(self.pool.drain(&name), self.naive.drain(e));
            }
            Step::Resume(_) => assert_eq!(self.pool.resume(&name), self.naive.resume(e)),
            Step::Weigh(_, weight) => {
                self.pool.set_weight(&name, weight).expect("valid");
                self.naive.set_weight(e, weight);
            }
            Step::Drill(_, hand) => {
                let (drill, act): (_, fn(&mut Naive, usize)) = match hand {
                    Hand::Open => (Drill::Open, Naive::open),
                    Hand::ForceOpen => (Drill::ForceOpen, Naive::force_open),
                    Hand::Close => (Drill::Close, Naive::close),
                    Hand::Reset => (Drill::Reset, Naive::reset),
                };
                let done = self.pool.drill(&name, &drill);
                let may_be_done = self.naive.config.breaker.is_some() || drill == Drill::Reset;
                assert_eq!(done.is_ok(), may_be_done, "{done:?}");
                act(&mut self.naive, e);
            }
            _ => {}
        }
    }

    fn add(&mut self, known: Option<String>, weight: u32) {
        let number = self.nodes.len();
        let name = known.clone().unwrap_or_else(|| number.to_string());
        let place = Place::new(number, &self.world);
        let endpoint = Endpoint::new(name.clone(), place.clone()).weight(weight);
        if known.is_some() {
            self.pool
                .add(endpoint.clone())
                .expect_err("there is one of that name");
            self.pool.insert(endpoint).expect("valid");
        } else {
            self.pool.add(endpoint).expect("valid");
        }
        let node = self.pool.shared.find(&name).expect("it was added");
        self.nodes.push((node, place));
        assert_eq!(self.naive.add(&name, weight), number);
    }

    fn emptied(&self, name: &str) -> Emptied {
        let (pool, name) = (self.pool.clone(), name.to_owned());
        Box::pin(async move { pool.emptied(&name).await })
    }

    async fn wait(&mut self, wait: Wait) {
        let now = self.naive.now;
        let time = match wait {
            Wait::For(time) => time,
            Wait::End(i, off) => {
                let ends = self.naive.ends();
                let end = ends.get(i % ends.len().max(1)).copied().unwrap_or(now);
                end.saturating_add_signed(off).saturating_sub(now)
            }
        };
        // No moment is so far away but that of a breaker that was forced.
        let time = time.min(100_000);
        tokio::time::advance(ms(time)).await;
        self.naive.now += time;
    }

    // ===== calls =====

    fn begin(&mut self, looks: bool) {
        self.next += 1;
        let number = self.next;
        let call = self.pool.service_for(Plain::classify(judge)).call(number);
        let future = spawn(Box::pin(call) as Pin<Box<dyn Future<Output = Answer>>>);
        let naive = self.naive.begin();
        self.calls.push(Call {
            number,
            future,
            naive,
        });
        if looks {
            self.look(self.calls.len() - 1);
        }
    }

    /// Has a call look what there is.
    fn look(&mut self, i: usize) {
        let call = &mut self.calls[i];
        let polled = catch_unwind(AssertUnwindSafe(|| call.future.poll()));
        let told = self.naive.polled(&mut call.naive, self.world.take_seen());
        match (&polled, &told) {
            (Ok(Poll::Pending), Told::Waits | Told::Runs) => return,
            (Ok(Poll::Ready(answer)), Told::Over(expected)) => assert_eq!(answer, expected),
            (Ok(Poll::Ready(Err(Error::Rejected(rejected)))), Told::NoEndpoint(after)) => {
                assert_eq!(rejected.kind(), RejectionKind::NoEndpoint);
                assert_eq!(rejected.retry_after(), after.map(ms));
            }
            (Err(_), Told::Panicked) => {}
            _ => panic!("{polled:?}, but {told:?}"),
        }
        self.calls.remove(i);
    }

    fn lease(&mut self) {
        self.naive.calls += 1;
        let usable = self.naive.usable(&[]);
        match self.pool.try_acquire() {
            Ok(lease) => {
                let e = usable
                    .into_iter()
                    .find(|e| self.naive.endpoints[*e].name == lease.endpoint());
                let e = e.expect("one that may be used");
                self.leases.push((e, lease, self.naive.take_in(e)));
            }
            Err(rejected) => {
                assert!(usable.is_empty(), "there is one of {usable:?}");
                let Told::NoEndpoint(after) = self.naive.refuse() else {
                    unreachable!("it refuses");
                };
                assert_eq!(rejected.retry_after(), after.map(ms));
            }
        }
    }

    /// At which endpoint a call is, if it has found one.
    pub(super) fn place_of(&self, call: usize) -> Option<usize> {
        match self.calls.get(call)?.naive.at {
            At::Endpoint(e, _) => Some(e),
            At::Nowhere { .. } => None,
        }
    }

    /// Everybody who was woken has looked, and nobody was forgotten.
    fn settle(&mut self) {
        while let Some(i) = self.calls.iter().position(|call| call.future.is_woken()) {
            self.look(i);
        }
        for call in &self.calls {
            let ready = self.naive.is_forgotten(&call.naive);
            assert_eq!(ready, None, "{:?} knows nothing of it", call.naive);
        }
        let endpoints = &self.naive.endpoints;
        self.emptied.retain_mut(|(e, emptied)| {
            let endpoint = &endpoints[*e];
            if emptied.is_woken() && emptied.poll().is_ready() {
                assert_eq!(endpoint.in_flight, 0, "at {e}");
                return false;
            }
            let takes_none = endpoint.draining || endpoint.removed;
            assert!(
                endpoint.in_flight > 0 || !takes_none,
                "nobody is told that {e} is empty"
            );
            true
        });
    }
}
