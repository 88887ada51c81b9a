//! A server whose handler calls on through a client, and a log that keeps what it is told.

#[cfg(feature = "http")]
mod cost;
#[cfg(feature = "http")]
mod inbound;
#[cfg(feature = "http")]
mod log;
#[cfg(feature = "http")]
mod outbound;
mod plain;
#[cfg(feature = "http")]
mod w3c;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{context::Trace, test_services::ask_every_log};

/// A span by its number, and what was about to begin when it was entered.
type Entered = (u64, Option<Trace>);

/// Keeps every span and event under its targets, by default ours, down to a level.
#[derive(Clone)]
struct Log {
    targets: &'static [&'static str],
    level: Level,
    seen: Arc<Mutex<Vec<Entry>>>,
    inside: Arc<Mutex<Vec<u64>>>,
    /// Which span was entered, and what an exporter was told then.
    entered: Arc<Mutex<Vec<Entered>>>,
    last: Arc<AtomicU64>,
}

/// A span or an event.
#[derive(Clone, Debug)]
struct Entry {
    /// The span's; 0 for an event.
    id: u64,
    /// The span around it, 0 for none.
    within: u64,
    metadata: &'static Metadata<'static>,
    fields: BTreeMap<&'static str, String>,
}

impl Log {
    fn down_to(level: Level) -> Self {
        ask_every_log();
        Self {
            targets: &["buttress::trace_id", "buttress::access"],
            level,
            seen: Arc::default(),
            inside: Arc::default(),
            entered: Arc::default(),
            last: Arc::default(),
        }
    }

    #[cfg(feature = "http")]
    fn of(self, targets: &'static [&'static str]) -> Self {
        Self { targets, ..self }
    }

    #[cfg(feature = "http")]
    fn under<R>(&self, work: impl FnOnce() -> R) -> R {
        tracing::subscriber::with_default(self.clone(), work)
    }

    fn entries(&self) -> Vec<Entry> {
        self.seen.lock().expect("no panic under it").clone()
    }

    #[cfg(feature = "http")]
    fn lines(&self) -> Vec<Entry> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.metadata.target() == "buttress::access");
        entries
    }

    #[cfg(feature = "http")]
    fn span(&self, name: &str) -> Entry {
        let found: Vec<Entry> = self
            .entries()
            .into_iter()
            .filter(|e| e.metadata.name() == name)
            .collect();
        assert_eq!(found.len(), 1, "`{name}` in {:?}", self.entries());
        found[0].clone()
    }

    fn push(&self, mut entry: Entry, explicit: Option<u64>, is_contextual: bool) {
        let inside = self.inside.lock().expect("no panic under it").last().copied();
        entry.within = explicit.or(inside.filter(|_| is_contextual)).unwrap_or(0);
        self.seen.lock().expect("no panic under it").push(entry);
    }
}

impl Entry {
    #[cfg(feature = "http")]
    fn level(&self) -> Level {
        *self.metadata.level()
    }

    fn of(metadata: &'static Metadata<'static>) -> Self {
        Self {
            id: 0,
            within: 0,
            metadata,
            fields: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn get(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .unwrap_or_else(|| panic!("`{field}` is missing in {:?}", self.fields))
    }

    #[cfg(feature = "http")]
    fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.targets.contains(&metadata.target()) && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut entry = Entry::of(span.metadata());
        entry.id = self.last.fetch_add(1, Relaxed) + 1;
        span.record(&mut entry);
        let id = Id::from_u64(entry.id);
        self.push(entry, span.parent().map(Id::into_u64), span.is_contextual());
        id
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut seen = self.seen.lock().expect("no panic under it");
        let entry = seen.iter_mut().find(|entry| entry.id == span.into_u64());
        values.record(entry.expect("a span"));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut entry = Entry::of(event.metadata());
        event.record(&mut entry);
        self.push(entry, event.parent().map(Id::into_u64), event.is_contextual());
    }

    fn enter(&self, span: &Id) {
        self.entered
            .lock()
            .expect("no panic under it")
            .push((span.into_u64(), super::beginning()));
        self.inside
            .lock()
            .expect("no panic under it")
            .push(span.into_u64());
    }

    fn current_span(&self) -> tracing_core::span::Current {
        let inside = self.inside.lock().expect("no panic under it").last().copied();
        let entries = self.entries();
        match entries.iter().find(|entry| inside == Some(entry.id)) {
            Some(span) => tracing_core::span::Current::new(Id::from_u64(span.id), span.metadata),
            None => tracing_core::span::Current::none(),
        }
    }

    fn exit(&self, _: &Id) {
        self.inside.lock().expect("no panic under it").pop();
    }
}
