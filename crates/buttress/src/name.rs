//! What a policy is called.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// The name of a policy: from its owner, or else from the first stack that it is put into.
#[derive(Default)]
pub(crate) struct Name(OnceLock<Arc<str>>);

impl Name {
    pub(crate) fn new(given: Option<&Arc<str>>) -> Self {
        Self(given.cloned().map_or_else(OnceLock::new, OnceLock::from))
    }

    /// Names the policy, unless somebody has.
    pub(crate) fn give(&self, name: &Arc<str>) {
        let _ = self.0.set(name.clone());
    }

    pub(crate) fn given(&self) -> Option<&Arc<str>> {
        self.0.get()
    }

    /// For those who are told of when the policy is gone.
    pub(crate) fn take(&mut self) -> Option<Arc<str>> {
        self.0.take()
    }

    pub(crate) fn is_given(&self) -> bool {
        self.0.get().is_some()
    }

    #[inline]
    pub(crate) fn or(&self, unnamed: &'static Unnamed) -> &Arc<str> {
        self.0.get().unwrap_or_else(|| unnamed.get())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get().fmt(f)
    }
}

/// The name of those policies of a concern that nobody has named.
pub(crate) struct Unnamed {
    concern: &'static str,
    name: OnceLock<Arc<str>>,
}

impl Unnamed {
    pub(crate) const fn new(concern: &'static str) -> Self {
        Self {
            concern,
            name: OnceLock::new(),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn get(&'static self) -> &'static Arc<str> {
        self.name.get_or_init(|| self.concern.into())
    }
}
