//! What is told on the terminal while it happens.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use buttress::{
    Registry,
    circuit_breaker::{State, Transition},
    clock::{self, Instant},
    registry::Subscription,
};
use tokio::time::{Interval, interval_at, sleep};

use super::load::Load;

const SECOND: Duration = Duration::from_secs(1);

/// The teller. Of the breakers it knows what the registry's events say, nothing else.
#[derive(Debug)]
pub(crate) struct Story {
    began: Instant,
    seconds: Interval,
    events: Subscription,
    /// Of the breakers that were heard of.
    states: BTreeMap<Arc<str>, State>,
    opened: u64,
}

impl Story {
    /// The story of the policies in `registry`, or a part of the one that began then.
    pub(crate) fn begin(registry: &Registry, began: Instant) -> Self {
        Self {
            began,
            seconds: interval_at(clock::now() + SECOND, SECOND),
            events: registry.subscribe(),
            states: BTreeMap::new(),
            opened: 0,
        }
    }

    /// How often the breaker has opened, as far as was heard.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Begins an act.
    pub(crate) fn tell(&self, text: &str) {
        println!();
        for (i, line) in wrapped(text, 92).iter().enumerate() {
            match i {
                0 => println!("{:>5.1} s ── {line}", self.began.elapsed().as_secs_f64()),
                _ => println!("           {line}"),
            }
        }
    }

    /// Adds to what was told.
    pub(crate) fn note(&self, text: &str) {
        for (i, line) in wrapped(text, 88).iter().enumerate() {
            match i {
                0 => println!("{:>5.1} s   ▶ {line}", self.began.elapsed().as_secs_f64()),
                _ => println!("            {line}"),
            }
        }
    }

    /// Tells what happens in the next while, and returns how the breaker changed.
    pub(crate) async fn watch(&mut self, lasts: Duration, load: &Load) -> Vec<Transition> {
        let mut seen = Vec::new();
        let end = sleep(lasts);
        tokio::pin!(end);
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(event)) => if let Some(transition) = event.detail::<Transition>() {
                        self.changed(&event.policy, event.at, transition);
                        seen.push(transition.clone());
                    }
                    // Then the act will not come true, and the books will say so.
                    Some(Err(lagged)) => println!("           {lagged}"),
                    None => return seen,
                },
                _ = self.seconds.tick() => self.line(load),
                () = &mut end => return seen,
            }
        }
    }

    fn changed(&mut self, breaker: &Arc<str>, at: Instant, transition: &Transition) {
        let at = at.saturating_duration_since(self.began).as_secs_f64();
        let Transition { from, to, cause, .. } = transition;
        println!("{at:>7.3} s   ▶ {breaker}: {from} → {to}, {cause}");
        self.states.insert(breaker.clone(), *to);
        if matches!(to, State::Open | State::ForcedOpen) {
            self.opened += 1;
        }
    }

    /// What the last second was like, for the callers.
    fn line(&self, load: &Load) {
        let mut recent = load.take_recent();
        let tally = recent.tally;
        let mut text = format!(
            "ok {:>3}  404 {:>3}  failed {:>3}  refused {:>3}  hung up {:>3}",
            tally.well,
            tally.missing,
            tally.failures() + tally.timed_out,
            tally.refused,
            tally.gave_up
        );
        if !recent.answered.is_empty() {
            let (p50, p99) = (
                quantile(&mut recent.answered, 50),
                quantile(&mut recent.answered, 99),
            );
            text.push_str(&format!("   p50 {p50}  p99 {p99}"));
        }
        if !recent.refused.is_empty() {
            text.push_str(&format!("   refused in {}", quantile(&mut recent.refused, 50)));
        }
        let at = self.began.elapsed().as_secs_f64();
        println!("{at:>5.1} s     {:<11} {text}", self.state());
    }

    /// Of the breaker, or of the first that is not closed.
    fn state(&self) -> String {
        let mut states = self.states.iter();
        match states.find(|(_, state)| **state != State::Closed) {
            None => State::Closed.to_string(),
            Some((breaker, state)) => match breaker.split_once(':') {
                Some((_, endpoint)) => format!("{endpoint} {state}"),
                None => state.to_string(),
            },
        }
    }
}

/// The duration that so many per cent did not exceed.
fn quantile(durations: &mut [Duration], percent: usize) -> String {
    durations.sort_unstable();
    let rank = (durations.len() * percent).div_ceil(100).max(1);
    let micros = durations.get(rank - 1).map_or(0, Duration::as_micros);
    match micros {
        ..1000 => format!("{micros} µs"),
        _ => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}

/// The text in lines of at most `width` characters, as far as its words allow.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
