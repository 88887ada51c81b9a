//! Any body, read in any way, against a judge that is too simple to be wrong.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    http::{ClassifyCode, CodeVerdict, Grpc, Http},
    outcome::{Reason, Verdict},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Http,
    Grpc,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![Just(Step::Data("data")), Just(Step::Data(""))],
        2 => Just(Step::Pending),
        1 => Just(Step::Error),
        2 => prop_oneof![Just("0"), Just("5"), Just("8"), Just("14"), Just("x")].prop_map(trailers),
        1 => Just(Step::Trailers(HeaderMap::new())),
    ]
}

/// What a gRPC status says; `None` is a status that is not there.
fn grpc(status: Option<&str>) -> Outcome {
    match status {
        None => Outcome::failure(Reason::MissingGrpcStatus),
        Some(text) => CodeVerdict::new().classify(text.parse().unwrap_or(2)),
    }
}

/// What a token has to see.
fn judge(wire: Wire, status: u16, head: Option<&str>, body: &Script, polls: usize) -> Vec<Seen> {
    let end = |trailers: Option<&HeaderMap>| match wire {
        Wire::Http => Outcome::SUCCESS,
        Wire::Grpc => grpc(trailers.and_then(|t| Some(t.get("grpc-status")?.to_str().expect("text")))),
    };
    let over = |outcome| vec![Seen::Finished(outcome)];
    match (wire, status) {
        (Wire::Grpc, _) if head.is_some() => return over(grpc(head)),
        (Wire::Grpc, 503) => return over(grpc(Some("14"))),
        (Wire::Http, 404) => return over(Outcome::neutral(Reason::HttpStatus(404))),
        (Wire::Http, 429) => return over(Outcome::new(Verdict::Throttled, Reason::HttpStatus(429))),
        (Wire::Http, 503) => return over(Outcome::failure(Reason::HttpStatus(503))),
        (Wire::Http, 204) => return over(Outcome::SUCCESS),
        _ => {}
    }
    if body.tells_end && body.steps.is_empty() {
        return over(end(None));
    }
    let good = wire == Wire::Http && (200..400).contains(&status);
    let mut seen = vec![Seen::Head(if good { Head::Good } else { Head::Promising })];
    for poll in 0..polls {
        let is_last = poll + 1 == body.steps.len();
        let outcome = match body.steps.get(poll) {
            Some(Step::Pending) => None,
            Some(Step::Error) => Some(Outcome::failure(Reason::BodyError)),
            Some(Step::Trailers(trailers)) => Some(end(Some(trailers))),
            Some(Step::Data(data)) => {
                if !data.is_empty() && !seen.contains(&Seen::Data) {
                    seen.push(Seen::Data);
                }
                (is_last && body.tells_end).then(|| end(None))
            }
            Some(Step::Panic) => unreachable!("not in these scripts"),
            None => Some(end(None)),
        };
        if let Some(outcome) = outcome {
            seen.push(Seen::Finished(outcome));
            return seen;
        }
    }
    seen.push(Seen::Cancelled);
    seen
}

/// Polls that often, whatever comes, and drops the body; what came is what the script has.
fn read<P, J>(protocol: &P, response: Response<Script>, polls: usize) -> Vec<Seen>
where
    P: Protocol<Response<Script>, Refusable, Response<Journaled> = Response<Observed<Script, Journaled, J>>>,
    J: EndOfBody,
    Observed<Script, Journaled, J>: Unpin,
{
    let journal = Journal::default();
    let mut bare = response.body().clone();
    let response = protocol
        .observe(Ok(response), journal.token())
        .expect("it was `Ok`");
    let mut body = response.into_body();
    for _ in 0..polls {
        assert_eq!(format!("{:?}", poll(&mut body)), format!("{:?}", poll(&mut bare)));
        assert_eq!(body.is_end_stream(), bare.is_end_stream());
        assert_eq!(body.size_hint().lower(), bare.size_hint().lower());
    }
    drop(body);
    journal.read()
}

proptest! {
    #[test]
    fn any_body_read_in_any_way_is_judged_once_and_right(
        wire in prop_oneof![Just(Wire::Http), Just(Wire::Grpc)],
        status in prop_oneof![4 => Just(200_u16), 1 => Just(301), 1 => Just(404), 1 => Just(429), 1 => Just(503), 1 => Just(204)],
        head in prop_oneof![4 => Just(None), 1 => prop_oneof![Just("0"), Just("13"), Just("")].prop_map(Some)],
        steps in vec(step(), 0..8),
        tells_end: bool,
        polls in 0_usize..12,
    ) {
        let status = match (wire, status) {
            (Wire::Grpc, 200 | 503) | (Wire::Http, _) => status,
            (Wire::Grpc, _) => 200,
        };
        let body = Script { steps: steps.into(), tells_end };
        let expected = judge(wire, status, head, &body, polls);
        let pairs: Vec<_> = head.map(|status| ("grpc-status", status)).into_iter().collect();
        let response = response(status, &pairs, body);
        let seen = match wire {
            Wire::Http => read(&Http::new(), response, polls),
            Wire::Grpc => read(&Grpc::new(), response, polls),
        };
        prop_assert_eq!(seen, expected);
    }
}
