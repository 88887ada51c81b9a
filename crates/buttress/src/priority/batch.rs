use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::AcqRel},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::PriorityCall;
use crate::error::Error;

/// A batch of calls that wait for slots, each in its own class; from
/// [`PriorityQueue::call_all`](super::PriorityQueue::call_all).
///
/// A call is polled when it has been woken, not whenever another has: a thousand of them cost no more than they would in
/// a thousand tasks.
///
/// # Cancel safety
///
/// Dropping it drops all calls: those that wait leave the line, those that run give their slots back.
#[must_use = "futures do nothing unless polled"]
pub struct CallAll<F, T, E> {
    calls: Vec<Stage<F, T, E>>,
    wakers: Vec<Waker>,
    board: Arc<Board>,
    left: usize,
}

enum Stage<F, T, E> {
    Running(Pin<Box<PriorityCall<F>>>),
    Over(Result<T, Error<E>>),
    Taken,
}

/// Who has been woken.
struct Board {
    woken: Box<[AtomicU64]>,
    // Not on the way of a call: it is locked to wake the batch, and nothing foreign runs under it.
    task: Mutex<Option<Waker>>,
}

struct Member {
    board: Arc<Board>,
    index: usize,
}

impl<F, T, E> CallAll<F, T, E>
where
    F: Future<Output = Result<T, E>>,
{
    pub(super) fn new(calls: impl Iterator<Item = PriorityCall<F>>) -> Self {
        let calls: Vec<_> = calls.map(|call| Stage::Running(Box::pin(call))).collect();
        let words = calls.len().div_ceil(64);
        let board = Arc::new(Board {
            // All are to be polled once.
            woken: (0..words).map(|_| AtomicU64::new(u64::MAX)).collect(),
            task: Mutex::new(None),
        });
        let member = |index| {
            let board = board.clone();
            Waker::from(Arc::new(Member { board, index }))
        };
        Self {
            wakers: (0..calls.len()).map(member).collect(),
            left: calls.len(),
            calls,
            board,
        }
    }

    fn poll_one(&mut self, index: usize) {
        let (Some(stage), Some(waker)) = (self.calls.get_mut(index), self.wakers.get(index)) else {
            return;
        };
        if let Stage::Running(call) = stage {
            if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(waker)) {
                *stage = Stage::Over(result);
                self.left -= 1;
            }
        }
    }
}

/// The calls are boxed, and nothing else in it is pinned.
impl<F, T, E> Unpin for CallAll<F, T, E> {}

impl<F, T, E> Future for CallAll<F, T, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Vec<Result<T, Error<E>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Before anybody is polled: who is woken from now on finds it.
        let before = {
            let mut task = self.board.task();
            match &*task {
                Some(task) if task.will_wake(cx.waker()) => None,
                _ => task.replace(cx.waker().clone()),
            }
        };
        drop(before);
        for word in 0..self.board.woken.len() {
            let mut woken = self.board.woken[word].swap(0, AcqRel);
            while woken != 0 {
                let bit = woken.trailing_zeros();
                woken &= woken - 1;
                self.poll_one(word * 64 + bit as usize);
            }
        }
        if self.left > 0 {
            return Poll::Pending;
        }
        let take = |stage: &mut Stage<F, T, E>| match std::mem::replace(stage, Stage::Taken) {
            Stage::Over(result) => result,
            Stage::Running(_) | Stage::Taken => panic!("`CallAll` polled after it was ready"),
        };
        Poll::Ready(self.calls.iter_mut().map(take).collect())
    }
}

impl Board {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (word, bit) = (self.index / 64, self.index % 64);
        let bit = 1_u64 << bit;
        if self.board.woken[word].fetch_or(bit, AcqRel) & bit == 0 {
            let task = self.board.task().clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

impl<F, T, E> fmt::Debug for CallAll<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAll")
            .field("calls", &self.calls.len())
            .field("left", &self.left)
            .finish()
    }
}
