//! `POST /v1/messages` over several accounts with a provider of language models: by the account that does best, skipping
//! those that are open or have used up their quota, 503 when none is left.
//!
//! ```text
//! account_pool            tells a story and checks it, over sockets on loopback; about five seconds
//! account_pool --serve    the same, then keeps running, for curl
//! ```
//!
//! A key is never printed, neither in a log nor at `/metrics`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a program for the terminal

mod account;
mod provider;
mod service;

use std::{net::SocketAddr, process::ExitCode};

use account::Account;
use buttress::{BoxError, pool::Endpoint};
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use service::Service;

/// Real ones would come from a file or the environment.
const ACCOUNTS: [(&str, &str); 5] = [
    ("ada", "sk-1-good"),
    ("bob", "sk-2-good"),
    ("cyd", "sk-3-slow"),
    ("dan", "sk-4-quota"),
    ("eve", "sk-5-broken"),
];

#[tokio::main]
async fn main() -> ExitCode {
    let serve = std::env::args().nth(1).as_deref() == Some("--serve");
    match tell(serve).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
    service: SocketAddr,
}

impl Caller {
    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Response<Value>, BoxError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.service))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))?;
        let (head, body) = self.http.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Response::from_parts(head, json))
    }

    async fn message(&self, text: &str) -> Result<Response<Value>, BoxError> {
        let message =
            json!({"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": text}]});
        self.ask("POST", "/v1/messages", message).await
    }

    async fn drill(&self, account: &str, drill: &str) -> Result<u16, BoxError> {
        let answer = self
            .ask("POST", &format!("/accounts/{account}/{drill}"), Value::Null)
            .await?;
        Ok(answer.status().as_u16())
    }

    /// Each account, as `/metrics` has it.
    async fn accounts(&self) -> Result<Value, BoxError> {
        let metrics = self.ask("GET", "/metrics", Value::Null).await?.into_body();
        Ok(metrics["accounts"]["pool"]["endpoints"].clone())
    }
}

async fn tell(serve: bool) -> Result<bool, BoxError> {
    let provider: Authority = provider::start().await?.to_string().parse()?;
    let mut accounts = Vec::new();
    for (name, key) in ACCOUNTS {
        let account = Account::new(provider.clone(), key).ok_or("a key that no header can carry")?;
        accounts.push(Endpoint::new(name, account));
    }
    let service = Service::new(accounts)?;
    let pool = service.accounts.clone();
    let address = service.start(([127, 0, 0, 1], 0).into()).await?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let caller = Caller {
        http,
        service: address,
    };
    let mut all = true;
    let mut check = |what: &str, so: bool| {
        println!("{} {what}", if so { "✓" } else { "✗" });
        all &= so;
    };

    println!(
        "five accounts: ada and bob do well, cyd is slow, dan has used up its quota, eve is out of order"
    );
    let mut answered = 0;
    for i in 0..100 {
        let answer = caller.message(&i.to_string()).await?;
        let text = answer.body()["content"][0]["text"].as_str();
        answered += u32::from(answer.status() == 200 && text == Some(&format!("You said: {i}")));
    }
    check("every message is answered", answered == 100);

    let state = caller.accounts().await?;
    println!(
        "{:<6}{:>10}{:>9}{:>10}{:>8}{:>9}{:>8}",
        "", "requests", "success", "throttled", "failed", "avg ms", "score"
    );
    for (name, _) in ACCOUNTS {
        let of = &state[name];
        let number = |key: &str| of[key].as_f64().unwrap_or_default();
        println!(
            "{name:<6}{:>10}{:>9}{:>10}{:>8}{:>9.0}{:>8.2}",
            number("requests"),
            number("successCalls"),
            number("throttledCalls"),
            number("failureCalls"),
            number("avgLatency"),
            number("score")
        );
    }
    let requests = |name: &str| state[name]["requests"].as_u64().unwrap_or_default();
    check(
        "those that do well have nearly all",
        requests("ada") + requests("bob") >= 90,
    );
    check(
        "of both good ones each has its part",
        requests("ada") > 20 && requests("bob") > 20,
    );
    check(
        "the slow one was tried and is not preferred",
        (1..=3).contains(&requests("cyd")),
    );
    check(
        "the one without quota is left alone until its Retry-After",
        requests("dan") == 1,
    );
    check(
        "the broken one was left after few calls",
        (1..=3).contains(&requests("eve")),
    );

    println!("drills: ada and bob are opened by hand, then all that is left");
    check(
        "opened",
        caller.drill("ada", "open").await? == 204 && caller.drill("bob", "open").await? == 204,
    );
    check(
        "somebody else answers",
        caller.message("still there?").await?.status() == 200,
    );
    for name in ["cyd", "dan", "eve"] {
        check(
            &format!("{name} is opened"),
            caller.drill(name, "open").await? == 204,
        );
    }
    let refused = caller.message("anyone?").await?;
    check(
        "none is left: 503, at once",
        refused.status() == 503 && refused.body()["error"]["type"] == "no_endpoint",
    );
    check(
        "nobody is called who is not there",
        caller.drill("zoe", "open").await? == 404,
    );
    caller.drill("all", "reset").await?;
    for _ in 0..3 {
        caller.drill("ada", "fail").await?;
    }
    check(
        "three failures by hand open ada",
        caller.accounts().await?["ada"]["usable"] == false,
    );
    check("and bob answers", caller.message("again").await?.status() == 200);

    let metrics = caller.ask("GET", "/metrics", Value::Null).await?.into_body();
    let breaker = &metrics["accounts:ada"]["circuitBreaker"]["state"];
    check(
        "each account has a breaker of its own at /metrics",
        *breaker == "OPEN",
    );
    let seen = format!("{metrics} {pool:?} {:?}", pool.snapshot());
    check(
        "and no key is seen anywhere",
        ACCOUNTS.iter().all(|(_, key)| !seen.contains(key)),
    );

    if serve {
        println!("\nlistening on http://{address}; end it with ctrl-c");
        println!("curl http://{address}/metrics");
        println!("curl -X POST http://{address}/accounts/all/reset");
        println!(
            "curl http://{address}/v1/messages -d '{{\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
        );
        std::future::pending::<()>().await;
    }
    Ok(all)
}
