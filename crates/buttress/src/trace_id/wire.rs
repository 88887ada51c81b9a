//! The headers. gRPC's metadata are headers, so they are the same there.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::Entry};

use super::{
    Answer, Carrier, Received, TraceParent, hex,
    parent::{LENGTH, TRACE_ID},
    request_id, state,
};
use crate::{
    context::Trace,
    error::Rejected,
    http::{ClassifyCode, ClassifyHead, Grpc, Http},
};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value of a header that is there once: where it is twice, nobody knows which one is meant.
#[derive(Clone, Copy)]
enum Found<'a> {
    Nothing,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Found<'a> {
    #[inline]
    fn find(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// What it is read as; `Err` if it is there and cannot be read.
    #[inline]
    fn read<T>(self, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>, ()> {
        match self {
            Self::Nothing => Ok(None),
            Self::One(value) => read(value.as_bytes()).map(Some).ok_or(()),
            Self::Several => Err(()),
        }
    }
}

/// Most requests say nothing of a trace. To go through their names takes less time than to hash three of ours: a name
/// that is anybody's own is told from a standard one by its tag.
#[inline]
fn may_say(headers: &HeaderMap) -> bool {
    // A head of more than that is not gone through.
    const USUAL: usize = 32;
    let ours = [&TRACEPARENT, &TRACESTATE, &REQUEST_ID];
    headers.keys_len() > USUAL || headers.keys().any(|name| ours.contains(&name))
}

#[inline]
fn receive(headers: &mut HeaderMap) -> Received {
    if may_say(headers) {
        read(headers)
    } else {
        Received::default()
    }
}

fn read(headers: &mut HeaderMap) -> Received {
    let mut received = Received::default();
    match Found::find(headers, &TRACEPARENT).read(TraceParent::parse) {
        Ok(parent) => received.parent = parent,
        Err(()) => received.refuse(headers, &TRACEPARENT),
    }
    if headers.contains_key(&TRACESTATE) {
        let state = match received.parent {
            // Without the trace that it belongs to it means nothing.
            None => Err(state::Malformed),
            Some(_) => state::combine(headers.get_all(&TRACESTATE).iter().map(HeaderValue::as_bytes)),
        };
        match state {
            Ok(state) => received.state = state,
            Err(state::Malformed) => received.refuse(headers, &TRACESTATE),
        }
    }
    match Found::find(headers, &REQUEST_ID).read(request_id::check) {
        Ok(id) => received.request_id = id.map(Into::into),
        Err(()) => received.refuse(headers, &REQUEST_ID),
    }
    received
}

impl Received {
    #[cold]
    fn refuse(&mut self, headers: &mut HeaderMap, name: &HeaderName) {
        headers.remove(name);
        self.refused += 1;
    }
}

#[inline]
fn sending(headers: &HeaderMap) -> Option<TraceParent> {
    Found::find(headers, &TRACEPARENT).read(TraceParent::parse).ok()?
}

/// Both ids in one allocation: the trace-id in digits stands in the middle of a `traceparent`.
fn send(headers: &mut HeaderMap, trace: &Trace) {
    let parent = Bytes::from_owner(TraceParent::of(trace).to_bytes());
    debug_assert_eq!(parent.len(), LENGTH);
    if trace.request_id().is_some() {
        send_request_id(headers, trace);
    } else if let Entry::Vacant(place) = headers.entry(&REQUEST_ID) {
        if let Some(id) = value_of(parent.slice(TRACE_ID)) {
            place.insert(id);
        }
    }
    let is_first = value_of(parent)
        .and_then(|parent| headers.insert(&TRACEPARENT, parent))
        .is_none();
    match trace.state() {
        Some(state) => insert(headers, &TRACESTATE, Bytes::copy_from_slice(state.as_bytes())),
        // It belonged to the other.
        None if !is_first => drop(headers.remove(&TRACESTATE)),
        None => {}
    }
}

fn send_request_id(headers: &mut HeaderMap, trace: &Trace) {
    if let Entry::Vacant(place) = headers.entry(&REQUEST_ID) {
        if let Some(id) = value_of(request_id(trace)) {
            place.insert(id);
        }
    }
}

fn request_id(trace: &Trace) -> Bytes {
    match trace.request_id() {
        Some(id) => Bytes::copy_from_slice(id.as_bytes()),
        None => Bytes::from(Box::new(hex::of_128(trace.id().get())) as Box<[u8]>),
    }
}

/// The id is another one in each response. HTTP/2 would put them all in its table of headers seen, which holds some fifty
/// of them, push what does come again out of it, and compare each new one with all of those: that takes longer than all
/// of the rest of the layer. Only a value that is marked as sensitive is kept out of it; `Debug` then does not show it.
fn answer(headers: &mut HeaderMap, trace: &Trace) {
    if let Some(mut id) = value_of(request_id(trace)) {
        id.set_sensitive(true);
        headers.insert(&REQUEST_ID, id);
    }
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: Bytes) {
    if let Some(value) = value_of(value) {
        headers.insert(name, value);
    }
}

/// A state or a request-id that a user has set need not be fit for a header.
fn value_of(value: Bytes) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(value).ok()
}

macro_rules! in_headers {
    ($($Protocol:ident: $Judge:ident)*) => {$(
        /// In the headers `traceparent`, `tracestate` and `x-request-id`.
        impl<B, C: $Judge> Carrier<Request<B>> for $Protocol<C> {
            const CARRIES: bool = true;

            #[inline]
            fn receive(&self, request: &mut Request<B>) -> Received {
                receive(request.headers_mut())
            }

            fn strip(&self, request: &mut Request<B>) {
                let headers = request.headers_mut();
                headers.remove(&TRACEPARENT);
                headers.remove(&TRACESTATE);
            }

            fn strip_request_id(&self, request: &mut Request<B>) {
                request.headers_mut().remove(&REQUEST_ID);
            }

            #[inline]
            fn sending(&self, request: &Request<B>) -> Option<TraceParent> {
                sending(request.headers())
            }

            fn send(&self, request: &mut Request<B>, trace: &Trace) {
                send(request.headers_mut(), trace);
            }

            fn send_request_id(&self, request: &mut Request<B>, trace: &Trace) {
                send_request_id(request.headers_mut(), trace);
            }

            fn method<'a>(&self, request: &'a Request<B>) -> Option<&'a str> {
                Some(request.method().as_str())
            }
        }

        /// In the header `x-request-id`.
        impl<B, C> Answer<Response<B>> for $Protocol<C> {
            fn answer(&self, response: &mut Response<B>, trace: &Trace) {
                answer(response.headers_mut(), trace);
            }

            fn status(&self, response: &Response<B>) -> Option<u16> {
                Some(response.status().as_u16())
            }

            fn rejected<'a>(&self, response: &'a Response<B>) -> Option<&'a Rejected> {
                response.extensions().get()
            }
        }
    )*};
}

in_headers! { Http: ClassifyHead Grpc: ClassifyCode }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_a_head_of_any_length() {
        for others in [0, 5, 31, 32, 33, 100] {
            for name in [&TRACEPARENT, &TRACESTATE, &REQUEST_ID] {
                let mut headers = HeaderMap::new();
                for other in 0..others {
                    let other = HeaderName::try_from(format!("x-other-{other}")).unwrap();
                    headers.insert(other, HeaderValue::from_static("other"));
                }
                assert_eq!(may_say(&headers), others > 32, "{others}");
                headers.insert(name, HeaderValue::from_static("?"));
                assert!(may_say(&headers), "{name} among {others}");
                assert_eq!(receive(&mut headers).refused, 1, "{name} among {others}");
            }
        }
    }

    #[test]
    fn an_answers_id_stays_out_of_the_tables_of_http_2() {
        let mut headers = HeaderMap::new();
        answer(&mut headers, &Trace::new());
        assert!(headers[&REQUEST_ID].is_sensitive());
    }
}
