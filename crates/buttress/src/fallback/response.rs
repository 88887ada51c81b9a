use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};

use super::{Fallback, FallbackBuilder, Value};

/// What a fallback answers with if it is a response that is written down: in a file, or by
/// [`Fallback::response`].
pub type StaticResponse = Value<Response<StaticBody>>;

/// A body that is there: bytes, and trailers if any. A clone of it shares the bytes.
#[derive(Clone, Debug, Default)]
pub struct StaticBody {
    // Never empty.
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl StaticBody {
    /// The same body with trailers behind it.
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    fn of_grpc_message(message: &[u8]) -> Self {
        // Not compressed, and its length.
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(message);
        let ok = (
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        );
        Self::from(frame.freeze()).with_trailers(HeaderMap::from_iter([ok]))
    }
}

impl<T: Into<Bytes>> From<T> for StaticBody {
    fn from(data: T) -> Self {
        Self {
            data: Some(data.into()).filter(|data| !data.is_empty()),
            trailers: None,
        }
    }
}

impl Body for StaticBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

impl Fallback<StaticResponse> {
    /// Answers with that response, whose body is text or bytes.
    ///
    /// ```
    /// use buttress::fallback::Fallback;
    ///
    /// let cached = http::Response::builder()
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"cached":true}"#)?;
    /// let fallback = Fallback::response(cached).build()?;
    /// # let _ = fallback;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn response(response: Response<impl Into<StaticBody>>) -> FallbackBuilder<StaticResponse> {
        Fallback::value(response.map(Into::into))
    }

    /// Answers gRPC calls, all of them, with that message in its encoded form (prost's `encode_to_vec`) and the status
    /// `OK`. No bytes are the message of which every field has its default.
    ///
    /// It must be of the type that the method returns: put such a fallback around one method, or answer by a function
    /// that keeps the request's path.
    pub fn grpc_message(message: impl AsRef<[u8]>) -> FallbackBuilder<StaticResponse> {
        let mut response = Response::new(StaticBody::of_grpc_message(message.as_ref()));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Fallback::value(response)
    }
}
