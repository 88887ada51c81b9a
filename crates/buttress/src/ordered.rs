//! A map that keeps its keys in the order in which they came.

use std::{borrow::Borrow, collections::HashMap, fmt, hash::Hash};

/// So many keys are looked through one by one: an index of them would cost more than it saves.
const FEW: usize = 16;

#[derive(Clone)]
pub(crate) struct Ordered<K, V> {
    entries: Vec<(K, V)>,
    /// Where each key is, once there are more than a few. In a box, for most maps have none and should be small.
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<K, usize>>>,
}

impl<K, V> Ordered<K, V> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            index: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }
}

impl<K: Clone + Eq + Hash, V> Ordered<K, V> {
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.position(key).map(|at| &self.entries[at].1)
    }

    /// The value of `key`, which is made with it if it is not there.
    pub(crate) fn or_insert_with<Q>(&mut self, key: &Q, make: impl FnOnce() -> (K, V)) -> &mut V
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let at = self.position(key).unwrap_or_else(|| {
            let (key, value) = make();
            self.push(key, value)
        });
        &mut self.entries[at].1
    }

    /// Adds the value, or puts it in the place of that of the same key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.position(&key) {
            Some(at) => self.entries[at].1 = value,
            None => {
                self.push(key, value);
            }
        }
    }

    /// Adds the value, unless the key is there.
    pub(crate) fn insert_new(&mut self, key: K, value: V) {
        if self.position(&key).is_none() {
            self.push(key, value);
        }
    }

    fn position<Q>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(known, _)| known.borrow() == key),
        }
    }

    /// Adds a key that is not there, and says where.
    fn push(&mut self, key: K, value: V) -> usize {
        let at = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), at);
        }
        self.entries.push((key, value));
        if at == FEW {
            let keys = self.entries.iter().map(|(key, _)| key.clone());
            self.index = Some(Box::new(keys.zip(0..).collect()));
        }
        at
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> IntoIterator for Ordered<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Ordered<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Ordered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|(key, value)| (key, value));
        f.debug_map().entries(entries).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{cell::Cell, hash::Hasher};

    use super::*;

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// A key that counts how often it is compared.
    #[derive(Clone, Debug)]
    struct Key(u32);

    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Key {}

    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    /// How many comparisons it takes to fill a map with so many keys, in each way, and to find them all.
    fn compared(keys: u32) -> usize {
        COMPARED.set(0);
        let (mut one, mut two, mut three) = (Ordered::new(), Ordered::new(), Ordered::new());
        for key in (0..keys).chain(0..keys) {
            one.insert(Key(key), key);
            two.insert_new(Key(key), key);
            *three.or_insert_with(&Key(key), || (Key(key), 0)) = key;
        }
        for key in 0..keys {
            for map in [&one, &two, &three] {
                assert_eq!(map.get(&Key(key)), Some(&key));
            }
        }
        COMPARED.get()
    }

    #[test]
    fn ten_times_as_many_keys_are_ten_times_as_many_comparisons() {
        let (hundred, thousand) = (compared(100), compared(1000));
        // What the first few take, that have no index, is in both.
        assert!(thousand < 12 * hundred, "{hundred} and {thousand}");
        assert!(thousand < 20 * 1000, "{thousand}");
    }

    #[test]
    fn keys_stay_in_the_order_in_which_they_came_and_have_one_value_each() {
        for keys in [3, 16, 17, 40_u32] {
            let mut map = Ordered::new();
            for key in (0..keys).rev() {
                map.insert_new(Key(key), 0);
                map.insert_new(Key(key), 1);
                assert_eq!(map.get(&Key(key)), Some(&0));
                map.insert(Key(key), key);
            }
            assert_eq!(map.get(&Key(keys)), None);
            assert_eq!(map.len(), keys as usize);
            let again = map.clone();
            assert_eq!(map, again);
            let entries: Vec<_> = map.into_iter().map(|(Key(key), value)| (key, value)).collect();
            assert_eq!(entries, (0..keys).rev().map(|key| (key, key)).collect::<Vec<_>>());
        }
    }
}
