use std::mem;

use buttress::{Grpc, trace_id::TraceId};
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

/// Gives calls their place in a trace, as far as metadata go: without spans, access log, and the id in the answer, which
/// need a [stack](crate::client).
#[derive(Clone, Debug)]
pub struct TraceIds {
    policy: TraceId,
    inbound: bool,
}

impl TraceIds {
    /// Of a client: each call is sent with `traceparent` and `x-request-id`, in the trace of whatever makes it.
    #[must_use]
    pub const fn new(policy: TraceId) -> Self {
        Self {
            policy,
            inbound: false,
        }
    }

    /// Of a server: they are read, made where there are none, and put into the request's extensions as a
    /// [`CallContext`](buttress::CallContext), where the handler finds them.
    #[must_use]
    pub const fn inbound(policy: TraceId) -> Self {
        Self {
            policy,
            inbound: true,
        }
    }
}

impl Interceptor for TraceIds {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // The policy knows headers and extensions, which are what metadata and extensions are.
        let mut view = http::Request::new(());
        *view.headers_mut() = mem::take(request.metadata_mut()).into_headers();
        *view.extensions_mut() = mem::take(request.extensions_mut());
        if self.inbound {
            let context = self.policy.read_request(&Grpc::new(), &mut view);
            view.extensions_mut().insert(context);
        } else {
            self.policy.write(&Grpc::new(), &mut view);
        }
        *request.metadata_mut() = MetadataMap::from_headers(mem::take(view.headers_mut()));
        *request.extensions_mut() = mem::take(view.extensions_mut());
        Ok(request)
    }
}
