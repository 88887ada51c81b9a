//! More is offered than can be served: what becomes of the important, of the work, and of those who are refused.
//!
//! ```text
//! cargo run --release -p buttress-benches --features simulation --bin overload
//! ```
//!
//! The server has [`SLOTS`] slots, and a call keeps one for 15 to 25 ms; so [`CAPACITY`] calls a second are all that it
//! can do. Calls come at random, whatever has become of those before them, from five classes, of which
//! [`Critical`](Priority::CRITICAL) has a fifth of the capacity. Each caller waits for [`PATIENCE`] and then hangs up.
//!
//! It is done twice: simulated (`simulated.rs`), on tokio's paused clock, where only the order of things counts, and over
//! sockets (`overload/sockets.rs`), where the server and its clients share a machine with all that happens on it.

use std::time::Duration;

use buttress::priority::Priority;

mod figures;
mod simulated;
mod sockets;
mod systems;
mod table;

pub use figures::{End, Ended, Figures, Window};
pub use simulated::simulate;
pub use sockets::over_sockets;
pub use systems::System;
pub use table::{charts, table};

/// Calls that run at a time.
pub const SLOTS: u32 = 32;

/// Calls a second.
pub const CAPACITY: f64 = SLOTS as f64 / 0.020;

/// How long a caller waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The classes, the least important first.
pub const CLASSES: [(&str, Priority); 5] = [
    ("background", Priority::BACKGROUND),
    ("low", Priority::LOW),
    ("normal", Priority::NORMAL),
    ("high", Priority::HIGH),
    ("critical", Priority::CRITICAL),
];

/// The place of `Critical` among the [`CLASSES`].
pub const CRITICAL: usize = 4;

/// A call: whose it is, and how long the work takes.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The place of its class among the [`CLASSES`].
    pub class: usize,
    /// How long it keeps a slot.
    pub time: Duration,
}

impl Call {
    /// Its class.
    #[must_use]
    pub fn priority(&self) -> Priority {
        CLASSES[self.class].1
    }
}

/// Calls that come at random.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// Calls a millisecond, by class.
    rates: [f64; 5],
    random: fastrand::Rng,
}

impl Arrivals {
    /// So many times the capacity, of which `Critical` has 0.2 and the others the rest.
    #[must_use]
    pub fn new(load: f64, seed: u64) -> Self {
        const SHARES: [f64; 4] = [0.19, 0.21, 0.33, 0.27];
        let critical = load.min(0.2);
        let mut rates = [0.0; 5];
        rates[CRITICAL] = critical;
        for (rate, share) in rates.iter_mut().zip(SHARES) {
            *rate = share * (load - critical);
        }
        Self {
            rates: rates.map(|rate| rate * CAPACITY / 1000.0),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Those of the next millisecond.
    pub fn next_millisecond(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        for (class, rate) in self.rates.into_iter().enumerate() {
            for _ in 0..poisson(&mut self.random, rate) {
                calls.push(Call {
                    class,
                    time: Duration::from_millis(self.random.u64(15..=25)),
                });
            }
        }
        self.random.shuffle(&mut calls);
        calls
    }
}

/// Knuth's way: how many uniform numbers it takes until their product is below `e^-mean`.
fn poisson(random: &mut fastrand::Rng, mean: f64) -> usize {
    let limit = (-mean).exp();
    let mut product = random.f64();
    let mut count = 0;
    while product > limit {
        product *= random.f64();
        count += 1;
    }
    count
}
