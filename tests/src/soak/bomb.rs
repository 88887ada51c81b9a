//! A transport that panics: when it is called, while it works, and in the body of its response.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use super::{AS_ASKED, Mischief, dice::Dice};

/// Puts a [`Bomb`] around a service.
#[derive(Clone, Debug)]
pub struct BombLayer {
    dice: Arc<Dice>,
    mischief: Mischief,
}

impl BombLayer {
    /// Panics while there is mischief, as the dice have it.
    #[must_use]
    pub fn new(dice: Dice, mischief: Mischief) -> Self {
        let dice = Arc::new(dice);
        Self { dice, mischief }
    }
}

impl<S> Layer<S> for BombLayer {
    type Service = Bomb<S>;

    fn layer(&self, inner: S) -> Bomb<S> {
        Bomb {
            inner,
            layer: self.clone(),
        }
    }
}

/// Panics, or passes the call on.
#[derive(Clone, Debug)]
pub struct Bomb<S> {
    inner: S,
    layer: BombLayer,
}

impl<S, R, B> Service<R> for Bomb<S>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<BombBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let luck = match self.layer.mischief.is_on() {
            true => self.layer.dice.below(200),
            false => 200,
        };
        if luck == 0 {
            std::panic::panic_any(AS_ASKED);
        }
        let call = self.inner.call(request);
        Box::pin(async move {
            if luck == 1 {
                std::panic::panic_any(AS_ASKED);
            }
            let response = call.await?;
            if luck == 2 {
                std::panic::panic_any(AS_ASKED);
            }
            Ok(response.map(|body| BombBody {
                body,
                goes_off: luck == 3,
            }))
        })
    }
}

/// A body that may panic.
#[derive(Debug)]
pub struct BombBody<B> {
    body: B,
    goes_off: bool,
}

impl<B: Body + Unpin> Body for BombBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if self.goes_off {
            std::panic::panic_any(AS_ASKED);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
