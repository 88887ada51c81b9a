use std::{
    fmt::Debug,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::Field,
    span::{Attributes, Id, Record},
};

/// A log that keeps the events under one target as text: their level and their fields; or panics.
#[derive(Clone)]
pub(crate) struct Log {
    target: &'static str,
    panics: bool,
    lines: Arc<Mutex<Vec<String>>>,
}

/// Wants nothing and is never the default. As long as there is but one dispatcher, `tracing` asks the one of whatever
/// thread comes upon a place in the code first, which in another test is none, and remembers its answer for all.
struct Deaf;

static DEAF: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [Deaf, Deaf].map(Dispatch::new));

/// From now on every log is asked about every place in the code.
pub(crate) fn ask_every_log() {
    LazyLock::force(&DEAF);
}

impl Log {
    pub(crate) fn of(target: &'static str) -> Self {
        ask_every_log();
        Self {
            target,
            panics: false,
            lines: Arc::default(),
        }
    }

    pub(crate) fn panicking(self) -> Self {
        Self { panics: true, ..self }
    }

    pub(crate) fn under<R>(&self, work: impl FnOnce() -> R) -> R {
        tracing::subscriber::with_default(self.clone(), work)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic under it").clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == self.target
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        assert!(!self.panics, "the log is broken");
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            line += &format!(" {field}={value:?}");
        });
        self.lines.lock().expect("no panic under it").push(line);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Subscriber for Deaf {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
