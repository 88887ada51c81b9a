//! Everything goes wrong at once, for as long as one likes, and afterwards nothing is missing.
//!
//! Callers go through a stack of a client with every kind of policy that has something to give back, to three upstreams
//! on sockets of their own. The [upstreams](upstream) delay, refuse, panic and hang up at every point of a response; the
//! [transport](bomb) panics at every point of a call; the [callers](caller) go away at every point, too; and somebody
//! [meddles](meddler) with the policies and the endpoints all the while. Then it becomes calm, and the [audit]
//! looks at what is left: nothing in flight, no slot taken, no task, no file; and the books add up, call by call, to what
//! the callers have seen.
//!
//! What happens is drawn from a seed, though not in which order it does: the sockets and threads are real.

pub mod audit;
pub mod bomb;
pub mod caller;
pub mod client;
pub mod dice;
pub mod meddler;
pub mod process;
pub mod upstream;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::runtime::Handle;

use self::{
    caller::{Seen, Tally},
    client::Policies,
    dice::Dice,
    process::Held,
    upstream::Upstream,
};

/// How long, how many at a time, and which luck.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// How many calls are made.
    pub calls: u64,
    /// How many callers there are, each with one call at a time.
    pub callers: u64,
    /// What luck is drawn from.
    pub seed: u64,
}

/// What it was like.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub soak: Soak,
    /// How the calls ended, as the callers have it.
    pub seen: Tally,
    /// How often somebody meddled.
    pub meddled: u64,
    /// What the process held before.
    pub before: Held,
    /// What it held after a fifth of the calls.
    pub warm: Held,
    /// What it held at the end.
    pub after: Held,
}

/// Whether everything that can go wrong does.
#[derive(Clone, Debug, Default)]
pub struct Mischief(Arc<AtomicBool>);

impl Mischief {
    fn is_on(&self) -> bool {
        self.0.load(SeqCst)
    }

    fn set(&self, on: bool) {
        self.0.store(on, SeqCst);
    }
}

impl Soak {
    /// Does it all.
    ///
    /// It asks for a runtime with nothing else in it, for it counts tasks and files.
    ///
    /// # Panics
    ///
    /// If anything is missing afterwards.
    pub async fn run(self) -> Report {
        silence_what_is_asked_for();
        let dice = Dice::new(self.seed);
        let mischief = Mischief::default();
        // Whatever is made once and for all is made now.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (before, tasks) = (Held::now(), Handle::current().metrics().num_alive_tasks());

        let mut upstreams = Vec::new();
        for _ in 0..3 {
            upstreams.push(Upstream::start(dice.fork(), mischief.clone()).await);
        }
        let addresses = upstreams.iter().map(|upstream| upstream.address).collect();
        let policies = Arc::new(Policies::new(addresses));
        let client = policies.client(dice.fork(), mischief.clone());
        let seen = Arc::new(Seen::default());

        mischief.set(true);
        let left = Arc::new(AtomicU64::new(self.calls));
        let callers: Vec<_> = (0..self.callers)
            .map(|_| {
                let (client, seen, left, dice) = (client.clone(), seen.clone(), left.clone(), dice.fork());
                tokio::spawn(async move { caller::call(client, &seen, &left, &dice).await })
            })
            .collect();
        let meddling = Mischief::default();
        meddling.set(true);
        let meddler = tokio::spawn(meddler::meddle(policies.clone(), dice.fork(), meddling.clone()));
        while left.load(SeqCst) > self.calls / 5 * 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let warm = Held::now();
        while left.load(SeqCst) > self.calls / 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Who resets a breaker frees what its probes have lost. From now on nobody does.
        meddling.set(false);
        let meddled = meddler.await.expect("nothing that is done to a policy panics");
        let tripper = tokio::spawn(meddler::trip(policies.clone(), dice.fork(), mischief.clone()));
        for caller in callers {
            caller.await.expect("no caller panics");
        }
        let at_end = Held::now();
        mischief.set(false);
        tripper.await.expect("nor does tripping");
        meddler::mend(&policies);

        audit::quiesced(&policies).await;
        audit::books(&policies, &seen.tally());
        audit::probes(&policies);
        audit::traffic_returns(&policies, &client, &seen).await;
        audit::quiesced(&policies).await;
        let seen = seen.tally();
        audit::books(&policies, &seen);

        drop((client, policies));
        for upstream in upstreams {
            upstream.stop().await;
        }
        let after = audit::nothing_held(&before, tasks).await;
        Report {
            soak: self,
            seen,
            meddled,
            before,
            warm,
            after: Held {
                files: after.files,
                ..at_end
            },
        }
    }
}

/// Keeps the panics that are part of it out of the log.
fn silence_what_is_asked_for() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref() != Some(&AS_ASKED) {
                others(panic);
            }
        }));
    });
}

/// What all panics say that are part of it.
const AS_ASKED: &str = "as asked";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Soak { calls, callers, seed } = self.soak;
        writeln!(f, "seed {seed}: {calls} calls by {callers} callers")?;
        writeln!(f, "  {}", self.seen)?;
        writeln!(f, "  policies and endpoints changed {} times", self.meddled)?;
        writeln!(f, "  before:            {}", self.before)?;
        writeln!(f, "  a fifth of it:     {}", self.warm)?;
        write!(f, "  at the end:        {}", self.after)
    }
}
