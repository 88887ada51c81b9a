//! Names, options that change while it runs, books, events.

use std::sync::Mutex;

use super::*;
use crate::registry::{Drill, DrillError, PolicyChanged, Registry};

fn named() -> Fallback<Value<&'static str>> {
    Fallback::value("instead").name("rates").build().expect("valid")
}

async fn answer(fallback: &Fallback<Value<&'static str>>, said: Said) -> Said {
    fallback.layer().layer(saying(said)).oneshot(()).await
}

#[test]
fn it_has_the_name_that_it_was_given_or_gets_one_once() {
    assert_eq!(&*named().name(), "rates");
    let unnamed = Fallback::value(1).build().expect("valid");
    assert_eq!(&*unnamed.name(), "fallback");
    unnamed.name_if_unnamed(&"stack".into());
    unnamed.name_if_unnamed(&"another".into());
    assert_eq!(&*unnamed.name(), "stack");
    let named = named();
    named.name_if_unnamed(&"stack".into());
    assert_eq!(&*named.name(), "rates");
}

#[tokio::test]
async fn what_it_is_for_and_what_it_answers_can_be_changed() {
    let fallback = named();
    let clone = fallback.clone();
    assert_eq!(answer(&clone, BROKEN).await, Ok("instead"));

    fallback
        .reconfigure(fallback.options().on([RejectionKind::Shed]).name("other"))
        .expect("valid");
    assert_eq!(answer(&clone, BROKEN).await, BROKEN);
    assert_eq!(
        answer(&clone, Err(rejected(RejectionKind::Shed))).await,
        Ok("instead")
    );
    assert_eq!(
        (&*clone.name(), clone.options().name.as_deref()),
        ("rates", Some("rates"))
    );

    fallback.reconfigure(Fallback::value("anew")).expect("valid");
    assert_eq!(answer(&clone, BROKEN).await, Ok("anew"));
    assert_eq!(clone.snapshot().answered, 3, "the books stay");

    let nonsense = fallback.options().on([Verdict::Success]);
    assert!(fallback.reconfigure(nonsense).is_err());
    assert_eq!(answer(&clone, BROKEN).await, Ok("anew"));
}

#[tokio::test]
async fn a_call_on_its_way_is_answered_by_the_new_options() {
    let fallback = named();
    let (failing, fails) = tokio::sync::oneshot::channel::<()>();
    let fails = Mutex::new(Some(fails));
    let service = fallback.layer().layer(service_fn(move |()| {
        let fails = fails.lock().expect("no panic").take().expect("one call");
        async move {
            let _ = fails.await;
            BROKEN
        }
    }));
    let mut call = task::spawn(service.oneshot(()));
    assert_pending!(call.poll());
    fallback.reconfigure(Fallback::value("anew")).expect("valid");
    drop(failing);
    assert_eq!(assert_ready!(call.poll()), Ok("anew"));
}

#[tokio::test]
async fn the_registry_shows_and_resets_it() {
    let (registry, fallback) = (Registry::new(), named());
    registry.register("rates", &fallback);
    answer(&fallback, BROKEN).await.expect("answered");
    answer(&fallback, Err(rejected(RejectionKind::CircuitOpen)))
        .await
        .expect("answered");
    assert_eq!(
        registry.snapshot().to_string(),
        r#"{"rates":{"fallback":{"answered":2,"answeredFor":{"circuit_open":1,"error":1},"declined":0,"failed":0,"notRepeatable":0}}}"#
    );
    assert_eq!(
        registry.drill("rates", &Drill::Open),
        Err(DrillError::Unsupported)
    );
    registry.drill("rates", &Drill::Reset).expect("it can be reset");
    let books = fallback.snapshot();
    assert_eq!((books.answered, causes(&books)), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn falling_back_is_news_only_after_a_quiet_time() {
    let fallback = named();
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, asked) = (events.clone(), fallback.clone());
    fallback.listen(move |event| {
        // A listener may ask the policy that calls it.
        let answered = asked.snapshot().answered;
        let what = match (event.detail::<FallingBack>(), event.detail::<PolicyChanged>()) {
            (Some(FallingBack { cause }), _) => cause,
            (_, Some(_)) => "changed",
            _ => unreachable!("{event}"),
        };
        seen.lock().expect("no panic").push((what, answered));
    });
    let seen = || std::mem::take(&mut *events.lock().expect("no panic"));
    for _ in 0..100 {
        answer(&fallback, BROKEN).await.expect("answered");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(seen(), [("error", 1)]);
    tokio::time::advance(Duration::from_secs(10)).await;
    answer(&fallback, Err(rejected(RejectionKind::TimedOut)))
        .await
        .expect("answered");
    fallback.reconfigure(fallback.options()).expect("valid");
    assert_eq!(seen(), [("timed_out", 101), ("changed", 101)]);
}
