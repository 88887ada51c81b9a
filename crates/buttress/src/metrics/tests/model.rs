//! Random histories of calls through the metrics and a recovery inside of them, which may be off: services that panic
//! wherever they can, answers that stream, break off and are dropped midway. After each step the books say exactly what
//! [`naive::Naive`] does.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib metrics::tests::model` looks further.

use proptest::prelude::*;

use self::{
    host::Host,
    inner::{Act, Begin, Frame},
};
use super::*;

mod host;
mod inner;
mod naive;

/// Something that happens. Where a call is meant, the number chooses among those that there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(Begin),
    /// The call looks, and nothing is there.
    Look(usize),
    /// The service does something, and the call looks.
    Act(usize, Act),
    /// The body does something, and its reader looks.
    Frame(usize, Frame),
    DropCall(usize),
    DropBody(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    let begin = prop_oneof![
        12 => Just(Begin::Well),
        1 => Just(Begin::ReadyPanics),
        1 => Just(Begin::ReadyFails),
        1 => Just(Begin::CallPanics),
    ];
    let kind = prop_oneof![
        Just(RejectionKind::CircuitOpen),
        Just(RejectionKind::TimedOut),
        Just(RejectionKind::Panicked),
        Just(RejectionKind::DeadlineExpired),
    ];
    let status = prop_oneof![6 => Just(200), 1 => Just(404), 1 => Just(429), 1 => Just(503), 1 => Just(302)];
    let act = prop_oneof![
        6 => (status, prop::bool::weighted(0.8)).prop_map(|(status, streams)| Act::Answer { status, streams }),
        1 => Just(Act::Error),
        1 => kind.prop_map(Act::Rejected),
        1 => Just(Act::Panic),
    ];
    let frame = prop_oneof![
        6 => Just(Frame::Data),
        2 => Just(Frame::Last),
        2 => Just(Frame::Trailers),
        2 => Just(Frame::End),
        1 => Just(Frame::Error),
        1 => Just(Frame::Panic),
        1 => Just(Frame::None),
    ];
    prop_oneof![
        10 => begin.prop_map(Step::Begin),
        2 => which().prop_map(Step::Look),
        10 => (which(), act).prop_map(|(i, act)| Step::Act(i, act)),
        14 => (which(), frame).prop_map(|(i, frame)| Step::Frame(i, frame)),
        3 => which().prop_map(Step::DropCall),
        3 => which().prop_map(Step::DropBody),
        4 => (0..50_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn the_books_add_up_whatever_happens(recovers in any::<bool>(), steps in prop::collection::vec(steps(), 0..200)) {
        crate::test_services::paused().block_on(async {
            let mut host = Host::new(recovers);
            for step in steps {
                host.perform(step).await;
            }
            host.end();
        });
    }
}
