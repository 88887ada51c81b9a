//! The process's panic hook: alone in this file, because there is one hook for all tests of a binary.
#![cfg(feature = "recover")]

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use buttress::{
    Registry,
    recover::{Panic, Recover, install_hook},
};

fn caught(work: impl FnOnce()) -> Panic {
    let registry = Registry::new();
    let recover = Recover::new();
    registry.register("hook", &recover);
    let mut events = registry.subscribe();
    let mut work = Some(work);
    let mut call = tokio_test::task::spawn(recover.call(async {
        work.take().expect("polled once")();
        Ok::<(), ()>(())
    }));
    assert!(tokio_test::assert_ready!(call.poll()).is_err());
    let event = events.try_next().expect("an event").expect("not lagged");
    event.detail::<Panic>().expect("a panic").clone()
}

// One test, because its parts are in order: before the hook is installed, and after.
#[test]
fn the_hook_is_left_alone_until_asked_for_and_then_chained_to() {
    let seen = Arc::new(AtomicUsize::new(0));
    panic::set_hook(Box::new({
        let seen = seen.clone();
        move |info| {
            eprintln!("{info}");
            seen.fetch_add(1, SeqCst);
        }
    }));

    let before = caught(|| panic!("one"));
    assert!(before.location.is_none() && before.backtrace.is_none());
    assert_eq!(seen.load(SeqCst), 1, "the program's own hook saw it");

    install_hook();
    install_hook();
    let line = line!() + 1;
    let after = caught(|| panic!("two"));
    assert_eq!(seen.load(SeqCst), 2, "chained to, and once");
    let location = after.location.as_deref().expect("a location");
    assert!(
        location.contains(&format!("recover_hook.rs:{line}:")),
        "{location}"
    );
    assert!(after.to_string().ends_with(&format!("two ({location})")));
    let backtrace = after.backtrace.expect("a backtrace").to_string();
    assert!(backtrace.contains("recover_hook"), "{backtrace}");

    // Nobody recovers from this one, and the next, which passes the hook by, must not be taken for it.
    assert!(panic::catch_unwind(|| panic!("three")).is_err());
    assert_eq!(seen.load(SeqCst), 3);
    let resumed = caught(|| panic::resume_unwind(Box::new("four")));
    assert_eq!(resumed.message, "four");
    assert!(resumed.location.is_none());
    // Nor one that was caught further in, in an earlier call.
    let recover = Recover::new();
    let call = recover.call(async { Ok::<_, ()>(panic::catch_unwind(|| panic!("five")).is_err()) });
    assert_eq!(tokio_test::block_on(call), Ok(true));
    assert!(
        caught(|| panic::resume_unwind(Box::new("six")))
            .location
            .is_none()
    );

    // A guard within a guard, and a panic in a drop after a panic, do not lose count.
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    for _ in 0..3 {
        let inner = caught(|| {
            let deeper = caught(|| panic!("deeper"));
            assert!(deeper.location.is_some());
            panic::resume_unwind(Box::new(Bad))
        });
        assert_eq!(inner.message, "not a text");
        assert!(inner.location.is_none());
    }
    assert!(caught(|| panic!("still")).location.is_some());
}
