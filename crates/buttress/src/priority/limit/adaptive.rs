use std::{fmt, sync::Arc};

use super::{Aimd, Controller, Gradient2, LimitAlgorithm, Vegas, aimd, gradient2, vegas};
use crate::{config::Problems, duration::Human, priority::slots::MOST};

/// How many calls run at a time: so many, or as many as an algorithm finds to be right.
#[derive(Clone, Debug, PartialEq)]
pub enum Concurrency {
    /// So many.
    Fixed(u32),
    /// As many as the algorithm says.
    Adaptive(Adaptive),
}

impl From<u32> for Concurrency {
    fn from(slots: u32) -> Self {
        Self::Fixed(slots)
    }
}

impl From<Adaptive> for Concurrency {
    fn from(adaptive: Adaptive) -> Self {
        Self::Adaptive(adaptive)
    }
}

impl Concurrency {
    pub(in crate::priority) fn initial(&self) -> u32 {
        match self {
            Self::Fixed(slots) => *slots,
            Self::Adaptive(adaptive) => adaptive.initial.clamp(adaptive.min, adaptive.max),
        }
    }

    pub(in crate::priority) fn controller(&self) -> Option<Controller> {
        match self {
            Self::Fixed(_) => None,
            Self::Adaptive(adaptive) => Some(adaptive.start()),
        }
    }
}

/// A limit that an algorithm moves between bounds: from 20, between 4 and 512, unless said otherwise.
#[derive(Clone, PartialEq)]
#[must_use]
pub struct Adaptive {
    algorithm: Algorithm,
    min: u32,
    max: u32,
    initial: u32,
}

#[derive(Clone)]
enum Algorithm {
    Aimd(Aimd),
    Vegas(Vegas),
    Gradient2(Gradient2),
    Own(Arc<dyn Fn() -> Box<dyn LimitAlgorithm> + Send + Sync>),
}

impl Adaptive {
    const fn of(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            min: 4,
            max: 512,
            initial: 20,
        }
    }

    /// By [`Aimd`].
    pub const fn aimd() -> Self {
        Self::of(Algorithm::Aimd(Aimd::new()))
    }

    /// By [`Vegas`].
    pub const fn vegas() -> Self {
        Self::of(Algorithm::Vegas(Vegas::new()))
    }

    /// By [`Gradient2`].
    pub const fn gradient2() -> Self {
        Self::of(Algorithm::Gradient2(Gradient2::new()))
    }

    /// By an algorithm of your own, made by `start` when the queue is, and whenever the option is changed.
    pub fn with<A: LimitAlgorithm + 'static>(start: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::of(Algorithm::Own(Arc::new(move || Box::new(start()))))
    }

    /// The least that the limit can be (4).
    pub const fn min(mut self, limit: u32) -> Self {
        self.min = limit;
        self
    }

    /// The most that it can be (512).
    pub const fn max(mut self, limit: u32) -> Self {
        self.max = limit;
        self
    }

    /// What it is in the beginning (20).
    pub const fn initial(mut self, limit: u32) -> Self {
        self.initial = limit;
        self
    }

    pub(in crate::priority) fn most(&self) -> u32 {
        self.max
    }

    pub(in crate::priority) fn check(&self, problems: &mut Problems) {
        problems.check(
            (1..=MOST).contains(&self.min),
            "concurrency.min",
            self.min,
            "1 to 1000000",
        );
        problems.check(
            (self.min..=MOST).contains(&self.max),
            "concurrency.max",
            self.max,
            "`min` to 1000000",
        );
        problems.check(
            (self.min..=self.max.max(self.min)).contains(&self.initial),
            "concurrency.initial",
            self.initial,
            "`min` to `max`",
        );
        match &self.algorithm {
            Algorithm::Aimd(aimd) => {
                problems.check(
                    (0.5..1.0).contains(&aimd.backoff),
                    "concurrency.backoff",
                    aimd.backoff,
                    "0.5 up to, and without, 1",
                );
                if let Some(slow) = aimd.slow_after {
                    problems.check(
                        !slow.is_zero(),
                        "concurrency.slow_after",
                        Human(slow),
                        "a duration above zero",
                    );
                }
            }
            Algorithm::Gradient2(gradient) => {
                problems.check(
                    (1.05..=3.0).contains(&gradient.tolerance),
                    "concurrency.tolerance",
                    gradient.tolerance,
                    "1.05 to 3",
                );
            }
            Algorithm::Vegas(_) | Algorithm::Own(_) => {}
        }
    }

    fn start(&self) -> Controller {
        let algorithm: Box<dyn LimitAlgorithm> = match &self.algorithm {
            Algorithm::Aimd(options) => Box::new(aimd::State::new(options.clone())),
            Algorithm::Vegas(_) => Box::new(vegas::State::new()),
            Algorithm::Gradient2(options) => Box::new(gradient2::State::new(options)),
            Algorithm::Own(start) => start(),
        };
        Controller::new(algorithm, self.min, self.max, self.initial)
    }
}

macro_rules! adaptive_from {
    ($($options:ident)*) => {$(
        impl From<$options> for Adaptive {
            fn from(options: $options) -> Self {
                Self::of(Algorithm::$options(options))
            }
        }

        impl From<$options> for Concurrency {
            fn from(options: $options) -> Self {
                Adaptive::from(options).into()
            }
        }
    )*};
}
adaptive_from! { Aimd Vegas Gradient2 }

/// Algorithms of one's own are equal if they are the same.
impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Aimd(a), Self::Aimd(b)) => a == b,
            (Self::Vegas(a), Self::Vegas(b)) => a == b,
            (Self::Gradient2(a), Self::Gradient2(b)) => a == b,
            (Self::Own(a), Self::Own(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm: &dyn fmt::Debug = match &self.algorithm {
            Algorithm::Aimd(aimd) => aimd,
            Algorithm::Vegas(vegas) => vegas,
            Algorithm::Gradient2(gradient) => gradient,
            Algorithm::Own(_) => &"own",
        };
        f.debug_struct("Adaptive")
            .field("algorithm", algorithm)
            .field("min", &self.min)
            .field("max", &self.max)
            .field("initial", &self.initial)
            .finish()
    }
}
