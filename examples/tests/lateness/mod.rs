//! Whether the machine itself was late, so that a time that is too long says nothing of what was timed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use buttress::clock;

/// By how much a thread that sleeps briefly has overslept at worst: what the machine alone was late by.
pub(crate) struct Lateness {
    worst: Arc<AtomicU64>,
    goes_on: Arc<AtomicBool>,
}

impl Lateness {
    pub(crate) fn watch() -> Self {
        let watch = Self {
            worst: Arc::default(),
            goes_on: Arc::new(AtomicBool::new(true)),
        };
        let (worst, goes_on) = (watch.worst.clone(), watch.goes_on.clone());
        thread::spawn(move || {
            let nap = Duration::from_millis(10);
            while goes_on.load(Relaxed) {
                let begin = clock::now();
                thread::sleep(nap);
                worst.fetch_max(begin.elapsed().saturating_sub(nap).as_millis() as u64, Relaxed);
            }
        });
        watch
    }

    pub(crate) fn worst(&self) -> Duration {
        Duration::from_millis(self.worst.load(Relaxed))
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.goes_on.store(false, Relaxed);
    }
}
