use crate::{
    error::RejectionKind,
    outcome::{Outcome, Reason, Verdict},
    striped::Striped,
};

/// How often what has been answered, and what became of the rest. A call that succeeds is in none of them, so that it
/// costs nothing.
#[derive(Debug)]
pub(super) struct Books {
    /// A stripe has room for eight.
    answered: [Striped<8>; 2],
    ends: Striped<3>,
}

/// What a call that is answered by a fallback had ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line(usize);

/// What becomes of a call that the fallback does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Declined,
    Failed,
    NotRepeatable,
}

/// What calls are answered for, in the order of the lines.
const NAMES: [&str; 14] = [
    RejectionKind::CircuitOpen.as_str(),
    RejectionKind::RateLimited.as_str(),
    RejectionKind::QueueFull.as_str(),
    RejectionKind::QueueTimeout.as_str(),
    RejectionKind::DeadlineExpired.as_str(),
    RejectionKind::TimedOut.as_str(),
    RejectionKind::Panicked.as_str(),
    RejectionKind::NoEndpoint.as_str(),
    RejectionKind::Shed.as_str(),
    RejectionKind::Custom.as_str(),
    "error",
    Verdict::Failure.as_str(),
    Verdict::Throttled.as_str(),
    Verdict::Neutral.as_str(),
];

impl Line {
    pub(super) fn name(self) -> &'static str {
        NAMES[self.0]
    }

    pub(super) fn of(outcome: &Outcome) -> Self {
        Self(match (outcome.reason(), outcome.verdict()) {
            (Reason::Rejected(kind), _) => match kind {
                RejectionKind::CircuitOpen => 0,
                RejectionKind::RateLimited => 1,
                RejectionKind::QueueFull => 2,
                RejectionKind::QueueTimeout => 3,
                RejectionKind::DeadlineExpired => 4,
                RejectionKind::TimedOut => 5,
                RejectionKind::Panicked => 6,
                RejectionKind::NoEndpoint => 7,
                RejectionKind::Shed => 8,
                RejectionKind::Custom => 9,
            },
            (Reason::Error, _) => 10,
            (_, Verdict::Failure) => 11,
            (_, Verdict::Throttled) => 12,
            (_, Verdict::Success | Verdict::Neutral) => 13,
        })
    }
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            answered: [Striped::new(), Striped::new()],
            ends: Striped::new(),
        }
    }

    pub(super) fn answered(&self, Line(line): Line) {
        self.answered[line / 8].add(line % 8, 1);
    }

    pub(super) fn ended(&self, end: End) {
        self.ends.add(end as usize, 1);
    }

    /// Since the last reset: what was answered, by name, and in the order of [`End`] what was not.
    pub(super) fn read(&self) -> (Vec<(&'static str, u64)>, [u64; 3]) {
        let [first, second] = &self.answered;
        let counts = first.read().into_iter().chain(second.read());
        (NAMES.into_iter().zip(counts).collect(), self.ends.read())
    }

    pub(super) fn reset(&self) {
        self.answered.iter().for_each(Striped::rebase);
        self.ends.rebase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_rejection_has_the_line_of_its_name() {
        use RejectionKind::*;
        for kind in [
            CircuitOpen,
            RateLimited,
            QueueFull,
            QueueTimeout,
            DeadlineExpired,
            TimedOut,
            Panicked,
            NoEndpoint,
            Shed,
            Custom,
        ] {
            let Line(line) = Line::of(&Outcome::new(kind.verdict(), Reason::Rejected(kind)));
            assert_eq!(NAMES[line], kind.as_str());
        }
    }
}
