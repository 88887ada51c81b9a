//! What is put before the work.

use std::{sync::Arc, time::Duration};

use axum::{
    Router, error_handling::HandleErrorLayer, extract::Path, http::StatusCode, response::Response,
    routing::get,
};
use buttress::{
    ErrorLayer, Http, clock,
    http::RespondLayer,
    priority::{Priority, PriorityQueue},
};
use http::Request;
use tokio::{sync::Semaphore, time::sleep};
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer,
    load_shed::LoadShedLayer, util::BoxCloneService,
};
use tower_resilience::bulkhead::BulkheadLayer;

use super::{CLASSES, Call, SLOTS};

/// What lets [`SLOTS`] calls run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Our queue, of 1024.
    Buttress,
    /// The same, and the load that is offered is refused by class.
    ButtressByLoad,
    /// tower's `ConcurrencyLimit` in a `LoadShed`: nobody waits.
    TowerLoadShed,
    /// tokio's semaphore: everybody waits.
    Semaphore,
    /// tower-resilience's bulkhead: everybody waits for up to a second.
    Bulkhead,
}

/// A service in the simulation.
pub(super) type Simulated = BoxCloneService<Call, (), Refusal>;

/// Whether the refused was told when to come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) retry_after: bool,
}

/// Of an answer over sockets: how many microseconds the work took. A timer is exact to a millisecond, and late where the
/// machine is busy.
pub(super) const WORKED: &str = "x-worked";

const SECOND: Duration = Duration::from_secs(1);

impl System {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Buttress,
        Self::ButtressByLoad,
        Self::TowerLoadShed,
        Self::Semaphore,
        Self::Bulkhead,
    ];

    /// In tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Buttress => "buttress",
            Self::ButtressByLoad => "buttress, shed_by_load",
            Self::TowerLoadShed => "tower limit + load shed",
            Self::Semaphore => "tokio semaphore",
            Self::Bulkhead => "tower-resilience bulkhead",
        }
    }

    fn queue(self) -> PriorityQueue {
        PriorityQueue::builder()
            .name("overload")
            .concurrency(SLOTS)
            .queue(1024)
            .max_queue_time(Priority::CRITICAL, 5 * SECOND)
            .max_queue_time(Priority::NORMAL, SECOND)
            .max_queue_time(Priority::BACKGROUND, SECOND / 5)
            .shed_by_load(self == Self::ButtressByLoad)
            .build()
            .expect("the options are in order")
    }

    pub(super) fn simulated(self) -> Simulated {
        let told_nothing = |_| Refusal { retry_after: false };
        let work = tower::service_fn(|call: Call| async move {
            sleep(call.time).await;
            Ok::<_, BoxError>(())
        });
        match self {
            Self::Buttress | Self::ButtressByLoad => {
                let layer = self.queue().layer().classify(Call::priority);
                let service = layer.layer(ErrorLayer::new().layer(work));
                BoxCloneService::new(service.map_err(|error| Refusal {
                    retry_after: error.rejected().and_then(|r| r.retry_after()).is_some(),
                }))
            }
            Self::TowerLoadShed => {
                let stack = ServiceBuilder::new()
                    .load_shed()
                    .layer(GlobalConcurrencyLimitLayer::new(SLOTS as usize));
                BoxCloneService::new(stack.service(work).map_err(told_nothing))
            }
            Self::Semaphore => {
                let semaphore = Arc::new(Semaphore::new(SLOTS as usize));
                BoxCloneService::new(tower::service_fn(move |call: Call| {
                    let semaphore = semaphore.clone();
                    async move {
                        let _permit = semaphore.acquire().await;
                        sleep(call.time).await;
                        Ok(())
                    }
                }))
            }
            Self::Bulkhead => {
                let service = bulkhead().layer(work);
                BoxCloneService::new(service.map_err(|_| Refusal { retry_after: false }))
            }
        }
    }

    /// As an HTTP server: `GET /{class}/{milliseconds}`.
    pub(super) fn router(self) -> Router {
        let work = Router::new().route(
            "/{class}/{millis}",
            get(async |Path((_, millis)): Path<(usize, u64)>| {
                let began = clock::now();
                sleep(Duration::from_millis(millis)).await;
                [(WORKED, began.elapsed().as_micros().to_string())]
            }),
        );
        let no = HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE);
        match self {
            Self::Buttress | Self::ButtressByLoad => {
                let queue = self.queue().layer_for(Http::new());
                work.layer(
                    ServiceBuilder::new()
                        .layer(RespondLayer::http())
                        .layer(queue.classify(class_of))
                        .layer(ErrorLayer::new()),
                )
            }
            Self::TowerLoadShed => work.layer(
                ServiceBuilder::new()
                    .layer(no)
                    .layer(LoadShedLayer::new())
                    .layer(GlobalConcurrencyLimitLayer::new(SLOTS as usize)),
            ),
            Self::Semaphore => {
                let semaphore = Arc::new(Semaphore::new(SLOTS as usize));
                work.layer(axum::middleware::from_fn(
                    move |request: axum::extract::Request, next: axum::middleware::Next| {
                        let semaphore = semaphore.clone();
                        async move {
                            let _permit = semaphore.acquire().await;
                            let response: Response = next.run(request).await;
                            response
                        }
                    },
                ))
            }
            // The handle makes all services share one semaphore: axum applies the layer to each route.
            Self::Bulkhead => {
                let no = HandleErrorLayer::new(
                    async |_: tower_resilience::bulkhead::BulkheadServiceError<std::convert::Infallible>| {
                        StatusCode::SERVICE_UNAVAILABLE
                    },
                );
                work.layer(ServiceBuilder::new().layer(no).layer(bulkhead()))
            }
        }
    }
}

fn bulkhead() -> BulkheadLayer {
    let builder = BulkheadLayer::builder()
        .max_concurrent_calls(SLOTS as usize)
        .max_wait_duration(SECOND);
    builder.build_with_handle().expect("the options are in order").0
}

fn class_of<B>(request: &Request<B>) -> Priority {
    let class = request.uri().path().split('/').nth(1);
    let class = class.and_then(|class| class.parse::<usize>().ok());
    class
        .and_then(|class| CLASSES.get(class))
        .map_or(Priority::NORMAL, |class| class.1)
}
