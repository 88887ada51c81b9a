//! A client's stack in two halves, above and below a pool whose endpoints are services of their own.

use tower::ServiceBuilder;
use tower_layer::Identity;

use super::Place;
#[cfg(feature = "pool")]
use super::{Client, Keeps, Mode, Stack, keeps};

/// Slots of a client's stack that can be split at the pool.
pub trait Split<K> {
    /// The layers above the pool.
    type Upper;

    /// The layers around each endpoint.
    type Lower;

    /// Those that may send requests again, above the pool.
    type Keeping;

    /// Makes the layers.
    fn split(self, kind: &K, place: &mut Place)
    -> (ServiceBuilder<Self::Upper>, ServiceBuilder<Self::Lower>);
}

/// A slot in which nothing stands.
#[diagnostic::on_unimplemented(
    message = "a stack that is split has its pool between the halves",
    note = "leave out `.pool(..)`, which is for one transport that reaches all endpoints"
)]
pub trait Unfilled {}

impl Unfilled for Identity {}

/// The lower half of a stack, from [`Stack::build_split`]: what stands around each endpoint, with the protocol `P` and the
/// body mode `M` of the pool above.
#[cfg(feature = "pool")]
#[derive(Clone, Debug)]
#[must_use = "endpoints need it"]
pub struct Lower<L, P, M> {
    layers: ServiceBuilder<L>,
    protocol: P,
    mode: M,
    place: Place,
}

/// The lower half of a stack with the slots `S`.
#[cfg(feature = "pool")]
pub type LowerOf<S, P, M> =
    Lower<<S as Split<Client<P, M>>>::Lower, P, Mode<<S as Split<Client<P, M>>>::Keeping, (), M>>;

#[cfg(feature = "pool")]
impl<P: Clone, M: Clone, S> Stack<Client<P, M>, S> {
    /// Puts the layers in their order, for a [`Pool`](crate::pool::Pool) whose endpoints are services of their own: the
    /// first half goes around the pool, the second around each endpoint.
    ///
    /// Each [endpoint](Lower::endpoint) gets a breaker of its own, with the options of the stack's.
    ///
    /// ```
    /// # #[cfg(all(feature = "circuit-breaker", feature = "retry", feature = "timeout"))] {
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use buttress::{Stack, circuit_breaker::CircuitBreaker, pool::Pool, retry::Retry};
    /// use tower::{ServiceExt, service_fn};
    ///
    /// let (upper, lower) = Stack::new("inventory")
    ///     .retry(Retry::standard())
    ///     .circuit_breaker(CircuitBreaker::builder().consecutive_failures(3).build()?)
    ///     .attempt_timeout(Duration::from_secs(2))?
    ///     .build_split();
    ///
    /// let node = |is_up: bool| service_fn(move |n: u32| async move {
    ///     if is_up { Ok(n * 2) } else { Err(std::io::Error::other("down")) }
    /// });
    /// let pool = Pool::builder()
    ///     .push(lower.endpoint("a", node(false)))
    ///     .push(lower.endpoint("b", node(true)).weight(2))
    ///     .build()?;
    /// let inventory = upper.service(lower.pool(&pool));
    /// assert_eq!(inventory.oneshot(4).await?, 8);
    /// # Ok(()) }
    /// # main().unwrap() }
    /// ```
    pub fn build_split(self) -> (ServiceBuilder<S::Upper>, LowerOf<S, P, M>)
    where
        S: Split<Client<P, M>, Keeping: Keeps>,
    {
        let mut place = self.place;
        let (upper, layers) = self.slots.split(&self.kind, &mut place);
        let Client { protocol, mode } = self.kind;
        let mode = keeps::mode::<S::Keeping, (), M>(mode);
        let lower = Lower {
            layers,
            protocol,
            mode,
            place,
        };
        (upper, lower)
    }
}

#[cfg(feature = "pool")]
impl<L, P, M> Lower<L, P, M> {
    /// An endpoint for the pool: its service with the layers around it, and its breaker.
    pub fn endpoint<S>(
        &self,
        name: impl Into<std::sync::Arc<str>>,
        service: S,
    ) -> crate::pool::Endpoint<L::Service>
    where
        L: tower_layer::Layer<S>,
    {
        let endpoint = crate::pool::Endpoint::new(name, self.layers.service(service));
        match self.place.guard() {
            Some(make) => endpoint.guarded_by(&make),
            None => endpoint,
        }
    }

    /// The pool as the service that the upper half goes around. It is named after the stack, if it has no name, and
    /// listed in its registry.
    pub fn pool<T>(&self, pool: &crate::pool::Pool<T>) -> crate::pool::PoolService<T, crate::pool::Own, P, M>
    where
        T: Send + Sync + 'static,
        P: Clone,
        M: Clone,
    {
        let pool = super::slot::pooled(pool, &self.place);
        crate::pool::PoolService::new(pool, crate::pool::Own, self.protocol.clone(), self.mode.clone())
    }
}

#[cfg(feature = "pool")]
impl<S, L: tower_layer::Layer<S>, P, M> tower_layer::Layer<S> for Lower<L, P, M> {
    type Service = L::Service;

    /// The service with the layers around it, and without the breaker that [`Lower::endpoint`] gives it.
    fn layer(&self, service: S) -> L::Service {
        self.layers.service(service)
    }
}
