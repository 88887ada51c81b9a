//! The sliding-window counter: two counters and the number of the window they belong to, in one word.
//!
//! Time is cut into windows. Of the calls in the window before, those count that would still lie in the sliding window
//! had they come evenly: `before × (share of that window which still lies in it) + present`. It is Cloudflare's ("How we
//! built rate limiting capable of scaling to millions of domains", 2017). Where the calls of the window before came all
//! at its end, up to twice the limit can lie in one window of time: never more, since each of the counters is at most
//! the limit.
//!
//! The counters take as many bits as the limit needs, the number of the window has the rest, sixteen at least; so it
//! comes round after 65 536 windows or more, and after three quarters of an hour at the least. A limit that nobody used
//! for just that long, or for up to two minutes less, has its old counts back for so long: it errs on the side of the
//! limit.

use std::time::Duration;

use super::{
    meter::{Meter, STATE_BITS},
    quota::{Quota, Refusal},
    rules::Rule,
};

/// The most permits that a window may have.
pub(super) const MOST: u64 = (1 << 23) - 1;

/// For so long, in nanoseconds, a thread may have been held up since it looked at the clock: a window that begins within
/// that is one that another has seen begin. Anything further ahead is an old one, for their numbers come round.
const HELD_UP: u64 = 120_000_000_000;

/// How many windows are looked at one by one to know how long a line of waiters takes.
const FARTHEST: u32 = 1000;

#[derive(Clone, Copy)]
pub(super) struct Counter {
    window: u64,
    limit: u64,
    /// Bits of each of the counters.
    bits: u32,
}

/// The state taken apart, as of some moment.
#[derive(Clone, Copy)]
struct Windows {
    index: u64,
    before: u64,
    present: u64,
    /// Nanoseconds of the present window that have passed.
    elapsed: u64,
    /// The moment itself: not before the window began.
    at: u64,
}

impl Counter {
    fn index_mask(self) -> u64 {
        (1 << (STATE_BITS - 2 * self.bits)) - 1
    }

    #[inline]
    fn unpack(self, state: u64, now: u64) -> Windows {
        let counter_mask = (1 << self.bits) - 1;
        let mask = self.index_mask();
        let (present, before) = (state & counter_mask, (state >> self.bits) & counter_mask);
        let number = now / self.window;
        let (index, elapsed) = (number & mask, now % self.window);
        let counted = state >> (2 * self.bits);
        let behind = index.wrapping_sub(counted) & mask;
        let (before, present) = match behind {
            0 => (before, present),
            1 => (present, 0),
            _ => {
                let ahead = counted.wrapping_sub(index) & mask;
                let at = number.saturating_add(ahead).saturating_mul(self.window);
                let is_held_up = at.saturating_sub(now) <= HELD_UP;
                if is_held_up && (before, present) != (0, 0) {
                    return Windows {
                        index: counted,
                        before,
                        present,
                        elapsed: 0,
                        at,
                    };
                }
                (0, 0)
            }
        };
        Windows {
            index,
            before,
            present,
            elapsed,
            at: now,
        }
    }

    #[inline]
    fn pack(self, windows: Windows) -> u64 {
        (windows.index << (2 * self.bits)) | (windows.before << self.bits) | windows.present
    }

    /// What of the window before still counts, times the window's length.
    #[inline]
    fn carried(self, windows: Windows) -> u128 {
        u128::from(windows.before) * u128::from(self.window - windows.elapsed)
    }

    /// Does that many more fit, beside what of the window before still counts?
    #[inline]
    fn fits(self, windows: Windows, permits: u64) -> bool {
        let taken = u128::from(windows.present) + u128::from(permits);
        self.carried(windows) + taken * u128::from(self.window)
            <= u128::from(self.limit) * u128::from(self.window)
    }

    /// How many permits count.
    fn used(self, windows: Windows) -> u64 {
        let carried = self.carried(windows).div_ceil(u128::from(self.window));
        windows.present + u64::try_from(carried).unwrap_or(self.limit)
    }

    /// From when on in a window `permits` fit beside `before` of the one before and none of the window itself.
    fn fits_from(self, before: u64, permits: u64) -> u64 {
        let free = u128::from(self.limit.saturating_sub(permits)) * u128::from(self.window);
        // Beside nothing they fit from the beginning.
        let share = free.checked_div(u128::from(before)).unwrap_or(u128::MAX);
        self.window - u64::try_from(share).unwrap_or(u64::MAX).min(self.window)
    }

    /// How long until so many more fit, if nobody else comes.
    fn until(self, windows: Windows, permits: u64) -> u64 {
        let taken = windows.present + permits;
        if taken <= self.limit {
            return self
                .fits_from(windows.before, taken)
                .saturating_sub(windows.elapsed);
        }
        self.window - windows.elapsed + self.fits_from(windows.present, permits)
    }
}

impl Counter {
    /// How it will be when so many others have taken one each as soon as they could, and in how long that is.
    fn after(self, mut windows: Windows, mut others: u64) -> (Windows, u64) {
        let (mut after, mut looked_at) = (0_u64, 0);
        while others > 0 {
            // As long as there is anything in the window before, the last permit comes with the next window.
            let most = self.limit - u64::from(windows.before > 0);
            let fit = most.saturating_sub(windows.present);
            if others <= fit {
                windows.present += others;
                let from = self.fits_from(windows.before, windows.present);
                after = after.saturating_add(from.saturating_sub(windows.elapsed));
                windows.elapsed = windows.elapsed.max(from);
                break;
            }
            others -= fit;
            after = after.saturating_add(self.window - windows.elapsed);
            windows.before = windows.present + fit;
            (windows.present, windows.elapsed) = (0, 0);
            looked_at += 1;
            if looked_at == FARTHEST {
                // Longer than anybody waits: near enough.
                after = after.saturating_add((others / self.limit).saturating_mul(self.window));
                break;
            }
        }
        (windows, after)
    }
}

impl Meter for Counter {
    #[inline]
    fn of(rule: Rule) -> Self {
        Self {
            window: rule.price,
            limit: rule.room,
            bits: u64::BITS - rule.room.leading_zeros(),
        }
    }

    #[inline]
    fn charge(self, state: u64, now: u64, permits: u32) -> Option<(u64, u64)> {
        let mut windows = self.unpack(state, now);
        self.fits(windows, permits.into()).then(|| {
            windows.present += u64::from(permits);
            (self.pack(windows), windows.at)
        })
    }

    fn wait(self, state: u64, now: u64, ahead: u64, permits: u32) -> Refusal {
        if u64::from(permits) > self.limit {
            return Refusal::Never;
        }
        let windows = self.unpack(state, now);
        let (windows, after) = self.after(windows, ahead);
        let until = windows.at.saturating_sub(now).saturating_add(after);
        Refusal::Until(until.saturating_add(self.until(windows, permits.into())))
    }

    fn give_back(self, state: u64, now: u64, at: u64, permits: u32) -> u64 {
        let mut windows = self.unpack(state, now);
        let mask = self.index_mask();
        let ago = windows.index.wrapping_sub(at / self.window) & mask;
        let counter = match ago {
            0 => &mut windows.present,
            1 => &mut windows.before,
            _ => return state,
        };
        *counter = counter.saturating_sub(permits.into());
        self.pack(windows)
    }

    fn quota(self, state: u64, now: u64) -> Quota {
        let windows = self.unpack(state, now);
        let remaining = self.limit.saturating_sub(self.used(windows));
        let reset = match (windows.before, windows.present) {
            (0, 0) => 0,
            (_, 0) => self.window - windows.elapsed,
            _ => 2 * self.window - windows.elapsed,
        };
        let next = || windows.at.saturating_sub(now) + self.until(windows, 1);
        Quota {
            limit: self.limit,
            remaining,
            window: Duration::from_nanos(self.window),
            reset: Duration::from_nanos(reset),
            retry_after: (remaining == 0).then(|| Duration::from_nanos(next())),
        }
    }

    fn is_idle(self, state: u64, now: u64) -> bool {
        let windows = self.unpack(state, now);
        windows.before == 0 && windows.present == 0
    }

    /// What counts now is taken to have come just now.
    fn convert(self, state: u64, to: Self, now: u64) -> u64 {
        let used = self.used(self.unpack(state, now));
        let mut windows = to.unpack(0, now);
        (windows.index, windows.before) = ((now / to.window) & to.index_mask(), 0);
        windows.present = used.min(to.limit);
        to.pack(windows)
    }
}
