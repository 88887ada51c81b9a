//! Endpoints that have a limit each, and calls that wait for their turns, against a list of the turns that there are:
//! each call goes where there is a permit, else stands where its turn comes first, and is made then; or it is refused at
//! once.

use tower::service_fn;

use super::*;
use crate::{
    CallContext,
    rate_limit::{Algorithm, RateLimiter},
    test_services::{Cue, Fate, paused, perform},
};

/// Every time is so many milliseconds times a number, and each call has one of the remainders to itself, which its permit
/// keeps for those who have it later: so no two turns are at the same moment.
const GRAIN: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Limits {
    permits: u64,
    per: u64,
    max_wait: u64,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    /// Of its context: after so long.
    deadline: Option<u64>,
}

/// What becomes of a call, and when.
type Ends = (u64, Result<(), RejectionKind>);

fn grains(most: u64) -> impl Any<Value = u64> + Clone {
    (0..most).prop_map(|n| n * GRAIN)
}

fn limits() -> impl Any<Value = Limits> {
    (1..4_u64, 1..20_u64, grains(40)).prop_map(|(permits, per, max_wait)| Limits {
        permits,
        per: per * GRAIN,
        max_wait,
    })
}

fn calls() -> impl Any<Value = Vec<Call>> {
    let call = (
        grains(12),
        prop::option::weighted(0.2, (1..40_u64).prop_map(|n| n * GRAIN)),
    );
    prop::collection::vec(call, 0..GRAIN as usize).prop_map(|calls| {
        let mut now = 0;
        let calls = calls.into_iter().enumerate().map(|(number, (later, deadline))| {
            now += later;
            let at = now + number as u64;
            Call { at, deadline }
        });
        calls.collect()
    })
}

/// What becomes of the calls, when those who had a choice have gone where they have.
fn tell(
    limits: Limits,
    endpoints: usize,
    calls: &[Call],
    went: &[Option<usize>],
) -> Vec<(Option<usize>, Ends)> {
    // When each permit was, or will be, taken.
    let mut taken: Vec<Vec<u64>> = vec![Vec::new(); endpoints];
    let turn = |taken: &[u64], now: u64| match taken.len().checked_sub(limits.permits as usize) {
        None => now,
        Some(oldest) => now.max(taken[oldest] + limits.per),
    };
    let told = calls.iter().zip(went).map(|(call, went)| {
        let turns = taken.iter().map(|taken| turn(taken, call.at)).enumerate();
        let free: Vec<_> = turns.clone().filter(|(_, turn)| *turn == call.at).collect();
        let (endpoint, at) = match went {
            Some(went) if free.contains(&(*went, call.at)) => (*went, call.at),
            _ => turns.min_by_key(|(_, turn)| *turn).expect("an endpoint"),
        };
        let last = call.at
            + call
                .deadline
                .map_or(limits.max_wait, |after| after.min(limits.max_wait));
        if at > call.at && (limits.max_wait == 0 || at > last) {
            return (None, (call.at, Err(RejectionKind::RateLimited)));
        }
        taken[endpoint].push(at);
        (Some(endpoint), (at, Ok(())))
    });
    told.collect()
}

async fn run(limits: Limits, endpoints: usize, balance: usize, calls: &[Call]) {
    let went = Arc::new(Mutex::new(vec![None; calls.len()]));
    let endpoint = |e: usize| {
        let went = went.clone();
        let service = service_fn(move |call: usize| {
            went.lock().expect("no panic")[call] = Some(e);
            std::future::ready(Ok::<_, Error<Ending>>(()))
        });
        Endpoint::new(e.to_string(), service)
    };
    let limit = RateLimiter::builder().rate(limits.permits, ms(limits.per));
    let limit = limit
        .algorithm(Algorithm::SlidingWindowLog)
        .max_wait(ms(limits.max_wait));
    let pool = Pool::builder()
        .balance(strategy(balance))
        .breaker(limit)
        .extend((0..endpoints).map(endpoint))
        .build()
        .expect("valid");
    let cue = |call: &Call| Cue {
        at: call.at,
        gives_up: None,
    };
    let cues: Vec<_> = calls.iter().map(cue).collect();
    let fates = perform(&cues, |number| {
        let (service, deadline) = (pool.service(), calls[number].deadline);
        async move {
            let mut context = CallContext::new();
            if let Some(after) = deadline {
                context.limit_deadline(clock::now() + ms(after));
            }
            let answer = context.scope(service.oneshot(number)).await;
            answer.map_err(|error| error.rejected().map(|rejected| rejected.kind()))
        }
    });
    let fates = fates.await;
    let went = went.lock().expect("no panic").clone();
    for (number, told) in tell(limits, endpoints, calls, &went).into_iter().enumerate() {
        let (expected, (at, ends)) = told;
        assert_eq!(
            fates[number],
            (at, Fate::Over(ends.map_err(Some))),
            "of call {number}"
        );
        assert_eq!(went[number], expected, "of call {number}");
    }
    assert!(
        pool.snapshot()
            .endpoints
            .iter()
            .all(|endpoint| endpoint.in_flight == 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn calls_wait_for_the_first_turn_that_there_is(
        seed in any::<u64>(), limits in limits(), endpoints in 1..5_usize, balance in 0..8_usize, calls in calls()
    ) {
        crate::random::foretell(seed);
        paused().block_on(run(limits, endpoints, balance, &calls));
    }
}
