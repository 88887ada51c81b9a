//! A fallback from a configuration file.

use std::{convert::Infallible, future::Ready};

#[cfg(feature = "http")]
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};

use super::{Answer, Answered, FailedCall, Fallback};
#[cfg(feature = "http")]
use super::{Condition, FallbackBuilder, StaticBody, StaticResponse};
#[cfg(feature = "http")]
use crate::{
    config::Section,
    error::RejectionKind,
    http::{Grpc, Http},
    outcome::Verdict,
    value::Value,
};
use crate::{config::Setting, outcome::Plain};

/// What a fallback can answer with if it comes from a file, for each kind of service: a protocol says so.
///
/// A response of HTTP can be written in a file. The message of gRPC and the value of a plain service cannot: for them
/// the type is there, so that a stack from a file has one, and a section is an error that says where to turn.
pub trait FileFallback {
    /// What it answers with.
    type Answer;

    /// Reads the policy.
    fn read(setting: Setting<'_, '_>) -> Option<Fallback<Self::Answer>>;
}

/// The answer of a fallback that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer(Infallible);

impl<K, R, E> Answer<K, R, E> for NoAnswer {
    type Response = R;
    type Future = Ready<Answered<R, R, E>>;

    fn answer(&self, _: FailedCall<R, E, K>) -> Self::Future {
        match self.0 {}
    }
}

#[cfg(feature = "http")]
impl<C> FileFallback for Http<C> {
    type Answer = StaticResponse;

    fn read(setting: Setting<'_, '_>) -> Option<Fallback<StaticResponse>> {
        let mut section = setting.section()?;
        let options = FallbackBuilder::read(&mut section);
        section.accept(options.build())
    }
}

#[cfg(feature = "http")]
impl<C> FileFallback for Grpc<C> {
    type Answer = NoAnswer;

    fn read(setting: Setting<'_, '_>) -> Option<Fallback<NoAnswer>> {
        setting.refuse(
            "no fallback: a gRPC service answers with a message, which a file cannot write; give the stack one in code, \
             as by `Fallback::grpc_message`",
        );
        None
    }
}

impl<C> FileFallback for Plain<C> {
    type Answer = NoAnswer;

    fn read(setting: Setting<'_, '_>) -> Option<Fallback<NoAnswer>> {
        setting.refuse(
            "no fallback: this service answers with a value of the program's own; give the stack one in code, as by \
             `Fallback::value`",
        );
        None
    }
}

#[cfg(feature = "http")]
impl FallbackBuilder<StaticResponse> {
    /// Reads the response, and what it is for, from a section.
    ///
    /// ```toml
    /// status = 200
    /// body = '{"cached":true}'                # nothing
    /// content_type = "application/json"       # this for what looks like JSON, else plain text
    /// headers = { cache-control = "no-store" }
    /// on = ["circuit_open", "timed_out"]      # whatever keeps the caller from an answer
    /// ```
    ///
    /// Only the status has to be there. `on` is exactly what it lists: kinds of rejections (`rejected` is all of them),
    /// the verdicts `failure` and `throttled`, `connect` for the service's own errors, and HTTP statuses as numbers;
    /// see [`Condition`].
    ///
    /// ```
    /// use buttress::{config, fallback::FallbackBuilder, value::Table};
    ///
    /// let table = Table::new().with("status", 200_u64).with("body", r#"{"cached":true}"#);
    /// let fallback = config::read(&table, FallbackBuilder::read)?.build()?;
    ///
    /// let table = Table::new().with("status", 42_u64).with("body", "later").with("om", "timed_out");
    /// let error = config::read(&table, FallbackBuilder::read).unwrap_err();
    /// assert_eq!(error.problems().len(), 2);
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        section.require(&["status"]);
        let name = section.text("name");
        let status = section.number("status", 200..=599_u16);
        let body = section.text("body").unwrap_or_default();
        let status = status
            .and_then(|s| StatusCode::from_u16(s).ok())
            .unwrap_or_default();
        if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
            section.refuse("body", "none: a response of this status has no body");
        }
        let mut response = Response::new(StaticBody::from(body.to_owned()));
        *response.status_mut() = status;
        let content_type = section.setting("content_type").and_then(header_value);
        if !body.is_empty() || content_type.is_some() {
            let value = content_type.unwrap_or_else(|| type_of(body));
            response.headers_mut().insert(CONTENT_TYPE, value);
        }
        if let Some(mut headers) = section.section("headers") {
            let all = headers.each(|name, setting| match HeaderName::try_from(name) {
                Ok(name) if name == CONTENT_TYPE => {
                    setting.refuse("nothing here: it is `content_type`, beside `body`");
                    None
                }
                Ok(name) if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) => {
                    setting.refuse("nothing: it follows from `body`");
                    None
                }
                Ok(name) => header_value(setting).map(|value| (name, value)),
                Err(_) => {
                    setting.refuse("the name of a header before it, as in \"cache-control\"");
                    None
                }
            });
            response
                .headers_mut()
                .extend(all.into_iter().map(|(_, header)| header));
        }
        let mut options = Fallback::value(response);
        if let Some(name) = name {
            options = options.name(name);
        }
        match section.setting("on").and_then(conditions) {
            Some(on) => options.on(on),
            None => options,
        }
    }
}

#[cfg(feature = "http")]
fn header_value(setting: Setting<'_, '_>) -> Option<HeaderValue> {
    match setting.value().as_str().map(HeaderValue::from_str) {
        Some(Ok(value)) => Some(value),
        _ => {
            setting.refuse("a text without line breaks and control characters");
            None
        }
    }
}

/// What is no JSON object or list is text, whatever else it may be.
#[cfg(feature = "http")]
fn type_of(body: &str) -> HeaderValue {
    HeaderValue::from_static(match body.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain; charset=utf-8",
    })
}

#[cfg(feature = "http")]
const CONDITIONS: [(&str, Condition); 14] = [
    ("circuit_open", Condition::Rejection(RejectionKind::CircuitOpen)),
    ("rate_limited", Condition::Rejection(RejectionKind::RateLimited)),
    ("queue_full", Condition::Rejection(RejectionKind::QueueFull)),
    ("queue_timeout", Condition::Rejection(RejectionKind::QueueTimeout)),
    (
        "deadline_expired",
        Condition::Rejection(RejectionKind::DeadlineExpired),
    ),
    ("timed_out", Condition::Rejection(RejectionKind::TimedOut)),
    ("panicked", Condition::Rejection(RejectionKind::Panicked)),
    ("no_endpoint", Condition::Rejection(RejectionKind::NoEndpoint)),
    ("shed", Condition::Rejection(RejectionKind::Shed)),
    ("custom", Condition::Rejection(RejectionKind::Custom)),
    ("rejected", Condition::AnyRejection),
    ("connect", Condition::Error),
    ("failure", Condition::Verdict(Verdict::Failure)),
    ("throttled", Condition::Verdict(Verdict::Throttled)),
];

#[cfg(feature = "http")]
fn conditions(setting: Setting<'_, '_>) -> Option<Vec<Condition>> {
    match setting.value() {
        // A list that is empty, not one of which nothing could be used.
        Value::List(items) if items.is_empty() => {
            setting.refuse(
                "at least one thing that the fallback is for; leave it out for all failures and rejections",
            );
            None
        }
        _ => {
            let listed = setting.list(|item| match item.value() {
                Value::UInt(_) => item.number(400..=599).map(Condition::HttpStatus),
                _ => item.one_of(&CONDITIONS),
            })?;
            Some(listed).filter(|on| !on.is_empty())
        }
    }
}
