use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{
    Panic, Place,
    hook::{Scope, Trace},
    policy::{self, DIRECTORY, Shared},
};
use crate::{
    directory::{Entry, Id},
    error::{Rejected, RejectionKind},
};

/// What a guarded future or body carries of its policy: a number, nothing that would have to be counted up and
/// down on every call. [Off](Self::OFF), it catches nothing.
///
/// Only those who guard bodies by hand meet it.
#[derive(Clone, Copy, Debug)]
pub struct Catcher {
    policy: Option<Id>,
}

/// What is kept of a panic's text, in bytes.
const LONGEST_MESSAGE: usize = 1024;

impl Catcher {
    /// Catches nothing: a panic goes on its way.
    pub const OFF: Self = Self { policy: None };

    #[inline]
    pub(super) fn of(policy: Id) -> Self {
        Self { policy: Some(policy) }
    }

    /// Runs `work`. If it panics, the panic is counted and told, and the answer is its rejection. The caller
    /// must then [`discard`](Self::discard) whatever `work` had its hands on.
    ///
    /// `work` writes its result where the caller returns it from: one that had to be taken out of another
    /// `Result` first would be moved about, and those moves cost several times what the catching does.
    #[inline]
    pub(super) fn catch(self, place: Place, work: impl FnOnce()) -> Result<(), Rejected> {
        let scope = Scope::enter(self.policy.is_none());
        // Unwind safety is about seeing what a panic left half-changed. What `work` changes is the service,
        // future or body that panicked; each caller parts with it at once, to be dropped and never asked again.
        // State that such a thing shares with others was theirs to protect before us: it would be seen just so
        // if the panic ended its thread or its task.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(()) => Ok(()),
            Err(payload) => Err(self.caught(place, payload, scope)),
        }
    }

    #[cold]
    #[inline(never)]
    fn caught(self, place: Place, payload: Box<dyn Any + Send>, scope: Scope) -> Rejected {
        match self.policy {
            Some(policy) => caught(policy, place, payload, scope.take()),
            // Off: the panic goes on its way. It is caught all the same, because otherwise the inner service would be
            // called in two places, and the compiler would inline it, with all the layers in it, in neither.
            None => {
                drop(scope);
                resume_unwind(payload)
            }
        }
    }

    /// Drops, by way of `drop`, what has panicked. That it may panic again in its `Drop` is told to the log and
    /// is otherwise of no consequence: the call has its error already.
    #[cold]
    pub(super) fn discard(self, place: Place, drop: impl FnOnce()) {
        let scope = Scope::enter(false);
        // As above; the value is gone, however far its `drop` came.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
            let panic = panic_of(place, payload, scope.take());
            quietly(|| {
                log(
                    self.rejection().policy(),
                    &panic,
                    "panicked again when it was dropped",
                )
            });
        }
    }

    /// The rejection of a call that met a panic, this one or an earlier one.
    #[cold]
    pub(super) fn rejection(self) -> Rejected {
        rejection_by(&self.policy.map_or(Entry::Forgotten, |id| DIRECTORY.find(id)))
    }
}

fn rejection_by(policy: &Entry<Shared>) -> Rejected {
    let name = match policy {
        Entry::Alive(policy) => policy.name(),
        Entry::Gone(name) => name,
        Entry::Forgotten => policy::UNNAMED.get(),
    };
    Rejected::new(RejectionKind::Panicked, name.clone())
}

#[cold]
fn caught(id: Id, place: Place, payload: Box<dyn Any + Send>, trace: Option<Trace>) -> Rejected {
    let panic = panic_of(place, payload, trace);
    let policy = DIRECTORY.find(id);
    let rejection = rejection_by(&policy);
    quietly(|| log(rejection.policy(), &panic, "caught a panic"));
    if let Entry::Alive(policy) = policy {
        policy.count(place);
        quietly(|| policy.emit(|| panic));
    }
    rejection
}

fn log(policy: &str, panic: &Panic, what: &'static str) {
    tracing::error!(
        target: "buttress::recover",
        policy,
        place = panic.place.as_str(),
        panic = panic.message,
        location = panic.location,
        backtrace = panic.backtrace.as_ref().map(tracing::field::display),
        "{what}",
    );
}

/// Runs what is not ours, a log's subscriber or a destructor, where a panic would come from nowhere.
fn quietly(work: impl FnOnce()) {
    // As above: nobody looks at it again from here.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        dispose(payload);
    }
}

fn panic_of(place: Place, payload: Box<dyn Any + Send>, trace: Option<Trace>) -> Panic {
    let message = text(&*payload).to_owned();
    dispose(payload);
    let (location, backtrace) = trace.map_or((None, None), |t| (t.location, Some(t.backtrace)));
    Panic {
        place,
        message,
        location,
        backtrace,
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = match (
        payload.downcast_ref::<&'static str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "not a text",
    };
    let mut end = text.len().min(LONGEST_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Drops a payload. Its destructor is a user's and may panic; what that throws is leaked, because its own
/// destructor may do the same, and so on without end.
fn dispose(payload: Box<dyn Any + Send>) {
    // As above.
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(next);
    }
}
