//! An adaptive limit before a server whose capacity doubles, halves and stalls, on tokio's paused clock.
//!
//! ```text
//! cargo run --release -p buttress-benches --features simulation --bin adaptive
//! ```
//!
//! The server works on so many calls at a time, each for 19 to 21 ms; those beyond wait inside of it (or, for AIMD, which
//! listens to nothing else, are refused with 429 after a millisecond). 300 callers never rest.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use buttress::{
    Outcome, Verdict,
    outcome::Reason,
    priority::{Ageing, PriorityQueue, limit::Adaptive},
};
use tokio::{
    runtime::Builder,
    sync::Semaphore,
    task::{LocalSet, spawn_local},
    time::sleep,
};

/// What is done to the server, one after the other, and how many calls it can work on from then on.
pub const PHASES: [(&str, u32); 4] = [
    ("begins", 40),
    ("doubles", 80),
    ("halves", 40),
    ("stalls for 5 s", 40),
];

/// Where the limit begins.
const INITIAL: u32 = 20;

/// How many calls are completed in a phase.
const CALLS: usize = 3_000;

/// Those that are in a stall end first.
const STALLED: usize = 45;

/// What a limit did.
#[derive(Clone, Debug)]
pub struct Course {
    /// The limit after each completed call.
    pub limits: Vec<u32>,
    /// After how many completed calls each phase began.
    pub begins: [usize; 4],
}

impl Course {
    /// After how many calls of a phase the limit is within a fifth of the capacity for the first time.
    #[must_use]
    pub fn near_after(&self, phase: usize) -> Option<usize> {
        let (limits, capacity) = (self.phase(phase), PHASES[phase].1);
        limits
            .iter()
            .position(|limit| limit.abs_diff(capacity) * 5 <= capacity)
    }

    /// What it is on average in the second half of a phase.
    #[must_use]
    pub fn rests_at(&self, phase: usize) -> f64 {
        let limits = self.phase(phase);
        let late = &limits[limits.len() / 2..];
        late.iter().map(|limit| f64::from(*limit)).sum::<f64>() / late.len().max(1) as f64
    }

    fn phase(&self, phase: usize) -> &[u32] {
        let end = self.begins.get(phase + 1).copied().unwrap_or(self.limits.len());
        &self.limits[self.begins[phase]..end]
    }
}

/// The algorithms, and whether the server before which each stands refuses what is too much.
pub fn algorithms() -> [(&'static str, Adaptive, bool); 3] {
    [
        ("Gradient2", Adaptive::gradient2(), false),
        ("Vegas", Adaptive::vegas(), false),
        ("AIMD", Adaptive::aimd(), true),
    ]
}

/// Runs all phases.
#[must_use]
pub fn follow(limit: Adaptive, refuses: bool) -> Course {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it starts");
    let queue = PriorityQueue::builder()
        .concurrency(limit.initial(INITIAL))
        .queue(100_000)
        .shed_by_load(false)
        .ageing(Ageing::Off)
        .build()
        .expect("the options are in order");
    let server = Rc::new(Server::new(PHASES[0].1 as usize, refuses));
    let limits = Rc::new(RefCell::new(Vec::new()));
    let begins = LocalSet::new().block_on(&runtime, async {
        for caller in 0..300 {
            spawn_local(call_for_ever(
                caller,
                queue.clone(),
                server.clone(),
                limits.clone(),
            ));
        }
        let completed = || limits.borrow().len();
        let mut begins = [0; 4];
        for (begin, (what, capacity)) in begins.iter_mut().zip(PHASES) {
            server.set_capacity(capacity as usize);
            if what.starts_with("stalls") {
                server.stalled.set(true);
                sleep(Duration::from_secs(5)).await;
                server.stalled.set(false);
                let goal = completed() + STALLED;
                while completed() < goal {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            *begin = completed();
            while completed() < *begin + CALLS {
                sleep(Duration::from_millis(1)).await;
            }
        }
        begins
    });
    let limits = limits.take();
    Course { limits, begins }
}

async fn call_for_ever(caller: u64, queue: PriorityQueue, server: Rc<Server>, limits: Rc<RefCell<Vec<u32>>>) {
    for call in 0_u64.. {
        let Ok(permit) = queue.acquire(60).await else {
            return;
        };
        let outcome = server
            .work(Duration::from_millis(19 + (caller * 7 + call * 3) % 3))
            .await;
        permit.record(outcome);
        if outcome.verdict() == Verdict::Success {
            limits.borrow_mut().push(queue.limit());
        }
    }
}

/// Works on so many calls at a time.
struct Server {
    places: Arc<Semaphore>,
    capacity: Cell<usize>,
    /// Places that are given up when they become free.
    surplus: Cell<usize>,
    refuses: bool,
    stalled: Cell<bool>,
}

impl Server {
    fn new(capacity: usize, refuses: bool) -> Self {
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            capacity: Cell::new(capacity),
            surplus: Cell::new(0),
            refuses,
            stalled: Cell::new(false),
        }
    }

    fn set_capacity(&self, capacity: usize) {
        let before = self.capacity.replace(capacity);
        match capacity.checked_sub(before) {
            Some(more) => self.places.add_permits(more),
            // Those that are at work end there.
            None => self.surplus.set(before - capacity),
        }
    }

    async fn work(&self, time: Duration) -> Outcome {
        let place = match self.refuses {
            false => self.places.acquire().await.expect("never closed"),
            true => match self.places.try_acquire() {
                Ok(place) => place,
                Err(_) => {
                    sleep(Duration::from_millis(1)).await;
                    return Outcome::new(Verdict::Throttled, Reason::HttpStatus(429));
                }
            },
        };
        while self.stalled.get() {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(time).await;
        if self.surplus.get() > 0 {
            self.surplus.set(self.surplus.get() - 1);
            place.forget();
        }
        Outcome::SUCCESS
    }
}
