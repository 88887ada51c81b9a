//! What is found out about an endpoint, by its breaker and by checks of its health, and what follows from it.

use std::{
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::{Node, Phase, REMOVED, UNHEALTHY, book};
use crate::{
    admission::Standing,
    clock::{self, Instant},
    pool::{
        events::{Cause, PoolEvent},
        hub::book as pool_book,
    },
};

/// What has been found out.
#[derive(Default)]
pub(super) struct Turn {
    health: Health,
    failed_since: Option<Instant>,
    failed_before: Duration,
    /// The successes and failures at the last rebalance.
    rebalanced: (u64, u64),
}

/// What the checks say.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    is_bad: bool,
    /// So many checks in a row said what is news, and whether that is good.
    against: u32,
    says_well: bool,
}

/// How soon an endpoint's health is to be checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Urgency {
    None,
    Out,
    Doubtful,
}

impl Health {
    /// The phase of an endpoint whose breaker stands so.
    fn phase(self, standing: Standing) -> Phase {
        match standing {
            _ if self.is_bad && self.against > 0 => Phase::Recovering,
            _ if self.is_bad => Phase::Failed,
            Standing::Down => Phase::Failed,
            Standing::Trial => Phase::Recovering,
            Standing::Sound => Phase::Up,
        }
    }
}

impl Node {
    /// A check has said whether it is well.
    pub(in crate::pool) fn checked(self: &Arc<Self>, is_well: bool, failures: u32, recoveries: u32) {
        let suspects = self.guard_is_down();
        let decided = {
            let mut turn = self.turn();
            let health = &mut turn.health;
            // While the breaker is open, a good check is news.
            let agrees = is_well != health.is_bad && !(is_well && suspects);
            let goes_on = health.says_well == is_well;
            health.against = match agrees {
                true => 0,
                false if goes_on => health.against + 1,
                false => 1,
            };
            health.says_well = is_well;
            let threshold = if is_well { recoveries } else { failures };
            let decided = !agrees && health.against >= threshold;
            if decided {
                *health = Health {
                    is_bad: !is_well,
                    ..Health::default()
                };
                if is_well {
                    self.word.fetch_and(!UNHEALTHY, AcqRel);
                } else {
                    self.word.fetch_or(UNHEALTHY, AcqRel);
                }
            }
            decided
        };
        if let (true, true, Some(guard)) = (decided, is_well, self.guard()) {
            guard.hasten();
        }
        self.look();
    }

    fn guard_is_down(&self) -> bool {
        self.standing() == Standing::Down
    }

    fn standing(&self) -> Standing {
        self.guard().map_or(Standing::Sound, |guard| guard.standing())
    }

    /// Whether the next check is to come soon: the endpoint is in doubt, or out.
    pub(in crate::pool) fn urgency(&self) -> Urgency {
        let health = self.turn().health;
        if health.against > 0 {
            Urgency::Doubtful
        } else if health.is_bad || self.guard_is_down() {
            Urgency::Out
        } else {
            Urgency::None
        }
    }

    /// Looks at breaker and checks, and tells what is new.
    pub(in crate::pool) fn look(self: &Arc<Self>) {
        let (before, after, news) = {
            let mut turn = self.turn();
            if self.word.load(Acquire) & REMOVED != 0 {
                return;
            }
            let (before, after) = (self.phase(), turn.health.phase(self.standing()));
            if before == after {
                return;
            }
            let news = self.enter(&mut turn, before, after);
            self.phase.store(after as u8, Release);
            if self.is_offered() && (before == Phase::Up) != (after == Phase::Up) {
                self.hub.left(before == Phase::Up);
                self.hub.entered(after == Phase::Up);
            }
            (before, after, news)
        };
        self.tell(news, before, after);
    }

    /// All that a change of phase entails, and what there is to tell of it.
    fn enter(&self, turn: &mut Turn, before: Phase, after: Phase) -> Vec<PoolEvent> {
        let (node, now) = (&self.name, clock::now());
        let mut news = Vec::new();
        match (before, after) {
            (Phase::Up, _) => {
                turn.failed_since = Some(now);
                let node = node.clone();
                let cause = if turn.health.is_bad {
                    Cause::HealthCheck
                } else {
                    Cause::Breaker
                };
                news.push(PoolEvent::NodeMarkedFailed { node, cause });
            }
            (Phase::Recovering, Phase::Failed) => {
                news.push(PoolEvent::RecoveryFailed { node: node.clone() });
            }
            _ => {}
        }
        // One that was out and is up again has been on trial, be it for no time.
        if after == Phase::Recovering || (before, after) == (Phase::Failed, Phase::Up) {
            news.push(PoolEvent::RecoveryStarted { node: node.clone() });
        }
        if after == Phase::Up {
            let since = turn.failed_since.take().unwrap_or(now);
            let failed_for = now.saturating_duration_since(since);
            turn.failed_before += failed_for;
            turn.rebalanced = self.judged();
            // What it did when it was down says nothing about it now.
            self.measures.clear();
            self.throttled_until.store(0, Relaxed);
            self.begin_ramp(now);
            self.books.add(book::RECOVERIES, 1);
            self.hub.books.add(pool_book::RECOVERIES, 1);
            let node = node.clone();
            news.push(PoolEvent::RecoveryCompleted { node, failed_for });
        }
        news
    }

    /// Outside the lock: listeners may ask and steer the pool.
    fn tell(self: &Arc<Self>, news: Vec<PoolEvent>, before: Phase, after: Phase) {
        news.into_iter().for_each(|event| self.hub.emit(event));
        if after == Phase::Up {
            self.hub.has_recovered.store(true, Relaxed);
        }
        self.hurry.notify_one();
        if !self.is_offered() {
            return;
        }
        let (was_up, is_up) = (before == Phase::Up, after == Phase::Up);
        if was_up != is_up {
            self.hub.changed.notify_waiters();
        }
        match (was_up, is_up) {
            (true, false) if self.hub.up() > 0 => {
                self.books.add(book::FAILOVERS, 1);
                self.hub.failover_began(self);
            }
            (true, false) => self.hub.emit(PoolEvent::Exhausted),
            (false, true) => self.hub.failover_ended(self),
            _ => {}
        }
    }

    fn begin_ramp(&self, now: Instant) {
        let span = self.hub.slow_start.load(Relaxed);
        if span > 0 {
            let tick = self.hub.tick(now);
            self.ramp_from.store(tick + 1, Relaxed);
            self.hub.ramp_until.fetch_max(tick + span, Relaxed);
        }
    }

    /// What one that takes its place begins with: what has been counted under the name, and nothing that is held against
    /// it.
    pub(super) fn next_turn(&self, now: Instant) -> Turn {
        Turn {
            failed_before: self.failed_for(now).1,
            rebalanced: self.judged(),
            ..Turn::default()
        }
    }

    /// Successes and failures so far.
    fn judged(&self) -> (u64, u64) {
        let failures = self.books.total(book::FAILURE) + self.books.total(book::THROTTLED);
        (self.books.total(book::SUCCESS), failures)
    }

    /// Its weight, in thousandths, by how it did since it was last asked: that of one that failed is less, but never
    /// less than a tenth.
    pub(in crate::pool) fn rebalanced_weight(&self) -> u64 {
        let (successes, failures) = {
            let mut turn = self.turn();
            let now = self.judged();
            let before = std::mem::replace(&mut turn.rebalanced, now);
            (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
        };
        let rate = match successes + failures {
            0 => 1.0,
            all => successes as f64 / all as f64,
        };
        let whole = self.full_weight();
        ((whole as f64 * rate) as u64).max(whole / 10)
    }

    /// Its weight, in thousandths.
    pub(in crate::pool) fn full_weight(&self) -> u64 {
        u64::from(self.weight.load(Relaxed)) * 1000
    }

    pub(in crate::pool) fn reset(self: &Arc<Self>) {
        {
            let mut turn = self.turn();
            turn.health = Health::default();
            self.word.fetch_and(!UNHEALTHY, AcqRel);
        }
        self.measures.clear();
        self.throttled_until.store(0, Relaxed);
        if let Some(guard) = self.guard() {
            // One that cannot be reset has nothing to reset.
            let _ = guard.drill(&crate::registry::Drill::Reset);
        }
        self.look();
        self.ramp_from.store(0, Relaxed);
        // It may have been well, and only have asked to be left alone: no change of phase has told of it then.
        self.hub.changed.notify_waiters();
    }

    /// How long it is out, if it is, and how long it has been in all.
    pub(in crate::pool) fn failed_for(&self, now: Instant) -> (Option<Duration>, Duration) {
        let turn = self.turn();
        let present = turn
            .failed_since
            .map(|since| now.saturating_duration_since(since));
        (present, turn.failed_before + present.unwrap_or_default())
    }
}
