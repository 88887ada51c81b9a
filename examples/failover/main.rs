//! Three nodes behave as one: one dies, is marked, traffic moves; it recovers, and traffic comes back.
//!
//! It tells the story as it happens, about five seconds, and checks what it tells; exit code 1 if something was otherwise.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a program for the terminal

use std::{
    io,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use buttress::{
    ConfigError,
    circuit_breaker::CircuitBreaker,
    clock::{self, Instant},
    pool::{Endpoint, HealthCheck, Pool, PoolEvent, Strategy},
};
use tokio::time::{interval, sleep};

/// What stands behind an endpoint: any client, here one of nothing.
#[derive(Clone)]
struct Node {
    name: &'static str,
    is_up: Arc<AtomicBool>,
}

impl Node {
    async fn ask(self) -> io::Result<&'static str> {
        if !self.is_up.load(Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        sleep(Duration::from_millis(2)).await;
        Ok(self.name)
    }
}

struct Story {
    began: Instant,
    pool: Pool<Node>,
    log: Arc<Mutex<Vec<String>>>,
    failed: AtomicU64,
    came_true: AtomicBool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Story::begin() {
        Ok((story, nodes)) => story.tell(nodes).await,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Story {
    fn begin() -> Result<(Arc<Self>, Vec<Node>), ConfigError> {
        let nodes: Vec<_> = ["north", "south", "west"]
            .map(|name| Node {
                name,
                is_up: Arc::new(AtomicBool::new(true)),
            })
            .into();
        let pool = Pool::builder()
            .name("nodes")
            .balance(Strategy::RoundRobin)
            .failover(2)
            .slow_start(Duration::from_secs(1))
            .breaker(
                CircuitBreaker::builder()
                    .consecutive_failures(3)
                    .success_threshold(2)
                    .open_for(Duration::from_secs(10)),
            )
            .health_check(
                HealthCheck::new().interval(Duration::from_millis(400)),
                |node: Node| async move { node.ask().await.is_ok() },
            )
            .extend(nodes.iter().map(|node| Endpoint::new(node.name, node.clone())))
            .build()?;
        let (began, log) = (clock::now(), Arc::new(Mutex::new(Vec::new())));
        let events = log.clone();
        pool.listen(move |event| {
            if let Some(event) = event.detail::<PoolEvent>() {
                let line = format!(
                    "{:>6.2} s  {:<18}  {event}",
                    began.elapsed().as_secs_f64(),
                    event.as_str()
                );
                println!("          {line}");
                // Nobody panics while it is held.
                events.lock().unwrap_or_else(|e| e.into_inner()).push(line);
            }
        });
        let story = Self {
            began,
            pool,
            log,
            failed: AtomicU64::new(0),
            came_true: AtomicBool::new(true),
        };
        Ok((Arc::new(story), nodes))
    }

    fn say(&self, text: &str) {
        println!("\n{:>6.2} s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn check(&self, what: &str, so: bool) {
        println!("          {} {what}", if so { "✓" } else { "✗" });
        self.came_true.fetch_and(so, Relaxed);
    }

    fn calls(&self) -> Vec<u64> {
        let state = self.pool.snapshot();
        state.endpoints.iter().map(|endpoint| endpoint.calls).collect()
    }

    /// Which share of the calls each node gets in that time.
    async fn shares(&self, time: Duration) -> Vec<f64> {
        let before = self.calls();
        sleep(time).await;
        let counts: Vec<_> = self
            .calls()
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let shares: Vec<_> = counts.iter().map(|count| *count as f64 / all).collect();
        println!(
            "          calls: north {}, south {}, west {}",
            counts[0], counts[1], counts[2]
        );
        shares
    }

    async fn until(&self, so: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..500 {
            if so(self) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    fn has_seen(&self, word: &str) -> bool {
        let log = self.log.lock().unwrap_or_else(|e| e.into_inner());
        log.iter().any(|line| line.contains(word))
    }

    async fn tell(self: Arc<Self>, nodes: Vec<Node>) -> ExitCode {
        let callers = tokio::spawn(call(self.clone()));
        self.say("Three nodes, and about 500 calls a second by turns.");
        let shares = self.shares(Duration::from_millis(500)).await;
        self.check(
            "each has about a third",
            shares.iter().all(|s| (0.25..0.42).contains(s)),
        );

        self.say("South dies.");
        nodes[1].is_up.store(false, Relaxed);
        let south = |story: &Self| story.pool.snapshot().endpoint("south").cloned();
        let out = self
            .until(|story| south(story).is_some_and(|south| !south.usable))
            .await;
        self.check("it is marked", out);
        let shares = self.shares(Duration::from_millis(800)).await;
        self.check("it gets no more calls", shares[1] == 0.0);
        self.check(
            "the others have half of them each",
            (0.45..0.55).contains(&shares[0]),
        );
        self.check("not one caller has noticed", self.failed.load(Relaxed) == 0);

        self.say("South is back.");
        nodes[1].is_up.store(true, Relaxed);
        let back = self
            .until(|story| south(story).is_some_and(|south| south.failed_for.is_none()))
            .await;
        self.check("a check has found out, and calls have proved it", back);
        let early = self.shares(Duration::from_millis(250)).await[1];
        sleep(Duration::from_millis(900)).await;
        let late = self.shares(Duration::from_millis(500)).await[1];
        self.check("it is eased in", early < late);
        self.check("it has its third again", (0.25..0.42).contains(&late));

        callers.abort();
        self.end()
    }

    fn end(&self) -> ExitCode {
        self.say("What happened:");
        for line in self.log.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            println!("          {line}");
        }
        let events = [
            "node_marked_failed",
            "failover_started",
            "failover_completed",
            "recovery_started",
            "recovery_completed",
        ];
        self.check(
            "all that is in the log",
            events.iter().all(|event| self.has_seen(event)),
        );
        self.say("The books:");
        let state = self.pool.snapshot();
        println!(
            "          {:<8}{:>8}{:>8}{:>8}{:>10}{:>11}",
            "node", "calls", "failed", "moved", "failovers", "recoveries"
        );
        for e in &state.endpoints {
            println!(
                "          {:<8}{:>8}{:>8}{:>8}{:>10}{:>11}",
                e.name, e.calls, e.failure, e.moved, e.failovers, e.recoveries
            );
        }
        println!(
            "          {} calls, {} failovers, {} recoveries",
            state.calls, state.failovers, state.recoveries
        );
        self.check(
            "one failover and one recovery",
            (state.failovers, state.recoveries) == (1, 1),
        );
        self.check(
            "no call has failed",
            self.failed.load(Relaxed) == 0 && state.no_endpoint == 0,
        );
        match self.came_true.load(Relaxed) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Calls, until it is aborted.
async fn call(story: Arc<Story>) {
    let mut clock = interval(Duration::from_millis(2));
    loop {
        clock.tick().await;
        let story = story.clone();
        tokio::spawn(async move {
            if story.pool.run(Node::ask).await.is_err() {
                story.failed.fetch_add(1, Relaxed);
            }
        });
    }
}
