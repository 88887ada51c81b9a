//! Token bucket and leaky bucket, by the generic cell rate algorithm.
//!
//! The state is the *theoretical arrival time*: until when the permits that were taken are paid for. Each permit moves
//! it on by its price, from now if it lies in the past. The bucket is full if that moment is not ahead, empty if it is
//! ahead by the price of a whole burst; what lies between is what has been taken and not come back yet. Nothing is ever
//! refilled, so nothing is lost by not looking.
//!
//! # Exact rates
//!
//! Seven a second are one in 142 857 142.86 ns. So time is counted in units of which a nanosecond has `speed`, a number
//! up to 8, chosen so that the price of a permit is a whole number of them, or as near as can be: then rounded up, for
//! the limit is not to be passed. Rates whose reduced fraction has a numerator of up to 8 are exact; of the others those
//! of up to 10 000 a second fall short by less than two in a million.
//!
//! # What is given back
//!
//! A permit is worth its price, less the time since it was taken: so much of it would have come back by itself, and
//! *has* been granted to others where the bucket was full without it. So the calls that really went on are within the
//! limit by themselves, whoever gave back whatever in whatever order. (Proof: compare with a bucket in which those calls
//! were never made. Its moment is not later than this one before; giving back moves it by the price less the time that
//! bucket stood full, and that is not more than the time since.)

use std::time::Duration;

use super::{
    meter::Meter,
    quota::{Quota, Refusal},
    rules::Rule,
};

/// The greatest number of units in a nanosecond. 62 bits of them are 18 years.
const FINEST: u64 = 8;

/// No call may be paid for in advance for longer than this, in units: more than four years.
const FARTHEST: u64 = 1 << 60;

pub(super) fn rule(permits: u64, per: u64, burst: Option<u64>) -> Rule {
    let (permits, per) = (u128::from(permits), u128::from(per));
    let price = |speed: u64| (per * u128::from(speed)).div_ceil(permits);
    // What is lost by rounding, as a share of the price.
    let loss = |speed: u64| {
        let exact = per * u128::from(speed);
        (price(speed) * permits - exact) as f64 / exact as f64
    };
    let speed = (1..=FINEST)
        .min_by(|a, b| loss(*a).total_cmp(&loss(*b)))
        .unwrap_or(1);
    let price = u64::try_from(price(speed)).unwrap_or(FARTHEST);
    Rule {
        speed,
        price,
        room: burst.map_or(0, |burst| price.saturating_mul(burst)),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Gcra {
    speed: u64,
    price: u64,
    /// 0: as much as the call itself, and nothing saved.
    room: u64,
}

impl Gcra {
    #[inline]
    fn units(self, nanos: u64) -> u64 {
        nanos.saturating_mul(self.speed)
    }

    fn nanos(self, units: u64) -> u64 {
        units.div_ceil(self.speed)
    }

    #[inline]
    fn cost(self, permits: u32) -> Option<u64> {
        self.price
            .checked_mul(u64::from(permits))
            .filter(|cost| *cost <= FARTHEST)
    }

    /// What a call of that cost may be paid for in advance.
    #[inline]
    fn room(self, cost: u64) -> u64 {
        if self.room == 0 { cost } else { self.room }
    }

    /// What the dearest call may cost.
    fn most(self) -> u64 {
        if self.room == 0 { FARTHEST } else { self.room }
    }

    /// [`charge`](Meter::charge) of a call that had its turn at any moment from `since` to `now`: it counts from there.
    pub(super) fn charge_late(self, state: u64, since: u64, now: u64, permits: u32) -> Option<(u64, u64)> {
        let cost = self.cost(permits)?;
        let turn = state.max(self.units(since));
        (turn <= self.units(now)).then_some((turn + cost, now))
    }

    /// What has been taken and has not come back.
    fn debt(self, state: u64, now: u64) -> u64 {
        state.saturating_sub(self.units(now))
    }
}

impl Meter for Gcra {
    #[inline]
    fn of(rule: Rule) -> Self {
        let Rule { speed, price, room } = rule;
        Self { speed, price, room }
    }

    #[inline]
    fn charge(self, state: u64, now: u64, permits: u32) -> Option<(u64, u64)> {
        let cost = self.cost(permits)?;
        let moment = self.units(now);
        let end = state.max(moment) + cost;
        (end - moment <= self.room(cost)).then_some((end, now))
    }

    fn wait(self, state: u64, now: u64, ahead: u64, permits: u32) -> Refusal {
        let Some(cost) = self.cost(permits).filter(|cost| *cost <= self.most()) else {
            return Refusal::Never(self.most() / self.price);
        };
        let room = self.room(cost);
        let moment = self.units(now);
        let others = self.price.saturating_mul(ahead);
        let end = state.max(moment).saturating_add(others).saturating_add(cost);
        Refusal::Until(self.nanos((end - moment).saturating_sub(room)))
    }

    fn give_back(self, state: u64, now: u64, at: u64, permits: u32) -> u64 {
        let cost = self.cost(permits).unwrap_or(0);
        let come_back = self.units(now.saturating_sub(at));
        state.saturating_sub(cost.saturating_sub(come_back))
    }

    fn quota(self, state: u64, now: u64) -> Quota {
        let debt = self.debt(state, now);
        let room = self.room(self.price);
        let remaining = room.saturating_sub(debt) / self.price;
        let next = || (debt + self.price).saturating_sub(room);
        Quota {
            limit: room / self.price,
            remaining,
            window: Duration::from_nanos(self.nanos(room)),
            reset: Duration::from_nanos(self.nanos(debt)),
            retry_after: (remaining == 0).then(|| Duration::from_nanos(self.nanos(next()))),
        }
    }

    fn is_idle(self, state: u64, now: u64) -> bool {
        self.debt(state, now) == 0
    }

    /// What was taken stays taken, permit by permit, as far as the new bucket holds it.
    fn convert(self, state: u64, to: Self, now: u64) -> u64 {
        let debt = u128::from(self.debt(state, now)) * u128::from(to.price);
        let debt = debt.div_ceil(u128::from(self.price));
        let most = to.most();
        let debt = u64::try_from(debt).unwrap_or(most).min(most);
        to.units(now) + debt
    }
}
