//! What needs a runtime: timers, and calls that have to wait.

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::runtime::Builder;
use tower::Service;

use super::Subject;

impl Subject {
    /// The same inside a tokio runtime: for what makes a timer before it knows whether it needs one. Nothing of it is
    /// in the loop; the runtime is entered before and left after.
    #[must_use]
    pub fn within_tokio(self) -> Self {
        let lanes = self.lanes.into_iter().map(|mut lane| {
            let runtime = Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("it starts");
            Box::new(move |calls| {
                let _entered = runtime.enter();
                lane(calls);
            }) as super::Lane
        });
        Self {
            lanes: lanes.collect(),
            bytes: self.bytes,
        }
    }

    /// The same for what makes a timer when it is itself made.
    #[must_use]
    pub fn made_within_tokio(make: impl FnOnce() -> Self) -> Self {
        let runtime = Arc::new(
            Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("it starts"),
        );
        let made = {
            let _entered = runtime.enter();
            make()
        };
        let lanes = made.lanes.into_iter().map(|mut lane| {
            let runtime = runtime.clone();
            Box::new(move |calls| {
                let _entered = runtime.enter();
                lane(calls);
            }) as super::Lane
        });
        Self {
            lanes: lanes.collect(),
            bytes: made.bytes,
        }
    }

    /// A plain service that is polled twice for each call: it has to wait once, and does not wait long.
    pub fn waiting<S>(mut service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        let mut subject = Self::function(move |i| {
            let service = black_box(&mut service);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
            let mut call = pin!(service.call(i));
            assert!(call.as_mut().poll(&mut cx).is_pending());
            match call.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(response)) => {
                    black_box(&response);
                }
                _ => panic!("no answer"),
            }
        });
        subject.bytes = Some((size_of::<S>(), size_of::<S::Future>()));
        subject.within_tokio()
    }
}
