use tonic::{GrpcMethod, Request};

/// The method that a generated client is about to call, `/package.Service/Method`: what the route of a stack is, so that
/// both find the same key.
pub(super) fn method(request: &Request<()>) -> Option<String> {
    let method = request.extensions().get::<GrpcMethod<'static>>()?;
    Some(format!("/{}/{}", method.service(), method.method()))
}
