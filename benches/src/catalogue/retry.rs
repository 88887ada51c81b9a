//! Retries of calls that need none.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use buttress::{
    ErrorLayer, Http as HttpProtocol,
    replay::Bare,
    retry::{Budget, Retry, RetryLayer},
};
use http::{Request, Response};
use tower::{
    Layer, Service,
    retry::{
        self, Policy,
        budget::{Budget as _, TpsBudget},
    },
    service_fn,
};
use tower_resilience::retry::{RetryBudgetBuilder, RetryLayer as TowerResilience};

use super::{entries, reqwest};
use crate::{
    drive::Subject,
    floor::Attempts,
    service::{Broken, HttpRequest, HttpResponse, Plain, Upstream, answer, get},
};

// ===== tower =====

/// Three attempts, without a wait between them, for tower's default is none: there is no policy in tower.
#[derive(Clone)]
struct Three {
    left: u32,
    budget: Option<Arc<TpsBudget>>,
}

impl Three {
    /// With the budget that Buttress has by default: a fifth of the calls, and ten a second.
    fn budgeted() -> Self {
        let budget = TpsBudget::new(Duration::from_secs(1), 10, 0.2);
        Self {
            left: 2,
            budget: Some(Arc::new(budget)),
        }
    }

    fn unlimited() -> Self {
        Self {
            left: 2,
            budget: None,
        }
    }

    fn again(&mut self, failed: bool) -> Option<Ready<()>> {
        if !failed {
            if let Some(budget) = &self.budget {
                budget.deposit();
            }
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let granted = self.budget.as_ref().is_none_or(|budget| budget.withdraw());
        granted.then(|| ready(()))
    }
}

impl Policy<u64, u64, Broken> for Three {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, Broken>) -> Option<Ready<()>> {
        self.again(result.is_err())
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

impl<B> Policy<HttpRequest, Response<B>, Broken> for Three {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut HttpRequest, result: &mut Result<Response<B>, Broken>) -> Option<Ready<()>> {
        self.again(!matches!(result, Ok(response) if !response.status().is_server_error()))
    }

    /// Asks for the method, as the others do.
    fn clone_request(&mut self, request: &HttpRequest) -> Option<HttpRequest> {
        request.method().is_idempotent().then(|| request.clone())
    }
}

// ===== tower-resilience =====

fn tower_resilience<Q, R>() -> TowerResilience<Q, R, Broken>
where
    Q: Clone + Send + 'static,
    R: Send + 'static,
{
    let budget = RetryBudgetBuilder::new().token_bucket().tokens_per_second(10.0);
    TowerResilience::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(100))
        .budget(budget.build().expect("in order"))
        .build()
}

fn tower_resilience_unlimited<Q, R>() -> TowerResilience<Q, R, Broken>
where
    Q: Clone + Send + 'static,
    R: Send + 'static,
{
    TowerResilience::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(100))
        .build()
}

// ===== paths =====

fn standard() -> Retry {
    let budget = Budget::default();
    Retry::builder().budget(budget).build().expect("in order")
}

entries! {
    /// The budgets differ: tower's is a share of the calls too, under a lock; tower-resilience's is ten a second and
    /// nothing else, under a lock.
    FIRST, "retry":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let attempts = Attempts::new();
        Subject::function(move |i| Attempts::call(&attempts, || answer(i)))
    },
    "buttress" => Subject::plain(standard().layer().layer(ErrorLayer::new().layer(Plain))),
    "tower-retry" => Subject::plain(retry::Retry::new(Three::budgeted(), Plain)),
    "tower-resilience" => Subject::plain(tower_resilience().layer(Plain)),
}

entries! { NO_BUDGET, "retry/no_budget":
    "bare" => Subject::plain(Plain),
    "buttress" => {
        let retry = Retry::builder().budget(None).build().expect("in order");
        Subject::plain(retry.layer().layer(ErrorLayer::new().layer(Plain)))
    },
    "tower-retry" => Subject::plain(retry::Retry::new(Three::unlimited(), Plain)),
    "tower-resilience" => Subject::plain(tower_resilience_unlimited().layer(Plain)),
}

entries! {
    /// For those without tower: a function. backon has no budget and no books, and no state that calls share.
    FUNCTION, "retry/function":
    "bare" => Subject::plain(service_fn(|i| ready(answer(i)))),
    "buttress" => {
        let retry = standard();
        Subject::plain(service_fn(move |i| retry.call(move |_| ready(answer(i)))))
    },
    "backon" => {
        let backoff = ExponentialBuilder::default().with_jitter().with_max_times(2);
        Subject::plain(service_fn(move |i| (move || ready(answer(i))).retry(backoff).into_future()))
    },
}

entries! {
    /// A GET with four headers and a short body. The floor is that of the plain retry and the copy of the head.
    OVER_HTTP, "http/retry":
    "bare" => over_http(Upstream),
    "floor" => {
        let attempts = Attempts::new();
        over_http(service_fn(move |request: HttpRequest| {
            let mut kept = Request::new(());
            request.method().clone_into(kept.method_mut());
            request.uri().clone_into(kept.uri_mut());
            request.headers().clone_into(kept.headers_mut());
            request.extensions().clone_into(kept.extensions_mut());
            let answer = Attempts::call(&attempts, || Upstream.call(request));
            drop(std::hint::black_box(kept));
            answer.expect("no other attempt is around it")
        }))
    },
    "buttress" => {
        let layer = RetryLayer::new(standard(), HttpProtocol::new(), Bare);
        over_http(layer.layer(ErrorLayer::new().layer(Upstream)))
    },
    // The body is cloned with the head: it has to be one that can be.
    "tower-retry" => over_http(retry::Retry::new(Three::budgeted(), Upstream)),
    // It asks for no method and no status.
    "tower-resilience" => over_http(tower_resilience::<HttpRequest, HttpResponse>().layer(Upstream)),
    // What the middleware costs without the retry, and with it. Its bare service is the one in the first of the two.
    "reqwest-middleware" => reqwest::without_retry(),
    "reqwest-retry" => reqwest::with_retry(),
}

pub(super) fn over_http<S, B>(service: S) -> Subject
where
    S: Service<HttpRequest, Response = Response<B>> + Send + 'static,
    B: http_body::Body<Data = bytes::Bytes>,
{
    let request = get();
    Subject::http_from(service, move || request.clone())
}
