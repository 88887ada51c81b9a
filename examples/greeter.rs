//! The gRPC service of the examples. The code in `proto/generated/` comes from `proto/` by
//! `cargo run -p xtask -- codegen`, which needs no `protoc`.
#![allow(dead_code)]

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

pub(crate) use generated::{
    GreetReply, GreetRequest, greeter_client::GreeterClient, greeter_server::GreeterServer,
};

#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all)]
mod generated {
    include!("proto/generated/buttress.examples.greeter.rs");
}

/// Greets everybody but Nobody, of whom it says that it is unavailable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeter;

#[tonic::async_trait]
impl generated::greeter_server::Greeter for Greeter {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        match request.into_inner().name.as_str() {
            "Nobody" => Err(Status::unavailable("nobody is in")),
            "Bug" => panic!("a bug"),
            name => Ok(Response::new(GreetReply {
                text: format!("hello {name}"),
            })),
        }
    }
}

pub(crate) fn request(name: &str) -> GreetRequest {
    GreetRequest {
        name: name.to_owned(),
    }
}

/// A free port.
pub(crate) async fn listen() -> Result<(TcpListenerStream, SocketAddr), std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((TcpListenerStream::new(listener), address))
}
