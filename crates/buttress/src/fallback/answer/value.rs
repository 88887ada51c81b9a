use std::{
    fmt,
    future::{Ready, ready},
};

use super::{Answer, Answered, FailedCall};
use crate::fallback::{Fallback, FallbackBuilder, Nothing};

/// Answers every call with a clone of one value. It is cloned only when it is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<V>(V);

impl<V: Clone> Fallback<Value<V>> {
    /// Answers with a clone of `value`: the value of a plain service's `Ok`, or for HTTP a whole
    /// `http::Response`, of any body that has the service's kind of data.
    ///
    /// ```
    /// use buttress::fallback::Fallback;
    ///
    /// let rates = Fallback::value(vec![1.0, 1.09]).name("rates").build()?;
    /// # let _ = rates;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn value(value: V) -> FallbackBuilder<Value<V>> {
        FallbackBuilder::new(Value(value), Nothing)
    }
}

impl<V> Value<V> {
    /// The value.
    pub const fn get(&self) -> &V {
        &self.0
    }
}

impl<V: Clone, K, R, E> Answer<K, R, E> for Value<V> {
    type Response = V;
    type Future = Ready<Answered<V, R, E>>;

    fn answer(&self, _: FailedCall<R, E, K>) -> Self::Future {
        ready(Answered::Answer(self.0.clone()))
    }
}

/// Without the value, which need not be `Debug` and may be long.
impl<V> fmt::Debug for Value<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}
