//! What histories have found, by name.

use super::*;

/// Two endpoints, of which the second is chosen where it may be.
fn stage(breaker: Option<Rules>) -> Stage {
    let config = Config {
        breaker,
        failover: 0,
        panic_mode: false,
        slow_start: 0,
        max_retry_after: 1000,
        checks: (1, 1),
    };
    Stage::new(config, Strategy::custom(Careless(Some(1))), &[1, 1])
}

/// One call ends so at the second, the first gets unready, another call waits there, and then that happens: where is it?
async fn found(breaker: Option<Rules>, ending: Ending, then: Step) -> Option<usize> {
    let mut stage = stage(breaker);
    let steps = [
        Step::Lease,
        Step::GiveBack(0, Some(ending)),
        Step::Ready(0, Readiness::NotReady),
        Step::Call(true),
    ];
    for step in steps {
        stage.perform(step).await;
    }
    assert_eq!(stage.place_of(0), None, "it waits");
    stage.perform(then).await;
    let place = stage.place_of(0);
    stage.end().await;
    place
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_hears_of_an_endpoint_that_is_reset() {
    let throttled = Ending::Throttled(Some(50));
    assert_eq!(found(None, throttled, Step::Drill(1, Hand::Reset)).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_goes_to_an_endpoint_that_was_to_be_left_alone_when_its_time_is_over() {
    let throttled = Ending::Throttled(Some(50));
    assert_eq!(found(None, throttled, Step::Wait(Wait::For(49))).await, None);
    assert_eq!(found(None, throttled, Step::Wait(Wait::For(50))).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_is_a_trial_for_an_endpoint_whose_open_time_is_over() {
    let rules = Rules {
        failures: 1,
        open_for: 50,
        probes: 1,
        successes: 1,
    };
    assert_eq!(
        found(Some(rules), Ending::Failure, Step::Wait(Wait::For(49))).await,
        None
    );
    assert_eq!(
        found(Some(rules), Ending::Failure, Step::Wait(Wait::For(50))).await,
        Some(1)
    );
}
