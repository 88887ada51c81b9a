use std::marker::PhantomData;

use super::{Cause, Fallback, FallbackBuilder, Part, Reply, With, WithAsync};

impl Fallback<()> {
    /// Keeps what `part` takes from each request, for a function to answer by. It costs every call what `part` costs.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use std::collections::HashMap;
    /// use buttress::{Error, ErrorLayer, fallback::Fallback};
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// let yesterday = HashMap::from([("EUR", 1.09)]);
    /// let fallback = Fallback::keep(|currency: &&'static str| *currency)
    ///     .with(move |cause| yesterday.get(cause.kept).copied())
    ///     .build()?;
    ///
    /// let mut rates = ServiceBuilder::new()
    ///     .layer(fallback.layer())
    ///     .layer(ErrorLayer::new())
    ///     .service(service_fn(async |_: &'static str| Err(std::io::Error::other("no line"))));
    /// assert_eq!(rates.ready().await?.call("EUR").await?, 1.09);
    /// assert!(rates.ready().await?.call("XAU").await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn keep<Request, T, G>(part: G) -> Keeping<G, T>
    where
        G: Fn(&Request) -> T,
    {
        Keeping {
            part: Part(part),
            kept: PhantomData,
        }
    }
}

/// A fallback that is going to answer by what it keeps of requests, from [`Fallback::keep`].
#[derive(Debug)]
#[must_use = "nothing is kept until it is said what answers"]
pub struct Keeping<G, T> {
    part: Part<G>,
    kept: PhantomData<fn() -> T>,
}

impl<G, T> Keeping<G, T> {
    /// As [`Fallback::with`], with what was kept in [`Cause::kept`].
    pub fn with<F, E, O>(self, function: F) -> FallbackBuilder<With<F, E>, Part<G>>
    where
        F: Fn(Cause<'_, E, T>) -> O,
        O: Reply<E>,
    {
        FallbackBuilder::new(With::new(function), self.part)
    }

    /// As [`Fallback::with_async`], with what was kept in [`Cause::kept`].
    pub fn with_async<F, E, H>(self, function: F) -> FallbackBuilder<WithAsync<F, E>, Part<G>>
    where
        F: Fn(Cause<'_, E, T>) -> H,
        H: Future,
        H::Output: Reply<E>,
    {
        FallbackBuilder::new(WithAsync::new(function), self.part)
    }
}
