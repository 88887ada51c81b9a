//! Random histories of uses of keys, against a list in which everything is looked up: what each key gets, who is in the
//! map, who has left and why; and that nobody leaves who is busy.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib keyed::tests::model` looks further.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Use(u8),
    /// Uses it if it is there.
    Get(u8),
    Remove(u8),
    /// A call by that key begins, and stays under way.
    Hold(u8),
    /// A call ends.
    Release(usize),
    /// In hundredths of the idle time.
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || 0..12_u8;
    let pass = prop_oneof![
        2 => 0..20_u32,
        2 => prop_oneof![Just(12), Just(13), Just(99), Just(100), Just(101)],
        1 => 0..250_u32,
    ];
    prop_oneof![
        10 => key().prop_map(Step::Use),
        2 => key().prop_map(Step::Get),
        1 => key().prop_map(Step::Remove),
        3 => key().prop_map(Step::Hold),
        3 => any::<usize>().prop_map(Step::Release),
        6 => pass.prop_map(Step::Pass),
    ]
}

/// A key that has a value of its own.
struct Entry {
    key: u8,
    value: Policy,
    /// Since the last sweep.
    used: bool,
}

struct Naive {
    capacity: usize,
    idle: Duration,
    entries: Vec<Entry>,
    now: Duration,
    swept: Duration,
    overflowed: u64,
}

impl Naive {
    fn entry(&mut self, key: u8) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    /// The value of a key that has one.
    fn touch(&mut self, key: u8) -> Option<Policy> {
        let entry = self.entry(key)?;
        entry.used = true;
        Some(entry.value.clone())
    }

    /// A new key comes: those who have not been used for as long as that takes, and are not busy, leave.
    fn sweep_if_due(&mut self) {
        let early = (self.idle / 8).max(Duration::from_secs(1)).min(self.idle);
        let wait = if self.entries.len() < self.capacity {
            self.idle
        } else {
            early
        };
        if self.now - self.swept < wait {
            return;
        }
        self.entries
            .retain(|entry| entry.used || entry.value.0.busy.load(Relaxed));
        self.entries.iter_mut().for_each(|entry| entry.used = false);
        self.swept = self.now;
    }
}

fn name(key: u8) -> String {
    format!("key {key}")
}

/// What a key gets, in the map and in the list.
fn agree(map: &Map, naive: &mut Naive, key: u8) -> Policy {
    let got = find(map, &name(key));
    if let Some(value) = naive.touch(key) {
        let Found::Known(known) = got else {
            panic!("{key} is there, but got {got:?}")
        };
        assert!(known.is(&value), "{key} has been lost");
        return known;
    }
    naive.sweep_if_due();
    if naive.entries.len() == naive.capacity {
        naive.overflowed += 1;
        let Found::Overflow(shared) = got else {
            panic!("there is no room for {key}, but it got {got:?}")
        };
        assert!(shared.is(map.overflow()));
        return shared;
    }
    let Found::Made(value) = got else {
        panic!("{key} is new, but got {got:?}")
    };
    assert!(
        !naive.entries.iter().any(|entry| entry.value.is(&value)),
        "{key} has another's"
    );
    naive.entries.push(Entry {
        key,
        value: value.clone(),
        used: true,
    });
    value
}

async fn run(capacity: usize, idle: Duration, steps: Vec<Step>) {
    let map = map(capacity, idle);
    let mut naive = Naive {
        capacity,
        idle,
        entries: Vec::new(),
        now: Duration::ZERO,
        swept: Duration::ZERO,
        overflowed: 0,
    };
    let mut calls: Vec<(u8, Policy)> = Vec::new();
    for step in steps {
        match step {
            Step::Use(key) => drop(agree(&map, &mut naive, key)),
            Step::Get(key) => {
                let (got, known) = (map.get(&*name(key)), naive.touch(key));
                assert_eq!(got.is_some(), known.is_some(), "{key}");
                assert!(got.zip(known).is_none_or(|(got, known)| got.is(&known)));
            }
            Step::Remove(key) => {
                let known = naive.entries.iter().position(|entry| entry.key == key);
                assert_eq!(map.remove(&*name(key)).is_some(), known.is_some());
                known.map(|known| naive.entries.remove(known));
                calls.retain(|(of, _)| *of != key);
            }
            Step::Hold(key) => {
                let value = agree(&map, &mut naive, key);
                if naive.entry(key).is_some() {
                    value.0.busy.store(true, Relaxed);
                    calls.push((key, value));
                }
            }
            Step::Release(i) if !calls.is_empty() => {
                let (key, value) = calls.swap_remove(i % calls.len());
                let is_last = !calls.iter().any(|(of, _)| *of == key);
                value.0.busy.store(!is_last, Relaxed);
            }
            Step::Pass(hundredths) => {
                let time = idle * hundredths / 100;
                advance(time).await;
                naive.now += time;
            }
            Step::Release(_) => {}
        }
        let mut keys: Vec<_> = map
            .snapshot()
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect();
        keys.sort();
        let mut expected: Vec<_> = naive.entries.iter().map(|entry| name(entry.key)).collect();
        expected.sort();
        assert_eq!(keys, expected, "after {step:?}");
        assert_eq!(map.len(), naive.entries.len(), "after {step:?}");
        assert!(map.len() <= capacity);
        assert_eq!(map.overflowed(), naive.overflowed, "after {step:?}");
        for (key, value) in &calls {
            let entry = naive.entry(*key).expect("nobody leaves who is busy");
            assert!(entry.value.is(value));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_bounded_map_agrees_with_a_list(
        capacity in 1..8_usize, seconds in prop_oneof![Just(1), Just(60)], steps in prop::collection::vec(steps(), 0..200)
    ) {
        let idle = Duration::from_secs(seconds);
        crate::test_services::paused().block_on(run(capacity, idle, steps));
    }
}
