//! Any body, read in any way, against a model that is too simple to be wrong.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::http::SavedBody;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    /// Until `None`.
    ToTheEnd,
    /// As hyper: until `is_end_stream` after a frame.
    Hyper,
    /// As HTTP/1 with a `content-length`: until the last byte.
    Counting,
    /// Gives up after so many polls.
    GivesUp(usize),
}

fn body() -> impl Strategy<Value = Script> {
    let chunk = prop_oneof![
        6 => vec(any::<u8>(), 0..6).prop_map(|data| Step::Data(data.into())),
        2 => Just(Step::Pending),
    ];
    let end = prop_oneof![
        4 => Just(vec![]),
        2 => Just(vec![Step::Trailers(trailers("7"))]),
        1 => Just(vec![Step::Pending, Step::Trailers(trailers("8"))]),
        1 => Just(vec![Step::Error]),
    ];
    let size = prop_oneof![Just(Size::Unknown), Just(Size::AtLeast), Just(Size::Exact)];
    (vec(chunk, 0..10), end, size, any::<bool>()).prop_map(|(mut steps, end, size, tells_end)| {
        steps.extend(end);
        let mut script = Script::new(steps).sized(size);
        // One that breaks has not come to its end.
        script.tells_end = tells_end && !script.steps.contains(&Step::Error);
        script
    })
}

fn reader() -> impl Strategy<Value = Reader> {
    prop_oneof![
        Just(Reader::ToTheEnd),
        Just(Reader::Hyper),
        Just(Reader::Counting),
        (0_usize..12).prop_map(Reader::GivesUp),
    ]
}

/// All that there is to read.
fn model(script: &Script) -> Seen {
    let mut seen = Seen::default();
    for step in &script.steps {
        match step {
            Step::Data(data) if !data.is_empty() => seen.frames.push(data.clone()),
            Step::Trailers(trailers) => seen.trailers = Some(trailers.clone()),
            Step::Error => seen.error = Some("broken".to_owned()),
            _ => {}
        }
    }
    seen.ended = seen.error.is_none();
    seen
}

/// Reads, and tells whether that reader takes it for the end.
fn read_as(reader: Reader, mut body: ReplayBody<Script>, saved: impl Fn() -> bool) -> (Seen, bool) {
    let mut seen = Seen::default();
    if reader != Reader::ToTheEnd && body.is_end_stream() {
        return (seen, true);
    }
    let size = body.size_hint().exact();
    for poll in 0.. {
        if reader == Reader::GivesUp(poll) {
            return (seen, false);
        }
        let had = (seen.frames.len(), seen.trailers.is_some());
        if !step(&mut body, &mut seen) {
            return (seen, true);
        }
        let got_a_frame = had != (seen.frames.len(), seen.trailers.is_some());
        let read = seen.bytes().len() as u64;
        let stops = match reader {
            Reader::Counting => size == Some(read),
            Reader::Hyper => got_a_frame && body.is_end_stream(),
            _ => false,
        };
        if stops {
            // What is behind the last byte may not have come yet.
            return (seen, reader == Reader::Hyper || saved());
        }
    }
    unreachable!("it has an end")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_body_is_sent_byte_for_byte_and_again_if_it_can_be(
        script in body(),
        reader in reader(),
        // To either side of the boundary.
        off in option::of(-1_i64..=1),
        twice in any::<u64>(),
    ) {
        let all = model(&script);
        let total = bytes_of(&script.steps);
        let limit = off.map_or(1 << 10, |off| total.saturating_add_signed(off)) as usize;
        let exact = script.size_hint().exact();
        let was_at_end = script.is_end_stream();
        let complete = all.error.is_none() && total <= limit as u64;

        let (body, saved) = ReplayBody::save(script, limit);
        if all.error.is_none() && !was_at_end {
            prop_assert_eq!(body.size_hint().exact(), exact);
        }
        let at_once = saved.as_ref().is_some_and(SavedBody::can_repeat);
        prop_assert!(!at_once || complete);

        let can_repeat = || saved.as_ref().is_some_and(SavedBody::can_repeat);
        let (seen, ended) = read_as(reader, body, can_repeat);

        // The first attempt: all of it, or a beginning.
        let frames = seen.frames.len();
        prop_assert_eq!(&seen.frames[..], &all.frames[..frames]);
        if seen.trailers.is_some() {
            prop_assert_eq!(&seen.trailers, &all.trailers);
        }
        if reader == Reader::ToTheEnd {
            prop_assert_eq!(&seen, &all);
        } else if ended && seen.error.is_none() {
            prop_assert_eq!(frames, all.frames.len());
        }

        // And then again, twice at a time.
        if ended {
            prop_assert_eq!(can_repeat(), complete);
        }
        if !can_repeat() {
            prop_assert!(saved.is_none_or(|saved| saved.again::<Script>().is_none()));
            return Ok(());
        }
        prop_assert!(complete);
        let saved = saved.expect("it can be repeated");
        let mut bodies = [0, 1].map(|_| (saved.again::<Script>().expect("it can be"), Seen::default()));
        for (body, _) in &bodies {
            if !body.is_end_stream() {
                prop_assert_eq!(body.size_hint().exact(), exact);
            }
        }
        for turn in 0..64 {
            let (body, seen) = &mut bodies[usize::from(twice >> turn & 1 == 1)];
            step(body, seen);
        }
        for (mut body, mut seen) in bodies {
            while step(&mut body, &mut seen) {}
            prop_assert_eq!(&seen, &all);
        }
    }
}
