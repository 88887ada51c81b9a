//! The program of the two services: this very test binary, told by its environment which of them to be.

use std::{env, net::SocketAddr, process::Command};

use axum::{Router, extract::Path, routing::get};
use buttress::{Registry, Stack, export::Export, metrics::Metrics, trace_id, trace_id::TraceId};
use buttress_tests::{
    bodies,
    echo::{Echo, EchoClient, EchoServer, say},
    server,
};
use http::Request;
use prometheus_client::{encoding::text, registry::Registry as Page};
use tonic::transport::{Endpoint, Server};
use tower::util::MapRequestLayer;
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::process::{self, Gateway};

/// Which service: `stock`, which speaks gRPC, or `orders=` and the address of that, which speaks HTTP.
const SERVICE: &str = "BUTTRESS_TEST_SERVICE";

pub(super) fn start(service: &str) -> Gateway {
    let mut command = Command::new(env::current_exe().expect("a path"));
    command
        .args(["--exact", "three_processes::service::program", "--nocapture"])
        .env(SERVICE, service);
    Gateway::started(command, process::file("").with_extension("log"))
}

/// Runs until it is killed, where it was started for that; otherwise there is nothing to it.
#[test]
fn program() {
    let Ok(service) = env::var(SERVICE) else {
        return;
    };
    log();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        match service.split_once('=') {
            Some((_, stock)) => orders(stock.parse().expect("an address")).await,
            None => stock().await,
        }
        std::future::pending().await
    })
}

/// The log goes to standard error, a line for each span that is begun among it.
fn log() {
    let wanted: Targets = env::var("RUST_LOG").expect("it is set").parse().expect("targets");
    let layer = fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NEW)
        .with_filter(wanted);
    tracing_subscriber::registry().with(layer).init();
}

/// Notes what a handler is given.
fn note<B>(request: Request<B>) -> Request<B> {
    tracing::info!(headers = ?request.headers(), "a request");
    request
}

async fn orders(stock: SocketAddr) {
    let registry = Registry::new();
    let channel = Endpoint::from_shared(format!("http://{stock}")).expect("an address");
    let client = Stack::grpc_client("stock")
        .registry(&registry)
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .body_mode(bodies::tonic())
        .build();
    let client = EchoClient::new(client.service(channel.connect_lazy()));
    let stack = Stack::http_server("orders")
        .registry(&registry)
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .inside(MapRequestLayer::new(note::<axum::body::Body>))
        .build();
    let handler = async move |Path(item): Path<String>| {
        // In a task of its own, as work often is.
        let answer = trace_id::spawn(async move {
            let mut client = client.clone();
            client.unary(say(item)).await
        });
        let answer = answer.await.expect("it does not panic").expect("an answer");
        let id = trace_id::current().expect("an id");
        format!("{} {id}", answer.into_inner().text)
    };
    let address = server::axum(Router::new().route("/orders/{item}", get(handler)).layer(stack)).await;
    tell(address, &registry).await;
}

async fn stock() {
    let registry = Registry::new();
    let stack = Stack::grpc_server("stock")
        .registry(&registry)
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .inside(MapRequestLayer::new(note::<tonic::body::Body>))
        .build();
    let address = server::tonic(|incoming| {
        Server::builder()
            .layer(stack)
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming(incoming)
    })
    .await;
    tell(address, &registry).await;
}

/// Says where it is, and where its operators come in.
async fn tell(address: SocketAddr, registry: &Registry) {
    let mut page = Page::default();
    page.register_collector(Box::new(Export::of(registry)));
    let page = std::sync::Arc::new(page);
    let state = registry.clone();
    let router = Router::new()
        .route("/state", get(async move || format!("{}", state.snapshot())))
        .route(
            "/metrics",
            get(async move || {
                let mut text = String::new();
                text::encode(&mut text, &page).expect("a text");
                text
            }),
        );
    let admin = server::axum(router).await;
    println!("listening on http://{address}\nadmin on http://{admin}");
}
