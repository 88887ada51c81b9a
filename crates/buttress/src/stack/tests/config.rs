//! Stacks from files.

use tower_layer::Identity;

use super::*;
use crate::{
    CallContext, ConfigError, config,
    context::Trace,
    value::{Table, Value},
};

fn client(table: &Table) -> Result<ClientConfig, ConfigError> {
    config::read(table, ClientConfig::read)
}

fn problems<T: std::fmt::Debug>(read: Result<T, ConfigError>) -> String {
    read.expect_err("problems").to_string()
}

fn timeouts() -> Table {
    Table::new()
        .with("total", "10s")
        .with("body_idle", "30s")
        .with("body_total", "5m")
}

#[test]
fn a_client_is_what_its_file_says() {
    let table = Table::new()
        .with("recover", false)
        .with("timeouts", timeouts().with("attempt", "2s"))
        .with("retry", Table::new().with("max_attempts", 5_u64))
        .with("hedge", Table::new().with("after", "50ms"))
        .with("priority", Table::new().with("queue", 9_u64))
        .with("rate_limit", Table::new().with("rate", 7_u64))
        .with("circuit_breaker", Table::new().with("open_for", "30s"));
    let config = client(&table).expect("valid");
    assert!(config.metrics.is_some() && config.recover.is_none());
    let attempt = config.timeouts.attempt.clone().expect("a section");
    assert_eq!(attempt.attempt_limit(), Some(Duration::from_secs(2)));
    let total = config.timeouts.total.clone().expect("a total");
    let retry = config.retry.clone().expect("a section");
    assert_eq!(retry.options().max_attempts(3), Retry::builder());
    let hedge = config.hedge.clone().expect("a section");
    assert_eq!(hedge.options(), Hedge::builder().after(Duration::from_millis(50)));
    let queue = config.priority.clone().expect("a section");
    assert_eq!(queue.options(), PriorityQueue::builder().queue(9));
    let limiter = config.rate_limit.clone().expect("a section");
    assert_eq!(limiter.options(), RateLimiter::per_second(7));
    let breaker = config.circuit_breaker.clone().expect("a section");
    let _: FullClient<Plain> = Stack::new("db").config(config).build();
    assert_eq!(
        [
            attempt.name(),
            total.name(),
            retry.name(),
            breaker.name(),
            queue.name(),
            limiter.name()
        ],
        ["db"; 6].map(Arc::from)
    );
    breaker.transition_to(State::Open);
    let left = breaker.snapshot().retry_after.expect("open");
    assert!(
        left <= Duration::from_secs(30) && left > Duration::from_secs(26),
        "{left:?}"
    );
}

#[test]
fn an_absent_section_is_a_policy_that_is_off() {
    let config = client(&Table::new()).expect("valid");
    assert!(config.metrics.is_some() && config.recover.is_some());
    assert!(config.trace_id.is_none());
    assert!(config.timeouts.attempt.is_none() && config.timeouts.total.is_none());
    assert!(config.fallback.is_none() && config.retry.is_none());
    assert!(config.hedge.is_none() && config.circuit_breaker.is_none());
    assert!(config.priority.is_none() && config.rate_limit.is_none());
}

#[test]
fn a_file_has_the_last_word_and_leaves_the_users_own_alone() {
    let stack = Stack::new("x")
        .inside(tower::util::MapRequestLayer::new(|n: u32| n))
        .keep_error()
        .retry(Retry::standard())
        .metrics(Metrics::new())
        .config(client(&Table::new().with("metrics", false)).expect("valid"));
    assert!(stack.slots.retry.is_none() && stack.slots.metrics.is_none());
    let _: FullClient<Plain, crate::replay::Same, Identity, Identity, _> = stack.build();
}

#[test]
fn metrics_are_a_switch_or_a_section_and_ids_a_section() {
    let read = |name: &'static str, value: Table| client(&Table::new().with(name, value));
    let off = client(&Table::new().with("metrics", false)).expect("valid");
    assert!(off.metrics.is_none());
    let on = client(&Table::new().with("metrics", true)).expect("valid");
    assert!(on.metrics.is_some());

    let shown = Table::new()
        .with("prefix", "middleware")
        .with("buckets", vec![Value::from("5ms"), "50ms".into()])
        .with("route_labels", 10_u64)
        .with("exemplars", true);
    let config = read("metrics", shown).expect("valid");
    let registry = Registry::new();
    let export = config.export.clone().build(&registry).expect("valid");
    let metrics = config.metrics.as_ref().expect("on");
    registry.register("db", metrics);
    let reading = export.read();
    let requests = &reading.metrics()[0];
    assert!(requests.name.starts_with("middleware_"), "{requests:?}");
    assert!(requests.series[0].labels.iter().any(|(key, _)| *key == "route"));
    let mut context = CallContext::new();
    context.set_trace(Trace::new());
    context.sync_scope(|| drop(metrics.start()));
    assert_eq!(metrics.snapshot().exemplars().count(), 1);

    let marked = Table::new().with("sampled", 0.25).with("accept", false);
    let config = read("trace_id", marked).expect("valid");
    let trace_id = config.trace_id.clone().expect("a section");
    assert_eq!(trace_id.options(), TraceId::builder().sampled(0.25).accept(false));
    let _: FullClient<Plain> = Stack::new("db").config(config).build();
    assert_eq!(&*trace_id.name(), "db");

    let wrong = Table::new()
        .with("metrics", Table::new().with("prefix", "9").with("bukets", 1_u64))
        .with("trace_id", Table::new().with("sampled", 2_u64));
    let problems = problems(client(&wrong));
    for problem in [
        "metrics.prefix: found ",
        "metrics.bukets: found an unknown key",
        "trace_id.sampled: found 2",
    ] {
        assert!(problems.contains(problem), "{problem} in {problems}");
    }
    assert!(client(&Table::new().with("metrics", "often")).is_err());
}

#[test]
fn every_problem_is_named_at_once() {
    let table = Table::new()
        .with(
            "timeouts",
            Table::new().with("attempt", "0s").with("handler", "1s"),
        )
        .with("retry", Table::new().with("max_attempts", 0_u64))
        .with("fallback", Table::new().with("status", 200_u64))
        .with("priority", Table::new().with("queue", "long"))
        .with("rate_limit", Table::new().with("burst", 3_u64))
        .with("retyr", 3_u64);
    let problems = problems(client(&table));
    for problem in [
        "timeouts.attempt: found 0s",
        "timeouts.handler: found an unknown key",
        "retry.max_attempts: found 0",
        "priority.queue: found \"long\"",
        "rate_limit.rate: found ",
        "expected no fallback: this service answers with a value of the program's own",
        "retyr: found an unknown key, expected a known one: did you mean `retry`?",
    ] {
        assert!(problems.contains(problem), "{problem} in {problems}");
    }
}

#[cfg(feature = "http")]
mod servers {
    use super::*;
    use crate::{
        Http,
        stack::{FullServer, ServerConfig},
    };

    fn server(table: &Table) -> Result<ServerConfig, ConfigError> {
        config::read(table, ServerConfig::read)
    }

    #[test]
    fn an_http_client_may_have_a_fallback() {
        let fallback = Table::new().with("status", 200_u64).with("body", "cached");
        let table = Table::new().with("fallback", fallback);
        let config = config::read(&table, ClientConfig::<Http>::read).expect("valid");
        let fallback = config.fallback.clone().expect("a section");
        let _: FullClient<Http> = Stack::http_client("rates").config(config).build();
        assert_eq!(&*fallback.name(), "rates");
    }

    #[test]
    fn a_server_is_what_its_file_says() {
        let table = Table::new()
            .with(
                "timeouts",
                timeouts().with("handler", "2s").with("default_total", "5s"),
            )
            .with("priority", Table::new().with("queue", 9_u64))
            .with("rate_limit", Table::new().with("rate", 7_u64))
            .with("circuit_breaker", Table::new());
        let config = server(&table).expect("valid");
        let attempt = config.timeouts.attempt.clone().expect("a section");
        assert_eq!(attempt.attempt_limit(), Some(Duration::from_secs(2)));
        let total = config.timeouts.total.clone().expect("a section").options();
        assert_eq!(total.total(None).default_total(None), Default::default());
        let breaker = config.circuit_breaker.clone().expect("a section");
        let queue = config.priority.clone().expect("a section");
        let limiter = config.rate_limit.clone().expect("a section");
        let _: FullServer<Http> = Stack::http_server("api").config(config).build();
        assert_eq!(
            [breaker.name(), queue.name(), limiter.name()],
            ["api"; 3].map(Arc::from)
        );
        assert_eq!(queue.options(), PriorityQueue::builder().queue(9));
        assert_eq!(limiter.options(), RateLimiter::per_second(7));
        // The section alone has a client's deadline obeyed.
        let config = server(&Table::new().with("timeouts", Table::new())).expect("valid");
        assert!(config.timeouts.total.is_some());
        let config = server(&Table::new()).expect("valid");
        assert!(config.timeouts.total.is_none());
    }

    #[test]
    fn what_only_a_client_does_has_no_place_in_a_servers_file() {
        let table = Table::new()
            .with("retry", Table::new().with("max_attempts", 3_u64))
            .with("hedge", Table::new())
            .with("fallback", Table::new())
            .with(
                "timeouts",
                Table::new().with("attempt", "1s").with("handler", "0s"),
            );
        let problems = problems(server(&table));
        for problem in [
            "retry: found {\"max_attempts\":3}, expected nothing: it has no place in a server's stack",
            "hedge: found {}, expected nothing",
            "fallback: found {}, expected nothing",
            "timeouts.attempt: found an unknown key",
            "timeouts.handler: found \"0s\", expected above zero",
        ] {
            assert!(problems.contains(problem), "{problem} in {problems}");
        }
    }
}
