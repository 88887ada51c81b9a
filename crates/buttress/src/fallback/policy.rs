use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    Answer, CONCERN, FallbackBuilder, FallbackCall, FallbackFuture, FallbackLayer, FallingBack, Nothing,
    Snapshot, Substitute,
    books::{Books, Line},
    families,
};
use crate::{
    clock,
    config::ConfigError,
    export::Samples,
    name::{Name, Unnamed},
    outcome::{AnyError, Plain, Protocol},
    registry::{Drill, DrillError, Emitter, Listener, News, Policy, PolicyChanged},
    replay::Same,
    value::Table,
};

/// Answers calls that failed: with what, for what, and the books behind an [`Arc`].
///
/// # Clone
///
/// Clones share all of it. So do all layers and services made from them.
pub struct Fallback<A, K = Nothing> {
    pub(super) shared: Arc<Shared<A, K>>,
}

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Shared<A, K> {
    keeper: Arc<K>,
    pub(super) options: ArcSwap<FallbackBuilder<A, K>>,
    pub(super) books: Books,
    news: News,
    events: Emitter,
    name: Name,
}

impl<A, K> Fallback<A, K> {
    /// A fallback that answers with a type of your own; see [`Answer`] and [`Keep`](super::Keep).
    pub fn custom(answer: A, keep: K) -> FallbackBuilder<A, K> {
        FallbackBuilder::new(answer, keep)
    }

    pub(super) fn from_checked(options: FallbackBuilder<A, K>) -> Self {
        Self {
            shared: Arc::new(Shared {
                keeper: options.keeper.clone(),
                name: Name::new(options.name.as_ref()),
                options: ArcSwap::from_pointee(options),
                books: Books::new(),
                news: News::new(),
                events: Emitter::default(),
            }),
        }
    }

    // ===== calls =====

    /// The layer for plain services; see [`layer_for`](Self::layer_for) for HTTP and gRPC.
    #[must_use]
    pub fn layer(&self) -> FallbackLayer<A, K> {
        self.layer_for(Plain::new())
    }

    /// The layer for services that speak `protocol`, whose verdict on an answer it goes by. If the whole request is
    /// kept, for another service, both services take the body type that the caller has; see [`FallbackLayer::new`]
    /// for others.
    pub fn layer_for<P>(&self, protocol: P) -> FallbackLayer<A, K, P> {
        FallbackLayer::new(self.clone(), protocol, Same)
    }

    #[inline]
    pub(super) fn keeper(&self) -> &K {
        &self.shared.keeper
    }

    // ===== reading and steering =====

    /// The name in events and the registry.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.shared.name().clone()
    }

    /// How often it answered, and for what.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (answered_for, [declined, failed, not_repeatable]) = self.shared.books.read();
        Snapshot {
            name: self.name(),
            answered: answered_for.iter().map(|(_, count)| count).sum(),
            answered_for,
            declined,
            failed,
            not_repeatable,
        }
    }

    /// The options in force, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> FallbackBuilder<A, K> {
        self.shared.options.load().as_ref().clone()
    }

    /// Changes what it is for and what it answers with while it runs, for calls that fail from now on. The name, and
    /// what is kept of requests, cannot be changed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, mut options: FallbackBuilder<A, K>) -> Result<(), ConfigError> {
        options.check()?;
        options.name = self.shared.options.load().name.clone();
        self.shared.options.store(Arc::new(options));
        self.shared
            .events
            .emit(CONCERN, self.shared.name(), || PolicyChanged);
        Ok(())
    }

    /// Has `listener` called with every event, on the task in which it happened. It is called with no lock held,
    /// so it may ask or steer the policy.
    pub fn listen(&self, listener: impl Fn(&crate::registry::Event) + Send + Sync + 'static) {
        self.shared.events.listen(Arc::new(listener));
    }

    /// Names a policy that its owner did not.
    #[allow(dead_code)]
    pub(crate) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.shared.name.give(name);
    }
}

impl<A> Fallback<A> {
    /// Waits for `future` and answers in place of its failure: for those who have no tower service.
    ///
    /// `Ok` is a success, and `Err` a failure, or what the [rejection](crate::Rejected) in it or in one of its causes
    /// says; so a breaker inside is understood. For errors that are no [`std::error::Error`], or another judgement,
    /// see [`call_with`](Self::call_with).
    ///
    /// # Errors
    ///
    /// Those of the future that the fallback is not for or has no answer to, and the fallback's own.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, or, once that has failed, as the fallback.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use buttress::fallback::Fallback;
    ///
    /// let fallback = Fallback::value(10).build()?;
    /// let answer = fallback.call(async { Err(std::io::Error::other("no line")) });
    /// assert_eq!(answer.await?, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn call<F, T, E>(&self, future: F) -> FallbackCall<F, A, Plain<AnyError>>
    where
        F: Future<Output = Result<T, E>>,
        E: std::error::Error + 'static,
        A: Answer<(), T, E, Response = T>,
    {
        self.call_with(AnyError::protocol(), future)
    }

    /// [`call`](Self::call) with another judgement: [`Plain::new`] for errors that
    /// [can carry a rejection](crate::CallError), such as boxed ones, or [`Plain::classify`] for any.
    pub fn call_with<P, F, T, E>(&self, protocol: P, future: F) -> FallbackCall<F, A, P>
    where
        P: Protocol<T, E> + Substitute<T, A::Response>,
        F: Future<Output = Result<T, E>>,
        A: Answer<(), T, E>,
    {
        FallbackFuture::new(future, protocol, Same, Some((self.clone(), ())))
    }
}

impl<A, K> Shared<A, K> {
    fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    /// Counts an answer.
    pub(super) fn answered(&self, line: Line) {
        self.books.answered(line);
        // The clock is not read where nobody listens.
        if self.events.is_heard() && self.news.happens(clock::now()) {
            self.events
                .emit(CONCERN, self.name(), || FallingBack { cause: line.name() });
        }
    }
}

impl<A, K> Clone for Fallback<A, K> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<A, K> fmt::Debug for Fallback<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", self.shared.name())
            .finish_non_exhaustive()
    }
}

/// In a snapshot: `fallback: {answered, answeredFor: {circuit_open, ..}, declined, failed, notRepeatable}`. It
/// understands [`Drill::Reset`].
impl<A, K> Policy for Fallback<A, K>
where
    A: Send + Sync + 'static,
    K: Send + Sync + 'static,
{
    fn concern(&self) -> &'static str {
        CONCERN
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert(CONCERN, Table::from(&self.snapshot()));
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        families::write(&self.shared.books, name, samples);
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            Drill::Reset => {
                self.shared.books.reset();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }
}
