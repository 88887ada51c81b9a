//! A protocol of one's own: a key-value store whose replies say in themselves how a call went.
//!
//! Where a closure over the result is enough, `Plain::classify` is all that is needed; it comes first. A protocol of its
//! own, with its own idea of what may be repeated and by which name a call goes, comes second.
//!
//! `cargo run -p buttress-examples --bin custom_protocol`
#![allow(clippy::print_stdout)]

use std::{error::Error, io};

use buttress::{
    CallContext, CallError, Error as StackError, Outcome, Plain, Protocol, RequestProtocol, Stack, Token,
    Verdict,
    circuit_breaker::{CircuitBreaker, State},
    metrics::Metrics,
    outcome::Reason,
};
use tower::{Service, ServiceExt, service_fn};

#[derive(Clone, Debug)]
enum Command {
    Get(String),
    Increment(String),
}

#[derive(Debug, PartialEq)]
enum Reply {
    Value(u32),
    Loading, // the store has just begun and knows nothing yet
    Busy,    // too many of us
}

/// What a reply says about the store.
fn judge<E: CallError>(result: &Result<Reply, E>) -> Outcome {
    match result {
        Ok(Reply::Value(_)) => Outcome::SUCCESS,
        Ok(Reply::Loading) => Outcome::failure(Reason::Custom("loading")),
        Ok(Reply::Busy) => Verdict::Throttled.into(),
        Err(error) => Outcome::of_error(error),
    }
}

/// The protocol.
#[derive(Clone, Copy, Debug)]
struct Store;

impl<E: CallError> Protocol<Reply, E> for Store {
    type Response<T: Token> = Reply; // there is no body that could be watched any further

    fn verdict(&self, result: &Result<Reply, E>) -> Option<Outcome> {
        Some(judge(result))
    }

    fn observe<T: Token>(&self, result: Result<Reply, E>, token: Option<T>) -> Result<Reply, E> {
        if let Some(token) = token {
            token.finish(judge(&result));
        }
        result
    }
}

impl RequestProtocol<Command> for Store {
    fn repeatable(&self, command: &Command) -> bool {
        matches!(command, Command::Get(_))
    }

    fn context<'a>(&self, _: &'a Command) -> Option<&'a CallContext> {
        None // a command has no room for it
    }

    fn set_context(&self, _: &mut Command, context: CallContext) -> Result<(), CallContext> {
        Err(context)
    }

    fn route<'a>(&self, command: &'a Command) -> Option<&'a str> {
        Some(match command {
            Command::Get(_) => "GET",
            Command::Increment(_) => "INCR",
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let breaker = || CircuitBreaker::builder().consecutive_failures(2).build();

    // A closure.
    let (by_closure, metrics) = (breaker()?, Metrics::new());
    let mut store = Stack::new("store")
        .protocol(Plain::classify(
            |result: &Result<Reply, StackError<io::Error>>| judge(result),
        ))
        .circuit_breaker(by_closure.clone())
        .build()
        .service(service_fn(ask));
    for _ in 0..2 {
        store
            .ready()
            .await?
            .call(Command::Get("loading".to_owned()))
            .await?;
    }
    assert_eq!(by_closure.state(), State::Open); // though every call was `Ok`

    // A protocol.
    let by_protocol = breaker()?;
    let mut store = Stack::new("store")
        .protocol(Store)
        .metrics(metrics.clone())
        .circuit_breaker(by_protocol.clone())
        .build()
        .service(service_fn(ask));
    let reply = store
        .ready()
        .await?
        .call(Command::Increment("a".to_owned()))
        .await?;
    println!("{reply:?}");
    for _ in 0..3 {
        let reply = store.ready().await?.call(Command::Get("busy".to_owned())).await?;
        println!("{reply:?}");
    }
    assert_eq!(by_protocol.state(), State::Closed); // to be asked for less is no streak of failures
    assert_eq!(by_protocol.snapshot().throttled, 3);
    assert_eq!(metrics.snapshot().outcomes.success, 1);
    Ok(())
}

/// The store.
async fn ask(command: Command) -> Result<Reply, io::Error> {
    let (Command::Get(key) | Command::Increment(key)) = command;
    Ok(match key.as_str() {
        "loading" => Reply::Loading,
        "busy" => Reply::Busy,
        _ => Reply::Value(1),
    })
}
