use std::fmt;

use crate::{
    outcome::{Outcome, Reason, Verdict},
    replay::Replay,
};

/// What is kept of a request, for a fallback to answer by: [`Nothing`], a [`Part`] or the [`Whole`] of it.
pub trait Keep<P, M, Request> {
    /// The request as the service below takes it.
    type Request;

    /// What is kept while the service has the request.
    type Kept;

    /// What the fallback is given of it.
    type Given;

    /// A request of which nothing is kept, in the type of those of which something is.
    fn pass(protocol: &P, mode: &M, request: Request) -> Self::Request;

    /// The request for the service below, and what is kept of it.
    fn keep(&self, protocol: &P, mode: &M, request: Request) -> (Self::Request, Self::Kept);

    /// What the fallback is given, now that the call has ended so. `None` is a request that cannot or must not be
    /// given to it.
    fn give(protocol: &P, mode: &M, kept: Self::Kept, outcome: &Outcome) -> Option<Self::Given>;
}

/// Keeps nothing, at no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

/// Keeps what a function takes from the request: `Fn(&Request) -> Part`.
#[derive(Clone, Copy)]
pub struct Part<G>(pub(super) G);

/// Keeps the request, for another service: a clone of a plain one; of an HTTP one the head, and the body while it is
/// sent, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub(super) max_body: u64,
    pub(super) send_non_idempotent: bool,
}

/// What is kept of a [`Whole`] request.
#[derive(Clone, Debug)]
pub struct KeptRequest<T> {
    // `None` if the body is known to be too long.
    saved: Option<T>,
    may_repeat: MayRepeat,
}

/// When a request may be sent to another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MayRepeat {
    Always,
    /// Once the first service has said how it ended, or never got it.
    Finished,
    /// If the first service never got it.
    Unsent,
}

impl Whole {
    pub(super) const fn new() -> Self {
        Self {
            max_body: 64 << 10,
            send_non_idempotent: false,
        }
    }
}

impl<P, M, Request> Keep<P, M, Request> for Nothing {
    type Request = Request;
    type Kept = ();
    type Given = ();

    #[inline]
    fn pass(_: &P, _: &M, request: Request) -> Request {
        request
    }

    #[inline]
    fn keep(&self, _: &P, _: &M, request: Request) -> (Request, ()) {
        (request, ())
    }

    #[inline]
    fn give(_: &P, _: &M, (): (), _: &Outcome) -> Option<()> {
        Some(())
    }
}

impl<P, M, Request, T, G> Keep<P, M, Request> for Part<G>
where
    G: Fn(&Request) -> T,
{
    type Request = Request;
    type Kept = T;
    type Given = T;

    #[inline]
    fn pass(_: &P, _: &M, request: Request) -> Request {
        request
    }

    #[inline]
    fn keep(&self, _: &P, _: &M, request: Request) -> (Request, T) {
        let part = (self.0)(&request);
        (request, part)
    }

    #[inline]
    fn give(_: &P, _: &M, kept: T, _: &Outcome) -> Option<T> {
        Some(kept)
    }
}

impl<P, M, Request> Keep<P, M, Request> for Whole
where
    P: Replay<Request, M>,
{
    type Request = P::Request;
    type Kept = KeptRequest<P::Saved>;
    type Given = P::Request;

    #[inline]
    fn pass(protocol: &P, mode: &M, request: Request) -> P::Request {
        protocol.pass(mode, request)
    }

    fn keep(&self, protocol: &P, mode: &M, request: Request) -> (P::Request, Self::Kept) {
        let may_repeat = if self.send_non_idempotent || protocol.idempotent(&request) {
            MayRepeat::Always
        } else if protocol.repeatable(&request) {
            MayRepeat::Finished
        } else {
            MayRepeat::Unsent
        };
        let limit = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        let (request, saved) = protocol.keep(mode, request, limit);
        (request, KeptRequest { saved, may_repeat })
    }

    fn give(protocol: &P, mode: &M, kept: Self::Kept, outcome: &Outcome) -> Option<P::Request> {
        let may_repeat = match kept.may_repeat {
            MayRepeat::Always => true,
            MayRepeat::Finished => !outcome.is_unfinished(),
            MayRepeat::Unsent => was_never_sent(outcome),
        };
        may_repeat.then_some(())?;
        protocol.again(mode, &kept.saved?)
    }
}

/// Whether a layer refused the call before the service was asked. Two services may then not both do the work.
fn was_never_sent(outcome: &Outcome) -> bool {
    matches!(outcome.reason(), Reason::Rejected(kind) if kind.verdict() == Verdict::Neutral)
}

impl<G> fmt::Debug for Part<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}
