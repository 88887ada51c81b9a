//! Somebody who changes the policies and the endpoints while calls run.

use std::{sync::Arc, time::Duration};

use buttress::{
    circuit_breaker::State,
    pool::Strategy,
    priority::{Discipline, Priority},
    registry::Drill,
};
use tokio::time::sleep;

use super::{
    Mischief,
    client::{Host, NAME, Policies},
    dice::Dice,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Meddles while there is mischief, and says how often it was done.
///
/// # Panics
///
/// If anything is refused that is allowed.
pub async fn meddle(policies: Arc<Policies>, dice: Dice, mischief: Mischief) -> u64 {
    let mut done = 0;
    while mischief.is_on() {
        meddle_once(&policies, &dice).await;
        done += 1;
        sleep(dice.millis(0, 4)).await;
    }
    done
}

/// Opens breakers while there is mischief, but only those that are closed: they get on trial time and again, and nothing
/// but their probes brings them back.
pub async fn trip(policies: Arc<Policies>, dice: Dice, mischief: Mischief) {
    while mischief.is_on() {
        let breaker = &dice.of(&policies.hosts).breaker;
        if breaker.state() == State::Closed {
            breaker.transition_to(State::Open);
        }
        sleep(dice.millis(0, 10)).await;
    }
}

async fn meddle_once(policies: &Policies, dice: &Dice) {
    let host = dice.of(&policies.hosts);
    let Policies {
        registry,
        queue,
        pool,
        ..
    } = policies;
    match dice.below(20) {
        0 => {
            host.breaker.force_open();
            sleep(dice.millis(0, 10)).await;
            host.breaker.close();
        }
        1 => host.breaker.reset(),
        2 => {
            let drill = dice.of(&[Drill::Open, Drill::Close, Drill::Reset]);
            pool.drill(host.name, drill).or_else(gone).expect("a drill");
        }
        3 => {
            host.breaker.disable();
            sleep(dice.millis(0, 5)).await;
            host.breaker.close();
        }
        4 => {
            let options = host.breaker.options();
            let options = options
                .consecutive_failures(dice.between(4, 20) as u32)
                .half_open_probes(dice.between(2, 4) as u32);
            host.breaker.reconfigure(options).expect("good options");
        }
        5 => queue
            .set_concurrency(dice.between(4, 64) as u32)
            .expect("at least one"),
        6 => {
            let options = queue.options().queue(dice.between(8, 64) as u32);
            let options = options.discipline(match dice.below(3) {
                0 => Discipline::Fifo,
                1 => Discipline::AdaptiveLifo { after: ms(5) },
                _ => Discipline::CoDel {
                    target: ms(2),
                    interval: ms(5),
                },
            });
            queue.reconfigure(options).expect("good options");
        }
        7 => {
            queue.clear();
        }
        8 => {
            queue.shed_below(Priority::new(dice.below(8) as u8));
        }
        9 => {
            let (rate, burst) = (dice.between(500, 100_000), dice.between(10, 200));
            let options = host.limit.options().rate(rate, ms(1000)).burst(burst);
            host.limit.reconfigure(options).expect("good options");
        }
        10 => {
            let attempts = dice.between(1, 4) as u32;
            let options = policies.retry.options().max_attempts(attempts);
            policies.retry.reconfigure(options).expect("good options");
        }
        11 => {
            let options = policies.hedge.options().after(dice.millis(1, 30));
            policies.hedge.reconfigure(options).expect("good options");
        }
        12 => {
            let options = policies.timeout.options().attempt(dice.millis(5, 50));
            policies.timeout.reconfigure(options).expect("good options");
        }
        13 => {
            let options = policies.deadline.options().total(dice.millis(20, 200));
            let options = options.through_body(dice.below(2) == 0);
            policies.deadline.reconfigure(options).expect("good options");
        }
        14 => {
            pool.drain(host.name);
            sleep(dice.millis(0, 10)).await;
            pool.resume(host.name);
        }
        15 => {
            let weight = dice.between(1, 10) as u32;
            pool.set_weight(host.name, weight).expect("it is there");
        }
        16 => {
            pool.remove(host.name);
            sleep(dice.millis(0, 10)).await;
            pool.add(host.endpoint()).expect("it is not there");
        }
        17 => {
            let strategies = [
                Strategy::P2cEwma,
                Strategy::RoundRobin,
                Strategy::Random,
                Strategy::WeightedRandom,
                Strategy::LeastRequests,
                Strategy::Score,
            ];
            let options = pool.options().balance(dice.of(&strategies).clone());
            let options = options
                .failover(dice.below(3) as u32)
                .panic_mode(dice.below(2) == 0);
            pool.reconfigure(options).expect("good options");
        }
        18 => pool.rebalance(),
        _ => {
            assert!(registry.snapshot().at(&[NAME, "requests"]).is_some());
            assert!(!registry.names().is_empty());
            let _samples = registry.samples();
        }
    }
}

/// An endpoint that was taken out cannot be drilled.
fn gone(error: buttress::registry::DrillError) -> Result<(), buttress::registry::DrillError> {
    match error {
        buttress::registry::DrillError::UnknownName { .. } => Ok(()),
        other => Err(other),
    }
}

/// All as it should be for a calm day, but the breakers: they have to come back by themselves.
///
/// # Panics
///
/// Never: the options are good.
pub fn mend(policies: &Policies) {
    let fresh = Policies::new(
        policies
            .hosts
            .iter()
            .map(|Host { authority, .. }| authority.as_str().parse().expect("an address"))
            .collect(),
    );
    let ample = ms(5000);
    let retry = fresh.retry.options().max_attempts(1);
    policies.retry.reconfigure(retry).expect("good options");
    let hedge = fresh.hedge.options().after(ample);
    policies.hedge.reconfigure(hedge).expect("good options");
    let timeout = fresh.timeout.options().attempt(ample);
    policies.timeout.reconfigure(timeout).expect("good options");
    let deadline = fresh.deadline.options().total(ample);
    policies.deadline.reconfigure(deadline).expect("good options");
    policies
        .queue
        .reconfigure(fresh.queue.options())
        .expect("good options");
    let pool = fresh.pool.options().balance(Strategy::RoundRobin).failover(0);
    policies.pool.reconfigure(pool).expect("good options");
    for host in &policies.hosts {
        policies.pool.set_weight(host.name, 1).expect("it is there");
        let limit = host.limit.options().rate(100_000, ms(1000)).burst(1000);
        host.limit.reconfigure(limit).expect("good options");
    }
}
