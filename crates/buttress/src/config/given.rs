/// Options that are set one by one, by setters that take them and give them back.
pub(crate) trait Given: Sized {
    /// Sets what was given; what was not stays as it is.
    fn given<V>(self, value: Option<V>, set: impl FnOnce(Self, V) -> Self) -> Self {
        match value {
            Some(value) => set(self, value),
            None => self,
        }
    }
}

impl<T> Given for T {}
