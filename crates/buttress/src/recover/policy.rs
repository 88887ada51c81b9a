use std::{fmt, sync::Arc};

use super::{Catcher, Panic, Place, RecoverCall, RecoverLayer};
use crate::{
    directory::{Directory, Id},
    export::{Family, Samples},
    name::{Name, Unnamed},
    outcome::Plain,
    registry::{Drill, DrillError, Emitter, Listener, Policy},
    striped::Striped,
    value::Table,
};

const CONCERN: &str = "recover";

static PANICS: Family = Family::counter("panics", "Panics that were caught, by where");
pub(crate) static FAMILIES: &[&Family] = &[&PANICS];

/// Where a panic finds its policy.
pub(super) static DIRECTORY: Directory<Shared> = Directory::new();

pub(super) static UNNAMED: Unnamed = Unnamed::new(CONCERN);

/// The policy: it counts the panics of everything that it protects and tells of each. Clones share the counts.
///
/// See the [module](self::super) for what is caught.
#[derive(Clone)]
pub struct Recover {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    id: Id,
    name: Name,
    panics: Striped<4>,
    events: Emitter,
}

impl Recover {
    /// A policy without a name: a stack gives it its own, else it is called `recover`.
    #[must_use]
    pub fn new() -> Self {
        let shared = DIRECTORY.enter(|id| Shared {
            id,
            name: Name::default(),
            panics: Striped::new(),
            events: Emitter::default(),
        });
        Self { shared }
    }

    /// Gives it the name that its rejections and events bear. Clones share it, and the first name stays.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        self.name_if_unnamed(&name.into());
        self
    }

    /// The name given last of all, by the stack.
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.name.give(name);
    }

    /// The name that its rejections and events bear.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// The layer, for a service whose responses have no body that could panic.
    #[must_use]
    pub fn layer(&self) -> RecoverLayer {
        self.layer_for(Plain::new())
    }

    /// The layer for a service of that protocol: with `Http` and `Grpc` the response's body is guarded too.
    pub fn layer_for<P>(&self, protocol: P) -> RecoverLayer<P> {
        RecoverLayer::new(Some(self.clone()), protocol)
    }

    /// Runs `future` and turns a panic in it into an [`Error::Rejected`](crate::Error::Rejected).
    ///
    /// ```
    /// use buttress::{Error, RejectionKind, recover::Recover};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let recover = Recover::new().named("import");
    /// let answer: Result<u32, Error<std::num::ParseIntError>> =
    ///     recover.call(async { "12".parse().map(|n: u32| 100 / (n - 12)) }).await;
    ///
    /// assert_eq!(answer.unwrap_err().rejected().map(|r| r.kind()), Some(RejectionKind::Panicked));
    /// assert_eq!(recover.panics(), 1);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`: it is dropped with the returned one.
    pub fn call<F, T, E>(&self, future: F) -> RecoverCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        RecoverCall::new(future, self.catcher())
    }

    /// Panics caught since the last [reset](Drill::Reset).
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.shared.panics.read().iter().sum()
    }

    /// Panics caught in one place since the last [reset](Drill::Reset).
    #[must_use]
    pub fn panics_in(&self, place: Place) -> u64 {
        self.shared.panics.read()[place as usize]
    }

    /// Panics ever caught in one place: no reset lowers it, so an exporter may read it as a counter.
    #[must_use]
    pub fn total_in(&self, place: Place) -> u64 {
        self.shared.panics.total(place as usize)
    }

    /// What the futures and bodies of this policy's calls carry.
    #[inline]
    #[must_use]
    pub fn catcher(&self) -> Catcher {
        Catcher::of(self.shared.id)
    }
}

impl Shared {
    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    pub(super) fn count(&self, place: Place) {
        self.panics.add(place as usize, 1);
    }

    pub(super) fn emit(&self, panic: impl FnOnce() -> Panic) {
        self.events.emit(CONCERN, self.name(), panic);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        DIRECTORY.leave(self.id, self.name.take());
    }
}

impl Default for Recover {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Recover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recover")
            .field("name", &self.name())
            .field("panics", &self.panics())
            .finish()
    }
}

/// In a snapshot: `recover: {panics, ready, call, future, body}`. It understands [`Drill::Reset`].
impl Policy for Recover {
    fn concern(&self) -> &'static str {
        CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        let panics = self.shared.panics.read();
        let table = state.table(CONCERN);
        table.insert("panics", panics.iter().sum::<u64>());
        for place in Place::ALL {
            table.insert(place.as_str(), panics[place as usize]);
        }
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        for place in Place::ALL {
            samples.counter(
                &PANICS,
                &[("name", name), ("place", place.as_str())],
                self.total_in(place),
            );
        }
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.shared.panics.rebase();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}
