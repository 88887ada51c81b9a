//! The load over sockets: HTTP/2 on loopback, the server on one thread, its clients on another.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use axum::{
    Router,
    extract::Request as AxumRequest,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::Response,
};
use buttress::clock;
use bytes::Bytes;
use http::{Request, response::Parts};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinSet,
    time::{Duration, sleep_until, timeout},
};

use super::{Arrivals, Call, End, Ended, Figures, PATIENCE, System, Window, systems::WORKED};

/// Of a refusal at the first poll: how many nanoseconds that took.
const AT_ONCE: &str = "x-refused-in";

const CONNECTIONS: usize = 8;

/// More than are ever open: it is the system that is to say no, not the connection.
const STREAMS: u32 = 1 << 20;

type Sender = SendRequest<Empty<Bytes>>;

/// Puts `load` times the capacity on a system, for as long as the window says, and a while before.
#[must_use]
pub fn over_sockets(system: System, load: f64, seed: u64, window: Window) -> Figures {
    let (tell, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = thread::spawn(move || runtime().block_on(serve(system.router(), tell, stopped)));
    let calls = runtime().block_on(async {
        let address = address.await.expect("the server listens");
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            senders.push(connect(address).await);
        }
        offer(&senders, Arrivals::new(load, seed), window).await
    });
    drop(stop);
    server.join().expect("the server does not panic");
    Figures::of(&calls, window)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("it starts")
}

// ===== the server =====

async fn serve(router: Router, tell: oneshot::Sender<SocketAddr>, stopped: oneshot::Receiver<()>) {
    let router = router.layer(from_fn(time_refusals));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tell.send(address).expect("somebody waits for it");
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an option of any socket");
            let service = TowerToHyperService::new(router.clone());
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                // Callers that hang up are part of the load.
                .max_pending_accept_reset_streams(STREAMS as usize)
                .max_local_error_reset_streams(STREAMS as usize);
            connections.spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}

async fn time_refusals(request: AxumRequest, next: Next) -> Response {
    let mut answer = pin!(next.run(request));
    let began = clock::now();
    let mut polls = 0;
    let mut response = poll_fn(|cx| {
        polls += 1;
        answer.as_mut().poll(cx)
    })
    .await;
    if polls == 1 && response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        response.headers_mut().insert(AT_ONCE, took.into());
    }
    response
}

// ===== the clients =====

async fn connect(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("an option of any socket");
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(STREAMS as usize)
        .max_concurrent_reset_streams(STREAMS as usize);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn offer(senders: &[Sender], mut arrivals: Arrivals, window: Window) -> Vec<Ended> {
    let next = AtomicUsize::new(0);
    let (mut calls, mut over) = (JoinSet::new(), Vec::new());
    let began = clock::now();
    let mut due = began;
    while due - began < window.to {
        for call in arrivals.next_millisecond() {
            let sender = senders[next.fetch_add(1, Relaxed) % senders.len()].clone();
            // When it was to come: a machine that is late does not make the load less.
            let came = due - began;
            calls.spawn(async move {
                let mut call = call;
                let end = end_of(sender, &mut call).await;
                Ended {
                    call,
                    came,
                    ended: began.elapsed(),
                    end,
                }
            });
        }
        due += Duration::from_millis(1);
        sleep_until(due).await;
        while let Some(call) = calls.try_join_next() {
            over.extend(call);
        }
    }
    while let Some(call) = calls.join_next().await {
        over.extend(call);
    }
    over
}

/// `call` keeps its slot for as long as the server says that the work took.
async fn end_of(mut sender: Sender, call: &mut Call) -> End {
    let path = format!("http://overload.test/{}/{}", call.class, call.time.as_millis());
    let request = Request::get(path).body(Empty::new()).expect("in order");
    let answer = async {
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        Ok::<_, hyper::Error>(head)
    };
    let number = |head: &Parts, name| head.headers.get(name)?.to_str().ok()?.parse().ok();
    match timeout(PATIENCE, answer).await {
        Err(_) => End::GaveUp,
        Ok(Ok(head)) if head.status == StatusCode::OK => {
            call.time = number(&head, WORKED).map_or(call.time, Duration::from_micros);
            End::Answered
        }
        Ok(Ok(head)) => End::Refused {
            retry_after: head.headers.contains_key("retry-after"),
            at_once: number(&head, AT_ONCE).map(Duration::from_nanos),
        },
        Ok(Err(error)) => panic!("the connection broke: {error}"),
    }
}
