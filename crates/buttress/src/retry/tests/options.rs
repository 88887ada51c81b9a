//! What can be chosen, and what cannot.

use super::*;
use crate::{
    config,
    registry::{PolicyChanged, Registry},
    value::{Table, Value},
};

fn problems(options: RetryBuilder) -> Vec<String> {
    match options.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|p| p.key().to_owned()).collect(),
    }
}

#[test]
fn every_preset_is_valid_and_is_what_it_says() {
    let seconds = Duration::from_secs;
    for (preset, attempts, initial, cap) in [
        (RetryBuilder::standard(), 3, ms(100), seconds(10)),
        (RetryBuilder::aggressive(), 5, ms(50), seconds(5)),
        (RetryBuilder::conservative(), 2, seconds(1), seconds(10)),
        (RetryBuilder::high_concurrency(), 3, ms(500), seconds(5)),
        (RetryBuilder::low_latency(), 2, ms(200), seconds(1)),
        (RetryBuilder::none(), 1, ms(100), seconds(10)),
    ] {
        assert_eq!(preset.max_attempts, attempts);
        assert_eq!((preset.waits.initial, preset.waits.cap), (initial, cap));
        assert_eq!(problems(preset), [""; 0]);
    }
    assert_eq!(Retry::new().options(), RetryBuilder::standard());
}

#[test]
fn whoever_says_nothing_has_a_budget_and_repeats_nothing_that_may_be_billed_twice() {
    for preset in [
        RetryBuilder::default(),
        RetryBuilder::standard(),
        RetryBuilder::aggressive(),
        RetryBuilder::conservative(),
        RetryBuilder::high_concurrency(),
        RetryBuilder::low_latency(),
    ] {
        let budget = preset.budget.expect("one by default");
        assert!(budget.ratio() <= 0.2 && budget.min_per_second() <= 10);
        assert!(!preset.retry_non_idempotent);
        assert!(preset.max_elapsed.is_some());
    }
}

#[test]
fn a_builder_names_every_problem_at_once() {
    let wrong = Retry::builder()
        .max_attempts(0)
        .initial_backoff(Duration::ZERO)
        .max_backoff(Duration::from_secs(86_401))
        .multiplier(f64::NAN)
        .jitter(Jitter::Range(1.5))
        .max_elapsed(Duration::ZERO)
        .max_retry_after(Duration::ZERO)
        .budget(Budget::new(-0.1, u32::MAX))
        .retry_on(RetryOn::default().http_statuses([200]).grpc_codes([0]))
        .max_body(u64::MAX);
    assert_eq!(
        problems(wrong),
        [
            "max_attempts",
            "initial_backoff",
            "max_backoff",
            "multiplier",
            "jitter.range",
            "max_elapsed",
            "max_retry_after",
            "budget.ratio",
            "budget.min_per_second",
            "retry_on",
            "retry_on",
            "max_body"
        ]
    );
    let builder = Retry::builder;
    assert_eq!(problems(builder().max_backoff(ms(99))), ["max_backoff"]);
    assert_eq!(problems(builder().multiplier(0.5)), ["multiplier"]);
    assert_eq!(problems(builder().multiplier(f64::INFINITY)), ["multiplier"]);
    assert_eq!(
        problems(builder().jitter(Jitter::Range(f64::NAN))),
        ["jitter.range"]
    );
    assert_eq!(problems(builder().budget(Budget::new(0.0, 0))), ["budget"]);
    assert_eq!(
        problems(builder().budget(Budget::new(f64::NAN, 1))),
        ["budget.ratio"]
    );
    let decorrelated = builder().jitter(Jitter::Decorrelated);
    assert_eq!(
        problems(decorrelated.clone().max_backoff(ms(100))),
        ["max_backoff"]
    );
    assert_eq!(
        problems(decorrelated.clone().backoff(Backoff::Linear)),
        ["backoff"]
    );
    assert_eq!(problems(decorrelated), [""; 0]);
}

#[test]
fn a_file_can_say_everything() {
    let text = |t: &'static str| Value::from(t);
    let table = Table::new()
        .with("name", "payments")
        .with("max_attempts", 4_u64)
        .with("backoff", "linear")
        .with("initial_backoff", "50ms")
        .with("multiplier", 3.0)
        .with("max_backoff", "2s")
        .with("jitter", Table::new().with("range", 0.25))
        .with("max_elapsed", "5s")
        .with("max_retry_after", "3s")
        .with(
            "budget",
            Table::new().with("ratio", 0.5).with("min_per_second", 3_u64),
        )
        .with(
            "retry_on",
            vec![
                text("connect"),
                text("timed_out"),
                Value::UInt(503),
                text("unavailable"),
            ],
        )
        .with("retry_non_idempotent", true)
        .with("max_body", "128KiB")
        .with("attempt_header", true);
    let options = config::read(&table, RetryBuilder::read).expect("valid");
    let expected = Retry::builder()
        .name("payments")
        .max_attempts(4)
        .backoff(Backoff::Linear)
        .initial_backoff(ms(50))
        .multiplier(3.0)
        .max_backoff(ms(2000))
        .jitter(Jitter::Range(0.25))
        .max_elapsed(ms(5000))
        .max_retry_after(ms(3000))
        .budget(Budget::new(0.5, 3))
        .retry_on(
            RetryOn::nothing()
                .errors(true)
                .timeouts(true)
                .http_statuses([503])
                .grpc_codes([14]),
        )
        .retry_non_idempotent(true)
        .max_body(128 << 10)
        .attempt_header(true);
    assert_eq!(options, expected);
    options.build().expect("valid");
}

#[test]
fn a_file_can_switch_things_off() {
    let table = Table::new()
        .with("budget", "off")
        .with("max_elapsed", "off")
        .with("jitter", "none");
    let options = config::read(&table, RetryBuilder::read).expect("valid");
    assert_eq!(options, plain().budget(None).max_elapsed(None));
    // Half a budget keeps the other half.
    let table = Table::new().with("budget", Table::new().with("ratio", 0.1));
    let options = config::read(&table, RetryBuilder::read).expect("valid");
    assert_eq!(options.budget, Some(Budget::new(0.1, 10)));
}

#[test]
fn what_a_file_says_wrong_is_named() {
    let table = Table::new()
        .with("max_attempts", 0_u64)
        .with("jitter", "ful")
        .with("max_body", 65_536_u64)
        .with("budget", Table::new().with("ratio", 20_u64).with("min", 1_u64))
        .with("retry_on", vec![Value::UInt(200), Value::from("unavailabel")])
        .with("backof", "linear");
    let error = config::read(&table, RetryBuilder::read).expect_err("wrong");
    let lines: Vec<_> = error.problems().iter().map(|p| p.to_string()).collect();
    for (key, hint) in [
        ("max_attempts: ", "1 to"),
        ("jitter: ", "did you mean \"full\"?"),
        ("max_body: ", "write \"64KiB\""),
        ("budget.ratio: ", "0.2"),
        ("budget.min: ", "unknown"),
        ("retry_on[0]: ", "400 to 599"),
        ("retry_on[1]: ", "did you mean \"unavailable\"?"),
        ("backof: ", "did you mean `backoff`?"),
    ] {
        assert!(
            lines.iter().any(|l| l.starts_with(key) && l.contains(hint)),
            "{key}{hint} in {lines:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn options_change_while_it_runs_and_books_stay() {
    let retry = plain().name("payments").seed(1).build().expect("valid");
    let changes = Arc::new(AtomicU32::new(0));
    let heard = changes.clone();
    retry.listen(move |event| {
        assert!(event.detail::<PolicyChanged>().is_some());
        heard.fetch_add(1, SeqCst);
    });
    let script = Script::new([BUSY]);
    let mut service = retry.layer().layer(script.clone());
    let _ = service.call(()).await;
    assert!(retry.reconfigure(retry.options().max_attempts(0)).is_err());
    assert_eq!(retry.options().max_attempts, 3);

    retry
        .reconfigure(retry.options().max_attempts(2).name("other").seed(9))
        .expect("valid");
    let _ = service.call(()).await;
    assert_eq!(script.calls(), 5);
    retry.reconfigure(RetryBuilder::none()).expect("valid");
    let _ = service.call(()).await;
    assert_eq!(script.calls(), 6);
    assert_eq!((&*retry.name(), retry.options().seed), ("payments", Some(1)));
    assert_eq!((retry.snapshot().calls, retry.snapshot().retries), (3, 3));
    assert_eq!(changes.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_the_books() {
    let registry = Registry::new();
    let retry = plain().build().expect("valid");
    registry.register("payments", &retry);
    let _ = retry.layer().layer(Script::new([BUSY, Ok(1)])).oneshot(()).await;
    // Nine free ones are left, and the fifth that the call has earned has melted a little.
    assert_eq!(
        registry.snapshot().to_string(),
        r#"{"payments":{"retry":{"calls":1,"attempts":2,"retries":1,"recovered":1,"outOfAttempts":0,"outOfTime":0,"outOfBudget":0,"forbidden":0,"notRepeatable":0,"budgetBalance":9.181640625}}}"#
    );
}

#[test]
fn the_defaults_are_those_that_the_setters_tell() {
    let options = RetryBuilder::default();
    let waits = &options.waits;
    assert_eq!(options.max_attempts, 3);
    assert_eq!(
        (&waits.backoff, waits.jitter),
        (&Backoff::Exponential, Jitter::Full)
    );
    assert_eq!(
        (waits.initial, waits.multiplier, waits.cap),
        (ms(100), 2.0, ms(10_000))
    );
    assert_eq!(options.max_elapsed, Some(ms(30_000)));
    assert_eq!(options.effective_max_retry_after(), ms(10_000));
    assert_eq!(options.budget, Some(Budget::new(0.2, 10)));
    assert_eq!(
        (&options.retry_on, options.retry_if.is_none()),
        (&RetryOn::default(), true)
    );
    assert_eq!(
        (options.retry_non_idempotent, options.attempt_header),
        (false, false)
    );
    assert_eq!((options.max_body, options.seed), (65_536, None));
}

/// What a call goes by and what is told of it are two places.
#[test]
fn policy_changes_are_made_one_at_a_time() {
    let retry = Retry::new();
    let before = retry.options();
    let another = retry.shared.changing.lock().expect("no panic");
    std::thread::scope(|s| {
        let change = s.spawn(|| retry.reconfigure(Retry::builder().max_attempts(7)));
        // More than it takes, if it does not wait.
        let is_over = (0..20_000).any(|_| {
            std::thread::yield_now();
            change.is_finished()
        });
        let now = retry.options();
        drop(another);
        change.join().expect("no panic").expect("valid");
        assert!(!is_over, "it waits for the other");
        assert_eq!(now, before);
    });
    assert_ne!(retry.options(), before);
}

#[test]
fn a_range_of_a_tenth_needs_no_number() {
    let table = Table::new().with("jitter", "range");
    let options = config::read(&table, RetryBuilder::read).expect("valid");
    assert_eq!(options, Retry::builder().jitter(Jitter::Range(0.1)));
}
