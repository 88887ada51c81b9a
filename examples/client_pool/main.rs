//! A pool over any client: here of replicas of a database, with the caller's own middleware around it.
//!
//! It checks what it shows; exit code 1 if something was otherwise.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a program for the terminal

use std::{
    collections::BTreeMap,
    io,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use buttress::{
    ConfigError, Error, RejectionKind,
    circuit_breaker::CircuitBreaker,
    clock,
    pool::{Endpoint, Pool, Strategy},
    registry::Drill,
};

/// A client such as one finds it: it knows neither tower nor pools.
#[derive(Clone, Debug)]
struct Replica {
    name: &'static str,
}

impl Replica {
    async fn query(&self, sql: &str) -> io::Result<String> {
        tokio::task::yield_now().await;
        match sql {
            "" => Err(io::ErrorKind::InvalidInput.into()),
            _ => Ok(self.name.to_owned()),
        }
    }
}

/// The caller's own middleware is a function around the pool's: this one counts, and takes the time.
struct Database {
    replicas: Pool<Replica>,
    queries: AtomicU64,
    micros: AtomicU64,
}

impl Database {
    fn new() -> Result<Self, ConfigError> {
        let replica = |name| Endpoint::new(name, Replica { name });
        let replicas = Pool::builder()
            .name("db")
            .breaker(CircuitBreaker::builder().consecutive_failures(5))
            .push(replica("small"))
            .push(replica("middle").weight(2))
            .push(replica("large").weight(4))
            .build()?;
        Ok(Self {
            replicas,
            queries: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        })
    }

    async fn query(&self, strategy: Strategy, sql: &'static str) -> Result<String, Error<io::Error>> {
        let begin = clock::now();
        let answer = self
            .replicas
            .run_with(
                strategy,
                |replica: Replica| async move { replica.query(sql).await },
            )
            .await;
        self.queries.fetch_add(1, Relaxed);
        self.micros.fetch_add(begin.elapsed().as_micros() as u64, Relaxed);
        answer
    }

    /// Who answers how many of so many queries.
    async fn answers(
        &self,
        strategy: Strategy,
        queries: u32,
    ) -> Result<BTreeMap<String, u32>, Error<io::Error>> {
        let mut counts = BTreeMap::new();
        for _ in 0..queries {
            *counts
                .entry(self.query(strategy.clone(), "select 1").await?)
                .or_default() += 1;
        }
        println!("{:<16} {counts:?}", strategy.name());
        Ok(counts)
    }
}

/// Whether one's count is so near to that.
fn within(counts: &BTreeMap<String, u32>, name: &str, expected: f64, off: f64) -> bool {
    let count = f64::from(counts.get(name).copied().unwrap_or_default());
    (count / expected - 1.0).abs() < off
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match show().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn show() -> Result<bool, Box<dyn std::error::Error>> {
    let database = Database::new()?;
    let mut all = true;
    let mut check = |what: &str, so: bool| {
        println!("{} {what}", if so { "✓" } else { "✗" });
        all &= so;
    };
    const QUERIES: u32 = 7000;

    let counts = database.answers(Strategy::RoundRobin, QUERIES).await?;
    let expected = [("small", 1000.0), ("middle", 2000.0), ("large", 4000.0)];
    // Threads may be in each other's turn, so a count may be off by one or two.
    check(
        "by turns each has its weight",
        expected.iter().all(|(name, n)| within(&counts, name, *n, 0.005)),
    );
    let counts = database.answers(Strategy::WeightedRandom, QUERIES).await?;
    check(
        "at random too, nearly",
        expected.iter().all(|(name, n)| within(&counts, name, *n, 0.2)),
    );
    let counts = database.answers(Strategy::Random, QUERIES).await?;
    let third = f64::from(QUERIES) / 3.0;
    check(
        "without weights all alike",
        ["small", "middle", "large"]
            .iter()
            .all(|name| within(&counts, name, third, 0.2)),
    );

    // One is taken out, another fails: whoever is left answers.
    database.replicas.drain("large");
    database.replicas.drill("middle", &Drill::ForceOpen)?;
    for strategy in [Strategy::Random, Strategy::WeightedRandom, Strategy::RoundRobin] {
        let counts = database.answers(strategy, 100).await?;
        check(
            "the one that is left answers all",
            counts.get("small") == Some(&100),
        );
    }
    database.replicas.drain("small");
    let refused = database.query(Strategy::Random, "select 1").await;
    let refused = refused.err().and_then(|error| Some(error.rejected()?.kind()));
    check(
        "none is left, and that is said at once",
        refused == Some(RejectionKind::NoEndpoint),
    );

    let (queries, micros) = (database.queries.load(Relaxed), database.micros.load(Relaxed));
    println!(
        "the middleware has seen {queries} queries, {} µs on average",
        micros / queries.max(1)
    );
    let state = database.replicas.snapshot();
    let answered: u64 = state.endpoints.iter().map(|replica| replica.success).sum();
    check(
        "its books and the pool's agree",
        queries == answered + 1 && state.calls == queries,
    );
    Ok(all)
}
