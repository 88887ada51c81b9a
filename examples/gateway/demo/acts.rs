//! What happens in the demonstration, and what must come of it.

use std::time::Duration;

use buttress::circuit_breaker::{State, Transition};

use super::upstream::Behaviour;

/// How the breaker changes state.
pub(crate) type Change = (State, State);

const TRIPS: Change = (State::Closed, State::Open);
const PROBES: Change = (State::Open, State::HalfOpen);
const FAILS_AGAIN: Change = (State::HalfOpen, State::Open);
const RECOVERS: Change = (State::HalfOpen, State::Closed);

/// A part of the story.
#[derive(Debug)]
pub(crate) struct Act {
    /// What the audience is told.
    pub(crate) told: &'static str,
    /// What is done at the beginning.
    pub(crate) deed: Deed,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// The changes of state that must be seen, in this order. None means that there must be none.
    pub(crate) changes: &'static [Change],
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    /// The upstream changes its ways.
    Behave(Behaviour),
    /// The upstream closes its port.
    GoDown,
    /// The upstream opens its port, healthy.
    ComeUp,
    /// An operator drills the breaker.
    Drill(&'static str),
}

/// The first part of the story. An attempt may take 750 ms, and the breaker stays open for 1.5 s.
pub(crate) const ACTS: [Act; 13] = [
    Act {
        told: "All is well. Eight callers ask the upstream through the gateway, forty times a second each.",
        deed: Deed::Behave(Behaviour::Healthy),
        lasts: Duration::from_millis(1500),
        changes: &[],
    },
    Act {
        told: "The upstream turns slow: 200 ms an answer. Slow is not broken, so nothing opens; see p50.",
        deed: Deed::Behave(Behaviour::Slow),
        lasts: Duration::from_millis(1200),
        changes: &[],
    },
    Act {
        told: "One answer in ten, at random, is a 503. The gateway waits a moment and asks again: the callers notice \
               nothing but the wait, see p99, and the upstream has a tenth more to do.",
        deed: Deed::Behave(Behaviour::Flaky),
        lasts: Duration::from_millis(2000),
        changes: &[],
    },
    Act {
        told: "The upstream takes requests and answers none. Each attempt is cut off after 750 ms; five of those, and \
               the breaker opens. So the second attempts are refused, and nobody waits any longer.",
        deed: Deed::Behave(Behaviour::Silent),
        lasts: Duration::from_millis(1500),
        changes: &[TRIPS],
    },
    Act {
        told: "The upstream finds its voice again, but nobody knows yet. When the 1.5 s are over, two good probes close \
               the breaker.",
        deed: Deed::Behave(Behaviour::Healthy),
        lasts: Duration::from_millis(1600),
        changes: &[PROBES, RECOVERS],
    },
    Act {
        told: "The upstream fails: every answer is a 500, which seldom passes by itself and is not repeated. After 5 \
               in a row the breaker opens and the callers are refused at once, without the upstream being asked. \
               After 1.5 s probes find it still failing.",
        deed: Deed::Behave(Behaviour::Failing),
        lasts: Duration::from_millis(2200),
        changes: &[TRIPS, PROBES, FAILS_AGAIN],
    },
    Act {
        told: "The upstream is mended.",
        deed: Deed::Behave(Behaviour::Healthy),
        lasts: Duration::from_millis(1600),
        changes: &[PROBES, RECOVERS],
    },
    Act {
        told: "Every caller asks for something that is not there: nothing but 404s. That is the callers' mistake and \
               says nothing about the upstream: the breaker stays closed.",
        deed: Deed::Behave(Behaviour::Missing),
        lasts: Duration::from_millis(1000),
        changes: &[],
    },
    Act {
        told: "Answers begin and do not end; the callers hang up in the middle. A call that is cancelled is neither \
               a success nor a failure: the breaker stays closed, and no place is lost.",
        deed: Deed::Behave(Behaviour::Endless),
        lasts: Duration::from_millis(1000),
        changes: &[],
    },
    Act {
        told: "The upstream is gone: its port refuses connections. The callers get a few 502s, then the breaker opens.",
        deed: Deed::GoDown,
        lasts: Duration::from_millis(1000),
        changes: &[TRIPS],
    },
    Act {
        told: "The upstream is started again, and found by the next probes.",
        deed: Deed::ComeUp,
        lasts: Duration::from_millis(1300),
        changes: &[PROBES, RECOVERS],
    },
    Act {
        told: "A drill: an operator forces the breaker open, through the admin port. No probe will close it.",
        deed: Deed::Drill("force-open"),
        lasts: Duration::from_millis(600),
        changes: &[(State::Closed, State::ForcedOpen)],
    },
    Act {
        told: "The operator closes it again.",
        deed: Deed::Drill("close"),
        lasts: Duration::from_millis(600),
        changes: &[(State::ForcedOpen, State::Closed)],
    },
];

/// Whether the changes that must be seen are among those that were.
pub(crate) fn came_true(act: &Act, seen: &[Transition]) -> bool {
    let mut seen = seen.iter().map(|t| (t.from, t.to));
    match act.changes {
        [] => seen.next().is_none(),
        changes => changes.iter().all(|change| seen.any(|s| s == *change)),
    }
}
