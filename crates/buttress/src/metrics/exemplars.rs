use std::{
    array,
    num::NonZeroU128,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{export::Exemplar, outcome::Ending};

/// Of each way to end, the newest call that did.
#[derive(Debug)]
pub(super) struct Exemplars([Newest; Ending::COUNT]);

/// A call, in four words. They are written one by one, without a lock, so a reader may come in between, and two writers
/// may mix theirs. The last word tells: of a call that is not whole it is not the sum of the others.
#[derive(Debug, Default)]
struct Newest {
    high: AtomicU64,
    low: AtomicU64,
    nanos: AtomicU64,
    sum: AtomicU64,
}

impl Exemplars {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| Newest::default()))
    }

    pub(super) fn set(&self, ending: Ending, trace_id: NonZeroU128, nanos: u64) {
        self.0[ending as usize].set(trace_id.get(), nanos);
    }

    pub(super) fn read(&self) -> [Option<Exemplar>; Ending::COUNT] {
        array::from_fn(|ending| self.0[ending].get())
    }
}

impl Newest {
    fn set(&self, id: u128, nanos: u64) {
        let (high, low) = ((id >> 64) as u64, id as u64);
        self.high.store(high, Relaxed);
        self.low.store(low, Relaxed);
        self.nanos.store(nanos, Relaxed);
        self.sum.store(sum(high, low, nanos), Relaxed);
    }

    /// `None` if there has been none, or it is just being written.
    fn get(&self) -> Option<Exemplar> {
        let [high, low, nanos, said] =
            [&self.high, &self.low, &self.nanos, &self.sum].map(|word| word.load(Relaxed));
        let trace_id = NonZeroU128::new(u128::from(high) << 64 | u128::from(low))?;
        (said == sum(high, low, nanos)).then(|| Exemplar {
            trace_id,
            value: Duration::from_nanos(nanos).as_secs_f64(),
        })
    }
}

/// Turned, so that words in each other's places do not make the same.
fn sum(high: u64, low: u64, nanos: u64) -> u64 {
    high.wrapping_add(low.rotate_left(21))
        .wrapping_add(nanos.rotate_left(42))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_whole_is_not_shown() {
        let newest = Newest::default();
        assert_eq!(newest.get(), None);
        newest.set(1 << 64 | 2, 3_000_000_000);
        let found = newest.get().expect("it is whole");
        assert_eq!((found.trace_id.get(), found.value), (1 << 64 | 2, 3.0));
        for word in [&newest.high, &newest.low, &newest.nanos, &newest.sum] {
            let before = word.swap(77, Relaxed);
            assert_eq!(newest.get(), None);
            word.store(before, Relaxed);
        }
        assert_eq!(newest.get(), Some(found));
    }

    #[test]
    fn writers_that_meet_leave_one_of_theirs_or_none() {
        let newest = Newest::default();
        std::thread::scope(|scope| {
            for writer in 1..=3_u64 {
                let newest = &newest;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        newest.set(
                            u128::from(writer) << 64 | u128::from(writer),
                            writer * 1_000_000_000,
                        );
                    }
                });
            }
            for _ in 0..20_000 {
                if let Some(found) = newest.get() {
                    let id = found.trace_id.get();
                    assert_eq!(
                        (id >> 64, id as u64 as f64),
                        (id & u128::from(u64::MAX), found.value)
                    );
                }
            }
        });
    }
}
