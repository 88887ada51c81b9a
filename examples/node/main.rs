//! One upstream among several, to be put behind the gateway, and killed.
//!
//! ```text
//! node NAME [ADDRESS] [DELAY]      node a 127.0.0.1:9001 5ms
//! ```
//!
//! It answers every path with its name, after the delay; `/healthz` at once; `/long` with a body in two parts, 20 ms apart.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for the terminal

use std::{
    convert::Infallible,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, routing::get, serve::ListenerExt};
use buttress::clock;
use bytes::Bytes;
use http_body::Frame;
use tokio::{
    net::TcpListener,
    time::{Sleep, sleep},
};

/// Between the two parts of a long body.
const BETWEEN: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        eprintln!("node NAME [ADDRESS] [DELAY]");
        return ExitCode::from(2);
    };
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let delay = match args.next().map(|text| buttress::duration::parse(&text)) {
        None => Duration::ZERO,
        Some(Ok(delay)) => delay,
        Some(Err(error)) => {
            eprintln!("node: {error}");
            return ExitCode::from(2);
        }
    };
    let listener = match TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("node: {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Ok(address) = listener.local_addr() {
        println!("listening on http://{address}");
    }
    let name = Bytes::from(format!("{name}\n"));
    let (short, long) = (name.clone(), name);
    let answer = async move || {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        short
    };
    let routes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/long", get(async move || Body::new(TwoParts::of(long))))
        .fallback(answer);
    let listener = listener.tap_io(|stream| {
        // Without it the second part of a body waits for the first to be acknowledged.
        let _ = stream.set_nodelay(true);
    });
    match axum::serve(listener, routes).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A body that takes its time, so that a process can be killed in the middle of it.
struct TwoParts {
    parts: Vec<Bytes>,
    pause: Pin<Box<Sleep>>,
}

impl TwoParts {
    fn of(text: Bytes) -> Self {
        Self {
            parts: vec![text.clone(), text],
            // Over before the first part.
            pause: Box::pin(tokio::time::sleep_until(clock::now())),
        }
    }
}

impl http_body::Body for TwoParts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.pause.as_mut().poll(cx));
        self.pause.as_mut().reset(clock::now() + BETWEEN);
        Poll::Ready(self.parts.pop().map(|part| Ok(Frame::data(part))))
    }
}
