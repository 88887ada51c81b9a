//! Callers that come at a steady pace, whatever becomes of those before them.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};
use tower::{BoxError, ServiceExt};
use tower_service::Service;

/// What the callers got.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) all: Vec<Answer>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status and text, or nothing where the call ended in an error.
    pub(crate) response: Option<(u16, Bytes)>,
    pub(crate) took: Duration,
}

impl Answers {
    pub(crate) fn with_status(&self, status: u16) -> usize {
        let has = |answer: &&Answer| matches!(&answer.response, Some((s, _)) if *s == status);
        self.all.iter().filter(has).count()
    }

    /// The time that all but one in `n` calls stay within.
    pub(crate) fn all_but_one_in(&self, n: usize) -> Duration {
        let mut took: Vec<_> = self.all.iter().map(|answer| answer.took).collect();
        took.sort();
        took[took.len() - 1 - took.len() / n]
    }
}

pub(crate) fn get() -> Request<Full<Bytes>> {
    Request::get("http://upstream/")
        .body(Full::default())
        .expect("a good request")
}

/// Reads calls at `per_second` for `time`, one after the other, and waits for the last.
pub(crate) async fn offer<S, B>(service: S, per_second: u32, time: Duration) -> Answers
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    S::Error: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    let mut calls = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / per_second);
    for _ in 0..time.as_millis() as u64 * u64::from(per_second) / 1000 {
        pace.tick().await;
        let service = service.clone();
        calls.spawn(async move {
            let began = Instant::now();
            let response = match service.oneshot(get()).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    response
                        .into_body()
                        .collect()
                        .await
                        .ok()
                        .map(|body| (status, body.to_bytes()))
                }
                Err(_) => None,
            };
            Answer {
                response,
                took: began.elapsed(),
            }
        });
    }
    Answers {
        all: calls.join_all().await,
    }
}
