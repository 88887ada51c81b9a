use std::{
    backtrace::Backtrace,
    cell::Cell,
    panic,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// Where a panic came from, as only a panic hook can know.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) location: Option<String>,
    pub(super) backtrace: Arc<Backtrace>,
}

static ONCE: Once = Once::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Of its own and with no destructor, so that a guarded call reaches it in one instruction.
    static HERE: Here = const { Here { depth: Cell::new(0), recorded: Cell::new(false) } };
    /// The last panic inside a catcher, if none has taken it yet.
    static LAST: Cell<Option<Trace>> = const { Cell::new(None) };
}

struct Here {
    /// How many catchers there are between here and the thread's beginning.
    depth: Cell<usize>,
    /// Whether there is something in `LAST`.
    recorded: Cell<bool>,
}

/// Adds to the process's panic hook, so that caught panics are told with their location and backtrace.
///
/// A panic hook belongs to the whole process, therefore nothing here touches it unless this function is called:
/// once, early in `main`. The hook that was there before still runs for every panic, after ours (so the message
/// on stderr stays). Calling it a second time does nothing, as does calling it on a thread that is panicking.
/// A program that sets a hook of its own afterwards without chaining to this one loses location and backtrace
/// again, no more.
///
/// The backtrace is captured whatever `RUST_BACKTRACE` says, for panics that a [`Recover`](super::Recover) will
/// catch; others pay for one look at a thread-local. Capturing is slow, and showing it, which a log does, much
/// slower: if strangers can make your handlers panic at will, that is time that they can spend. A guarded call
/// that does not panic counts a thread-local up and down, no more.
///
/// ```
/// buttress::recover::install_hook();
/// ```
pub fn install_hook() {
    if thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            record(|| info.location().map(ToString::to_string));
            next(info);
        }));
        INSTALLED.store(true, Relaxed);
    });
}

/// A panic in here would be one inside the panic hook, which aborts: so nothing of a user's runs, and a
/// thread-local that is gone already is no matter.
fn record(location: impl FnOnce() -> Option<String>) {
    HERE.with(|here| {
        if here.depth.get() > 0 {
            let trace = Trace {
                location: location(),
                backtrace: Arc::new(Backtrace::force_capture()),
            };
            here.recorded
                .set(LAST.try_with(|last| last.set(Some(trace))).is_ok());
        }
    });
}

#[cold]
fn take() -> Option<Trace> {
    HERE.with(|here| here.recorded.set(false));
    LAST.try_with(Cell::take).ok().flatten()
}

#[cold]
#[inline(never)]
fn forget() {
    drop(take());
}

/// One catcher at work on this thread. Without the hook it is nothing but a look at a flag.
#[derive(Debug)]
pub(super) struct Scope {
    counted: bool,
}

impl Scope {
    /// Of a catcher that may be off: it will not catch what the hook would look at.
    #[inline]
    pub(super) fn enter(off: bool) -> Self {
        let counted = !off && INSTALLED.load(Relaxed);
        if counted {
            Self::count();
        }
        Self { counted }
    }

    #[inline]
    fn count() {
        HERE.with(|here| {
            if here.depth.get() == 0 && here.recorded.get() {
                // Left by a panic that somebody further in caught himself: not to be blamed on a later one
                // that passes the hook by (`resume_unwind`).
                forget();
            }
            here.depth.set(here.depth.get() + 1);
        });
    }

    /// What the hook saw of the panic that was just caught.
    pub(super) fn take(&self) -> Option<Trace> {
        take()
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        // Remembered in the scope, not asked anew: the hook may have been installed in the middle of it.
        if self.counted {
            HERE.with(|here| here.depth.set(here.depth.get() - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Option<String> {
        Some("here".to_owned())
    }

    // The process's hook is not installed in this test binary, so the scope is counted by hand.
    fn enter() -> Scope {
        Scope::count();
        Scope { counted: true }
    }

    #[test]
    fn only_panics_inside_a_catcher_are_recorded() {
        record(|| panic!("a panic that nobody here will catch was looked at"));
        let scope = enter();
        drop(enter());
        record(here);
        assert_eq!(scope.take().and_then(|t| t.location).as_deref(), Some("here"));
        assert!(scope.take().is_none(), "it is taken once");
        drop(scope);
        record(|| panic!("the scope had ended"));
    }

    #[test]
    fn what_an_earlier_call_left_is_not_blamed_on_a_later_one() {
        let first = enter();
        record(here);
        drop(first);
        assert!(enter().take().is_none());
    }
}
