//! What can be chosen, and what cannot.

use super::*;
use crate::{
    config,
    priority::limit::{Adaptive, Aimd, Gradient2, Vegas},
    registry::{Drill, PolicyChanged, Registry},
    value::{Table, Value},
};

fn problems(options: PriorityQueueBuilder) -> Vec<String> {
    match options.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|p| p.key().to_owned()).collect(),
    }
}

fn read(table: &Table) -> Result<PriorityQueueBuilder, crate::ConfigError> {
    config::read(table, PriorityQueueBuilder::read)
}

#[test]
fn a_builder_names_every_problem_at_once() {
    let wrong = PriorityQueue::builder()
        .concurrency(0)
        .queue(u32::MAX)
        .reserved(1)
        .ageing(Ageing::Promote {
            after: Duration::ZERO,
        })
        .discipline(Discipline::CoDel {
            target: Duration::ZERO,
            interval: Duration::MAX,
        })
        .max_queue_time(Priority::HIGH, Duration::ZERO)
        .classifier(
            Classifier::new()
                .field("Not A Header")
                .claims(Priority::HIGH..=Priority::LOW),
        );
    assert_eq!(
        problems(wrong),
        [
            "concurrency",
            "queue",
            "reserved",
            "ageing.promote_after",
            "discipline.codel.target",
            "discipline.codel.interval",
            "max_queue_time.high",
            "classify.max",
            "classify.header",
        ]
    );
    let adaptive = Adaptive::from(Gradient2::new().tolerance(0.5))
        .min(10)
        .max(5)
        .initial(3);
    assert_eq!(
        problems(PriorityQueue::builder().concurrency(adaptive)),
        ["concurrency.max", "concurrency.initial", "concurrency.tolerance"]
    );
    let aimd = Aimd::new().backoff(1.0).slow_after(Duration::ZERO);
    assert_eq!(
        problems(PriorityQueue::builder().concurrency(aimd)),
        ["concurrency.backoff", "concurrency.slow_after"]
    );
    assert_eq!(problems(PriorityQueue::builder()), [""; 0]);
    assert_eq!(PriorityQueue::new().options(), PriorityQueue::builder());
}

#[test]
fn every_option_can_be_read_from_a_file() {
    let table: Table = [
        ("name", Value::from("orders")),
        (
            "concurrency",
            Table::new()
                .with("adaptive", "gradient2")
                .with("min", 8_u64)
                .with("max", 100_u64)
                .with("initial", 10_u64)
                .with("tolerance", 1.2)
                .into(),
        ),
        ("queue", 2000_u64.into()),
        ("reserved", 2_u64.into()),
        (
            "classify",
            Table::new()
                .with("header", "Priority")
                .with("max", "critical")
                .with("min", 30_u64)
                .with("routes", Table::new().with("/a.B/C", "low"))
                .with("default", "high")
                .into(),
        ),
        (
            "ageing",
            Table::new()
                .with("demote_after", "5s")
                .with("to", "background")
                .into(),
        ),
        (
            "max_queue_time",
            Table::new()
                .with("critical", "5s")
                .with("background", "200ms")
                .into(),
        ),
        (
            "discipline",
            Table::new()
                .with("codel", Table::new().with("target", "10ms"))
                .into(),
        ),
        ("shed_by_load", false.into()),
        ("hold", "end".into()),
        (
            "hold_routes",
            Table::new().with("/chat.Room/Join", "headers").into(),
        ),
    ]
    .into_iter()
    .fold(Table::new(), |table, (key, value): (&'static str, Value)| {
        table.with(key, value)
    });
    let gradient = Adaptive::from(Gradient2::new().tolerance(1.2))
        .min(8)
        .max(100)
        .initial(10);
    let expected = PriorityQueue::builder()
        .name("orders")
        .concurrency(gradient)
        .queue(2000)
        .reserved(2)
        .classifier(
            Classifier::new()
                .field("priority")
                .claims(Priority::new(30)..=Priority::CRITICAL)
                .route("/a.B/C", Priority::LOW)
                .otherwise(Priority::HIGH),
        )
        .ageing(Ageing::Demote {
            after: ms(5000),
            to: Priority::BACKGROUND,
        })
        .max_queue_time(Priority::CRITICAL, ms(5000))
        .max_queue_time(Priority::BACKGROUND, ms(200))
        .discipline(Discipline::CoDel {
            target: ms(10),
            interval: ms(100),
        })
        .shed_by_load(false)
        .hold(Hold::End)
        .hold_route("/chat.Room/Join", Hold::Headers);
    assert_eq!(read(&table), Ok(expected));
}

#[test]
fn the_short_forms_mean_what_they_say() {
    let table = Table::new()
        .with("concurrency", 8_u64)
        .with("ageing", "off")
        .with("discipline", "adaptive_lifo")
        .with("max_queue_time", "1s");
    let mut expected = PriorityQueue::builder()
        .concurrency(8)
        .ageing(Ageing::Off)
        .discipline(Discipline::adaptive_lifo());
    for (_, class) in Priority::bands() {
        expected = expected.max_queue_time(class, ms(1000));
    }
    assert_eq!(read(&table), Ok(expected));
    assert_eq!(read(&Table::new()), Ok(PriorityQueue::builder()));
    let vegas = Table::new().with("concurrency", Table::new().with("adaptive", "vegas"));
    assert_eq!(
        read(&vegas),
        Ok(PriorityQueue::builder().concurrency(Vegas::new()))
    );
    let aimd = Table::new()
        .with("adaptive", "aimd")
        .with("backoff", 0.5)
        .with("slow_after", "1s");
    let expected = Aimd::new().backoff(0.5).slow_after(ms(1000));
    assert_eq!(
        read(&Table::new().with("concurrency", aimd)),
        Ok(PriorityQueue::builder().concurrency(expected))
    );
}

#[test]
fn a_file_may_leave_out_how_fast_one_ages_and_to_what() {
    let ageing = |value: Value| read(&Table::new().with("ageing", value)).map(|options| options.ageing);
    let demotion = |after, to| Ok(Ageing::Demote { after, to });
    assert_eq!(ageing("promote".into()), Ok(Ageing::Promote { after: ms(2000) }));
    assert_eq!(ageing("demote".into()), demotion(ms(5000), Priority::LOW));
    assert_eq!(
        ageing(Table::new().with("demote_after", "1s").into()),
        demotion(ms(1000), Priority::LOW)
    );
    assert_eq!(
        ageing(Table::new().with("to", "background").into()),
        demotion(ms(5000), Priority::BACKGROUND)
    );
    let both = Table::new()
        .with("promote_after", "2s")
        .with("demote_after", "5s")
        .with("to", "low");
    let error = ageing(both.into()).expect_err("one of the two");
    let keys: Vec<_> = error.problems().iter().map(|p| p.key().to_owned()).collect();
    assert_eq!(keys, ["ageing.demote_after", "ageing.to"]);
}

#[test]
fn every_bad_key_is_named() {
    let table = Table::new()
        .with("concurrency", 0_u64)
        .with("quue", 3_u64)
        .with("ageing", "on")
        .with("discipline", "lifo")
        .with("hold", "body")
        .with(
            "classify",
            Table::new().with("default", "urgent").with("hedaer", "x"),
        )
        .with("max_queue_time", Table::new().with("urgent", "1s"));
    let error = read(&table).expect_err("seven problems");
    let mut keys: Vec<_> = error.problems().iter().map(|p| p.key().to_owned()).collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "ageing",
            "classify.default",
            "classify.hedaer",
            "concurrency",
            "discipline",
            "hold",
            "max_queue_time.urgent",
            "quue"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn options_change_while_it_runs_and_those_who_wait_stay() {
    let queue = built(queue(1, 10));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = seen.clone();
    let own = queue.clone();
    queue.listen(move |event| {
        // With no lock held: it may ask.
        let _ = own.status();
        events.lock().expect("no panic").push(event.to_string());
        assert!(
            event.detail::<PolicyChanged>().is_some()
                || event.detail::<LimitChanged>().is_some()
                || event.detail::<Saturated>().is_some()
        );
    });
    let slot = queue.try_acquire(60).expect("free");
    let mut waiting = enter_all(&queue, [Priority::LOW, Priority::HIGH]);
    queue
        .reconfigure(queue.options().name("another").queue(1).concurrency(2))
        .expect("valid");
    assert!(waiting[1].runs());
    assert!(waiting[0].waits());
    assert_eq!(
        Waiting::enter(&queue, Priority::LOW).refused(),
        Some(RejectionKind::QueueFull)
    );
    assert_eq!(&*queue.name(), "q", "the name stays");
    assert!(queue.reconfigure(queue.options().reserved(2)).is_err());
    assert_eq!(queue.options().reserved, 0);
    drop(slot);
    let seen = seen.lock().expect("no panic").join("\n");
    assert_eq!(
        seen,
        "priority `q`: the limit is 2 instead of 1\n\
         priority `q`: policy changed\n\
         priority `q`: saturated: calls are refused (queue_full)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_it_and_resets_its_books() {
    let registry = Registry::new();
    let queue = built(queue(1, 1));
    registry.register("orders", &queue);
    let slot = queue.try_acquire(60).expect("free");
    let _waiting = Waiting::enter(&queue, Priority::LOW);
    let _refused = Waiting::enter(&queue, Priority::LOW);
    let state = registry.snapshot();
    let at = |key: &str| state.at(&["orders", "priority", key]).cloned();
    assert_eq!(at("running"), Some(Value::UInt(1)));
    assert_eq!(at("rejectedFull"), Some(Value::UInt(1)));
    assert_eq!(
        state.at(&["orders", "priority", "queuedByClass", "low"]),
        Some(&Value::UInt(1))
    );
    registry.drill("orders", &Drill::Reset).expect("it has books");
    assert_eq!(queue.status().rejected_full, 0);
    assert_eq!(queue.status().running, 1, "what is, is");
    drop(slot);
}

#[test]
fn claims_are_read_without_panic_whatever_they_say() {
    for (value, class) in [
        ("u=0", Some(100)),
        ("u=3;x=1, i", Some(60)),
        ("i, u=7", Some(20)),
        ("u=5,u=1", Some(90)),
        (" High ", Some(80)),
        ("100", Some(100)),
        ("0", Some(0)),
        ("101", None),
        ("255", None),
        ("256", None),
        ("-1", None),
        ("u=8", None),
        ("u=-1", None),
        ("u=+1", None),
        ("+75", None),
        ("u=999999999999999999999", None),
        ("u=", None),
        ("u", None),
        ("", None),
        (",,,;;;=", None),
        ("\u{1F480}", None),
    ] {
        assert_eq!(Priority::from_field(value).map(Priority::get), class, "{value:?}");
    }
}
