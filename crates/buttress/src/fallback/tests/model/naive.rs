//! What a fallback is to do with one call.

use std::collections::BTreeMap;

use super::*;
use crate::test_services::Fate;

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) answered_for: BTreeMap<&'static str, u64>,
    pub(super) declined: u64,
    pub(super) failed: u64,
}

/// Is it for what the call has ended in?
fn is_for(on: Option<&[Condition]>, call: &Call, verdict: Verdict, is_error: bool) -> bool {
    let Some(on) = on else {
        // Whatever keeps the caller from an answer.
        return call.refused.is_some() || verdict != Verdict::Neutral;
    };
    on.iter().any(|condition| match condition {
        Condition::AnyRejection => call.refused.is_some(),
        Condition::Rejection(kind) => call.refused == Some(*kind),
        Condition::Error => call.refused.is_none() && is_error && verdict != Verdict::Neutral,
        Condition::Verdict(of) => *of == verdict,
        Condition::HttpStatus(_) | Condition::GrpcCode(_) => false,
    })
}

/// When it is over, and what its caller gets.
pub(super) fn tell(on: Option<&[Condition]>, call: &Call, books: &mut Books) -> (u64, Fate<Heard>) {
    let over = |at: u64, fate: Fate<Heard>| match call.gives_up {
        Some(gives_up) if gives_up < at => None,
        _ => Some((at, fate)),
    };
    let cancelled = (call.gives_up.unwrap_or(0), Fate::Cancelled);
    let at = call.at + call.line.takes;
    let (heard, fault) = match call.line.end {
        End::Never => return cancelled,
        End::Panic => return over(at, Fate::Panicked).unwrap_or(cancelled),
        End::Answer => return over(at, Fate::Over(Heard::Service)).unwrap_or(cancelled),
        End::Poor(fault) => (Heard::Poor(fault), fault),
        End::Fault(fault) => (call.refused.map_or(Heard::Fault(fault), Heard::Rejected), fault),
    };
    let verdict = match call.refused {
        Some(RejectionKind::TimedOut | RejectionKind::Panicked) => Verdict::Failure,
        Some(_) => Verdict::Neutral,
        None => fault.verdict,
    };
    // By the judgement of these tests a poor answer is the service's own error, too.
    if !is_for(on, call, verdict, true) {
        return over(at, Fate::Over(heard)).unwrap_or(cancelled);
    }
    let at = at + call.takes;
    let fate = match call.does {
        Does::Never => return cancelled,
        Does::Panic => Fate::Panicked,
        Does::Answer => Fate::Over(Heard::Fallback),
        Does::Decline => Fate::Over(heard),
        Does::Fail => Fate::Over(Heard::Failed),
    };
    let Some(told) = over(at, fate) else {
        return cancelled;
    };
    match call.does {
        Does::Answer => {
            let cause = call.refused.map_or("error", |kind| kind.as_str());
            *books.answered_for.entry(cause).or_default() += 1;
        }
        Does::Decline => books.declined += 1,
        Does::Fail => books.failed += 1,
        Does::Panic | Does::Never => {}
    }
    told
}
