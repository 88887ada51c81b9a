//! The second part: three upstreams as one, with failover, hedges, a rate limit, a queue, a fallback and trace-ids. Each
//! act says what came of it in figures from the gateway's `/metrics` and `/state`, and holds them against what callers and
//! upstreams have counted.

use std::time::Duration;

use buttress::{BoxError, clock::Instant, value::Value};
use http::Method;
use tokio::time::sleep;

use super::{
    crowd::{self, Answer, Crowd, Wish},
    load::{self, HttpClient, Load, Tally},
    office::{Figures, Office, TOKEN},
    sightings::Sightings,
    story::{Story, wrapped},
    upstream::{Behaviour, Seen, Upstream},
};
use crate::{
    config::{Config, FRONT},
    gateway::Gateway,
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// How often each caller calls: less often than the limit for its key has it.
const EVERY: Duration = Duration::from_millis(100);

/// How many come at once with one key, to be limited, and with a key each, to wait.
const GREEDY: usize = 200;
const BACKGROUND: usize = 160;
const CRITICAL: usize = 8;

/// What a fallback says in place of an upstream.
const SUBSTITUTE: &str = "a word from yesterday";

/// Everything that takes part.
pub(crate) struct Several {
    upstreams: [Upstream; 3],
    sightings: Sightings,
    gateway: Gateway,
    config: String,
    office: Office,
    http: HttpClient,
    /// Calls that were made by hand, beside those of the callers.
    asked: u64,
    /// What was found, and whether it is as it should be.
    found: Vec<(String, bool)>,
}

/// What everybody has counted so far.
struct Counted {
    figures: Figures,
    seen: [Seen; 3],
    callers: Tally,
}

impl Several {
    pub(crate) async fn set() -> Result<Self, BoxError> {
        let sightings = Sightings::default();
        let start = |i: usize| Upstream::start(NAMES[i], sightings.clone());
        let upstreams = [start(A).await?, start(B).await?, start(C).await?];
        let endpoints: Vec<_> = upstreams
            .iter()
            .zip(NAMES)
            .map(|(upstream, name)| {
                format!(
                    "  {{ name = \"{name}\", url = \"http://{}\" }},\n",
                    upstream.address()
                )
            })
            .collect();
        let config = format!(
            "listen = \"127.0.0.1:0\"\n\
             admin = \"127.0.0.1:0\"\n\
             admin_token = \"{TOKEN}\"\n\
             [upstream]\n\
             endpoints = [\n{}]\n\
             balance = \"round_robin\"\n\
             failover = 2           # a call that failed goes to so many others, at once\n\
             slow_start = \"0s\"\n\
             [trace_id]\n\
             [rate_limit]\n\
             rate = 12              # a second, for each key\n\
             burst = 40\n\
             key = {{ header = \"{}\" }}\n\
             [priority]\n\
             concurrency = 8\n\
             queue = 64\n\
             classify = {{ header = \"priority\", max = \"critical\" }}\n\
             [hedge]\n\
             after = \"60ms\"\n\
             budget = {{ ratio = 0.5, min_per_second = 50 }}\n\
             [timeouts]\n\
             attempt = \"2s\"\n\
             total = \"10s\"\n\
             [circuit_breaker]      # one for each endpoint\n\
             consecutive_failures = 5\n\
             open_for = \"1500ms\"\n\
             open_jitter = 0.0\n\
             [fallback]\n\
             status = 200\n\
             body = \"{SUBSTITUTE}\"\n\
             on = [\"connect\", \"failure\", \"no_endpoint\"]\n",
            endpoints.concat(),
            load::API_KEY,
        );
        let parsed = Config::parse(&config).map_err(|error| error.to_string())?;
        let gateway = Gateway::start(parsed).await.map_err(|error| error.to_string())?;
        let admin = gateway.admin_address().ok_or("there is no admin port")?;
        let http = load::client();
        Ok(Self {
            upstreams,
            sightings,
            gateway,
            config,
            office: Office::at(admin, http.clone()),
            http,
            asked: 0,
            found: Vec::new(),
        })
    }

    /// Plays every act. Returns whether all was as it should be.
    pub(crate) async fn play(&mut self, began: Instant) -> Result<bool, BoxError> {
        self.introduce();
        let mut story = Story::begin(self.gateway.registry(), began);
        let load = Load::start(self.gateway.address(), EVERY)?;
        self.take_turns(&mut story, &load).await?;
        self.fail_over(&mut story, &load).await?;
        self.lose_one(&mut story, &load).await?;
        self.hedge(&mut story, &load).await?;
        self.limit(&mut story, &load).await?;
        let callers = load.finish().await;
        self.queue(&mut story).await?;
        self.fall_back(&mut story).await?;

        let figures = self.office.figures().await?;
        let made = callers.begun + self.asked;
        let counted = figures.of("requests_total", &[("stack", FRONT)]);
        let text = format!("calls that were made: {made}, and counted at /metrics: {counted}");
        self.found.push((text, made == counted));
        println!("\nWhat the second part came to, by /metrics, /state, the callers and the upstreams:\n");
        for (text, so) in &self.found {
            let mark = if *so { "✓" } else { "✗" };
            for (i, line) in wrapped(text, 100).iter().enumerate() {
                println!("  {} {line}", if i == 0 { mark } else { " " });
            }
        }
        Ok(self.found.iter().all(|(_, so)| *so))
    }

    async fn take_turns(&mut self, story: &mut Story, load: &Load) -> Result<(), BoxError> {
        story.tell(
            "All is well. The same callers, each with a key of its own and less busy, and three upstreams that take turns.",
        );
        let before = self.counted(load).await?;
        story.watch(Duration::from_millis(1200), load).await;
        let since = Since(before, self.counted(load).await?);
        let [a, b, c] = NAMES.map(|name| since.figure("pool_endpoint_calls_total", &[("endpoint", name)]));
        let all = a + b + c;
        let is_fair = [a, b, c].iter().all(|share| share * 4 > all);
        let text = format!("turns: a had {a} calls, b {b}, c {c}");
        self.note(story, text, is_fair && since.noticed() == 0);
        Ok(())
    }

    async fn fail_over(&mut self, story: &mut Story, load: &Load) -> Result<(), BoxError> {
        story.tell(
            "Of a and b one answer in ten is a 503. What failed at one endpoint goes to another at once, and no caller \
             notices. One of these calls by its trace-id:",
        );
        let before = self.counted(load).await?;
        self.upstreams[A].behave(Behaviour::Flaky);
        self.upstreams[B].behave(Behaviour::Flaky);
        let (text, so) = self.trace_one().await?;
        self.note(story, text, so);
        story.watch(Duration::from_millis(1500), load).await;
        self.all_well(story, load).await;
        let since = Since(before, self.counted(load).await?);
        let failed = since.seen(|seen| seen.flaky);
        let moved = since.figure("pool_endpoint_moved_total", &[]);
        let noticed = since.noticed();
        // A hedge may have had the answer before the failure was there, and what took too long is moved as well.
        let late = since.figure("timeouts_total", &[]);
        let so = moved > 0 && moved <= failed + late && moved * 10 >= failed * 9 && noticed == 0;
        let text = format!(
            "failover: {failed} answers were a 503, {moved} calls were moved, {noticed} callers noticed"
        );
        self.note(story, text, so);
        Ok(())
    }

    /// Asks until a call has failed at one endpoint and gone to another.
    async fn trace_one(&mut self) -> Result<(String, bool), BoxError> {
        for i in 0..300 {
            let answer = self.ask(Method::GET, format!("tracer-{i}"), "normal").await?;
            let seen = self.sightings.of(&answer.trace);
            if let [first, second] = &seen[..]
                && first.status == 503
            {
                let text = format!(
                    "trace {}: {} said {}, {} said {}, and the caller got {} with that id",
                    answer.trace, first.by, first.status, second.by, second.status, answer.status
                );
                let so = first.by != second.by
                    && answer.is_well()
                    && second.status == 200
                    && answer.by.as_deref() == Some(second.by);
                return Ok((text, so));
            }
        }
        Ok(("no call was seen at two endpoints".to_owned(), false))
    }

    async fn lose_one(&mut self, story: &mut Story, load: &Load) -> Result<(), BoxError> {
        story.tell(
            "c is gone: its port refuses connections. Five calls later its own breaker is open, and nobody asks it any \
             more.",
        );
        let before = self.counted(load).await?;
        self.upstreams[C].down().await;
        story.watch(Duration::from_millis(500), load).await;
        let usable = self.once_usable(2, story, load).await?;
        story.watch(Duration::from_millis(300), load).await;
        let during = Since(before, self.counted(load).await?);
        let to = |state| [("name", "upstream:c"), ("to", state)];
        let opened = during.figure("circuit_breaker_transitions_total", &to("open"));
        let moved = during.figure("pool_endpoint_moved_total", &[("endpoint", "c")]);
        let noticed = during.noticed();
        let so = usable == 2 && opened > 0 && moved >= 5 && noticed == 0;
        let text = format!(
            "c gone: {usable} endpoints are left, {moved} calls were moved from c, its breaker opened (times: {opened}), \
             {noticed} callers noticed"
        );
        self.note(story, text, so);

        story.tell("c is started again. Two good probes, and it has its turns.");
        let Since(_, before) = during;
        self.upstreams[C].up().await?;
        story.watch(Duration::from_millis(1300), load).await;
        // On a machine that is late, a probe may have come before c was there, and the next takes its time.
        let usable = self.once_usable(3, story, load).await?;
        let since = Since(before, self.counted(load).await?);
        let recovered = since.figure("pool_recoveries_total", &[("endpoint", "c")]);
        let closed = since.figure("circuit_breaker_transitions_total", &to("closed"));
        let calls = since.figure(
            "pool_endpoint_calls_total",
            &[("endpoint", "c"), ("outcome", "success")],
        );
        let so = usable == 3 && recovered > 0 && closed > 0 && calls > 2 && since.noticed() == 0;
        let text = format!(
            "c back: recoveries {recovered}, its breaker closed (times: {closed}), {calls} calls since then"
        );
        self.note(story, text, so);
        Ok(())
    }

    async fn hedge(&mut self, story: &mut Story, load: &Load) -> Result<(), BoxError> {
        story.tell(
            "b turns slow: 200 ms an answer. Whoever has waited for 60 ms is asked for a second time, elsewhere, and the \
             first answer counts; see p99.",
        );
        let before = self.counted(load).await?;
        self.upstreams[B].behave(Behaviour::Slow);
        story.watch(Duration::from_millis(1500), load).await;
        self.all_well(story, load).await;
        let since = Since(before, self.counted(load).await?);
        let [calls, attempts, won] =
            ["calls", "attempts", "won"].map(|what| since.figure(&format!("hedge_{what}_total"), &[]));
        let hedges = attempts.saturating_sub(calls);
        let noticed = since.noticed();
        let so = hedges > 0 && won > 0 && won <= hedges && noticed == 0;
        let text =
            format!("hedge: of {calls} calls {hedges} were made a second time, {won} of these were faster");
        self.note(story, text, so);
        Ok(())
    }

    async fn limit(&mut self, story: &mut Story, load: &Load) -> Result<(), BoxError> {
        story.tell(
            "Somebody sends 200 requests at once with one key, which has 40, and 12 more a second. The rest is refused \
             and told when to come again; the callers, whose keys are others, notice nothing.",
        );
        let before = self.counted(load).await?;
        let greedy = Wish {
            method: Method::POST,
            key: "greedy".to_owned(),
            priority: "normal",
        };
        let answers = self.crowd(vec![greedy; GREEDY]).answers().await?;
        story.watch(Duration::from_millis(500), load).await;
        let since = Since(before, self.counted(load).await?);
        let of = |status| answers.iter().filter(|answer| answer.status == status).count() as u64;
        let (served, refused) = (of(200), of(429));
        let told = answers
            .iter()
            .filter(|answer| answer.retry_after.is_some())
            .count() as u64;
        let limited = since.figure("rate_limit_limited_total", &[]);
        let noticed = since.noticed();
        let so = served >= 40
            && refused > 0
            && served + refused == GREEDY as u64
            && [limited, told] == [refused; 2]
            && noticed == 0;
        let text = format!(
            "rate limit: {served} of {GREEDY} were served, {refused} got 429 and Retry-After, {limited} were limited, \
             {noticed} of the other callers noticed"
        );
        self.note(story, text, so);
        Ok(())
    }

    async fn queue(&mut self, story: &mut Story) -> Result<(), BoxError> {
        story.tell(
            "The callers go home, and all upstreams turn slow. 160 requests come that are mere background: 8 are at \
             work, 64 wait, the queue is full. Then come 8 that are critical: they take the places of as many, and go \
             first.",
        );
        let before = self.office.figures().await?;
        self.upstreams
            .iter()
            .for_each(|upstream| upstream.behave(Behaviour::Slow));
        let wish = |priority| {
            move |i| Wish {
                method: Method::POST,
                key: format!("{priority}-{i}"),
                priority,
            }
        };
        let background = self.crowd((0..BACKGROUND).map(wish("background")));
        // Until the queue is full, which is long before the first slot is free.
        for _ in 0..500 {
            sleep(Duration::from_millis(2)).await;
            let figures = self.office.figures().await?;
            let refused = ("priority_rejected_total", &[("reason", "full")]);
            if figures.of(refused.0, refused.1) > before.of(refused.0, refused.1) {
                break;
            }
        }
        let critical = self.crowd((0..CRITICAL).map(wish("critical"))).answers().await?;
        let background = background.answers().await?;
        self.upstreams
            .iter()
            .for_each(|upstream| upstream.behave(Behaviour::Healthy));
        let after = self.office.figures().await?;
        let figure = |name| after.of(name, &[]) - before.of(name, &[]);
        let (rejected, displaced) = (
            figure("priority_rejected_total"),
            figure("priority_displaced_total"),
        );
        let refused = background.iter().filter(|answer| answer.status == 503).count() as u64;
        let well = |answers: &[Answer]| answers.iter().filter(|answer| answer.is_well()).count() as u64;
        let (important, others) = (well(&critical), well(&background));
        let state = Value::Table(self.office.state().await?);
        let waited = |class| {
            let path = ["upstream", "priority", "timeInQueueByClass", class, "mean"];
            state.at(&path).and_then(Value::as_f64).unwrap_or(f64::NAN)
        };
        let (soon, late) = (waited("critical"), waited("background"));
        let so = important == CRITICAL as u64
            && displaced > 0
            && refused == rejected
            && others > 0
            && displaced <= refused
            && soon < late;
        let text = format!(
            "priority: {important} of {CRITICAL} critical requests were served, after {soon:.0} ms in the queue; of {BACKGROUND} in the \
             background {others}, after {late:.0} ms; {rejected} were refused, {displaced} of these displaced"
        );
        self.note(story, text, so);
        Ok(())
    }

    async fn fall_back(&mut self, story: &mut Story) -> Result<(), BoxError> {
        story.tell("All three are gone. Twenty calls get what the gateway has in place of an answer.");
        let before = self.office.figures().await?;
        for upstream in &mut self.upstreams {
            upstream.down().await;
        }
        let mut substitutes = 0;
        for i in 0..20 {
            let answer = self.ask(Method::GET, format!("last-{i}"), "normal").await?;
            substitutes +=
                u64::from(answer.status == 200 && answer.by.is_none() && answer.text == SUBSTITUTE);
        }
        let after = self.office.figures().await?;
        let name = "fallback_answered_total";
        let answered = after.of(name, &[]) - before.of(name, &[]);
        let text = format!("fallback: {substitutes} of 20 calls got the substitute, {answered} were counted");
        self.note(story, text, [substitutes, answered] == [20; 2]);
        for upstream in &mut self.upstreams {
            upstream.up().await?;
        }
        Ok(())
    }

    /// Waits a while until so many endpoints may be called, and returns how many there are then.
    async fn once_usable(&self, wanted: u64, story: &mut Story, load: &Load) -> Result<u64, BoxError> {
        let mut tries = 0;
        loop {
            let usable = self.office.figures().await?.of("pool_usable_endpoints", &[]);
            if usable == wanted || tries == 30 {
                return Ok(usable);
            }
            tries += 1;
            story.watch(Duration::from_millis(100), load).await;
        }
    }

    /// All upstreams are healthy again, and what they had begun is over.
    async fn all_well(&mut self, story: &mut Story, load: &Load) {
        self.upstreams
            .iter()
            .for_each(|upstream| upstream.behave(Behaviour::Healthy));
        story.watch(Duration::from_millis(300), load).await;
    }

    fn note(&mut self, story: &Story, text: String, so: bool) {
        story.note(&text);
        self.found.push((text, so));
    }

    async fn ask(&mut self, method: Method, key: String, priority: &'static str) -> Result<Answer, BoxError> {
        self.asked += 1;
        let wish = Wish {
            method,
            key,
            priority,
        };
        crowd::ask(&self.http, self.gateway.address(), wish).await
    }

    fn crowd(&mut self, wishes: impl IntoIterator<Item = Wish>) -> Crowd {
        let wishes: Vec<_> = wishes.into_iter().collect();
        self.asked += wishes.len() as u64;
        Crowd::of(&self.http, self.gateway.address(), wishes)
    }

    async fn counted(&self, load: &Load) -> Result<Counted, BoxError> {
        Ok(Counted {
            figures: self.office.figures().await?,
            seen: self.upstreams.each_ref().map(Upstream::seen),
            callers: load.total(),
        })
    }

    fn introduce(&self) {
        println!("\nPart two: three upstreams as one.\n");
        let gateway = self.gateway.address();
        println!(
            "  {} callers ──▶ gateway {gateway} ──▶ upstreams a, b, c",
            load::CALLERS
        );
        println!("              /metrics and /state on {}\n", self.office.address());
        println!("The gateway's configuration:\n");
        self.config.lines().for_each(|line| println!("  {line}"));
    }

    /// What there is to try while it keeps running.
    pub(crate) fn invite(&self) {
        let (gateway, office) = (self.gateway.address(), self.office.address());
        println!("\nThe second part keeps running, until ctrl-c. Try:\n");
        println!("  curl -i http://{gateway}/");
        for (upstream, name) in self.upstreams.iter().zip(NAMES) {
            println!(
                "  curl -X POST http://{}/-/failing      # {name}; or slow, flaky, silent, missing, endless, healthy",
                upstream.address()
            );
        }
        println!("  for i in 1 2 3 4 5 6; do curl -i http://{gateway}/; done");
        println!("  curl {office}/state");
        println!("  curl {office}/metrics");
        let authorized = format!("curl -X POST -H 'Authorization: Bearer {TOKEN}'");
        for drill in ["force-open", "close", "record?failures=10", "reset"] {
            println!("  {authorized} '{office}/circuit-breakers/upstream:a/{drill}'");
        }
        for drill in ["drain", "resume"] {
            println!("  {authorized} {office}/endpoints/b/{drill}");
        }
    }

    pub(crate) async fn end(mut self) {
        self.gateway.stop(Duration::from_secs(5)).await;
        for upstream in &mut self.upstreams {
            upstream.down().await;
        }
    }
}

/// What was counted before and after.
struct Since(Counted, Counted);

impl Since {
    /// By how much a figure at `/metrics` has grown.
    fn figure(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let Self(before, after) = self;
        after
            .figures
            .of(name, labels)
            .saturating_sub(before.figures.of(name, labels))
    }

    /// How often upstreams have done something.
    fn seen(&self, count: fn(&Seen) -> u64) -> u64 {
        let Self(before, after) = self;
        let sum = |seen: &[Seen; 3]| seen.iter().map(count).sum::<u64>();
        sum(&after.seen) - sum(&before.seen)
    }

    /// How many callers got anything but a good answer.
    fn noticed(&self) -> u64 {
        let Self(before, after) = self;
        after.callers.noticed() - before.callers.noticed()
    }
}
