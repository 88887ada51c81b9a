use std::{net::SocketAddr, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::value::Value;

/// The problems of reading `table`, a line each.
fn lines(table: Table, ask: impl FnOnce(&mut Section<'_, '_>)) -> Vec<String> {
    match read(&table, ask) {
        Ok(()) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The single problem of a single value.
fn problem(value: impl Into<Value>, ask: impl FnOnce(Setting<'_, '_>) -> bool) -> String {
    let table = Table::new().with("key", value);
    let lines = lines(table, |root| {
        assert!(!ask(root.setting("key").expect("it is there")), "it was read");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn good_values_are_read() {
    let table = Table::new()
        .with("listen", "127.0.0.1:80")
        .with("count", 5_u64)
        .with("offset", -5_i64)
        .with("share", 0.5)
        .with("factor", 2_u64)
        .with("open_for", "1m30s")
        .with("on", true)
        .with("jitter", "full")
        .with("codes", vec![Value::UInt(502), Value::UInt(503)])
        .with("absent", Value::Null)
        .with("inner", Table::new().with("name", "n"))
        .with(
            "names",
            Table::new()
                .with("default", 0_u64)
                .with("a", 1_u64)
                .with("b", 2_u64),
        );
    let result = read(&table, |root| {
        root.require(&["listen", "count"]);
        let address = root.parse::<SocketAddr>("listen", "an address");
        assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert_eq!(root.number("count", 1..=u32::MAX), Some(5));
        assert_eq!(root.number("offset", -5..=5_i8), Some(-5));
        assert_eq!(root.ratio("share", 0.0..=1.0), Some(0.5));
        assert_eq!(root.ratio("factor", 1.0..=10.0), Some(2.0));
        assert_eq!(root.duration("open_for"), Some(Duration::from_secs(90)));
        assert_eq!(root.boolean("on"), Some(true));
        assert_eq!(root.one_of("jitter", &[("none", 0), ("full", 1)]), Some(1));
        assert_eq!(
            root.list("codes", |code| code.number(100..=599_u16)),
            Some(vec![502, 503])
        );
        assert_eq!(root.text("absent"), None);
        assert_eq!(root.text("not there"), None);
        let mut inner = root.section("inner").expect("a table");
        assert_eq!(inner.text("name"), Some("n"));
        inner.finish();
        let mut names = root.section("names").expect("a table");
        assert_eq!(names.number("default", 0..=9_u8), Some(0));
        let named = names.each(|_, setting| setting.number(0..=9_u8));
        assert_eq!(named, [("a", 1), ("b", 2)]);
    });
    assert_eq!(result, Ok(()));
}

#[test]
fn every_problem_is_reported_at_once() {
    let table = Table::new()
        .with("listen", "nowhere")
        .with(
            "upstream",
            Table::new()
                .with("open_fro", "30s")
                .with("probes", 0_u64)
                .with("endpoint", vec![Value::from(Table::new().with("name", 1_u64))])
                .with("surprise", true),
        )
        .with("extra key", 1_u64);
    let lines = lines(table, |root| {
        root.require(&["token"]);
        root.parse::<SocketAddr>("listen", "an address and a port");
        if let Some(mut upstream) = root.section("upstream") {
            upstream.duration("open_for");
            upstream.number("probes", 1..=1024_u32);
            upstream.list("endpoint", |item| {
                item.section().map(|mut item| item.text("name").is_some())
            });
        }
    });
    assert_eq!(
        lines,
        [
            "token: found nothing, expected a value",
            "listen: found \"nowhere\", expected an address and a port: invalid socket address syntax",
            "upstream.probes: found 0, expected a whole number, 1 to 1024",
            "upstream.endpoint[0].name: found 1, expected a text: write \"1\"",
            "upstream.open_fro: found an unknown key, expected a known one: did you mean `open_for`?",
            "upstream.surprise: found an unknown key, expected one of `open_for`, `probes`, `endpoint`",
            "\"extra key\": found an unknown key, expected one of `token`, `listen`, `upstream`",
        ]
    );
}

#[test]
fn a_number_where_a_duration_belongs_is_told_how_to_write_it() {
    for (value, hint) in [
        (
            Value::UInt(30),
            "found 30, expected a duration: a number and a unit (d, h, m, s, ms, us, ns), as in \"250ms\" or \"1m30s\": write \"30s\"",
        ),
        (Value::Float(1.5), "write \"1.5s\""),
        (Value::from("30"), "write \"30s\""),
        (Value::from("5minutes"), "the unit is unknown"),
        (Value::from(""), "it is empty"),
        (Value::Int(-5), "or \"1m30s\""),
        (Value::Float(f64::NAN), "or \"1m30s\""),
        (Value::Float(-1.5), "or \"1m30s\""),
        (Value::UInt(u64::MAX), "or \"1m30s\""),
    ] {
        let line = problem(value, |s| s.duration().is_some());
        assert!(line.ends_with(hint), "{line}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_problems() {
    for (value, line) in [
        (
            Value::UInt(256),
            "key: found 256, expected a whole number, 0 to 255",
        ),
        (
            Value::UInt(u64::MAX),
            "key: found 18446744073709551615, expected a whole number, 0 to 255",
        ),
        (Value::Int(-1), "key: found -1, expected a whole number, 0 to 255"),
        (
            Value::Float(5.0),
            "key: found 5.0, expected a whole number, 0 to 255: write 5",
        ),
        (
            Value::Float(5.5),
            "key: found 5.5, expected a whole number, 0 to 255",
        ),
        (
            Value::Float(f64::NAN),
            "key: found nan, expected a whole number, 0 to 255",
        ),
        (
            Value::Float(1e300),
            "key: found 1e300, expected a whole number, 0 to 255",
        ),
        (
            Value::from("5"),
            "key: found \"5\", expected a whole number, 0 to 255: write 5 without quotes",
        ),
        (
            Value::Bool(true),
            "key: found true, expected a whole number, 0 to 255",
        ),
    ] {
        assert_eq!(problem(value, |s| s.number(0..=u8::MAX).is_some()), line);
    }
}

#[test]
fn ratios_that_do_not_fit_are_problems() {
    for (value, line) in [
        (
            Value::Float(f64::NAN),
            "key: found nan, expected a number, 0 to 1",
        ),
        (
            Value::Float(f64::INFINITY),
            "key: found inf, expected a number, 0 to 1",
        ),
        (Value::Float(-0.5), "key: found -0.5, expected a number, 0 to 1"),
        (
            Value::UInt(50),
            "key: found 50, expected a number, 0 to 1: write 0.5 for 50 %",
        ),
        (Value::UInt(500), "key: found 500, expected a number, 0 to 1"),
        (
            Value::from("29%"),
            "key: found \"29%\", expected a number, 0 to 1: write 0.29 for 29 %",
        ),
        (
            Value::from("0.5"),
            "key: found \"0.5\", expected a number, 0 to 1: write 0.5 without quotes",
        ),
    ] {
        assert_eq!(problem(value, |s| s.ratio(0.0..=1.0).is_some()), line);
    }
    assert_eq!(
        problem(f64::INFINITY, |s| s.ratio(1.0..=f64::INFINITY).is_some()),
        "key: found inf, expected a number, 1 to inf"
    );
}

#[test]
fn wrong_types_are_problems() {
    let list = || Value::List(vec![Value::Null]);
    assert_eq!(
        problem(list(), |s| s.text().is_some()),
        "key: found [null], expected a text"
    );
    assert_eq!(
        problem("off", |s| s.boolean().is_some()),
        "key: found \"off\", expected true or false: write false without quotes"
    );
    assert_eq!(
        problem(1_u64, |s| s.list(|_| Some(())).is_some()),
        "key: found 1, expected a list"
    );
    assert_eq!(
        problem(list(), |s| s.section().is_some()),
        "key: found [null], expected a table"
    );
    assert_eq!(
        problem("ful", |s| s.one_of(&[("full", 1), ("equal", 2)]).is_some()),
        "key: found \"ful\", expected one of \"full\", \"equal\": did you mean \"full\"?"
    );
    assert_eq!(
        problem(1_u64, |s| s.parse::<SocketAddr>("an address").is_some()),
        "key: found 1, expected an address"
    );
}

#[test]
fn a_builders_problems_get_the_path_of_its_section() {
    fn build(probes: u32) -> Result<u32, ConfigError> {
        let mut problems = Problems::new();
        problems.check(probes >= 1, "half_open_probes", probes, "1 to 1024");
        problems.into_result().map(|()| probes)
    }
    assert_eq!(build(3), Ok(3));
    let alone = build(0).expect_err("an outage");
    assert_eq!(alone.to_string(), "half_open_probes: found 0, expected 1 to 1024");

    let table = Table::new().with("upstream", Table::new().with("half_open_probes", 0_u64));
    let lines = lines(table, |root| {
        let mut upstream = root.section("upstream").expect("a table");
        let probes = upstream.number("half_open_probes", 0..=u32::MAX).unwrap_or(3);
        upstream.accept(build(probes));
        upstream.refuse("half_open_probes", "fewer than `window`");
        upstream.refuse("window", "more than `half_open_probes`");
    });
    assert_eq!(
        lines,
        [
            "upstream.half_open_probes: found 0, expected 1 to 1024",
            "upstream.half_open_probes: found 0, expected fewer than `window`",
            "upstream.window: found nothing, expected more than `half_open_probes`",
        ]
    );
}

#[test]
fn errors_merge_in_order() {
    let error = ConfigError::one("a", 1, "2").merge(ConfigError::one("b", 3, "4").prefixed("inner"));
    assert_eq!(
        error.to_string(),
        "a: found 1, expected 2\ninner.b: found 3, expected 4"
    );
}

#[test]
fn hostile_values_and_keys_are_cut_short_and_stay_on_their_line() {
    let long = "\n\u{1b}[31m".repeat(100_000);
    let line = problem(long.clone(), |s| s.boolean().is_some());
    assert!(line.chars().count() < 120, "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");

    let lines = lines(Table::new().with(long, 1_u64), |_| {});
    assert_eq!(lines.len(), 1);
    assert!(lines[0].chars().count() < 140, "{}", lines[0]);

    let direct = ConfigError::one("key", "a\nb", "c");
    assert_eq!(direct.to_string(), "key: found a\\nb, expected c");
}

#[test]
fn too_many_problems_are_counted() {
    let many = |n: usize| {
        let mut problems = Problems::new();
        for i in 0..n {
            problems.check(false, "key", i, "nothing");
        }
        problems.into_result().expect_err("problems")
    };
    assert_eq!((many(100).problems().len(), many(100).omitted()), (100, 0));
    assert_eq!((many(250).problems().len(), many(250).omitted()), (100, 150));
    assert!(many(250).to_string().ends_with("\nand 150 more"));

    let merged = many(60).merge(many(250));
    assert_eq!((merged.problems().len(), merged.omitted()), (100, 210));

    let mut problems = Problems::new();
    assert!(problems.accept::<()>("inner", Err(many(250))).is_none());
    let error = problems.into_result().expect_err("problems");
    assert_eq!((error.problems().len(), error.omitted()), (100, 150));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![
            any::<f64>(),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-0.0),
            Just(50.0)
        ]
        .prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        "[0-9.]{0,4} ?(s|ms|%|m)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            any_table(inner).prop_map(Value::from),
        ]
    })
}

fn any_table(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Table> {
    vec((prop_oneof!["[a-f]", "\\PC{0,70}"], value), 0..8).prop_map(|entries| {
        let mut table = Table::new();
        for (name, value) in entries {
            table.insert(name, value);
        }
        table
    })
}

/// Reads each of the keys `a` to `f` in the way that `ways` says, and says for which it got a value.
fn ask(section: &mut Section<'_, '_>, ways: &[u8], depth: usize) -> Vec<(String, bool)> {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let mut got = Vec::new();
    for (i, key) in keys.into_iter().enumerate().take(ways.len()) {
        let read = match ways[i] % 9 {
            0 => section.text(key).is_some(),
            1 => section.boolean(key).is_some(),
            2 => section.number(key, 0..=u64::MAX).is_some(),
            3 => section.number(key, -3..=3_i8).is_some(),
            4 => section.ratio(key, 0.0..=1.0).is_some(),
            5 => section.duration(key).is_some(),
            6 => section.parse::<SocketAddr>(key, "an address").is_some(),
            7 => section.list(key, |item| item.number(0..=9_u8)).is_some(),
            _ => match section.section(key) {
                Some(mut inner) => {
                    if depth > 0 {
                        ask(&mut inner, ways, depth - 1);
                    }
                    true
                }
                None => false,
            },
        };
        got.push((key.to_owned(), read));
    }
    got
}

proptest! {
    #[test]
    fn whatever_it_is_each_key_is_read_or_reported(
        table in any_table(any_value()),
        ways in vec(any::<u8>(), 0..=6),
    ) {
        let mut problems = Problems::new();
        let mut root = Section::root(&table, &mut problems);
        let got = ask(&mut root, &ways, 3);
        root.finish();
        let reported = match problems.into_result() {
            Ok(()) => Vec::new(),
            Err(error) => {
                prop_assert_eq!(error.to_string().lines().count(), error.problems().len());
                prop_assert_eq!(error.omitted(), 0);
                error.problems().to_vec()
            }
        };
        for (name, value) in table.iter() {
            let is_reported = reported.iter().any(|p| p.key() == super::error::segment(name));
            match got.iter().find(|(key, _)| key == name) {
                Some((_, read)) => prop_assert_eq!(is_reported, !read && *value != Value::Null, "{}", name),
                None => prop_assert!(is_reported, "{} was neither read nor reported", name),
            }
        }
        for problem in &reported {
            prop_assert!(problem.found().chars().count() <= 65, "{}", problem);
        }
    }

    #[test]
    fn no_value_makes_any_reader_panic(value in any_value()) {
        let table = Table::new().with("key", value);
        let asks: [fn(Setting<'_, '_>) -> bool; 9] = [
            |s| s.text().is_some(),
            |s| s.boolean().is_some(),
            |s| s.number(1..=u128::MAX).is_some(),
            |s| s.number(i64::MIN..=i64::MAX).is_some(),
            |s| s.ratio(0.0..=f64::MAX).is_some(),
            |s| s.duration().is_some(),
            |s| s.one_of(&[("a", 1)]).is_some(),
            |s| s.list(|item| item.section().map(drop)).is_some(),
            |s| s.section().is_some(),
        ];
        for ask in asks {
            let result = read(&table, |root| root.setting("key").is_some_and(ask));
            if let Err(error) = result {
                prop_assert!(error.problems().iter().all(|p| p.found().chars().count() <= 65));
            }
        }
    }
}
