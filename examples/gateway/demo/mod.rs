//! With no file: a gateway, an upstream that turns slow, flaky, silent, failing and healthy, callers, and the story of what comes
//! of it, all on loopback, all over sockets. In the end everybody's books must agree.

mod acts;
mod ledger;
mod load;
mod story;
mod toll;
mod upstream;

use std::{process::ExitCode, time::Duration};

use acts::{ACTS, Act, Deed};
use buttress::{BoxError, value::Table};
use bytes::Bytes;
use http::{Method, Request, header::AUTHORIZATION};
use http_body_util::{BodyExt, Empty};
use ledger::Ledger;
use load::Load;
use story::Story;
use tokio::time::sleep;
use toll::Toll;
use upstream::{Behaviour, Upstream};

use crate::{
    config::{Config, FRONT},
    failed,
    gateway::Gateway,
    signals::Signals,
};

const TOKEN: &str = "demo";

/// Runs it all, and keeps it running if that is wanted.
pub(crate) async fn run(serve: bool) -> ExitCode {
    match Stage::set().await {
        Ok(stage) => match stage.play(serve).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => failed("the demonstration does not add up"),
            Err(error) => failed(&format!("the demonstration broke off: {error}")),
        },
        Err(error) => failed(&format!("the demonstration cannot begin: {error}")),
    }
}

/// Everything that takes part.
struct Stage {
    upstream: Upstream,
    gateway: Gateway,
    config: String,
    /// The address of the admin port.
    admin: String,
    http: load::HttpClient,
}

impl Stage {
    async fn set() -> Result<Self, BoxError> {
        let upstream = Upstream::start().await?;
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
             open_for = \"2s\"\n\
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
            admin: format!("http://{admin}"),
            http: load::client(),
        })
    }

    /// Plays every act, and closes the books. Returns whether all was as it should be.
    async fn play(mut self, serve: bool) -> Result<bool, BoxError> {
        self.introduce();
        let mut signals = Signals::new()?;
        let mut story = Story::begin(self.gateway.registry());
        let load = Load::start(self.gateway.address())?;
        let mut outcomes = Vec::new();
        for act in &ACTS {
            story.tell(act.told);
            let before = (self.upstream.seen(), load.total());
            self.perform(act).await?;
            let seen = tokio::select! {
                seen = story.watch(act.lasts, &load) => seen,
                () = signals.next() => return Err("told to stop".into()),
            };
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
        let adds_up = ledger.adds_up();
        println!(
            "\n{}",
            if adds_up {
                "It all adds up."
            } else {
                "It does NOT add up."
            }
        );
        if serve {
            self.invite();
            signals.next().await;
        }
        self.gateway.stop(Duration::from_secs(5)).await;
        self.upstream.down().await;
        Ok(adds_up)
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
            Deed::Drill(drill) => {
                let path = format!("/circuit-breakers/upstream/{drill}");
                self.ask(Method::POST, &path).await?;
            }
        }
        Ok(())
    }

    /// What the admin port says.
    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, BoxError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.admin))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Empty::new())?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match status.is_success() {
            true => Ok(body),
            false => Err(format!("{path}: {status}").into()),
        }
    }

    /// `/state`, once the gateway has noticed that the last callers hung up.
    async fn settled(&self) -> Result<Table, BoxError> {
        for _ in 0..100 {
            let state: Table = serde_json::from_slice(&self.ask(Method::GET, "/state").await?)?;
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
        println!("A demonstration on loopback, of about 25 seconds.\n");
        println!(
            "  {} callers ──▶ gateway {gateway} ──▶ upstream {upstream}",
            load::CALLERS
        );
        println!("              /state on {}\n", self.admin);
        println!("The gateway's configuration:\n");
        self.config.lines().for_each(|line| println!("  {line}"));
    }

    fn invite(&self) {
        let (gateway, upstream, admin) = (self.gateway.address(), self.upstream.address(), &self.admin);
        println!("\nIt keeps running, until ctrl-c. Try:\n");
        println!("  curl -i http://{gateway}/");
        println!(
            "  curl -X POST http://{upstream}/-/failing      # or slow, flaky, silent, missing, endless, healthy"
        );
        println!("  for i in 1 2 3 4 5 6; do curl -i http://{gateway}/; done");
        println!("  curl {admin}/state");
        for drill in ["force-open", "close", "record?failures=10", "reset"] {
            let path = format!("{admin}/circuit-breakers/upstream/{drill}");
            println!("  curl -X POST -H 'Authorization: Bearer {TOKEN}' '{path}'");
        }
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
