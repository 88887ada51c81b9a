//! Callers who come once, all at a time, with a key and a priority of their own.

use std::net::SocketAddr;

use buttress::BoxError;
use http::{HeaderValue, Method, Request, header::RETRY_AFTER};
use http_body_util::{BodyExt, Empty};
use tokio::task::JoinSet;

use super::{
    load::{API_KEY, HttpClient},
    upstream::BY_UPSTREAM,
};

/// What the gateway knows importance by.
const PRIORITY: &str = "priority";

/// What the gateway calls a request, and tells whoever sent it.
const TRACE: &str = "x-request-id";

/// What one of them wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) method: Method,
    pub(crate) key: String,
    pub(crate) priority: &'static str,
}

/// What one of them got.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Which upstream it is from; `None` if the gateway said it.
    pub(crate) by: Option<String>,
    pub(crate) trace: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    /// From an upstream, and good.
    pub(crate) fn is_well(&self) -> bool {
        self.status == 200 && self.by.is_some()
    }
}

pub(crate) async fn ask(http: &HttpClient, gateway: SocketAddr, wish: Wish) -> Result<Answer, BoxError> {
    let request = Request::builder()
        .method(wish.method)
        .uri(format!("http://{gateway}/things/7"))
        .header(API_KEY, wish.key)
        .header(PRIORITY, wish.priority)
        .body(Empty::new())?;
    let (head, body) = http.request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let field = |name: &str| {
        let value = head.headers.get(name).map(HeaderValue::as_bytes);
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    Ok(Answer {
        status: head.status.as_u16(),
        by: field(BY_UPSTREAM),
        trace: field(TRACE).unwrap_or_default(),
        retry_after: field(RETRY_AFTER.as_str()),
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// All at once; their answers come in no order.
#[derive(Debug, Default)]
pub(crate) struct Crowd(JoinSet<Result<Answer, BoxError>>);

impl Crowd {
    pub(crate) fn of(http: &HttpClient, gateway: SocketAddr, wishes: impl IntoIterator<Item = Wish>) -> Self {
        let mut crowd = JoinSet::new();
        for wish in wishes {
            let http = http.clone();
            crowd.spawn(async move { ask(&http, gateway, wish).await });
        }
        Self(crowd)
    }

    pub(crate) async fn answers(self) -> Result<Vec<Answer>, BoxError> {
        self.0.join_all().await.into_iter().collect()
    }
}
