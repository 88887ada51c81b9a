//! Whether a target may be called, and what it learns from how the calls end: what a pool asks of an endpoint's
//! circuit breaker, whatever breaker that is.
//!
//! An [`Admission`] is a policy that a call passes on its way to one of several targets. The two questions are apart:
//! [`would_admit`](Admission::would_admit) is a look, for those who choose; [`admit`](Admission::admit) is a
//! reservation, for the call that has chosen. So a chooser passes over a target that is down, and of two that choose
//! the last free probe of it one is told to choose again.
//!
//! It is a trait object, for the targets of one pool may be guarded by different things; and what a call carries of it
//! is three words by value, [`Admitted`], so that nothing is allocated for a call.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock::Instant,
    config::ConfigError,
    error::Rejected,
    outcome::{Head, Outcome},
    registry::Policy,
};

/// A policy that lets calls through to one target, or not: a circuit breaker.
///
/// Its [`listen`](Policy::listen) must tell of every change of its [`standing`](Self::standing), and its
/// [`drill`](Policy::drill) is how an operator drills the target.
pub trait Admission: Policy {
    /// Would a call at `now` be let through? It reserves nothing.
    fn would_admit(&self, now: Instant) -> bool;

    /// When a call may be let through though nothing else happens, if that is known.
    fn next_chance(&self, now: Instant) -> Option<Instant>;

    /// What it thinks of its target.
    fn standing(&self) -> Standing;

    /// The target seems to be back, says somebody who has looked: if it is kept from calls because it failed, it is
    /// given a trial now rather than later. What an operator has shut stays shut.
    fn hasten(&self);

    /// Asks for one call at `now`.
    ///
    /// # Errors
    ///
    /// The refusal of this policy.
    fn admit(&self, now: Instant) -> Result<Admitted, Rejected>;

    /// Good headers have come; see [`Token::head`](crate::Token::head).
    fn head(&self, call: &mut Admitted, head: Head);

    /// The first data has come; see [`Token::data`](crate::Token::data).
    fn data(&self, call: &mut Admitted);

    /// The call is over.
    fn finish(&self, call: Admitted, outcome: Outcome);

    /// The call was dropped before it was over.
    fn cancel(&self, call: Admitted);

    /// Takes calls for slow from then on where its owner did not say from when.
    fn slow_after_if_unset(&self, time: Duration) {
        let _ = time;
    }

    /// Names the policy, if its owner did not.
    fn name_if_unnamed(&self, name: &Arc<str>) {
        let _ = name;
    }
}

/// What an [`Admission`] thinks of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may be called.
    Sound,
    /// It was down, and is on trial.
    Trial,
    /// It is down.
    Down,
}

/// The leave to make one call, to be given back to the [`Admission`] that granted it: three words that mean something
/// to that alone.
#[derive(Debug)]
#[must_use = "it is to be finished or cancelled"]
pub struct Admitted([u64; 3]);

impl Admitted {
    /// A leave with those words in it.
    #[inline]
    pub const fn new(words: [u64; 3]) -> Self {
        Self(words)
    }

    /// The words.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        self.0
    }
}

/// What makes an [`Admission`] for each target: a `CircuitBreakerBuilder`, or a closure.
pub trait MakeAdmission: Send + Sync {
    /// A new one, for the target of that name.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense.
    fn make(&self, target: &str) -> Result<Arc<dyn Admission>, ConfigError>;
}

impl<F> MakeAdmission for F
where
    F: Fn(&str) -> Result<Arc<dyn Admission>, ConfigError> + Send + Sync,
{
    fn make(&self, target: &str) -> Result<Arc<dyn Admission>, ConfigError> {
        self(target)
    }
}

impl fmt::Debug for dyn MakeAdmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeAdmission")
    }
}
