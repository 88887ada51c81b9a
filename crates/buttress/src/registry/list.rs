use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;

use super::Policy;

/// What is in a registry.
#[derive(Default)]
pub(super) struct List {
    entries: Vec<Entry>,
    /// Policies that were taken off the list and may come back.
    gone: Vec<Gone>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) policy: Arc<dyn Policy>,
    link: Arc<Link>,
}

/// What ties a registry's listener to the list. A policy keeps its listeners for as long as it lives: so that of one
/// that is taken off the list falls silent, and if the policy comes back, it is taken up again.
#[derive(Default)]
pub(super) struct Link {
    // Not an `Arc<str>` itself: what is swapped has to be of one word.
    name: ArcSwapOption<Arc<str>>,
}

struct Gone {
    concern: &'static str,
    identity: usize,
    /// Alive as long as the policy that holds the listener: until then, no other can be at its address.
    link: Weak<Link>,
}

impl Link {
    /// The name of the policy, while it is listed.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.name.load().as_deref().cloned()
    }
}

impl List {
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(super) fn find(&self, policy: &dyn Policy) -> Option<&Entry> {
        let (concern, identity) = (policy.concern(), policy.identity());
        let is_it = |entry: &&Entry| {
            let known = &entry.policy;
            known.concern() == concern && known.identity() == identity
        };
        self.entries.iter().find(is_it)
    }

    /// `wanted`, or what comes nearest to it of what no other policy of the concern has.
    pub(super) fn free_name(&self, wanted: Arc<str>, concern: &str) -> Arc<str> {
        let is_taken = |name: &str| {
            let mut entries = self.entries.iter();
            entries.any(|entry| *entry.name == *name && entry.policy.concern() == concern)
        };
        if !is_taken(&wanted) {
            return wanted;
        }
        let mut others = (2_u64..).map(|n| Arc::from(format!("{wanted}#{n}")));
        others.find(|name| !is_taken(name)).unwrap_or(wanted)
    }

    /// Adds a policy that is not on it. The link is to be given to a listener of its own if it is new.
    pub(super) fn add(&mut self, name: Arc<str>, policy: Arc<dyn Policy>) -> (Arc<Link>, bool) {
        let (concern, identity) = (policy.concern(), policy.identity());
        let is_it = |gone: &Gone| gone.concern == concern && gone.identity == identity;
        let before = self.gone.iter().filter(|gone| is_it(gone));
        let before = before.filter_map(|gone| gone.link.upgrade()).next();
        self.gone
            .retain(|gone| !is_it(gone) && gone.link.strong_count() > 0);
        let is_new = before.is_none();
        let link = before.unwrap_or_default();
        link.name.store(Some(Arc::new(name.clone())));
        self.entries.push(Entry {
            name,
            policy,
            link: link.clone(),
        });
        (link, is_new)
    }

    /// Takes off what has that name.
    pub(super) fn remove(&mut self, name: &str) -> Vec<Entry> {
        let (removed, kept) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition::<Vec<_>, _>(|entry| *entry.name == *name);
        self.entries = kept;
        self.gone.retain(|gone| gone.link.strong_count() > 0);
        for entry in &removed {
            entry.link.name.store(None);
            self.gone.push(Gone {
                concern: entry.policy.concern(),
                identity: entry.policy.identity(),
                link: Arc::downgrade(&entry.link),
            });
        }
        removed
    }
}
