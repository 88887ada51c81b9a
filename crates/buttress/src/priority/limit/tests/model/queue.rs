//! What a queue tells its limit, and what it does with the answers.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    RejectionKind,
    clock::Instant,
    outcome::{Head, Token},
    priority::{Acquire, Permit, Priority},
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    Look(usize),
    /// Drops a call that waits.
    Leave(usize),
    /// Good headers have come.
    Head(usize),
    Finish(usize, End),
    Pass(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Success,
    Failure,
    Neutral,
    Throttled,
    TimedOut,
    Dropped,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        6 => Just(End::Success),
        1 => Just(End::Failure),
        1 => Just(End::Neutral),
        1 => Just(End::Throttled),
        1 => Just(End::TimedOut),
        1 => Just(End::Dropped),
    ];
    let which = any::<usize>;
    let step = prop_oneof![
        8 => Just(Step::Enter),
        3 => which().prop_map(Step::Look),
        1 => which().prop_map(Step::Leave),
        3 => which().prop_map(Step::Head),
        8 => (which(), end).prop_map(|(i, end)| Step::Finish(i, end)),
        4 => (0..50_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// What an algorithm may come upon.
fn answers() -> impl Strategy<Value = Vec<f64>> {
    let answer = prop_oneof![
        8 => 0.0..80.0,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(-0.0),
    ];
    prop::collection::vec(answer, 1..30)
}

type Notes = Arc<Mutex<Vec<(Sample, f64)>>>;

/// Gives one answer after the other, and notes what it was asked.
#[derive(Debug)]
struct Scripted {
    answers: VecDeque<f64>,
    notes: Notes,
}

impl LimitAlgorithm for Scripted {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        self.notes.lock().expect("no panic").push((*sample, limit));
        self.answers.rotate_left(1);
        self.answers[self.answers.len() - 1]
    }
}

/// A call that has a slot.
struct Running {
    number: usize,
    permit: Permit,
    naive: Naive,
}

/// What is to be known of a call for its sample.
#[derive(Clone, Copy)]
struct Naive {
    started: Instant,
    running: u32,
    limited: bool,
    head: Option<Instant>,
}

/// The queue as it should be: those who have a slot, looked or not, and those who wait.
struct Model {
    bounds: (u32, u32, u32),
    answers: Vec<f64>,
    asked: usize,
    exact: f64,
    limit: u32,
    running: Vec<usize>,
    waiting: VecDeque<usize>,
    samples: Vec<(Sample, f64)>,
    born: Instant,
}

impl Model {
    fn serve(&mut self) {
        while self.running.len() < self.limit as usize {
            let Some(next) = self.waiting.pop_front() else {
                return;
            };
            self.running.push(next);
        }
    }

    /// The call looks, and has a slot.
    fn begin(&self, waited: bool) -> Naive {
        Naive {
            started: clock::now(),
            running: self.running.len() as u32,
            limited: waited || self.running.len() >= self.limit as usize,
            head: None,
        }
    }

    fn end(&mut self, number: usize, call: Naive, end: End) {
        // The slot goes on at once, and then something is learnt.
        self.running.retain(|n| *n != number);
        self.serve();
        let dropped = match end {
            End::Success => Some(false),
            End::Throttled | End::TimedOut => Some(true),
            End::Failure | End::Neutral | End::Dropped => None,
        };
        if let Some(dropped) = dropped {
            // Moments are counted from one nanosecond on, and headers are never there at once.
            let nano = Duration::from_nanos(1);
            let latency = match call.head {
                Some(head) => (head - call.started).max(nano),
                None => clock::now() - call.started,
            };
            let started = call.started - self.born + nano;
            let mut sample = Sample::new(started, latency, call.running, call.limited);
            sample.dropped = dropped;
            self.samples.push((sample, self.exact));
            let answer = self.answers[self.asked % self.answers.len()];
            self.asked += 1;
            let (min, _, max) = self.bounds;
            if answer >= 0.0 || answer < 0.0 {
                self.exact = answer.min(max.into()).max(min.into());
            }
            self.limit = self.exact.floor() as u32;
            self.serve();
        }
    }
}

fn poll(acquire: &mut Pin<Box<Acquire>>) -> Option<Permit> {
    match acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => Some(permit.expect("nothing refuses it")),
        Poll::Pending => None,
    }
}

async fn run(bounds: (u32, u32, u32), answers: Vec<f64>, steps: Vec<Step>) {
    let notes = Notes::default();
    let scripted = {
        let (answers, notes) = (answers.clone(), notes.clone());
        move || Scripted {
            answers: answers.clone().into(),
            notes: notes.clone(),
        }
    };
    let queue = PriorityQueue::builder()
        .concurrency(within(Adaptive::with(scripted), bounds))
        .queue(100_000)
        .shed_by_load(false)
        .ageing(Ageing::Off)
        .build()
        .expect("valid options");
    let mut model = Model {
        bounds,
        answers,
        asked: 0,
        exact: bounds.1.into(),
        limit: bounds.1,
        running: Vec::new(),
        waiting: VecDeque::new(),
        samples: Vec::new(),
        born: clock::now(),
    };
    let mut waiting: Vec<(usize, Pin<Box<Acquire>>)> = Vec::new();
    let mut running: Vec<Running> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Enter => {
                model.waiting.push_back(number);
                model.serve();
                let mut acquire = Box::pin(queue.acquire(Priority::NORMAL));
                let permit = poll(&mut acquire);
                assert_eq!(permit.is_some(), model.running.contains(&number));
                match permit {
                    Some(permit) => running.push(Running {
                        number,
                        permit,
                        naive: model.begin(false),
                    }),
                    None => waiting.push((number, acquire)),
                }
            }
            Step::Look(i) if !waiting.is_empty() => {
                let i = i % waiting.len();
                let number = waiting[i].0;
                let permit = poll(&mut waiting[i].1);
                assert_eq!(permit.is_some(), model.running.contains(&number));
                if let Some(permit) = permit {
                    drop(waiting.remove(i));
                    running.push(Running {
                        number,
                        permit,
                        naive: model.begin(true),
                    });
                }
            }
            Step::Leave(i) if !waiting.is_empty() => {
                let (number, acquire) = waiting.swap_remove(i % waiting.len());
                drop(acquire);
                model.waiting.retain(|n| *n != number);
                model.running.retain(|n| *n != number);
                model.serve();
            }
            Step::Head(i) if !running.is_empty() => {
                let i = i % running.len();
                let Running { permit, naive, .. } = &mut running[i];
                permit.head(Head::Promising);
                naive.head.get_or_insert(clock::now());
            }
            Step::Finish(i, end) if !running.is_empty() => {
                let call = running.swap_remove(i % running.len());
                let timed_out = Reason::Rejected(RejectionKind::TimedOut);
                let outcome = match end {
                    End::Success => Some(Outcome::SUCCESS),
                    End::Failure => Some(Outcome::failure(Reason::Error)),
                    End::Neutral => Some(Outcome::neutral(Reason::Error)),
                    End::Throttled => Some(Verdict::Throttled.into()),
                    End::TimedOut => Some(Outcome::failure(timed_out)),
                    End::Dropped => None,
                };
                match outcome {
                    Some(outcome) => call.permit.record(outcome),
                    None => drop(call.permit),
                }
                model.end(call.number, call.naive, end);
            }
            Step::Pass(time) => tokio::time::advance(ms(time)).await,
            _ => {}
        }
        let status = queue.status();
        assert_eq!(
            (status.limit, status.running as usize, status.queued),
            (model.limit, model.running.len(), model.waiting.len()),
            "after {step:?}"
        );
        assert_eq!(*notes.lock().expect("no panic"), model.samples, "after {step:?}");
    }
    drop((waiting, running));
    let status = queue.status();
    assert_eq!((status.running, status.queued), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_limit_is_told_of_every_call_that_says_something(
        bounds in bounds(), answers in answers(), steps in steps()
    ) {
        crate::test_services::paused().block_on(run(bounds, answers, steps));
    }
}
