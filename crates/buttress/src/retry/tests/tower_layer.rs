//! Under tower's own retry layer.

use tokio_test::{assert_pending, assert_ready, task};
use tower::retry::RetryLayer as TowersLayer;

use super::*;
use crate::CallContext;

fn under_tower(retry: &Retry) -> TowersLayer<TowerPolicy> {
    TowersLayer::new(retry.tower_policy())
}

#[tokio::test(start_paused = true)]
async fn it_does_what_our_own_layer_does() {
    let good = Ok(1);
    let scripts = [
        vec![good.clone()],
        vec![BUSY],
        vec![BUSY, good.clone()],
        vec![BUSY, BUSY, BUSY, good.clone()],
        vec![BUSY, rejected(RejectionKind::CircuitOpen)],
        vec![rejected(RejectionKind::TimedOut), good],
    ];
    let options = [
        Retry::builder().seed(7),
        Retry::builder().seed(7).jitter(Jitter::Decorrelated),
        plain().max_attempts(2),
        plain().max_attempts(5).backoff(Backoff::Fibonacci),
        plain().max_elapsed(ms(299)),
        plain().budget(Budget::new(0.0, 1)),
        plain().retry_on(RetryOn::nothing().timeouts(true)),
        plain().retry_if(|attempt| attempt.number == 1 && attempt.elapsed < ms(50)),
        Retry::builder().max_attempts(1),
    ];
    for options in options {
        for script in &scripts {
            let ours = Script::new(script.clone());
            let (answer, mut books) = called(options.clone(), &ours).await;
            let towers = Script::new(script.clone());
            let retry = options.clone().build().expect("valid");
            assert_eq!(
                under_tower(&retry).layer(towers.clone()).oneshot(()).await,
                answer
            );
            assert_eq!(towers.waits(), ours.waits(), "{options:?} {script:?}");
            // The time since the budget was last looked at is another.
            books.budget_balance = retry.snapshot().budget_balance;
            assert_eq!(retry.snapshot(), books, "{options:?} {script:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_asks_for_is_obeyed_and_so_is_the_deadline() {
    let pushed = Outcome::failure(Reason::Error).with_retry_after(Some(ms(1000)));
    let protocol = Plain::classify(move |_: &Answer| pushed);
    for (deadline, calls) in [(2001, 3), (2000, 2), (1000, 1)] {
        let script = Script::new([BUSY]);
        let retry = plain().build().expect("valid");
        let service = TowersLayer::new(retry.tower_policy_for(protocol)).layer(script.clone());
        let mut context = CallContext::new();
        context.limit_deadline(clock::now() + ms(deadline));
        let began = clock::now();
        assert_eq!(context.scope(service.oneshot(())).await, BUSY);
        assert_eq!(
            (script.calls(), began.elapsed()),
            (calls, ms(1000) * (calls as u32 - 1))
        );
        assert_eq!(script.waits(), vec![1000; calls - 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn elapsed_time_is_counted_from_the_call() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let slow = service_fn(move |()| {
        count.fetch_add(1, SeqCst);
        async {
            tokio::time::sleep(ms(500)).await;
            BUSY
        }
    });
    // 500 ms, 100 ms of waiting, 500 ms; then 1100 + 200 is too late.
    let retry = plain().max_elapsed(ms(1299)).build().expect("valid");
    let _ = under_tower(&retry).layer(slow).oneshot(()).await;
    assert_eq!(calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_through_one_service_keep_apart_and_share_the_budget() {
    let script = Script::new([BUSY]);
    let retry = plain().budget(Budget::new(0.0, 3)).build().expect("valid");
    let mut service = under_tower(&retry).layer(script.clone());
    let mut calls: Vec<_> = (0..4).map(|_| task::spawn(service.call(()))).collect();
    for (i, call) in calls.iter_mut().enumerate() {
        match i {
            0..3 => assert_pending!(call.poll()),
            // The first three have taken what there was.
            _ => assert_eq!(assert_ready!(call.poll()), BUSY),
        }
    }
    // Another call begins while three are between their first and second attempts.
    let mut late = task::spawn(service.call(()));
    assert_eq!(assert_ready!(late.poll()), BUSY);
    assert_eq!((script.calls(), retry.snapshot().calls), (5, 5));
    tokio::time::advance(ms(101)).await;
    for call in &mut calls[..3] {
        assert!(call.is_woken());
        assert_eq!(
            assert_ready!(call.poll()),
            BUSY,
            "no third attempt without budget"
        );
    }
    let books = retry.snapshot();
    assert_eq!((script.calls(), books.retries, books.attempts), (8, 3, 8));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_ends_the_wait() {
    let script = Script::new([BUSY]);
    let retry = plain().build().expect("valid");
    let mut call = task::spawn(under_tower(&retry).layer(script.clone()).oneshot(()));
    assert_pending!(call.poll());
    drop(call);
    tokio::time::advance(ms(60_000)).await;
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn inside_of_another_retry_there_is_one_attempt() {
    let script = Script::new([BUSY]);
    let (outer, inner) = (plain().build().expect("valid"), plain().build().expect("valid"));
    let service = outer.layer().layer(under_tower(&inner).layer(script.clone()));
    assert_eq!(service.oneshot(()).await, BUSY);
    assert_eq!(script.calls(), 3);
    assert_eq!((inner.snapshot().calls, inner.snapshot().retries), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_call_are_counted_in_its_context() {
    let context = CallContext::new();
    let tally = context.tally().clone();
    let retry = plain().build().expect("valid");
    let _ = context
        .scope(under_tower(&retry).layer(Script::new([BUSY])).oneshot(()))
        .await;
    assert_eq!(tally.attempts(), 3);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn over_http_methods_decide_and_attempts_have_a_number() {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;

    use crate::{Grpc, Http, RequestProtocol};

    type Seen = Vec<(Option<u32>, bool, Option<String>)>;

    async fn sent<P>(method: &str, protocol: P) -> (Seen, u64)
    where
        P: Clone
            + Protocol<Response<Full<Bytes>>, Error<&'static str>>
            + RequestProtocol<Request<Full<Bytes>>>,
    {
        let seen = Arc::new(Mutex::new(Seen::new()));
        let upstream = seen.clone();
        let retry = plain().attempt_header(true).build().expect("valid");
        let layer = TowersLayer::new(retry.tower_policy_for(protocol));
        let service = layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
            let context = request.extensions().get::<CallContext>();
            let said = ["x-retry-attempt", "grpc-previous-rpc-attempts"]
                .iter()
                .find_map(|name| request.headers().get(*name))
                .map(|value| value.to_str().expect("a number").to_owned());
            let context = context.map(|c| (c.attempt(), c.is_repeated()));
            upstream.lock().expect("no panic").push((
                context.map(|(n, _)| n),
                context.is_some_and(|(_, repeated)| repeated),
                said,
            ));
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            ready(Ok::<_, Error<&'static str>>(response))
        }));
        let mut request = Request::builder()
            .method(method)
            .body(Full::from("body"))
            .expect("a request");
        request.extensions_mut().insert(CallContext::new());
        let response = service.oneshot(request).await.expect("the original answer");
        assert_eq!(response.status(), 503);
        let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
        (seen, retry.snapshot().not_repeatable)
    }
    use crate::Protocol;

    let first = || (Some(1), false, None);
    let later = |n, said: &str| (Some(n), true, Some(said.to_owned()));
    let (seen, _) = sent("PUT", Http::new()).await;
    assert_eq!(seen, [first(), later(2, "2"), later(3, "3")]);
    let (seen, _) = sent("POST", Grpc::new()).await;
    assert_eq!(seen, [first(), later(2, "1"), later(3, "2")]);
    assert_eq!(sent("POST", Http::new()).await, (vec![first()], 1));
}
