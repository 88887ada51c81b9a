use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::time::sleep;
use tower::Service;

use super::script::ms;
use crate::{
    Error, Outcome, Verdict,
    clock::{self, Instant},
    context,
    outcome::Reason,
};

/// How one attempt at a call goes: so many milliseconds, and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) takes: u64,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answer,
    /// A response that says so.
    Poor(Fault),
    /// An error.
    Fault(Fault),
    Panic,
    Never,
}

/// What a service may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// No success.
    pub(crate) verdict: Verdict,
    /// When to come again, in milliseconds.
    pub(crate) asked: Option<u64>,
    pub(crate) forbids: bool,
}

impl Fault {
    pub(crate) const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            asked: None,
            forbids: false,
        }
    }
}

pub(crate) type Played = Result<Reply, Error<Fault>>;

/// The number of the attempt, from 1 on, that has answered, and what is wrong with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) attempt: u32,
    pub(crate) but: Option<Fault>,
}

pub(crate) fn judge(played: &Played) -> Outcome {
    match played {
        Ok(Reply { but: None, .. }) => Outcome::SUCCESS,
        Ok(Reply { but: Some(fault), .. }) | Err(Error::Inner(fault)) => {
            let outcome = Outcome::new(fault.verdict, Reason::Error).with_retry_after(fault.asked.map(ms));
            if fault.forbids {
                outcome.forbid_retry()
            } else {
                outcome
            }
        }
        Err(error) => Outcome::of_error(error),
    }
}

/// An attempt that was made: when it began, which it was by its context, and when it was over or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) at: u64,
    pub(crate) attempt: u32,
    pub(crate) until: Option<u64>,
}

/// A service each of whose calls has a script of its own: the lines of its attempts, the last of them for ever. A request
/// is the number of the call.
#[derive(Clone)]
pub(crate) struct Play(Arc<Inside>);

struct Inside {
    born: Instant,
    scripts: Vec<Vec<Line>>,
    made: Mutex<Vec<Vec<Made>>>,
}

impl Play {
    pub(crate) fn new(scripts: Vec<Vec<Line>>) -> Self {
        Self(Arc::new(Inside {
            born: clock::now(),
            made: Mutex::new(vec![Vec::new(); scripts.len()]),
            scripts,
        }))
    }

    /// The attempts at each call.
    pub(crate) fn made(&self) -> Vec<Vec<Made>> {
        self.0.made.lock().expect("no panic").clone()
    }

    fn now(&self) -> u64 {
        (clock::now() - self.0.born).as_millis() as u64
    }

    /// One more attempt at that call.
    fn begin(&self, call: usize) -> (Line, Attempt) {
        let mut made = self.0.made.lock().expect("no panic");
        let number = made[call].len();
        made[call].push(Made {
            at: self.now(),
            attempt: context::current_attempt(),
            until: None,
        });
        let script = &self.0.scripts[call];
        let line = script.get(number).or(script.last()).copied().expect("a line");
        let play = self.clone();
        (line, Attempt { play, call, number })
    }
}

/// Panics as a service does that is told to: nobody need read of it.
pub(crate) fn panics() -> ! {
    std::panic::resume_unwind(Box::new("as it is told to"))
}

impl End {
    async fn played(self, attempt: u32) -> Played {
        match self {
            Self::Answer => Ok(Reply { attempt, but: None }),
            Self::Poor(fault) => Ok(Reply {
                attempt,
                but: Some(fault),
            }),
            Self::Fault(fault) => Err(Error::Inner(fault)),
            Self::Panic => panics(),
            Self::Never => std::future::pending().await,
        }
    }

    /// What the caller of that attempt gets, and what is wrong with it. A panic is nothing to get.
    pub(crate) fn told(self, attempt: u32) -> (Result<Reply, Fault>, Option<Fault>) {
        match self {
            Self::Answer => (Ok(Reply { attempt, but: None }), None),
            Self::Poor(fault) => {
                let but = Some(fault);
                (Ok(Reply { attempt, but }), but)
            }
            Self::Fault(fault) => (Err(fault), Some(fault)),
            Self::Panic | Self::Never => unreachable!("it has no result"),
        }
    }
}

/// Notes when it is over.
struct Attempt {
    play: Play,
    call: usize,
    number: usize,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let now = self.play.now();
        self.play.0.made.lock().expect("no panic")[self.call][self.number].until = Some(now);
    }
}

impl Service<usize> for Play {
    type Response = Reply;
    type Error = Error<Fault>;
    type Future = Pin<Box<dyn Future<Output = Played> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: usize) -> Self::Future {
        let (line, attempt) = self.begin(call);
        Box::pin(async move {
            // All of it, and not its number alone.
            let attempt = attempt;
            if line.takes > 0 {
                sleep(ms(line.takes)).await;
            }
            line.end.played(attempt.number as u32 + 1).await
        })
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate<T> {
    Over(T),
    Panicked,
    Cancelled,
}

/// When a call is made, and when its caller gives up, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cue {
    pub(crate) at: u64,
    pub(crate) gives_up: Option<u64>,
}

/// Makes the calls, each on a task of its own, and says what became of each, and when.
pub(crate) async fn perform<F, T>(cues: &[Cue], call: impl Fn(usize) -> F) -> Vec<(u64, Fate<T>)>
where
    F: Future<Output = T> + 'static,
    T: Copy + 'static,
{
    let began = clock::now();
    let local = tokio::task::LocalSet::new();
    let mut tasks = Vec::new();
    for (number, cue) in cues.iter().copied().enumerate() {
        let future = Box::pin(call(number));
        let end = Rc::new(RefCell::new(None));
        let noted = Noted(end.clone());
        let task = local.spawn_local(async move {
            tokio::time::sleep_until(began + ms(cue.at)).await;
            let _noted = noted;
            match cue.gives_up {
                None => Some(future.await),
                Some(at) => tokio::time::timeout_at(began + ms(at), future).await.ok(),
            }
        });
        tasks.push((task, end));
    }
    // Whoever waits for ever has not been woken.
    let all = tokio::time::timeout(ms(1 << 40), local);
    all.await.expect("every call comes to an end");
    let mut fates = Vec::new();
    for (task, end) in tasks {
        let fate = match task.await {
            Ok(Some(over)) => Fate::Over(over),
            Ok(None) => Fate::Cancelled,
            Err(_) => Fate::Panicked,
        };
        let end: Instant = end.borrow().expect("it is over");
        fates.push(((end - began).as_millis() as u64, fate));
    }
    fates
}

/// Notes when it is dropped.
struct Noted(Rc<RefCell<Option<Instant>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        *self.0.borrow_mut() = Some(clock::now());
    }
}
