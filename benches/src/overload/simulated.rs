//! The load on tokio's paused clock: the same on any machine, and done as fast as it can compute.

#![allow(clippy::disallowed_types)] // how long a refusal takes in real time, while the crate's clock stands still

use std::{future::poll_fn, pin::pin, time::Instant as RealInstant};

use buttress::clock;
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Duration, sleep, timeout},
};
use tower::ServiceExt;

use super::{
    Arrivals, Call, End, Ended, Figures, PATIENCE, System, Window,
    systems::{Refusal, Simulated},
};

/// Puts `load` times the capacity on a system, for as long as the window says, and a while before.
#[must_use]
pub fn simulate(system: System, load: f64, window: Window) -> Figures {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it starts");
    let calls = runtime.block_on(async {
        let server = system.simulated();
        let mut arrivals = Arrivals::new(load, 7);
        let began = clock::now();
        let (mut calls, mut over) = (JoinSet::new(), Vec::new());
        while began.elapsed() < window.to {
            for call in arrivals.next_millisecond() {
                let came = began.elapsed();
                let end = end_of(server.clone(), call);
                calls.spawn(async move {
                    let end = end.await;
                    Ended {
                        call,
                        came,
                        ended: began.elapsed(),
                        end,
                    }
                });
            }
            sleep(Duration::from_millis(1)).await;
            while let Some(call) = calls.try_join_next() {
                over.extend(call);
            }
        }
        while let Some(call) = calls.join_next().await {
            over.extend(call);
        }
        over
    });
    Figures::of(&calls, window)
}

async fn end_of(server: Simulated, call: Call) -> End {
    let mut answer = pin!(timeout(PATIENCE, server.oneshot(call)));
    let (mut polls, mut took) = (0, Duration::ZERO);
    let end = poll_fn(|cx| {
        polls += 1;
        let began = RealInstant::now();
        let polled = answer.as_mut().poll(cx);
        took = began.elapsed();
        polled
    });
    match end.await {
        Ok(Ok(())) => End::Answered,
        Ok(Err(Refusal { retry_after })) => End::Refused {
            retry_after,
            at_once: (polls == 1).then_some(took),
        },
        Err(_) => End::GaveUp,
    }
}
