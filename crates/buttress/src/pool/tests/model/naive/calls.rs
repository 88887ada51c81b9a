//! Calls: where they may go, and what their ends say.

use super::*;
use crate::pool::tests::model::place::{Answer, Ending, Seen};

#[derive(Debug)]
pub(in super::super) struct Call {
    tried: Vec<usize>,
    /// How often it may still go elsewhere.
    left: u32,
    pub(in super::super) at: At,
}

#[derive(Debug)]
pub(in super::super) enum At {
    /// It has not found an endpoint: with the step at which it last looked, the endpoints at which it waits, and the
    /// moments from which on it may go to others.
    Nowhere {
        since: usize,
        waits_at: Vec<usize>,
        chances: Vec<(usize, Millis)>,
    },
    /// With the leave of the breaker, if that was asked.
    Endpoint(usize, Option<Leave>),
}

/// What a call must have come to.
#[derive(Debug)]
pub(in super::super) enum Told {
    Waits,
    Runs,
    Over(Answer),
    /// There is none; with the time at which there may be one, if that is known.
    NoEndpoint(Option<Millis>),
    Panicked,
}

impl Naive {
    pub(in super::super) fn begin(&mut self) -> Call {
        self.calls += 1;
        Call {
            tried: Vec::new(),
            left: if self.members.len() > 1 {
                self.config.failover
            } else {
                0
            },
            // Nobody wakes it before it has looked.
            at: At::Nowhere {
                since: usize::MAX,
                waits_at: Vec::new(),
                chances: Vec::new(),
            },
        }
    }

    /// The call has been polled, and this is what was seen of it inside.
    pub(in super::super) fn polled(&mut self, call: &mut Call, seen: Vec<Seen>) -> Told {
        let mut last_broken = false;
        for seen in seen {
            match (seen, &call.at) {
                (Seen::Broken(e), At::Nowhere { .. }) => {
                    self.expect(call, e, &[Readiness::Broken]);
                    let leave = self.take_in(e);
                    call.tried.push(e);
                    self.endpoints[e].books.borrow_mut().moved += 1;
                    self.end(e, leave, Ending::Failure);
                    last_broken = true;
                }
                (Seen::Called(e), At::Nowhere { .. }) => {
                    self.expect(call, e, &[Readiness::Ready]);
                    call.at = At::Endpoint(e, self.take_in(e));
                    call.tried.push(e);
                    last_broken = false;
                }
                (Seen::CallPanicked(e), At::Nowhere { .. }) => {
                    self.expect(call, e, &[Readiness::Panics]);
                    let leave = self.take_in(e);
                    self.end(e, leave, Ending::Panic);
                    return Told::Panicked;
                }
                (Seen::Ended(e, ending), At::Endpoint(at, leave)) if e == *at => {
                    self.end(e, *leave, ending);
                    match ending {
                        Ending::Panic => return Told::Panicked,
                        Ending::Success => return Told::Over(Ok(e)),
                        Ending::Neutral => return Told::Over(Err(Error::Inner(ending))),
                        Ending::Failure | Ending::Throttled(_) => {}
                    }
                    if call.left == 0 || self.usable(&call.tried).is_empty() {
                        return Told::Over(Err(Error::Inner(ending)));
                    }
                    call.left -= 1;
                    self.endpoints[e].books.borrow_mut().moved += 1;
                    call.at = At::Nowhere {
                        since: 0,
                        waits_at: Vec::new(),
                        chances: Vec::new(),
                    };
                }
                _ => panic!("{seen:?} of {call:?}"),
            }
        }
        if let At::Endpoint(..) = call.at {
            return Told::Runs;
        }
        let usable = self.usable(&call.tried);
        for e in &usable {
            assert_eq!(self.endpoints[*e].readiness, Readiness::NotReady, "{e} would do");
        }
        if usable.is_empty() && last_broken {
            return Told::Over(Err(Error::Inner(Ending::Failure)));
        }
        if usable.is_empty() {
            return self.refuse();
        }
        let others = self.members.iter().filter(|e| !usable.contains(e));
        let chance = |e: &usize| Some((*e, self.endpoints[*e].next_chance(self.now)?));
        call.at = At::Nowhere {
            since: self.step,
            chances: others.filter_map(chance).collect(),
            waits_at: usable,
        };
        Told::Waits
    }

    pub(in super::super) fn refuse(&mut self) -> Told {
        self.no_endpoint += 1;
        Told::NoEndpoint(self.next_chance().map(|chance| chance - self.now))
    }

    /// May it go there?
    fn expect(&self, call: &Call, e: usize, readiness: &[Readiness]) {
        let usable = self.usable(&call.tried);
        assert!(
            usable.contains(&e),
            "{call:?} went to {e}, not to one of {usable:?}"
        );
        assert!(readiness.contains(&self.endpoints[e].readiness), "of {e}");
    }

    /// Asks its breaker, unless that is overruled.
    pub(in super::super) fn take_in(&mut self, e: usize) -> Option<Leave> {
        let now = self.now;
        self.endpoints[e].in_flight += 1;
        let mut leave = None;
        if self.endpoints[e].breaker.as_ref()?.would_admit(now) {
            self.breaker(e, |breaker| leave = Some(breaker.admit(now)));
        }
        leave
    }

    pub(in super::super) fn end(&mut self, e: usize, leave: Option<Leave>, ending: Ending) {
        let (now, longest) = (self.now, self.config.max_retry_after);
        let endpoint = &mut self.endpoints[e];
        endpoint.in_flight -= 1;
        let mut asked = None;
        let verdict = match ending {
            Ending::Success => {
                endpoint.books.borrow_mut().success += 1;
                for from in std::mem::take(&mut self.moving) {
                    match from == e {
                        true => self.moving.push(from),
                        false => self.tell("failover_completed", from),
                    }
                }
                Verdict::Success
            }
            Ending::Failure | Ending::Panic => {
                endpoint.books.borrow_mut().failure += 1;
                Verdict::Failure
            }
            Ending::Neutral => {
                endpoint.books.borrow_mut().neutral += 1;
                Verdict::Neutral
            }
            Ending::Throttled(after) => {
                endpoint.books.borrow_mut().throttled += 1;
                if let Some(after) = after {
                    let until = now + after.min(longest);
                    endpoint.throttled_until = endpoint.throttled_until.max(until);
                }
                asked = after;
                Verdict::Throttled
            }
        };
        if let Some(leave) = leave {
            self.breaker(e, |breaker| breaker.end(leave, verdict, asked, now));
        }
    }

    /// The call is dropped.
    pub(in super::super) fn cancel(&mut self, call: Call) {
        if let At::Endpoint(e, leave) = call.at {
            self.cancel_at(e, leave);
        }
    }

    pub(in super::super) fn cancel_at(&mut self, e: usize, leave: Option<Leave>) {
        self.endpoints[e].in_flight -= 1;
        self.endpoints[e].books.borrow_mut().cancelled += 1;
        if let Some(leave) = leave {
            self.breaker(e, |breaker| breaker.cancel(leave));
        }
    }

    /// Nobody has told this call what it should know: that an endpoint at which it waits is ready, that there is another,
    /// or that the time of one that was out is over.
    pub(in super::super) fn is_forgotten(&self, call: &Call) -> Option<usize> {
        let At::Nowhere {
            since,
            waits_at,
            chances,
        } = &call.at
        else {
            return None;
        };
        self.usable(&call.tried).into_iter().find(|e| {
            let endpoint = &self.endpoints[*e];
            let was_told = waits_at.contains(e)
                || (endpoint.phase == Phase::Up && endpoint.offered_since > *since)
                || chances
                    .iter()
                    .any(|(out, chance)| out == e && *chance <= self.now);
            was_told && endpoint.readiness != Readiness::NotReady
        })
    }
}
