//! HTTP/2 without TLS in front, HTTP/1.1 behind.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use crate::{client::without_pseudonym, process::Gateway, upstream::Upstream};

#[tokio::test]
async fn a_client_may_speak_http_2() {
    let upstream = Upstream::start(|mut connection| {
        let body = String::from_utf8(connection.read_exactly(5)).expect("a text");
        let field = |name| connection.head.get(name).unwrap_or("none").to_owned();
        let said = [
            connection.head.first.clone(),
            field("host"),
            field("cookie"),
            field("via"),
            field("x-forwarded-host"),
            field("content-length"),
            body,
        ];
        connection.answer("200 OK", &said.join("|"));
    });
    let gateway = Gateway::start(upstream.address, "");
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::post(format!("http://{}/path?q", gateway.address))
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::from("hello"))
        .expect("a request");
    let response = client.request(request).await.expect("a response");
    assert_eq!(
        (response.version(), response.status().as_u16()),
        (Version::HTTP_2, 200)
    );
    assert!(!response.headers().contains_key("connection"));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let (up, front) = (upstream.address, gateway.address);
    assert_eq!(
        without_pseudonym(&String::from_utf8_lossy(&body)),
        format!("POST /path?q HTTP/1.1|{up}|a=1; b=2|2 buttress-…|{front}|5|hello")
    );
}
