//! gRPC's interoperability service, as tonic's own interop server has it. The code in `generated/` comes from
//! `proto/interop.proto` by `cargo run -p xtask -- codegen`.

use std::{pin::Pin, time::Duration};

use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming, body::Body};
use tower::util::BoxCloneSyncService;

pub use generated::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
    test_service_client::TestServiceClient, test_service_server::TestServiceServer,
    unimplemented_service_client::UnimplementedServiceClient,
};

#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all)]
mod generated {
    include!("generated/grpc.testing.rs");
}

/// Metadata that comes back with the headers.
pub static ECHO_INITIAL: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
/// Metadata that comes back with the trailers.
pub static ECHO_TRAILING: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");

/// A channel, whatever is around it.
pub type Channel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestService;

type Replies = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

/// So many zeroes.
#[must_use]
pub fn payload(size: usize) -> Option<Payload> {
    Some(Payload { body: vec![0; size] })
}

fn asked(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(status) => Err(Status::new(Code::from(status.code), status.message)),
        None => Ok(()),
    }
}

async fn reply(asked: ResponseParameters) -> Result<StreamingOutputCallResponse, Status> {
    let micros = u64::try_from(asked.interval_us).unwrap_or(0);
    if micros > 0 {
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
    Ok(StreamingOutputCallResponse {
        payload: payload(usize::try_from(asked.size).unwrap_or(0)),
    })
}

#[tonic::async_trait]
impl generated::test_service_server::TestService for TestService {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let request = request.into_inner();
        asked(request.response_status)?;
        let size = usize::try_from(request.response_size).map_err(|_| Status::invalid_argument("a size"))?;
        Ok(Response::new(SimpleResponse {
            payload: payload(size),
        }))
    }

    type StreamingOutputCallStream = Replies;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Replies>, Status> {
        let parameters = request.into_inner().response_parameters;
        let replies = tokio_stream::iter(parameters).then(reply);
        Ok(Response::new(Box::pin(replies)))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut requests = request.into_inner();
        let mut size = 0;
        while let Some(request) = requests.message().await? {
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        Ok(Response::new(StreamingInputCallResponse {
            aggregated_payload_size: i32::try_from(size).map_err(|_| Status::out_of_range("too much"))?,
        }))
    }

    type FullDuplexCallStream = Replies;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let mut requests = request.into_inner();
        let (send, replies) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let request = match requests.message().await {
                    Ok(Some(request)) => request,
                    Ok(None) => return,
                    Err(status) => return drop(send.send(Err(status)).await),
                };
                if let Err(status) = asked(request.response_status) {
                    return drop(send.send(Err(status)).await);
                }
                for parameters in request.response_parameters {
                    if send.send(reply(parameters).await).await.is_err() {
                        return;
                    }
                }
            }
        });
        let replies = tokio_stream::wrappers::ReceiverStream::new(replies);
        Ok(Response::new(Box::pin(replies)))
    }

    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// What is to come back, in the headers of an answer and in its trailers.
#[derive(Clone, Debug, Default)]
pub struct Echoed(HeaderMap, HeaderMap);

impl Echoed {
    /// Of a request.
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let one = |name: &HeaderName| {
            let value = request.headers().get(name).cloned();
            value.map(|value| (name.clone(), value)).into_iter().collect()
        };
        Self(one(&ECHO_INITIAL), one(&ECHO_TRAILING))
    }

    /// Put into the answer.
    #[must_use]
    pub fn into_answer(self, mut response: http::Response<Body>) -> http::Response<Body> {
        response.headers_mut().extend(self.0);
        if self.1.is_empty() {
            return response;
        }
        response.map(|body| Body::new(body.with_trailers(std::future::ready(Some(Ok(self.1))))))
    }
}
