//! What is found out about an endpoint, and what follows from it.

use super::*;

impl Endpoint {
    /// How many checks in a row have said the same news.
    fn news_in_a_row(&self) -> usize {
        let Some((is_well, true)) = self.checks.last() else {
            return 0;
        };
        self.checks
            .iter()
            .rev()
            .take_while(|check| **check == (*is_well, true))
            .count()
    }

    fn phase(&self) -> Phase {
        match &self.breaker {
            _ if self.is_bad && self.news_in_a_row() > 0 => Phase::Recovering,
            _ if self.is_bad => Phase::Failed,
            Some(breaker) if breaker.is_down() => Phase::Failed,
            Some(breaker) if breaker.state == State::HalfOpen => Phase::Recovering,
            _ => Phase::Up,
        }
    }
}

impl Naive {
    /// Has something done to its breaker, which tells of it.
    pub(super) fn breaker(&mut self, e: usize, act: impl FnOnce(&mut Breaker)) {
        if let Some(breaker) = &mut self.endpoints[e].breaker {
            act(breaker);
            self.look(e);
        }
    }

    pub(in super::super) fn check(&mut self, e: usize, is_well: bool) {
        let (bad, good) = self.config.checks;
        let endpoint = &mut self.endpoints[e];
        let is_down = endpoint.breaker.as_ref().is_some_and(Breaker::is_down);
        let is_news = is_well == endpoint.is_bad || (is_well && is_down);
        endpoint.checks.push((is_well, is_news));
        if endpoint.news_in_a_row() >= if is_well { good } else { bad } as usize {
            endpoint.is_bad = !is_well;
            endpoint.checks.clear();
            // Back to its trial, unless somebody has shut it for good.
            let forced = |breaker: &Breaker| breaker.state == State::Open(NEVER);
            if is_well && is_down && !endpoint.breaker.as_ref().is_some_and(forced) {
                self.breaker(e, |breaker| breaker.change(State::HalfOpen));
            }
        }
        self.look(e);
    }

    pub(in super::super) fn open(&mut self, e: usize) {
        let now = self.now;
        self.breaker(e, |breaker| breaker.open(None, now));
    }

    pub(in super::super) fn force_open(&mut self, e: usize) {
        self.breaker(e, |breaker| breaker.change(State::Open(NEVER)));
    }

    pub(in super::super) fn close(&mut self, e: usize) {
        let is_closed = |breaker: &Breaker| breaker.state == State::Closed;
        if !self.endpoints[e].breaker.as_ref().is_some_and(is_closed) {
            self.breaker(e, |breaker| breaker.change(State::Closed));
        }
    }

    pub(in super::super) fn reset(&mut self, e: usize) {
        let endpoint = &mut self.endpoints[e];
        endpoint.is_bad = false;
        endpoint.checks.clear();
        endpoint.throttled_until = 0;
        self.breaker(e, |breaker| breaker.change(State::Closed));
        self.look(e);
        self.endpoints[e].ramp_from = None;
        self.endpoints[e].offered_since = self.step;
    }

    pub(super) fn look(&mut self, e: usize) {
        let (now, step, slow_start) = (self.now, self.step, self.config.slow_start);
        let endpoint = &mut self.endpoints[e];
        let (before, after) = (endpoint.phase, endpoint.phase());
        if endpoint.removed || before == after {
            return;
        }
        endpoint.phase = after;
        let mut news = Vec::new();
        if before == Phase::Up {
            endpoint.failed_since = Some(now);
            news.push("node_marked_failed");
        }
        if (before, after) == (Phase::Recovering, Phase::Failed) {
            news.push("recovery_failed");
        }
        if after == Phase::Recovering || (before, after) == (Phase::Failed, Phase::Up) {
            news.push("recovery_started");
        }
        if after == Phase::Up {
            let since = endpoint.failed_since.take().expect("it was out");
            endpoint.failed_before += now - since;
            endpoint.weighed = endpoint.judged();
            endpoint.throttled_until = 0;
            endpoint.offered_since = step;
            endpoint.books.borrow_mut().recoveries += 1;
            if slow_start > 0 {
                endpoint.ramp_from = Some(now);
            }
            news.push("recovery_completed");
        }
        let is_offered = endpoint.is_offered();
        news.into_iter().for_each(|what| self.tell(what, e));
        if !is_offered {
            return;
        }
        match (before, after) {
            (_, Phase::Up) => self.moving.retain(|from| *from != e),
            (Phase::Up, _) if self.up_and_down().0 > 0 => {
                self.endpoints[e].books.borrow_mut().failovers += 1;
                self.moving.push(e);
                self.tell("failover_started", e);
            }
            (Phase::Up, _) => self.events.push("exhausted".to_owned()),
            _ => {}
        }
    }
}
