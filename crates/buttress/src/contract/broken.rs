//! A layer that breaks one rule at a time, and the rules that notice it.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker, ready},
};

use tower_layer::Layer;
use tower_service::Service;

use super::{
    case::{Case, Facts},
    cost, ending,
    inner::Failed,
    keep, readiness, rules, waking,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The classic: `let mut inner = self.inner.clone()` in `call`, and that one is called.
    CallsTheClone,
    HoardsPlaces,
    ClonesItsReadiness,
    SwallowsErrors,
    InventsErrors,
    RefusesInPollReady,
    WakesItselfForReadiness,
    WakesItselfForAnswers,
    WakesOne,
    KeepsItsSlotOfAPanic,
    KeepsItsSlotOfADroppedCall,
    Allocates,
}

#[derive(Clone)]
struct Toy {
    fault: Fault,
    running: Arc<AtomicU64>,
    is_refusing: Arc<AtomicU64>,
    /// Who waits, if one is woken for all.
    first: Arc<AtomicU64>,
}

struct ToyService<S> {
    toy: Toy,
    inner: S,
    is_ready: bool,
    hoard: Vec<S>,
}

impl<S> Layer<S> for Toy {
    type Service = ToyService<S>;

    fn layer(&self, inner: S) -> ToyService<S> {
        ToyService {
            toy: self.clone(),
            inner,
            is_ready: false,
            hoard: Vec::new(),
        }
    }
}

impl<S: Clone> Clone for ToyService<S> {
    fn clone(&self) -> Self {
        let mut clone = self.toy.layer(self.inner.clone());
        clone.is_ready = self.is_ready && self.toy.fault == Fault::ClonesItsReadiness;
        clone
    }
}

impl<S> Service<u32> for ToyService<S>
where
    S: Service<u32, Response = u32, Error = Failed, Future: Send + 'static> + Clone,
{
    type Response = u32;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Failed>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        match self.toy.fault {
            Fault::ClonesItsReadiness if self.is_ready => return Poll::Ready(Ok(())),
            Fault::InventsErrors => return Poll::Ready(Err(Failed::Inner("invented"))),
            Fault::RefusesInPollReady if self.toy.is_refusing.load(SeqCst) > 0 => {
                return Poll::Ready(Err(Failed::Inner("refused")));
            }
            Fault::HoardsPlaces => {
                let clone = self.inner.clone();
                self.hoard.push(mem::replace(&mut self.inner, clone));
            }
            Fault::WakesItselfForReadiness => cx.waker().wake_by_ref(),
            Fault::WakesOne if self.toy.first.fetch_add(1, SeqCst) > 0 => {
                return self.inner.poll_ready(&mut Context::from_waker(Waker::noop()));
            }
            _ => {}
        }
        let ready = ready!(self.inner.poll_ready(cx));
        self.is_ready = ready.is_ok();
        match self.toy.fault {
            Fault::SwallowsErrors if ready.is_err() => Poll::Pending,
            _ => Poll::Ready(ready),
        }
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.is_ready = false;
        let Toy {
            fault,
            running,
            is_refusing,
            ..
        } = self.toy.clone();
        if is_refusing.load(SeqCst) > 0 {
            return Box::pin(async { Err(Failed::Inner("refused")) });
        }
        running.fetch_add(1, SeqCst);
        let slot = Slot(running.clone());
        let slot = match fault {
            Fault::KeepsItsSlotOfADroppedCall | Fault::KeepsItsSlotOfAPanic => {
                mem::forget(slot);
                None
            }
            _ => Some(slot),
        };
        let call = match fault {
            Fault::CallsTheClone => self.inner.clone().call(request),
            _ => self.inner.call(request),
        };
        let call: Self::Future = match fault {
            Fault::Allocates => Box::pin(call),
            _ => return Box::pin(followed(call, fault, slot, running)),
        };
        Box::pin(followed(call, fault, slot, running))
    }
}

/// A slot that comes back by itself.
struct Slot(Arc<AtomicU64>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn followed(
    call: impl Future<Output = Result<u32, Failed>>,
    fault: Fault,
    slot: Option<Slot>,
    running: Arc<AtomicU64>,
) -> Result<u32, Failed> {
    let mut call = std::pin::pin!(call);
    let answer = std::future::poll_fn(|cx| {
        let polled = call.as_mut().poll(cx);
        if polled.is_pending() && fault == Fault::WakesItselfForAnswers {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await;
    if slot.is_none() {
        running.fetch_sub(1, SeqCst);
    }
    answer
}

fn with(fault: Fault) -> Case {
    let toy = Toy {
        fault,
        running: Arc::default(),
        is_refusing: Arc::default(),
        first: Arc::default(),
    };
    let (running, is_refusing) = (toy.running.clone(), toy.is_refusing.clone());
    // The box of its future.
    Facts::of(toy)
        .allocates(1)
        .holds("slots", move || running.load(SeqCst))
        .refuses(move || is_refusing.store(1, SeqCst))
        .plain()
}

/// The toy as it should be keeps all rules.
mod sound {
    use super::*;
    rules!(with(Fault::None));
}

macro_rules! noticed {
    ($($name:ident: $fault:ident by $file:ident::$rule:ident, $says:literal;)+) => {
        $(
            #[test]
            #[should_panic(expected = $says)]
            fn $name() {
                keep(async { $file::$rule(with(Fault::$fault)).await });
            }
        )+
    };
}

noticed! {
    calling_a_clone: CallsTheClone by readiness::the_instance_that_is_ready_is_called, "was of another instance";
    hoarding_places: HoardsPlaces by readiness::asking_again_reserves_nothing_more, "places reserved by one service";
    readiness_that_is_cloned: ClonesItsReadiness by readiness::a_clone_is_not_ready_because_the_original_is,
        "of the clone";
    an_error_that_is_swallowed: SwallowsErrors by readiness::an_error_of_readiness_comes_out, "no service, no wait";
    an_error_that_is_invented: InventsErrors by readiness::asking_again_reserves_nothing_more, "is ready";
    a_refusal_that_throws_the_service_away: RefusesInPollReady by readiness::a_refusal_comes_from_the_future,
        "is ready";
    waking_oneself_for_readiness: WakesItselfForReadiness by waking::a_task_that_waits_is_left_asleep, "by itself";
    waking_oneself_for_an_answer: WakesItselfForAnswers by waking::a_task_that_waits_is_left_asleep, "by itself";
    a_wake_up_that_is_lost: WakesOne by waking::all_who_wait_are_woken, "tasks that were woken";
    a_slot_that_a_panic_keeps: KeepsItsSlotOfAPanic by ending::a_panic_leaves_nothing_behind,
        "slots after a panic in call";
    a_slot_that_a_dropped_call_keeps: KeepsItsSlotOfADroppedCall by
        ending::a_call_that_is_dropped_leaves_nothing_behind, "slots after a call that was never polled";
    an_allocation: Allocates by cost::a_call_allocates_what_its_row_says, "allocations of a call";
}
