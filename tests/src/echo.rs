//! A gRPC service with one method of each kind. The code in `generated/` comes from `proto/` by
//! `cargo run -p xtask -- codegen`.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

pub use generated::{Message, echo_client::EchoClient, echo_server::EchoServer};

#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all)]
mod generated {
    include!("generated/buttress.tests.echo.rs");
}

/// The service. A text of `fail` is answered with `UNAVAILABLE`, one of `panic` by a panic, both wherever in a
/// stream it comes. One of `hang` is never answered where one message is all there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

type Messages = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

/// A message that is to come back once.
pub fn say(text: impl Into<String>) -> Message {
    Message {
        text: text.into(),
        times: 1,
    }
}

fn echo(message: Message) -> Result<Message, Status> {
    match message.text.as_str() {
        "fail" => Err(Status::unavailable("as asked")),
        "panic" => panic!("as asked"),
        _ => Ok(message),
    }
}

#[tonic::async_trait]
impl generated::echo_server::Echo for Echo {
    async fn unary(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let message = request.into_inner();
        if message.text == "hang" {
            std::future::pending::<()>().await;
        }
        echo(message).map(Response::new)
    }

    type ServerStreamStream = Messages;

    async fn server_stream(&self, request: Request<Message>) -> Result<Response<Messages>, Status> {
        let message = request.into_inner();
        // What is to fail or to panic does so after the first message.
        let first = say("first");
        let rest = (1..message.times).map(move |_| echo(message.clone()));
        Ok(Response::new(Box::pin(tokio_stream::iter(
            std::iter::once(Ok(first)).chain(rest),
        ))))
    }

    async fn client_stream(&self, request: Request<Streaming<Message>>) -> Result<Response<Message>, Status> {
        let mut messages = request.into_inner();
        let mut all = String::new();
        while let Some(message) = messages.message().await? {
            all.push_str(&echo(message)?.text);
        }
        Ok(Response::new(say(all)))
    }

    type BidiStream = Messages;

    async fn bidi(&self, request: Request<Streaming<Message>>) -> Result<Response<Messages>, Status> {
        let answers = request.into_inner().map(|message| message.and_then(echo));
        Ok(Response::new(Box::pin(answers)))
    }
}
