use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use tokio::sync::broadcast;

use super::Listener;
use crate::clock::{self, Instant};

/// Something that happened to a policy.
///
/// The fields say where and when; [`detail`](Self::detail) is the concern's own type for what happened, such as
/// `circuit_breaker::Transition`:
///
/// ```
/// # #[cfg(feature = "circuit-breaker")] {
/// use buttress::{circuit_breaker::{State, Transition}, registry::Event};
///
/// fn page_someone(event: &Event) -> bool {
///     event.detail::<Transition>().is_some_and(|t| t.to == State::Open)
/// }
/// # let _ = page_someone;
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The policy's name; to those who listen to a registry, the one that it has there.
    pub policy: Arc<str>,
    /// The policy's concern, in `snake_case`.
    pub concern: &'static str,
    /// When it happened.
    pub at: Instant,
    /// What the policy that holds this one calls it, if one does.
    member: Option<Arc<str>>,
    detail: Arc<dyn Detail>,
}

impl Event {
    fn new(concern: &'static str, policy: &Arc<str>, detail: impl Detail) -> Self {
        Self {
            policy: policy.clone(),
            concern,
            at: clock::now(),
            member: None,
            detail: Arc::new(detail),
        }
    }

    /// As a registry tells it, in which the policy that it came from has that name and is of that concern.
    pub(super) fn named(&self, name: &Arc<str>, concern: &str) -> Self {
        let policy = match &self.member {
            Some(member) => format!("{name}:{member}").into(),
            None if self.concern == concern => name.clone(),
            // Of something inside of a policy of a user's own.
            None => self.policy.clone(),
        };
        Self {
            policy,
            member: None,
            ..self.clone()
        }
    }

    /// What happened, if it is of that type.
    #[must_use]
    pub fn detail<T: Detail>(&self) -> Option<&T> {
        let detail: &dyn Any = &*self.detail;
        detail.downcast_ref()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.concern, self.policy, self.detail)
    }
}

/// What an event may tell: any type that can be shown and shared.
pub trait Detail: Any + fmt::Debug + fmt::Display + Send + Sync {}

impl<T: Any + fmt::Debug + fmt::Display + Send + Sync> Detail for T {}

/// A policy was registered, or made under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created;

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("created")
    }
}

/// A policy was taken out of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed;

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("removed")
    }
}

/// A policy's options were changed while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyChanged;

impl fmt::Display for PolicyChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policy changed")
    }
}

/// The sending side of events, one in each policy. An event is built only if someone listens, and listeners are
/// called with no lock held.
#[derive(Default)]
pub(crate) struct Emitter {
    listeners: ArcSwapOption<Vec<Listener>>,
    channel: OnceLock<broadcast::Sender<Event>>,
}

/// How many events a slow subscriber may fall behind before it misses some.
const BACKLOG: usize = 1024;

impl Emitter {
    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.rcu(|now| {
            let mut next = now.as_ref().map(|l| l.to_vec()).unwrap_or_default();
            next.push(listener.clone());
            Some(Arc::new(next))
        });
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let channel = self.channel.get_or_init(|| broadcast::Sender::new(BACKLOG));
        Subscription {
            receiver: channel.subscribe(),
        }
    }

    pub(crate) fn emit<D: Detail>(
        &self,
        concern: &'static str,
        policy: &Arc<str>,
        detail: impl FnOnce() -> D,
    ) {
        if self.is_heard() {
            self.forward(&Event::new(concern, policy, detail()));
        }
    }

    /// Passes on what happened to a policy that this one holds and calls `member`.
    #[cfg_attr(
        not(all(feature = "circuit-breaker", feature = "keyed", feature = "pool")),
        allow(dead_code)
    )]
    pub(crate) fn forward_of_member(&self, event: &Event, member: &Arc<str>) {
        if self.is_heard() {
            self.forward(&Event {
                member: Some(member.clone()),
                ..event.clone()
            });
        }
    }

    /// [`emit`](Self::emit), of a policy that this one holds and calls `member`.
    #[cfg_attr(
        not(all(feature = "circuit-breaker", feature = "keyed", feature = "pool")),
        allow(dead_code)
    )]
    pub(crate) fn emit_of_member<D: Detail>(
        &self,
        concern: &'static str,
        policy: &Arc<str>,
        member: &Arc<str>,
        detail: impl FnOnce() -> D,
    ) {
        if self.is_heard() {
            self.forward_of_member(&Event::new(concern, policy, detail()), member);
        }
    }

    pub(crate) fn forward(&self, event: &Event) {
        // A copy of the list, not a guard on it: a listener may add a listener.
        if let Some(listeners) = self.listeners.load_full() {
            for listener in listeners.iter() {
                if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
                    tracing::error!(target: "buttress::registry", policy = %event.policy, "an event listener panicked");
                }
            }
        }
        if let Some(channel) = self.channel.get() {
            // Nobody left to hear it is no error.
            let _ = channel.send(event.clone());
        }
    }

    /// Whether there is anybody to tell.
    pub(crate) fn is_heard(&self) -> bool {
        self.listeners.load().is_some() || self.channel.get().is_some_and(|c| c.receiver_count() > 0)
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field(
                "listeners",
                &self.listeners.load().as_ref().map_or(0, |l| l.len()),
            )
            .finish()
    }
}

/// Tells what is news from what goes on: for events of what happens with every call while something is wrong.
#[cfg_attr(
    not(any(feature = "fallback", feature = "hedge", feature = "retry")),
    allow(dead_code)
)]
#[derive(Debug)]
pub(crate) struct News {
    born: Instant,
    /// When it last happened, in seconds of the life of this, counted from 1.
    last: AtomicU64,
}

/// For how long a thing must not have happened before it is news again.
const QUIET_SECONDS: u64 = 10;

#[cfg_attr(
    not(any(feature = "fallback", feature = "hedge", feature = "retry")),
    allow(dead_code)
)]
impl News {
    pub(crate) fn new() -> Self {
        Self {
            born: clock::now(),
            last: AtomicU64::new(0),
        }
    }

    /// It happens: is that news?
    pub(crate) fn happens(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.born).as_secs() + 1;
        let before = self.last.swap(second, Relaxed);
        before == 0 || second >= before + QUIET_SECONDS
    }
}

/// The receiving side of [`Registry::subscribe`](super::Registry::subscribe).
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Event>,
}

/// So many events were missed, the oldest first, because they were not taken in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were missed", self.0)
    }
}

impl std::error::Error for Lagged {}

impl Subscription {
    /// The next event; `None` when the registry is gone.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if events were missed; the next call goes on with the oldest that is still there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(n)) => Some(Err(Lagged(n))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if events were missed.
    pub fn try_next(&mut self) -> Option<Result<Event, Lagged>> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::TryRecvError::Lagged(n)) => Some(Err(Lagged(n))),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}
