//! When and how a call must end, worked out from all that is known of it beforehand.

use super::*;

/// How often a policy's limits were hit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) timed_out: u64,
    pub(super) deadline_expired: u64,
    pub(super) body_idle: u64,
    pub(super) body_total: u64,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) deadline: Counts,
    pub(super) timeout: Counts,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: u64,
    /// `None`: its caller has given up.
    pub(super) over: Option<Ended>,
    /// Whether the service is called, and how much time it is told that it has.
    pub(super) is_made: bool,
    pub(super) sends: Option<u64>,
}

/// The earlier of two limits, where there are any.
fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

pub(super) fn tell(config: &Config, call: &Call, books: &mut Books) -> Told {
    let known = call.deadline.map(|after| call.at.saturating_add_signed(after));
    let is_past = call.deadline.is_some_and(|after| after <= 0);
    let asks = call.asks.filter(|_| config.is_grpc);
    let own = config.deadline.and_then(|limits| {
        let unasked = limits.default_total.filter(|_| known.is_none());
        sooner(asks.or(unasked), limits.total)
    });
    let deadline = sooner(known, own.map(|time| call.at + time));
    let expired = |by, books: &mut Books| {
        match by {
            By::Deadline => books.deadline.deadline_expired += 1,
            By::Timeout => books.timeout.deadline_expired += 1,
        }
        Told {
            at: call.at,
            over: Some(Ended {
                headers: None,
                frames: 0,
                how: How::Expired(by),
            }),
            is_made: false,
            sends: None,
        }
    };
    if is_past && config.deadline.is_some() {
        return expired(By::Deadline, books);
    }
    if is_past && config.timeout.is_some() {
        return expired(By::Timeout, books);
    }
    let attempt = config.timeout.and_then(|limits| limits.attempt);
    // Nobody obeys a deadline where there is no policy.
    let somebody = config.deadline.is_some() || config.timeout.is_some();
    let until = sooner(deadline.filter(|_| somebody), attempt.map(|time| call.at + time));
    let sends = match config.timeout {
        // The attempt's own limit is for the headers, and not told to the other side.
        Some(_) => sooner(call.asks, deadline.map(|deadline| deadline - call.at)),
        None => call.asks,
    };
    let mut told = Told {
        at: call.gives_up.expect("everybody gives up some day"),
        over: None,
        is_made: true,
        sends,
    };
    let headers = call.headers.map(|time| call.at + time);
    let is_answered = headers.is_some_and(|headers| until.is_none_or(|until| headers <= until));
    match (headers, until) {
        (Some(headers), _) if is_answered && headers < told.at => {
            let body = Body {
                idle: config.timeout.and_then(|limits| limits.idle),
                total: config
                    .timeout
                    .and_then(|limits| limits.total)
                    .map(|time| headers + time),
                deadline: deadline.filter(|_| {
                    let policy = config.deadline;
                    policy.is_some_and(|limits| limits.through_body || config.is_grpc)
                }),
            };
            body.read(call, headers, &mut told, books);
        }
        (_, Some(until)) if !is_answered && until < told.at => {
            let by = if config.timeout.is_some() {
                By::Timeout
            } else {
                By::Deadline
            };
            match by {
                By::Timeout => books.timeout.timed_out += 1,
                By::Deadline => books.deadline.timed_out += 1,
            }
            told.at = until;
            told.over = Some(Ended {
                headers: None,
                frames: 0,
                how: How::TimedOut(by),
            });
        }
        _ => {}
    }
    told
}

/// The limits on a body.
struct Body {
    idle: Option<u64>,
    total: Option<u64>,
    deadline: Option<u64>,
}

impl Body {
    fn read(&self, call: &Call, headers: u64, told: &mut Told, books: &mut Books) {
        let gives_up = told.at;
        let mut there = headers;
        let mut coming = call.body.iter().map(|(gap, kind)| {
            there += gap;
            (there, Some(*kind))
        });
        let (mut now, mut last, mut frames) = (headers, headers, 0);
        let mut over = |at: u64, frames, how| {
            told.at = at;
            told.over = Some(Ended {
                headers: Some(headers),
                frames,
                how,
            });
        };
        for (pause, look) in call.reads.iter().cycle() {
            // The end is there as soon as the last frame is.
            let (at, kind) = coming.next().unwrap_or((last, None));
            let at = if kind == Some(Kind::Never) { u64::MAX } else { at };
            last = at;
            now += pause;
            // Nothing there: from now on it is silent.
            let silent_until = self.idle.map(|idle| now + idle);
            let inner = sooner(silent_until, self.total);
            let until = sooner(inner, self.deadline).unwrap_or(u64::MAX);
            let is_there = at <= now;
            // The first look sees a limit that has passed; one who stays away sees what has come meanwhile.
            let sees_limit_at_once = until <= now;
            let stays = now + look.unwrap_or(0);
            let moment = match () {
                () if is_there => now,
                () if sees_limit_at_once => now,
                () if at.min(until) <= stays => stays,
                () => at.min(until),
            };
            if moment >= gives_up {
                return;
            }
            now = moment;
            if at <= now {
                match kind {
                    None => over(now, frames, How::Whole),
                    Some(Kind::Error) => over(now, frames, How::BodyError),
                    _ => {
                        frames += 1;
                        continue;
                    }
                };
                return;
            }
            // It is the inner one that says so first.
            let by = match inner {
                Some(inner) if inner <= now => By::Timeout,
                _ => By::Deadline,
            };
            let is_idle = silent_until.is_some_and(|silent| self.total.is_none_or(|total| silent < total));
            match by {
                By::Deadline => books.deadline.body_total += 1,
                By::Timeout if is_idle => books.timeout.body_idle += 1,
                By::Timeout => books.timeout.body_total += 1,
            }
            return over(now, frames, How::TimedOut(by));
        }
    }
}
