use std::time::Duration;

use super::*;
use crate::outcome::Verdict;

#[test]
fn a_rejection_is_small() {
    assert!(size_of::<Rejected>() <= 32);
    assert!(size_of::<Error<std::convert::Infallible>>() <= 32);
}

#[test]
fn only_timeouts_and_panics_are_failures_of_the_service() {
    use RejectionKind::*;
    for kind in [
        CircuitOpen,
        RateLimited,
        QueueFull,
        QueueTimeout,
        DeadlineExpired,
        NoEndpoint,
        Shed,
        Custom,
    ] {
        assert_eq!(kind.verdict(), Verdict::Neutral, "{kind}");
    }
    assert_eq!(TimedOut.verdict(), Verdict::Failure);
    assert_eq!(Panicked.verdict(), Verdict::Failure);
    let blameless = Rejected::new(TimedOut, "api").blameless();
    assert_eq!(
        (blameless.kind(), blameless.verdict()),
        (TimedOut, Verdict::Neutral)
    );
    assert_eq!(blameless.grpc_code(), 4);
}

#[test]
fn retry_after_is_rounded_up_and_never_zero() {
    let after = |d| {
        Rejected::new(RejectionKind::RateLimited, "r")
            .with_retry_after(d)
            .retry_after_secs()
    };
    assert_eq!(after(Duration::ZERO), Some(1));
    assert_eq!(after(Duration::from_millis(1)), Some(1));
    assert_eq!(after(Duration::from_millis(1001)), Some(2));
    assert_eq!(after(Duration::from_secs(2)), Some(2));
    assert_eq!(after(Duration::MAX).map(|s| s > 1 << 32), Some(true));
    assert_eq!(Rejected::new(RejectionKind::Shed, "r").retry_after_secs(), None);
}

#[test]
fn display_says_what_to_do_next() {
    let open =
        Rejected::new(RejectionKind::CircuitOpen, "payments").with_retry_after(Duration::from_secs(28));
    assert_eq!(
        open.to_string(),
        "circuit breaker `payments` is open, the service was failing: retry after 28s"
    );
    let shed = Rejected::new(RejectionKind::Shed, "api");
    assert_eq!(
        shed.to_string(),
        "given up by `api` for more important calls: retry later"
    );
}

#[test]
fn nonsense_on_the_wire_is_not_taken() {
    let r = Rejected::new(RejectionKind::Custom, "mine")
        .with_http_status(7)
        .with_grpc_code(0)
        .with_grpc_code(17);
    assert_eq!((r.http_status(), r.grpc_code()), (503, 14));
    let r = r.with_http_status(418).with_grpc_code(9);
    assert_eq!((r.http_status(), r.grpc_code()), (418, 9));
}

#[test]
fn a_boxed_error_still_shows_its_rejection() {
    let boxed: BoxError = Error::<std::io::Error>::from(Rejected::new(RejectionKind::Shed, "api")).into();
    assert_eq!(CallError::rejected(&boxed).map(Rejected::policy), Some("api"));
    assert_eq!(boxed.split().expect("a rejection").kind(), RejectionKind::Shed);

    let plain: BoxError = "out of paper".into();
    assert!(CallError::rejected(&plain).is_none());
    assert!(plain.split().is_err());
}
