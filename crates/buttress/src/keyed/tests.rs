mod model;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier},
    thread,
};

use tokio::time::advance;

use super::*;

const IDLE: Duration = Duration::from_secs(60);

/// A policy that says whether it may go, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Policy(Arc<State>);

#[derive(Debug, Default)]
struct State {
    busy: AtomicBool,
    asked: AtomicUsize,
}

impl Evictable for Policy {
    fn evictable(&self, _: Instant) -> bool {
        self.0.asked.fetch_add(1, Relaxed);
        !self.0.busy.load(Relaxed)
    }
}

impl Policy {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

type Map = Keyed<Arc<str>, Policy>;

fn map(capacity: usize, idle: Duration) -> Map {
    Keyed::new(capacity, idle, Policy::default())
}

fn find(map: &Map, key: &str) -> Found<Policy> {
    map.get_or_insert_with(key, Arc::from, |_| Policy::default())
}

fn use_of(map: &Map, key: &str) -> Policy {
    find(map, key).into_value()
}

/// What is really in the map, whatever the counter says.
fn entries(map: &Map) -> usize {
    let mut n = 0;
    map.for_each(|_, _| n += 1);
    n
}

fn has(map: &Map, key: &str) -> bool {
    map.snapshot().iter().any(|(k, _)| **k == *key)
}

/// Lets `time` pass and has an insertion see it.
async fn pass(map: &Map, time: Duration, newcomer: &str) {
    advance(time).await;
    find(map, newcomer);
}

#[test]
fn a_key_keeps_its_value() {
    let map = map(8, IDLE);
    let Found::Made(first) = find(&map, "a") else {
        panic!("there was none");
    };
    let Found::Known(again) = find(&map, "a") else {
        panic!("there is one");
    };
    assert!(first.is(&again));
    assert!(map.get("a").is_some_and(|p| p.is(&first)));
    assert!(!use_of(&map, "b").is(&first));
    assert!(map.get("c").is_none());
    assert_eq!((map.len(), map.capacity(), map.overflowed()), (2, 8, 0));
}

#[test]
fn a_removed_key_starts_afresh() {
    let map = map(1, IDLE);
    let first = use_of(&map, "a");
    assert!(map.remove("a").is_some_and(|p| p.is(&first)));
    assert!(map.remove("a").is_none());
    assert_eq!(map.len(), 0);
    assert!(matches!(find(&map, "a"), Found::Made(p) if !p.is(&first)));
}

#[test]
fn a_full_map_sends_new_keys_to_one_overflow_value() {
    let map = map(2, IDLE);
    let (a, _) = (use_of(&map, "a"), use_of(&map, "b"));
    for key in ["c", "d", "c"] {
        assert!(matches!(find(&map, key), Found::Overflow(p) if p.is(map.overflow())));
    }
    assert_eq!((map.len(), map.overflowed()), (2, 3));
    assert!(matches!(find(&map, "a"), Found::Known(p) if p.is(&a)));

    map.remove("b");
    assert!(matches!(find(&map, "c"), Found::Made(_)));
}

#[test]
fn without_room_nothing_is_made() {
    let map = map(0, IDLE);
    let found = map.get_or_insert_with("a", |_| panic!("a key"), |_| panic!("a value"));
    assert!(matches!(found, Found::Overflow(_)));
}

#[test]
fn a_panic_while_making_a_value_returns_the_place() {
    let map = map(1, IDLE);
    let made = catch_unwind(AssertUnwindSafe(|| {
        map.get_or_insert_with("a", Arc::from, |_| panic!("no value"))
    }));
    assert!(made.is_err());
    assert_eq!((map.len(), entries(&map)), (0, 0));
    assert!(matches!(find(&map, "a"), Found::Made(_)));
}

#[tokio::test(start_paused = true)]
async fn an_unused_entry_leaves_between_one_and_two_idle_times() {
    let map = map(100, IDLE);
    use_of(&map, "a");
    pass(&map, IDLE - Duration::from_nanos(1), "n1").await;
    assert!(has(&map, "a"), "too early");
    pass(&map, Duration::from_nanos(1), "n2").await;
    assert!(has(&map, "a"), "it was used since the sweep before");
    pass(&map, IDLE - Duration::from_nanos(1), "n3").await;
    assert!(has(&map, "a"), "the sweep is not due");
    pass(&map, Duration::from_nanos(1), "n4").await;
    assert!(!has(&map, "a"));
    assert_eq!(map.len(), entries(&map));
}

#[tokio::test(start_paused = true)]
async fn a_used_entry_stays() {
    let map = map(100, IDLE);
    let a = use_of(&map, "a");
    for i in 0..10 {
        pass(&map, IDLE, &format!("n{i}")).await;
        let again = if i % 2 == 0 {
            map.get("a")
        } else {
            Some(use_of(&map, "a"))
        };
        assert!(again.is_some_and(|p| p.is(&a)), "after {i} idle times");
    }
    assert!(map.len() <= 4, "the others left");
}

#[tokio::test(start_paused = true)]
async fn looking_at_an_entry_is_no_use_of_it() {
    let map = map(100, IDLE);
    use_of(&map, "a");
    pass(&map, IDLE, "n1").await;
    assert_eq!(map.snapshot().len(), 2);
    pass(&map, IDLE, "n2").await;
    assert!(!has(&map, "a"));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_may_not_be_forgotten_stays_until_it_may() {
    let map = map(100, IDLE);
    let open = use_of(&map, "open");
    open.0.busy.store(true, Relaxed);
    for i in 0..10 {
        pass(&map, IDLE, &format!("n{i}")).await;
    }
    assert!(has(&map, "open"));
    open.0.busy.store(false, Relaxed);
    pass(&map, IDLE, "last").await;
    assert!(!has(&map, "open"));
}

#[tokio::test(start_paused = true)]
async fn a_full_map_is_swept_early_for_newcomers() {
    let map = map(2, IDLE);
    use_of(&map, "a");
    use_of(&map, "b");
    pass(&map, IDLE / 8, "c").await;
    use_of(&map, "b");
    pass(&map, IDLE / 8, "c").await;
    assert!(!has(&map, "a") && has(&map, "b") && has(&map, "c"));
    assert_eq!(map.overflowed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_new_keys_does_not_cause_a_sweep_each() {
    let map = map(10, IDLE);
    let residents: Vec<_> = (0..10).map(|i| use_of(&map, &format!("r{i}"))).collect();
    residents.iter().for_each(|p| p.0.busy.store(true, Relaxed));
    let asked = || residents.iter().map(|p| p.0.asked.load(Relaxed)).sum::<usize>();

    advance(IDLE).await;
    find(&map, "unmarks all");
    assert_eq!(asked(), 0);
    for i in 0..10_000 {
        find(&map, &format!("hostile {i}"));
        // 10 s in all, in which an early sweep comes due once.
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(asked(), 10);
    assert_eq!(map.overflowed(), 10_001);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_sweep_does_not_end_all_sweeping() {
    #[derive(Clone)]
    struct Panics(Arc<AtomicUsize>);
    impl Evictable for Panics {
        fn evictable(&self, _: Instant) -> bool {
            assert!(self.0.fetch_add(1, Relaxed) > 0, "the first time");
            true
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let map = Keyed::new(1, IDLE, Panics(asked.clone()));
    let find = |key: u32| map.get_or_insert_with(&key, |k| *k, |_| Panics(asked.clone()));
    find(1);
    advance(IDLE).await;
    find(2);
    advance(IDLE).await;
    assert!(catch_unwind(AssertUnwindSafe(|| find(2))).is_err());
    assert!(matches!(find(2), Found::Made(_)));
}

#[test]
fn a_value_that_was_given_up_is_not_handed_out() {
    // The moment between the sweep's mark and the removal, held still.
    let map = map(1, IDLE);
    let old = use_of(&map, "a");
    let guard = map.map.guard();
    map.map
        .get("a", &guard)
        .expect("it is there")
        .mark
        .store(LEAVING, Relaxed);
    assert!(map.get("a").is_none());
    assert!(matches!(find(&map, "a"), Found::Made(p) if !p.is(&old)));
    assert_eq!((map.len(), entries(&map)), (1, 1));
    // The sweeping thread comes late and must not take the newcomer.
    map.drop_leaving("a", clock::now(), &guard);
    assert_eq!((map.len(), entries(&map)), (1, 1));
}

#[test]
fn threads_with_the_same_new_key_get_one_value() {
    for _ in 0..200 {
        let map = map(64, IDLE);
        let barrier = Barrier::new(8);
        let found: Vec<_> = thread::scope(|s| {
            let one = || {
                barrier.wait();
                find(&map, "a")
            };
            let threads: Vec<_> = (0..8).map(|_| s.spawn(one)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        let made = found.iter().filter(|f| matches!(f, Found::Made(_))).count();
        assert_eq!(made, 1);
        let first = found[0].clone().into_value();
        assert!(found.into_iter().all(|f| f.into_value().is(&first)));
        assert_eq!((map.len(), entries(&map)), (1, 1));
    }
}

#[test]
fn threads_with_many_new_keys_never_exceed_the_capacity() {
    // With no idle time at all every insertion sweeps, so that entries come and go as fast as they can.
    for idle in [IDLE, Duration::ZERO] {
        let map = map(50, idle);
        let busy = use_of(&map, "busy");
        busy.0.busy.store(true, Relaxed);
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            let watch = s.spawn(|| {
                while !done.load(Relaxed) {
                    let n = entries(&map);
                    assert!(n <= 50 && map.len() <= 50, "{n} entries");
                }
            });
            let hammer = |t: usize| {
                let map = &map;
                move || {
                    for i in 0..2000 {
                        find(map, &format!("{}", (i * 7 + t * 3) % 200));
                        if i % 16 == 0 {
                            map.remove(format!("{}", i % 200).as_str());
                        }
                    }
                }
            };
            let threads: Vec<_> = (0..6).map(|t| s.spawn(hammer(t))).collect();
            let ended: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, Relaxed);
            assert!(ended.iter().all(Result::is_ok));
            watch.join().expect("never over the capacity");
        });
        assert_eq!(map.len(), entries(&map), "every place is accounted for");
        assert!(map.get("busy").is_some_and(|p| p.is(&busy)));
    }
}

#[test]
fn an_entry_costs_one_word_beside_key_and_value() {
    // The table adds 9 bytes a place, at worst three eighths of them filled, and the allocator its own.
    assert_eq!(size_of::<Slot<Policy>>(), size_of::<Policy>() + 8);
}
