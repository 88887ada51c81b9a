//! What can be chosen, and what cannot.

use super::*;
use crate::{
    config,
    registry::{Drill, Policy, PolicyChanged, Registry},
    value::{Table, Value},
};

fn problems(options: HedgeBuilder) -> Vec<String> {
    match options.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|p| p.key().to_owned()).collect(),
    }
}

#[test]
fn a_builder_names_every_problem_at_once() {
    let wrong = Hedge::builder()
        .after(Duration::ZERO)
        .min_delay(Duration::ZERO)
        .max_delay(ms(3_600_001))
        .initial_delay(Duration::ZERO)
        .min_samples(0)
        .window(Duration::ZERO)
        .budget(Budget::new(-0.1, u32::MAX))
        .idempotent_routes(["catalog.Catalog/Get", "/"])
        .max_body(u64::MAX);
    assert_eq!(
        problems(wrong),
        [
            "after",
            "min_delay",
            "max_delay",
            "initial_delay",
            "min_samples",
            "window",
            "budget.ratio",
            "budget.min_per_second",
            "idempotent_routes",
            "idempotent_routes",
            "max_body"
        ]
    );
    let builder = Hedge::builder;
    for quantile in [0.0, 0.499, 0.9991, 1.0, 95.0, f64::NAN] {
        assert_eq!(
            problems(builder().after_quantile(quantile)),
            ["after"],
            "{quantile}"
        );
    }
    for quantile in [0.5, 0.95, 0.999] {
        assert_eq!(problems(builder().after_quantile(quantile)), [""; 0]);
    }
    let crossed = builder().min_delay(ms(10)).max_delay(ms(9));
    assert_eq!(problems(crossed), ["max_delay"]);
    assert_eq!(problems(builder().after(Duration::MAX)), ["after"]);
    assert_eq!(problems(builder().min_samples(1_000_001)), ["min_samples"]);
    assert_eq!(problems(builder().budget(Budget::new(0.0, 0))), ["budget"]);
    assert_eq!(problems(builder().budget(None)), [""; 0]);
    assert_eq!(Hedge::new().options(), builder());
}

#[test]
fn a_file_can_say_everything() {
    let table = Table::new()
        .with("name", "catalog")
        .with("after", "p99.9")
        .with("min_delay", "5ms")
        .with("max_delay", "500ms")
        .with("initial_delay", "50ms")
        .with("min_samples", 500_u64)
        .with("window", "1m")
        .with(
            "budget",
            Table::new().with("ratio", 0.1).with("min_per_second", 3_u64),
        )
        .with("hedge_non_idempotent", true)
        .with("idempotent_routes", vec![Value::from("/catalog.Catalog/Get")])
        .with("max_body", "128KiB")
        .with("attempt_header", true);
    let options = config::read(&table, HedgeBuilder::read).expect("valid");
    let expected = Hedge::builder()
        .name("catalog")
        .after_quantile(0.999)
        .min_delay(ms(5))
        .max_delay(ms(500))
        .initial_delay(ms(50))
        .min_samples(500)
        .window(Duration::from_secs(60))
        .budget(Budget::new(0.1, 3))
        .hedge_non_idempotent(true)
        .idempotent_routes(["/catalog.Catalog/Get"])
        .max_body(128 << 10)
        .attempt_header(true);
    assert_eq!(options, expected);
    options.build().expect("valid");
}

#[test]
fn a_file_names_a_quantile_or_a_delay() {
    let after = |text: &'static str| {
        let table = Table::new().with("after", text);
        config::read(&table, HedgeBuilder::read).map(|options| options.after)
    };
    for (text, expected) in [
        ("p50", After::Quantile(0.5)),
        ("p95", After::Quantile(0.95)),
        ("p99", After::Quantile(0.99)),
        ("p99.9", After::Quantile(0.999)),
        ("50ms", After::Delay(ms(50))),
        ("1m", After::Delay(ms(60_000))),
    ] {
        assert_eq!(after(text).expect("valid"), expected);
        assert_eq!(expected.to_string(), text);
    }
    for text in ["p", "p49", "p100", "p99.99", "p95%", "95", "q95", "P95", ""] {
        let error = after(text).expect_err(text).to_string();
        assert!(error.contains("after: ") && error.contains("p99.9"), "{error}");
    }
    let table = Table::new().with("after", 50_u64);
    assert!(config::read(&table, HedgeBuilder::read).is_err());
}

#[test]
fn a_file_can_switch_things_off() {
    let table = Table::new()
        .with("budget", "off")
        .with("max_delay", "off")
        .with("initial_delay", "off");
    let options = config::read(&table, HedgeBuilder::read).expect("valid");
    assert_eq!(options, Hedge::builder().budget(None));
    // Half a budget keeps the other half.
    let table = Table::new().with("budget", Table::new().with("ratio", 0.1));
    let options = config::read(&table, HedgeBuilder::read).expect("valid");
    assert_eq!(options.budget, Some(Budget::new(0.1, 1)));
}

#[test]
fn what_a_file_says_wrong_is_named() {
    let table = Table::new()
        .with("after", "p5")
        .with("max_hedges", 2_u64)
        .with("min_samples", 0_u64)
        .with("budget", Table::new().with("ratio", 5_u64))
        .with("idempotent_routes", vec![Value::UInt(1)]);
    let error = config::read(&table, HedgeBuilder::read).expect_err("wrong");
    let keys: Vec<_> = error.problems().iter().map(|p| p.key().to_owned()).collect();
    for key in [
        "after",
        "max_hedges",
        "min_samples",
        "budget.ratio",
        "idempotent_routes[0]",
    ] {
        assert!(keys.iter().any(|k| k == key), "{key} in {keys:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn options_change_while_it_runs_and_books_stay() {
    let hedge = fixed().name("catalog").build().expect("valid");
    let changes = Arc::new(AtomicU32::new(0));
    let heard = changes.clone();
    hedge.listen(move |event| {
        assert!(event.detail::<PolicyChanged>().is_some());
        heard.fetch_add(1, SeqCst);
    });
    let script = Script::new([(1000, Ok(1))]);
    let mut service = hedge.layer().layer(script.clone());
    let _ = service.call(()).await;
    assert!(hedge.reconfigure(hedge.options().min_samples(0)).is_err());

    // A delay, a quantile that is not known, a delay again.
    hedge
        .reconfigure(hedge.options().after_quantile(0.95))
        .expect("valid");
    assert_eq!(hedge.snapshot().delay, None);
    let _ = service.call(()).await;
    hedge
        .reconfigure(hedge.options().initial_delay(ms(300)))
        .expect("valid");
    let _ = service.call(()).await;
    hedge
        .reconfigure(hedge.options().after(ms(400)).name("other"))
        .expect("valid");
    let _ = service.call(()).await;
    assert_eq!(script.delays(), [100, 1000, 2000, 2300, 3000, 3400]);
    assert_eq!((&*hedge.name(), hedge.snapshot().calls), ("catalog", 4));
    assert_eq!(changes.load(SeqCst), 3);
}

/// A hedge that has seen so many calls of so many milliseconds.
async fn experienced(options: HedgeBuilder, calls: u32, takes: u64) -> Hedge {
    let hedge = options.build().expect("valid");
    let script = Script::new([(takes, Ok(1))]);
    for _ in 0..calls {
        let _ = hedge.layer().layer(script.clone()).oneshot(()).await;
    }
    hedge
}

#[tokio::test(start_paused = true)]
async fn a_quantile_is_used_once_it_is_known_and_within_its_bounds() {
    let delay = async |options, calls, takes| experienced(options, calls, takes).await.snapshot().delay;
    let builder = Hedge::builder;
    assert_eq!(delay(builder(), 99, 20).await, None);
    let known = delay(builder(), 128, 20).await.expect("known");
    assert!(known > ms(20) && known <= ms(23), "{known:?}");
    assert_eq!(delay(builder().initial_delay(ms(70)), 10, 20).await, Some(ms(70)));
    assert_eq!(delay(builder().initial_delay(ms(70)), 128, 20).await, Some(known));
    assert_eq!(delay(builder().min_samples(32), 32, 20).await, Some(known));
    assert_eq!(delay(builder().min_samples(200), 160, 20).await, None);
    assert_eq!(delay(builder().min_delay(ms(50)), 128, 20).await, Some(ms(50)));
    assert_eq!(delay(builder().max_delay(ms(15)), 128, 20).await, Some(ms(15)));
    // A window of two seconds has forgotten what was before.
    let hedge = experienced(builder().window(ms(2000)), 128, 500).await;
    let script = Script::new([(20, Ok(1))]);
    for _ in 0..256 {
        let _ = hedge.layer().layer(script.clone()).oneshot(()).await;
    }
    assert_eq!(hedge.snapshot().delay, Some(known));
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_counts_and_latencies() {
    let hedge = experienced(Hedge::builder(), 128, 20).await;
    assert!(hedge.snapshot().delay.is_some());
    hedge.drill(&Drill::Reset).expect("supported");
    assert_eq!((hedge.snapshot().delay, hedge.snapshot().calls), (None, 0));
    assert!(hedge.drill(&Drill::Open).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_the_books() {
    let registry = Registry::new();
    let hedge = Hedge::builder().after(ms(100)).build().expect("valid");
    registry.register("catalog", &hedge);
    let script = Script::new([(1000, Ok(1)), (10, Ok(2))]);
    let _ = hedge.layer().layer(script).oneshot(()).await;
    let text = registry.snapshot().to_string();
    let expected = r#"{"catalog":{"hedge":{"calls":1,"attempts":2,"hedges":1,"afterFailure":0,"won":1,"outOfTime":0,"outOfBudget":0,"notRepeatable":0,"delay":100.0,"budgetBalance":0.0"#;
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn the_defaults_are_those_that_the_setters_tell() {
    let options = HedgeBuilder::default();
    assert_eq!(options.after, After::Quantile(0.95));
    assert_eq!(
        (options.min_delay, options.max_delay, options.initial_delay),
        (ms(1), None, None)
    );
    assert_eq!((options.min_samples, options.window), (100, ms(30_000)));
    assert_eq!(options.budget, Some(Budget::new(0.05, 1)));
    assert_eq!(
        (options.hedge_non_idempotent, options.attempt_header),
        (false, false)
    );
    assert_eq!((options.idempotent_routes.len(), options.max_body), (0, 65_536));
}

/// What a call goes by and what is told of it are two places.
#[test]
fn policy_changes_are_made_one_at_a_time() {
    let hedge = Hedge::builder().build().expect("valid");
    let before = hedge.options();
    let another = hedge.shared.changing.lock().expect("no panic");
    std::thread::scope(|s| {
        let change = s.spawn(|| hedge.reconfigure(Hedge::builder().min_samples(7)));
        // More than it takes, if it does not wait.
        let is_over = (0..20_000).any(|_| {
            std::thread::yield_now();
            change.is_finished()
        });
        let now = hedge.options();
        drop(another);
        change.join().expect("no panic").expect("valid");
        assert!(!is_over, "it waits for the other");
        assert_eq!(now, before);
    });
    assert_ne!(hedge.options(), before);
}
