//! Fallbacks from a file.

use super::{
    wire::{answer, given, read},
    *,
};
use crate::{
    Grpc, Http, config,
    replay::Same,
    value::{Table, Value as Data},
};

type File<P> = Option<Fallback<<P as FileFallback>::Answer>>;

fn from_file<P: FileFallback>(section: Table) -> Result<File<P>, Vec<String>> {
    let table = Table::new().with("fallback", section);
    config::read(&table, |root| root.setting("fallback").and_then(P::read))
        .map_err(|error| error.to_string().lines().map(str::to_owned).collect())
}

fn list(items: impl IntoIterator<Item = &'static str>) -> Data {
    Data::List(items.into_iter().map(Data::from).collect())
}

#[tokio::test]
async fn a_response_may_be_written_in_a_file() {
    let file = Table::new()
        .with("name", "offers")
        .with("status", 200_u64)
        .with("body", r#"{"cached":true}"#)
        .with("headers", Table::new().with("cache-control", "no-store"))
        .with("on", list(["circuit_open", "timed_out"]));
    let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
    assert_eq!(&*fallback.name(), "offers");
    for kind in KINDS {
        let failure = Err(rejected(kind));
        let (response, _) = given(Http::new(), fallback.options(), failure).await;
        let is_named = matches!(kind, RejectionKind::CircuitOpen | RejectionKind::TimedOut);
        assert_eq!(response.is_ok(), is_named, "{kind}");
        if let Ok(response) = response {
            assert_eq!(response.headers()["cache-control"], "no-store");
            let json = Some("application/json".to_owned());
            assert_eq!(
                read(response).await,
                (200, json, r#"{"cached":true}"#.to_owned(), None)
            );
        }
    }
}

#[tokio::test]
async fn what_a_file_leaves_out_has_a_default() {
    let content_type = |body: &'static str, written: Option<&'static str>| {
        let file = Table::new().with("status", 202_u64).with("body", body);
        let file = match written {
            Some(written) => file.with("content_type", written),
            None => file,
        };
        let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
        async move {
            let failure = Ok(answer(502, []));
            let (response, _) = given(Http::new(), fallback.options(), failure).await;
            let (status, content_type, text, _) = read(response.expect("answered")).await;
            assert_eq!((status, &*text), (202, body));
            content_type
        }
    };
    assert_eq!(content_type("", None).await, None);
    assert_eq!(
        content_type(" [1, 2]", None).await.as_deref(),
        Some("application/json")
    );
    let text = "text/plain; charset=utf-8";
    assert_eq!(content_type("later", None).await.as_deref(), Some(text));
    let html = content_type("<p>later</p>", Some("text/html")).await;
    assert_eq!(html.as_deref(), Some("text/html"));
}

#[test]
fn every_condition_of_a_file_means_what_it_says() {
    let on = |item: Data| {
        let file = Table::new()
            .with("status", 200_u64)
            .with("on", Data::List(vec![item]));
        let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
        fallback.options().on
    };
    for kind in KINDS {
        assert_eq!(on(kind.as_str().into()), [Condition::Rejection(kind)]);
    }
    assert_eq!(on("rejected".into()), [Condition::AnyRejection]);
    assert_eq!(on("connect".into()), [Condition::Error]);
    assert_eq!(on("failure".into()), [Condition::Verdict(Verdict::Failure)]);
    assert_eq!(on("throttled".into()), [Condition::Verdict(Verdict::Throttled)]);
    assert_eq!(on(503_u64.into()), [Condition::HttpStatus(503)]);
}

#[test]
fn a_file_is_told_all_that_is_wrong_with_it() {
    let problems = |file: Table| from_file::<Http>(file).expect_err("no sense");
    let file = Table::new()
        .with("status", 100_u64)
        .with("body", 7_u64)
        .with("content_type", "a\nb")
        .with(
            "headers",
            Table::new()
                .with("no name", "x")
                .with("Content-Type", "x")
                .with("content-length", "3")
                .with("x-fine", "x"),
        )
        .with("on", list(["timed_out", "timeout"]))
        .with("stauts", 200_u64);
    let expected = [
        (
            "fallback.status: found 100, expected a whole number, 200 to 599",
            "",
        ),
        ("fallback.body: found 7, expected a text", ""),
        (
            "fallback.content_type: found ",
            "expected a text without line breaks",
        ),
        (
            "fallback.headers.\"no name\"",
            "expected the name of a header before it",
        ),
        ("fallback.headers.Content-Type", "it is `content_type`"),
        ("fallback.headers.content-length", "it follows from `body`"),
        (
            "fallback.on[1]: found \"timeout\", expected one of \"circuit_open\"",
            "did you mean",
        ),
        ("fallback.stauts: found an unknown key", "did you mean `status`?"),
    ];
    let found = problems(file);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (begins, holds)) in found.iter().zip(expected) {
        assert!(found.starts_with(begins) && found.contains(holds), "{found}");
    }

    assert_eq!(
        problems(Table::new().with("body", "x")),
        ["fallback.status: found nothing, expected a value"]
    );
    assert_eq!(
        problems(Table::new().with("status", 204_u64).with("body", "x")),
        ["fallback.body: found \"x\", expected none: a response of this status has no body"]
    );
    let empty = Table::new().with("status", 200_u64).with("on", list([]));
    assert!(problems(empty)[0].starts_with("fallback.on: found [], expected at least one thing"));
}

#[test]
fn what_a_file_cannot_answer_it_is_told_where_to_turn() {
    let file = || Table::new().with("status", 200_u64);
    for (problems, way) in [
        (
            from_file::<Grpc>(file()).expect_err("no message"),
            "`Fallback::grpc_message`",
        ),
        (
            from_file::<Plain>(file()).expect_err("no value"),
            "`Fallback::value`",
        ),
    ] {
        let [problem] = &*problems else {
            panic!("one problem, and none about its keys: {problems:?}");
        };
        assert!(
            problem.starts_with("fallback: ") && problem.contains(way),
            "{problem}"
        );
    }
    assert!(from_file::<Grpc>(Table::new()).is_err(), "an empty section, too");
}

/// The type that a stack from a file has, for each kind of service.
#[tokio::test]
async fn where_a_file_cannot_answer_there_is_still_a_type() {
    fn layer<P: FileFallback>(protocol: P) -> FallbackLayer<P::Answer, Nothing, P> {
        FallbackLayer::new(None, protocol, Same)
    }
    assert_eq!(
        layer(Plain::new()).layer(saying(BROKEN)).oneshot(()).await,
        BROKEN
    );
    let service = service_fn(|()| ready(Ok::<_, Failure>(answer(503, []))));
    let response = layer(Grpc::new())
        .layer(service)
        .oneshot(())
        .await
        .expect("an answer");
    assert_eq!(response.status(), 503);
    let response = layer(Http::new())
        .layer(service)
        .oneshot(())
        .await
        .expect("an answer");
    assert_eq!(response.status(), 503);
}
