use std::{
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower_layer::Layer;
use tower_service::Service;
use tower_test::{assert_request_eq, mock};

use super::*;
use crate::{
    Error, Plain, RejectionKind,
    registry::{Drill, Policy, Registry},
    test_services::Log,
    value::{Table, Value},
};

type Refusal = Error<&'static str>;

/// How often the parts of a [`Probe`] were asked and dropped. What it finds wrong it counts and does not assert:
/// its own panics would be caught.
#[derive(Debug, Default)]
struct Books {
    ready: AtomicUsize,
    call: AtomicUsize,
    future: AtomicUsize,
    services_dropped: AtomicUsize,
    futures_dropped: AtomicUsize,
}

impl Books {
    fn asked(&self) -> [usize; 3] {
        [&self.ready, &self.call, &self.future].map(|n| n.load(SeqCst))
    }

    fn dropped(&self) -> [usize; 2] {
        [&self.services_dropped, &self.futures_dropped].map(|n| n.load(SeqCst))
    }
}

/// Panics in one place; with `only_once`, in the first of all clones to come there.
#[derive(Clone)]
struct Probe {
    place: Option<Place>,
    drop_panics: bool,
    only_once: bool,
    books: Arc<Books>,
}

struct ProbeFuture(Probe);

fn probe(place: impl Into<Option<Place>>) -> Probe {
    Probe {
        place: place.into(),
        drop_panics: false,
        only_once: false,
        books: Arc::default(),
    }
}

impl Probe {
    fn pass(&self, place: Place) {
        let times = self.books.asked()[place as usize];
        if self.place == Some(place) && (times == 1 || !self.only_once) {
            panic!("no {place} today");
        }
    }
}

impl Service<()> for Probe {
    type Response = &'static str;
    type Error = Refusal;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.books.ready.fetch_add(1, SeqCst);
        self.pass(Place::Ready);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> ProbeFuture {
        self.books.call.fetch_add(1, SeqCst);
        self.pass(Place::Call);
        ProbeFuture(self.clone())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.books.services_dropped.fetch_add(1, SeqCst);
        if self.drop_panics && self.place != Some(Place::Future) {
            panic!("nor a decent end");
        }
    }
}

impl Future for ProbeFuture {
    type Output = Result<&'static str, Refusal>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.books.future.fetch_add(1, SeqCst);
        self.0.pass(Place::Future);
        Poll::Ready(Ok("well"))
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        self.0.books.futures_dropped.fetch_add(1, SeqCst);
        if self.0.drop_panics {
            panic!("nor a decent end");
        }
    }
}

fn ready<S: Service<()>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    task::spawn(()).enter(|cx, _| service.poll_ready(cx))
}

fn is_panicked<T>(result: &Result<T, Refusal>, policy: &str) -> bool {
    let rejected = result.as_ref().err().and_then(Error::rejected);
    rejected.is_some_and(|r| r.kind() == RejectionKind::Panicked && r.policy() == policy)
}

/// The text of what a future fails with when it is thrown this.
fn told(payload: impl FnOnce()) -> String {
    let registry = Registry::new();
    let recover = Recover::new();
    registry.register("told", &recover);
    let mut events = registry.subscribe();
    let mut payload = Some(payload);
    let result = task::spawn(recover.call(async {
        payload.take().expect("polled once")();
        Ok::<(), ()>(())
    }))
    .poll();
    assert!(assert_ready!(result).is_err());
    let event = events.try_next().expect("an event").expect("not lagged");
    event.detail::<Panic>().expect("a panic").message.clone()
}

// ===== the places =====

#[test]
fn a_panic_in_poll_ready_is_its_error_and_the_instance_is_never_asked_again() {
    let (recover, probe) = (Recover::new().named("api"), probe(Place::Ready));
    let books = probe.books.clone();
    let mut service = recover.layer().layer(probe);

    assert!(is_panicked(&assert_ready!(ready(&mut service)), "api"));
    assert_eq!(books.dropped(), [1, 0], "it is dropped at once");
    assert!(is_panicked(&assert_ready!(ready(&mut service)), "api"));
    assert!(is_panicked(
        &assert_ready!(task::spawn(service.call(())).poll()),
        "api"
    ));
    assert!(is_panicked(&assert_ready!(ready(&mut service.clone())), "api"));

    assert_eq!(books.asked(), [1, 0, 0]);
    assert_eq!(
        recover.panics_in(Place::Ready),
        1,
        "one panic, however often it is answered"
    );
    assert_eq!(recover.panics(), 1);
}

#[test]
fn a_panic_in_call_fails_the_call_and_poisons_the_instance() {
    let (recover, probe) = (Recover::new().named("api"), probe(Place::Call));
    let books = probe.books.clone();
    let mut service = recover.layer().layer(probe);

    assert_ready_ok!(ready(&mut service));
    let mut call = task::spawn(service.call(()));
    assert!(is_panicked(&assert_ready!(call.poll()), "api"));
    assert_eq!(books.dropped(), [1, 0], "it is dropped at once");
    assert!(is_panicked(&assert_ready!(ready(&mut service)), "api"));
    assert!(is_panicked(
        &assert_ready!(task::spawn(service.call(())).poll()),
        "api"
    ));
    assert!(is_panicked(&assert_ready!(ready(&mut service.clone())), "api"));

    assert_eq!(books.asked(), [1, 1, 0]);
    assert_eq!((recover.panics_in(Place::Call), recover.panics()), (1, 1));
}

#[test]
fn a_panicked_future_is_dropped_at_once_and_never_polled_again() {
    let (recover, probe) = (Recover::new().named("api"), probe(Place::Future));
    let books = probe.books.clone();
    let mut service = recover.layer().layer(probe);

    assert_ready_ok!(ready(&mut service));
    let mut call = task::spawn(service.call(()));
    assert!(is_panicked(&assert_ready!(call.poll()), "api"));
    assert_eq!(books.dropped(), [1, 1], "the future and the probe in it");
    assert!(is_panicked(&assert_ready!(call.poll()), "api"));
    drop(call);

    assert_eq!(books.asked(), [1, 1, 1]);
    assert_eq!(books.dropped(), [1, 1]);
    assert_eq!((recover.panics_in(Place::Future), recover.panics()), (1, 1));
    assert_ready_ok!(ready(&mut service), "the instance itself did not panic");
}

#[test]
fn clones_made_before_the_panic_are_not_concerned() {
    for place in [Place::Ready, Place::Call] {
        let recover = Recover::new();
        let mut probe = probe(place);
        probe.only_once = true;
        let mut service = recover.layer().layer(probe);
        let mut before = service.clone();
        let _ = ready(&mut service);
        drop(service.call(()));
        assert!(assert_ready!(ready(&mut service)).is_err());

        assert_ready_ok!(ready(&mut before));
        assert_eq!(assert_ready_ok!(task::spawn(before.call(())).poll()), "well");
        assert_eq!(recover.panics(), 1);
    }
}

#[tokio::test]
async fn what_does_not_panic_passes_unchanged() {
    let recover = Recover::new();
    let (mut service, mut handle) =
        mock::spawn_with(|inner: mock::Mock<u32, u32>| recover.layer().layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(2);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert_request_eq!(handle, 7).send_response(8);
    assert!(call.is_woken());
    assert_eq!(assert_ready_ok!(call.poll()), 8);

    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(9));
    assert_request_eq!(handle, 9).send_error("their own");
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "their own");

    handle.send_error("not ready");
    assert_eq!(assert_ready_err!(service.poll_ready()).to_string(), "not ready");
    assert_eq!(recover.panics(), 0);
}

#[test]
fn a_policy_that_is_off_lets_the_panic_through() {
    let off = RecoverLayer::new(None, Plain::new());
    let mut unready = off.layer(probe(Place::Ready));
    assert!(catch_unwind(AssertUnwindSafe(|| ready(&mut unready))).is_err());
    let mut uncallable = off.layer(probe(Place::Call));
    assert!(catch_unwind(AssertUnwindSafe(|| uncallable.call(()))).is_err());
    let mut call = task::spawn(off.layer(probe(Place::Future)).call(()));
    assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());

    let mut well = off.layer(probe(None));
    assert_ready_ok!(ready(&mut well));
    assert_eq!(assert_ready_ok!(task::spawn(well.call(())).poll()), "well");
}

#[test]
fn without_tower_a_call_is_guarded_just_so() {
    let recover = Recover::new().named("job");
    let mut well = task::spawn(recover.call(async { Ok::<_, &str>(1) }));
    assert_eq!(assert_ready!(well.poll()), Ok(1));
    let mut bad = task::spawn(recover.call(async { Err::<(), _>("their own") }));
    assert_eq!(assert_ready!(bad.poll()), Err(Error::Inner("their own")));

    let mut first = true;
    let mut late = task::spawn(recover.call(std::future::poll_fn(|_| {
        if std::mem::take(&mut first) {
            return Poll::Pending;
        }
        panic!("at the second poll")
    })));
    assert_pending!(late.poll());
    let result: Result<(), Refusal> = assert_ready!(late.poll());
    assert!(is_panicked(&result, "job"));
    assert_eq!(recover.panics_in(Place::Future), 1);
}

// ===== drops =====

#[test]
fn a_panic_in_the_drop_of_what_panicked_goes_no_further() {
    for place in [Place::Ready, Place::Call, Place::Future] {
        let recover = Recover::new();
        let mut probe = probe(place);
        probe.drop_panics = true;
        let books = probe.books.clone();
        let mut service = recover.layer().layer(probe);

        let readiness = ready(&mut service);
        if place == Place::Ready {
            assert!(assert_ready!(readiness).is_err());
        } else {
            let mut call = task::spawn(service.call(()));
            assert!(assert_ready!(call.poll()).is_err(), "{place}");
            assert!(assert_ready!(call.poll()).is_err(), "{place}");
            drop(call);
        }
        let dropped = books.dropped();
        drop(service);
        assert_eq!(recover.panics(), 1, "{place}: the drop's panic is no second one");
        match place {
            Place::Future => assert_eq!(dropped, [1, 1], "dropped once"),
            _ => assert_eq!((dropped, books.dropped()), ([1, 0], [1, 0]), "dropped once"),
        }
    }
}

struct Grenade(u8);

impl Drop for Grenade {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Grenade(self.0 - 1));
        }
    }
}

#[test]
fn a_payload_that_panics_when_dropped_goes_no_further() {
    for depth in 0..4 {
        assert_eq!(told(|| panic_any(Grenade(depth))), "not a text");
    }
}

// ===== what is told, and to whom =====

#[test]
fn the_payload_is_told_as_text_and_cut_short() {
    assert_eq!(told(|| panic!("a literal")), "a literal");
    assert_eq!(told(|| panic!("formatted {}", 7)), "formatted 7");
    assert_eq!(told(|| panic_any(7_u32)), "not a text");
    let long = told(|| panic!("{}", "x".repeat(5000)));
    assert_eq!(long.len(), 1024);
    let wide = told(|| panic!("x{}", "é".repeat(5000)));
    assert_eq!(wide, format!("x{}", "é".repeat(511)), "no half characters");
}

#[test]
fn each_place_is_told_in_an_event() {
    for place in [Place::Ready, Place::Call, Place::Future] {
        let registry = Registry::new();
        let recover = Recover::new().named("api");
        registry.register("api", &recover);
        let mut events = registry.subscribe();
        let mut service = recover.layer().layer(probe(place));
        let _ = ready(&mut service);
        let _ = task::spawn(service.call(())).poll();

        let event = events.try_next().expect("an event").expect("not lagged");
        assert_eq!((&*event.policy, event.concern), ("api", "recover"));
        let panic = event.detail::<Panic>().expect("a panic");
        assert_eq!(
            (panic.place, &*panic.message),
            (place, &*format!("no {place} today"))
        );
        assert!(
            panic.location.is_none() && panic.backtrace.is_none(),
            "nobody installed the hook"
        );
        assert_eq!(
            event.to_string(),
            format!("recover `api`: panic in {place}: no {place} today")
        );
        assert!(events.try_next().is_none(), "one event a panic");
    }
}

#[test]
fn the_payload_never_reaches_the_error() {
    let recover = Recover::new();
    let result = task::spawn(recover.call(async {
        if true {
            panic!("password123");
        }
        Ok::<(), &str>(())
    }))
    .poll();
    let error = assert_ready!(result).expect_err("a panic");
    assert!(!format!("{error} {error:?}").contains("password123"));
}

#[test]
fn a_panic_is_logged_as_an_error() {
    let log = Log::of("buttress::recover");
    log.under(|| {
        let mut probe = probe(Place::Call);
        probe.drop_panics = true;
        drop(Recover::new().named("api").layer().layer(probe).call(()));
    });
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in [
        "ERROR",
        "\"api\"",
        "place=\"call\"",
        "no call today",
        "caught a panic",
    ] {
        assert!(lines[0].contains(part), "{part} is missing in {}", lines[0]);
    }
    for part in [
        "ERROR",
        "\"api\"",
        "nor a decent end",
        "panicked again when it was dropped",
    ] {
        assert!(lines[1].contains(part), "{part} is missing in {}", lines[1]);
    }
}

#[test]
fn a_log_or_a_listener_that_panics_does_not_undo_the_catch() {
    let registry = Registry::new();
    registry.listen(|_| panic!("so is the listener"));
    let recover = Recover::new();
    registry.register("api", &recover);
    let log = Log::of("buttress::recover").panicking();
    let result = log.under(|| {
        let mut service = recover.layer().layer(probe(Place::Future));
        task::spawn(service.call(())).poll()
    });
    assert!(is_panicked(&assert_ready!(result), "recover"));
    assert_eq!(recover.panics(), 1);
}

// ===== the policy =====

#[test]
fn the_snapshot_counts_by_place_until_it_is_reset() {
    let registry = Registry::new();
    let recover = Recover::new();
    registry.register("api", &recover);
    for place in [Place::Future, Place::Call, Place::Call] {
        let _ = task::spawn(recover.layer().layer(probe(place)).call(())).poll();
    }
    let count = |key| {
        registry
            .snapshot()
            .at(&["api", "recover", key])
            .and_then(Value::as_u64)
    };
    assert_eq!(
        ["panics", "ready", "call", "future", "body"].map(count),
        [Some(3), Some(0), Some(2), Some(1), Some(0)]
    );
    registry.drill("api", &Drill::Reset).expect("it can be reset");
    assert_eq!((count("panics"), recover.panics_in(Place::Call)), (Some(0), 0));
    assert_eq!(recover.total_in(Place::Call), 2, "a counter never falls");
    assert!(recover.drill(&Drill::Open).is_err());
    let mut table = Table::new();
    recover.describe(&mut table);
    assert_eq!(table.len(), 1);
}

#[test]
fn clones_share_name_and_counts_and_the_first_name_stays() {
    let recover = Recover::new();
    assert_eq!(&*recover.name(), "recover");
    let clone = recover.clone();
    let _ = task::spawn(clone.layer().layer(probe(Place::Future)).call(())).poll();
    assert_eq!(recover.panics(), 1);
    recover.name_if_unnamed(&"stack".into());
    assert_eq!(&*clone.name(), "stack");
    assert_eq!(&*clone.named("later").name(), "stack");
    assert_eq!(recover.identity(), recover.clone().identity());
    assert_ne!(recover.identity(), Recover::new().identity());
}

#[test]
fn a_call_that_outlives_its_policy_is_guarded_and_bears_its_name_while_that_is_known() {
    let outliving = |name: &str| {
        let layer = Recover::new().named(name).layer();
        task::spawn(layer.layer(probe(Place::Future)).call(()))
    };
    let mut call = outliving("gone");
    assert!(is_panicked(&assert_ready!(call.poll()), "gone"));

    let mut call = outliving("long gone");
    for _ in 0..100 {
        drop(Recover::new().named("younger"));
    }
    assert!(is_panicked(&assert_ready!(call.poll()), "recover"));
}

#[test]
fn panics_on_many_threads_are_all_counted() {
    let recover = Recover::new();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..50 {
                    let _ = task::spawn(recover.layer().layer(probe(Place::Future)).call(())).poll();
                }
            });
        }
    });
    assert_eq!(recover.panics(), 200);
}

#[test]
fn it_is_as_shareable_as_what_it_wraps() {
    fn shareable<T: Send + Sync + Clone + Unpin + 'static>() {}
    fn sent<T: Send + Sync + Unpin>() {}
    shareable::<Recover>();
    shareable::<RecoverLayer<std::rc::Rc<()>>>();
    shareable::<RecoverService<u8, std::rc::Rc<()>>>();
    sent::<RecoverFuture<u8, std::rc::Rc<()>>>();
    sent::<RecoverCall<u8>>();
    #[cfg(feature = "http")]
    sent::<RecoverBody<u8>>();
}

#[test]
fn a_call_carries_little_more_than_its_future() {
    assert!(size_of::<RecoverFuture<u64, Plain>>() <= size_of::<u64>() + 16);
}
