//! Books that are kept by hand: a line for each call.

use super::*;
use crate::recover::Place;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Success,
    Failure,
    Neutral,
    Rejected,
    TimedOut,
    Cancelled,
    Panicked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    began: u64,
    /// When the answer came, or its headers.
    answered: Option<u64>,
    ended: Option<Ending>,
}

#[derive(Debug, Default)]
pub(super) struct Naive {
    pub(super) now: u64,
    recovers: bool,
    lines: Vec<Line>,
    /// How long the answers took, in their order, in milliseconds.
    took: Vec<u64>,
    pub(super) panics: Vec<Place>,
}

impl Naive {
    pub(super) fn new(recovers: bool) -> Self {
        Self {
            recovers,
            ..Self::default()
        }
    }

    /// The number of the call.
    pub(super) fn begin(&mut self) -> usize {
        self.lines.push(Line {
            began: self.now,
            ..Line::default()
        });
        self.lines.len() - 1
    }

    fn answer(&mut self, call: usize) {
        if self.lines[call].answered.is_none() {
            self.lines[call].answered = Some(self.now);
            self.took.push(self.now - self.lines[call].began);
        }
    }

    /// The call ends, unless it has.
    fn end(&mut self, call: usize, ending: Ending) {
        self.lines[call].ended.get_or_insert(ending);
    }

    /// The service has panicked: the caller sees a rejection, or the panic itself.
    pub(super) fn panicked(&mut self, call: usize, place: Place) {
        self.caught(place);
        if self.recovers {
            self.answer(call);
        }
        self.end(call, Ending::Panicked);
    }

    /// The caller looks, and hears of a panic that has been caught before.
    pub(super) fn rejected_after_panic(&mut self, call: usize) {
        self.answer(call);
        self.end(call, Ending::Panicked);
    }

    pub(super) fn caught(&mut self, place: Place) {
        if self.recovers {
            self.panics.push(place);
        }
    }

    pub(super) fn act(&mut self, call: usize, act: Act) {
        let ending = match act {
            Act::Panic => return self.panicked(call, Place::Future),
            Act::Answer {
                status: 200 | 302,
                streams: true,
            } => return self.answer(call),
            Act::Answer {
                status: 200 | 302, ..
            } => Ending::Success,
            Act::Answer { status: 404, .. } => Ending::Neutral,
            Act::Answer { .. } | Act::Error => Ending::Failure,
            Act::Rejected(RejectionKind::TimedOut) => Ending::TimedOut,
            Act::Rejected(RejectionKind::Panicked) => Ending::Panicked,
            Act::Rejected(_) => Ending::Rejected,
        };
        self.answer(call);
        self.end(call, ending);
    }

    pub(super) fn frame(&mut self, call: usize, frame: Frame) {
        match frame {
            Frame::Data | Frame::None => {}
            Frame::Last | Frame::Trailers | Frame::End => self.end(call, Ending::Success),
            Frame::Error => self.end(call, Ending::Failure),
            Frame::Panic if self.recovers => {
                self.caught(Place::Body);
                // To the metrics it is a body that broke off.
                self.end(call, Ending::Failure);
            }
            Frame::Panic => self.end(call, Ending::Panicked),
        }
    }

    pub(super) fn dropped(&mut self, call: usize) {
        self.end(call, Ending::Cancelled);
    }

    // ===== what the books must say =====

    pub(super) fn started(&self) -> u64 {
        self.lines.len() as u64
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.lines.iter().filter(|line| line.ended.is_none()).count() as u64
    }

    pub(super) fn outcomes(&self) -> Outcomes {
        let count = |ending| {
            self.lines
                .iter()
                .filter(|line| line.ended == Some(ending))
                .count() as u64
        };
        Outcomes {
            success: count(Ending::Success),
            failure: count(Ending::Failure),
            neutral: count(Ending::Neutral),
            rejected: count(Ending::Rejected),
            timed_out: count(Ending::TimedOut),
            cancelled: count(Ending::Cancelled),
            panicked: count(Ending::Panicked),
        }
    }

    pub(super) fn answers(&self) -> u64 {
        self.took.len() as u64
    }

    pub(super) fn recent_latency(&self) -> Option<Duration> {
        let recent = &self.took[self.took.len().saturating_sub(100)..];
        let micros = recent.iter().sum::<u64>() * 1_000_000;
        micros.checked_div(recent.len() as u64).map(Duration::from_nanos)
    }
}
