use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that fades as time goes by, and when it was last what it is, in one word.
///
/// The number is 32 bits of float, the time 32 bits of milliseconds, which come round after 49 days. A word of 0 is
/// a number that nobody has given yet.
#[derive(Debug, Default)]
pub(super) struct Fading(AtomicU64);

/// In milliseconds, since the pool was made.
pub(super) type Tick = u64;

impl Fading {
    /// What is left of the number after fading by `1/e` in each `span` milliseconds; `None` if there is none.
    #[inline]
    pub(super) fn read(&self, now: Tick, span: f32) -> Option<f32> {
        let word = self.0.load(Relaxed);
        (word != 0).then(|| value(word) * kept(word, now, span))
    }

    /// Is there a number that is not nothing?
    #[inline]
    pub(super) fn is_some(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Replaces the number by what `next` makes of it and of the share of it that has not faded.
    #[inline]
    pub(super) fn update(&self, now: Tick, span: f32, next: impl Fn(Option<f32>, f32) -> f32) {
        let mut word = self.0.load(Relaxed);
        loop {
            let before = (word != 0).then(|| value(word));
            let after = pack(next(before, kept(word, now, span)), now);
            match self.0.compare_exchange_weak(word, after, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(changed) => word = changed,
            }
        }
    }

    /// Forgets the number.
    pub(super) fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

fn value(word: u64) -> f32 {
    f32::from_bits((word >> 32) as u32)
}

fn pack(value: f32, now: Tick) -> u64 {
    // Never 0, so that the word is not.
    let value = value.max(f32::MIN_POSITIVE);
    (u64::from(value.to_bits()) << 32) | (now & u64::from(u32::MAX))
}

#[inline]
fn kept(word: u64, now: Tick, span: f32) -> f32 {
    let since = (now as u32).wrapping_sub(word as u32);
    // Half the range is "before": another thread looked at the clock after this one. And mostly it is the same
    // millisecond.
    if since == 0 || since > u32::MAX / 2 {
        return 1.0;
    }
    (-(since as f32) / span).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fades_and_nothing_does_not() {
        let number = Fading::default();
        assert_eq!(number.read(5, 10.0), None);
        number.update(5, 10.0, |before, _| before.map_or(8.0, |_| unreachable!()));
        assert_eq!(number.read(5, 10.0), Some(8.0));
        let later = number.read(15, 10.0).expect("it is known");
        assert!((later - 8.0 / std::f32::consts::E).abs() < 1e-3);
        // A clock that was looked at earlier.
        assert_eq!(number.read(3, 10.0), Some(8.0));
        number.clear();
        assert!(!number.is_some());
    }

    #[test]
    fn time_may_come_round() {
        let number = Fading::default();
        let end = u64::from(u32::MAX);
        number.update(end, 10.0, |_, _| 8.0);
        let later = number.read(end + 10, 10.0).expect("it is known");
        assert!((later - 8.0 / std::f32::consts::E).abs() < 1e-3);
    }
}
