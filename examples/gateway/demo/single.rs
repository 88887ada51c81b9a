//! The first part: one upstream that turns slow, flaky, silent, failing and healthy, and books in which everybody agrees
//! on every call.

use std::time::Duration;

use buttress::{BoxError, clock::Instant, value::Table};
use tokio::time::sleep;

use super::{
    acts::{self, ACTS, Act, Deed},
    ledger::Ledger,
    load::{self, Load},
    office::{Office, TOKEN},
    sightings::Sightings,
    story::Story,
    toll::Toll,
    upstream::{Behaviour, Upstream},
};
use crate::{
    config::{Config, FRONT},
    gateway::Gateway,
};

/// How often each caller calls.
const EVERY: Duration = Duration::from_millis(25);

/// Everything that takes part.
pub(crate) struct Single {
    upstream: Upstream,
    gateway: Gateway,
    config: String,
    office: Office,
}

impl Single {
    pub(crate) async fn set() -> Result<Self, BoxError> {
        let upstream = Upstream::start("upstream", Sightings::default()).await?;
        let config = format!(
            "listen = \"127.0.0.1:0\"\n\
             admin = \"127.0.0.1:0\"\n\
             admin_token = \"{TOKEN}\"\n\
             [upstream]\n\
             endpoints = [\"http://{}\"]\n\
             [timeouts]\n\
             attempt = \"750ms\"\n\
             total = \"5s\"\n\
             [retry]\n\
             max_attempts = 4\n\
             initial_backoff = \"20ms\"\n\
             retry_on = [503, \"timed_out\"]    # not \"connect\": for the callers to count what is refused\n\
             attempt_header = true            # for the upstream to count what comes again\n\
             [circuit_breaker]\n\
             consecutive_failures = 5\n\
             success_threshold = 2\n\
             half_open_probes = 3\n\
             open_for = \"1500ms\"\n\
             open_jitter = 0.0    # so that the story can be told with numbers\n",
            upstream.address()
        );
        let parsed = Config::parse(&config).map_err(|error| error.to_string())?;
        let gateway = Gateway::start(parsed).await.map_err(|error| error.to_string())?;
        let admin = gateway.admin_address().ok_or("there is no admin port")?;
        Ok(Self {
            upstream,
            gateway,
            config,
            office: Office::at(admin, load::client()),
        })
    }

    /// Plays every act, and closes the books. Returns whether all was as it should be.
    pub(crate) async fn play(mut self, began: Instant) -> Result<bool, BoxError> {
        self.introduce();
        let mut story = Story::begin(self.gateway.registry(), began);
        let load = Load::start(self.gateway.address(), EVERY)?;
        let mut outcomes = Vec::new();
        for act in &ACTS {
            story.tell(act.told);
            let before = (self.upstream.seen(), load.total());
            self.perform(act).await?;
            let seen = story.watch(act.lasts, &load).await;
            outcomes.push((describe(act), acts::came_true(act, &seen)));
            if act.deed == Deed::Behave(Behaviour::Flaky) {
                let toll = Toll::between(before, (self.upstream.seen(), load.total()));
                story.note(&toll.to_string());
                outcomes.push((toll.to_string(), toll.is_bearable()));
            }
        }
        let callers = load.finish().await;
        let state = self.settled().await?;
        let mut ledger = Ledger::new(callers, &state, self.upstream.seen(), story.opened());
        for (statement, came_true) in outcomes {
            ledger.state(statement, came_true);
        }

        println!(
            "\nThe books: the callers', those in /state of the two stacks, the retry and the breaker, and the server's own.\n"
        );
        ledger.print();
        self.gateway.stop(Duration::from_secs(5)).await;
        self.upstream.down().await;
        Ok(ledger.adds_up())
    }

    async fn perform(&mut self, act: &Act) -> Result<(), BoxError> {
        match act.deed {
            Deed::Behave(behaviour) => self.upstream.behave(behaviour),
            Deed::GoDown => {
                // A call that is still hanging when the breaker opens comes too late to be anything but stale: the
                // breaker would not call it cancelled, and the columns would differ though every one is right.
                self.upstream.behave(Behaviour::Healthy);
                if !self.upstream.all_hung_up().await {
                    return Err("callers hang on to answers that never end".into());
                }
                self.upstream.down().await;
            }
            Deed::ComeUp => self.upstream.up().await?,
            Deed::Drill(drill) => self.office.drill("upstream", drill).await?,
        }
        Ok(())
    }

    /// `/state`, once the gateway has noticed that the last callers hung up.
    async fn settled(&self) -> Result<Table, BoxError> {
        for _ in 0..100 {
            let state = self.office.state().await?;
            let busy = |name| {
                let stack = buttress::value::Value::from(state.clone());
                stack.at(&[name, "inFlight"]).and_then(|n| n.as_u64()) != Some(0)
            };
            if !busy(FRONT) && !busy("upstream") {
                return Ok(state);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err("calls are still in flight long after the last".into())
    }

    fn introduce(&self) {
        let (gateway, upstream) = (self.gateway.address(), self.upstream.address());
        println!("A demonstration on loopback, of about half a minute.\n\nPart one: one upstream.\n");
        println!(
            "  {} callers ──▶ gateway {gateway} ──▶ upstream {upstream}",
            load::CALLERS
        );
        println!("              /state on {}\n", self.office.address());
        println!("The gateway's configuration:\n");
        self.config.lines().for_each(|line| println!("  {line}"));
    }
}

/// What must have been seen in an act.
fn describe(act: &Act) -> String {
    let deed = match act.deed {
        Deed::Behave(behaviour) => format!("upstream {behaviour:?}").to_lowercase(),
        Deed::GoDown => "upstream gone".to_owned(),
        Deed::ComeUp => "upstream back".to_owned(),
        Deed::Drill(drill) => format!("drill {drill}"),
    };
    let changes: Vec<_> = act
        .changes
        .iter()
        .map(|(from, to)| format!("{from} → {to}"))
        .collect();
    match changes.is_empty() {
        true => format!("{deed}: the breaker stayed as it was"),
        false => format!("{deed}: {}", changes.join(", ")),
    }
}
