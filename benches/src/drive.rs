//! One call after the other, by hand.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

use crate::service::{FAIL, HttpRequest};

mod within;

/// A loop of so many calls.
pub type Lane = Box<dyn FnMut(u64) + Send>;

/// Something to be measured: built, and ready to run.
#[allow(missing_debug_implementations)] // there is nothing to see in a loop
pub struct Subject {
    /// One loop, or one for each thread.
    pub lanes: Vec<Lane>,
    /// How large the service and its future are, in bytes, where there are such.
    pub bytes: Option<(usize, usize)>,
}

impl Subject {
    /// A loop that is no service.
    pub fn function<T>(mut function: impl FnMut(u64) -> T + Send + 'static) -> Self {
        Self {
            lanes: vec![Box::new(move |calls| {
                for i in 0..calls {
                    // Looked at where it is: to move it once more is not part of a call.
                    black_box(&function(black_box(i)));
                }
            })],
            bytes: None,
        }
    }

    /// A plain service; every call succeeds.
    pub fn plain<S>(service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        Self::requests(service, |i| i)
    }

    /// A plain service; every second call fails.
    pub fn every_second_fails<S>(service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        Self::requests(service, every_second_fails)
    }

    fn requests<S>(mut service: S, request: fn(u64) -> u64) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        // As a caller does it: which of the two it is, and then that. An answer that is only moved on, as a whole,
        // costs more than most layers do, and measures nothing of them.
        let mut subject = Self::function(move |i| match call(black_box(&mut service), request(i)) {
            Ok(response) => {
                black_box(&response);
            }
            Err(error) => {
                black_box(&error);
            }
        });
        subject.bytes = Some((size_of::<S>(), size_of::<S::Future>()));
        subject
    }

    /// A plain service whose futures are dropped before they are polled.
    pub fn cancelled<S>(mut service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        Self::function(move |i| {
            let service = black_box(&mut service);
            let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(ready, Poll::Ready(Ok(()))));
            service.call(i)
        })
    }

    /// An HTTP service, whose response bodies are read to their end.
    pub fn http<S, B>(mut service: S) -> Self
    where
        S: Service<HttpRequest, Response = Response<B>> + Send + 'static,
        B: Body<Data = Bytes>,
    {
        let mut subject = Self::function(move |_| {
            let request = black_box(Request::new(Full::new(Bytes::from_static(b"ping"))));
            call(black_box(&mut service), request).map(read)
        });
        subject.bytes = Some((size_of::<S>(), size_of::<S::Future>()));
        subject
    }

    /// A plain service; every call fails.
    pub fn every_call_fails<S>(service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        Self::requests(service, |i| i | FAIL)
    }

    /// A service that is asked what `request` makes, in the loop, and whose response bodies are read to their end.
    pub fn http_from<S, R, B>(mut service: S, mut request: impl FnMut() -> R + Send + 'static) -> Self
    where
        S: Service<R, Response = Response<B>> + Send + 'static,
        B: Body<Data = Bytes>,
    {
        let mut subject = Self::function(move |_| {
            let request = black_box(request());
            call(black_box(&mut service), request).map(read)
        });
        subject.bytes = Some((size_of::<S>(), size_of::<S::Future>()));
        subject
    }

    /// The same loop on two threads at once, over a service of its own each.
    pub fn pair(mut make: impl FnMut() -> Self) -> Self {
        let mut subject = make();
        subject.lanes.append(&mut make().lanes);
        subject
    }
}

/// The request number `i` where every second one fails.
#[inline]
pub fn every_second_fails(i: u64) -> u64 {
    if i & 1 == 0 { i } else { i | FAIL }
}

#[inline]
fn call<S: Service<R>, R>(service: &mut S, request: R) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Err(error),
        Poll::Pending => panic!("not ready at once"),
    }
    let mut future = pin!(service.call(request));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(response)) => return Ok(response),
            Poll::Ready(Err(error)) => return Err(error),
            // Only where another thread has the peer's lock. There is no runtime that would have to be woken first,
            // so asking again at once is the best that can happen to it.
            Poll::Pending => thread::yield_now(),
        }
    }
}

#[inline]
fn read<B: Body<Data = Bytes>>(response: Response<B>) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(response.into_body());
    let mut length = 0;
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => length += frame.data_ref().map_or(0, Bytes::len),
            Poll::Ready(Some(Err(_)) | None) => return length,
            Poll::Pending => panic!("not there at once"),
        }
    }
}

/// One call, whose answer nobody wants.
pub fn once<S: Service<u64>>(service: &mut S, request: u64) {
    // Whether it failed is what the service was asked for.
    let _ = call(service, request);
}
