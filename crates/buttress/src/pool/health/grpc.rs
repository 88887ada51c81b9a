use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body::Body;
use tower_service::Service;

use super::Check;

/// Whether an endpoint answers `SERVING` in [gRPC's health checking protocol][health].
///
/// It is two messages of one field each, so they are written and read here by hand, over any service that carries
/// gRPC's HTTP: no code has to be generated for it.
///
/// [health]: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
pub struct GrpcCheck<F> {
    frame: Bytes,
    body: F,
}

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// The field that each of the two messages has.
const FIELD: u64 = 1;
const SERVING: u64 = 1;
/// An answer is two bytes, or a few if a later version adds to it.
const LONGEST: usize = 4096;

impl<F> GrpcCheck<F> {
    /// A check of that service (empty for the server as a whole); `body` makes a request body of its bytes, such as
    /// `|bytes| tonic::body::Body::new(Full::new(bytes))`.
    pub fn new<B>(service: &str, body: F) -> Self
    where
        F: Fn(Bytes) -> B,
    {
        let mut message = BytesMut::new();
        if !service.is_empty() {
            put_varint(&mut message, FIELD << 3 | 2);
            put_varint(&mut message, service.len() as u64);
            message.put_slice(service.as_bytes());
        }
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(message.len() as u32);
        frame.put(message);
        Self {
            frame: frame.freeze(),
            body,
        }
    }
}

impl<S, F, B, R> Check<S> for GrpcCheck<F>
where
    F: Fn(Bytes) -> B + Send + Sync + 'static,
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Body + Send,
    R::Data: Send,
    R::Error: Send,
{
    // Not on the way of a call.
    type Future = Pin<Box<dyn Future<Output = bool> + Send>>;

    fn check(&self, mut service: S) -> Self::Future {
        let mut request = Request::new((self.body)(self.frame.clone()));
        *request.method_mut() = Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from_static(METHOD);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        Box::pin(async move {
            if poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
                return false;
            }
            match service.call(request).await {
                Ok(response) if response.status() == http::StatusCode::OK => {
                    is_serving(response.into_body()).await
                }
                _ => false,
            }
        })
    }
}

/// Reads the answer as far as its message. What the trailers say after a message of `SERVING` changes nothing.
async fn is_serving<R: Body>(body: R) -> bool {
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame.into_data() else { break };
        read.put(data);
        match message(&read) {
            Some(message) => return status(message) == Some(SERVING),
            None if read.len() > LONGEST => return false,
            None => {}
        }
    }
    false
}

/// The message of a frame, if all of it is there and it is not compressed.
fn message(mut read: &[u8]) -> Option<&[u8]> {
    if read.len() < 5 || read.get_u8() != 0 {
        return None;
    }
    let len = usize::try_from(read.get_u32()).ok()?;
    read.get(..len)
}

/// The status in a `HealthCheckResponse`; one that is not there is 0, as for every number. `None` for what is no
/// message.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = get_varint(&mut message)?;
        let skipped = match tag & 7 {
            0 => {
                let value = get_varint(&mut message)?;
                if tag >> 3 == FIELD {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(get_varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn put_varint(to: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        to.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

fn get_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *from.first()?;
        *from = &from[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl<F> fmt::Debug for GrpcCheck<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCheck").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = BytesMut::new();
            put_varint(&mut bytes, value);
            let mut read = &bytes[..];
            assert_eq!((get_varint(&mut read), read.len()), (Some(value), 0));
        }
        assert_eq!(get_varint(&mut &[0xff; 11][..]), None);
        assert_eq!(get_varint(&mut &[0x80][..]), None);
    }

    #[test]
    fn a_status_is_found_among_what_is_not_known() {
        assert_eq!(status(&[]), Some(0));
        assert_eq!(status(&[0x08, 1]), Some(1));
        assert_eq!(status(&[0x08, 2]), Some(2));
        // Fields 2 (a text), 3 (four bytes) and 4 (eight) of a later version.
        let later = [
            0x12, 2, b'o', b'k', 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 1,
        ];
        assert_eq!(status(&later), Some(1));
        assert_eq!(status(&later[..3]), None);
        assert_eq!(status(&[0x0b]), None);
    }

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let frame = [0, 0, 0, 0, 2, 0x08, 1];
        assert_eq!(message(&frame), Some(&frame[5..]));
        assert!((0..7).all(|n| message(&frame[..n]).is_none()));
        assert_eq!(message(&[1, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_request_names_its_service() {
        let frame = GrpcCheck::new("a.B", |bytes| bytes).frame;
        assert_eq!(&frame[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(&GrpcCheck::new("", |bytes| bytes).frame[..], [0; 5]);
    }
}
