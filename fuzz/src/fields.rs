//! Header fields.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    time::Duration,
};

use buttress::{
    Grpc, Http,
    http::ResponseHead,
    outcome::RequestProtocol,
    priority::Priority,
    rate_limit::{Algorithm, Key, KeyBy, KeyProtocol, RateLimiter},
};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};

use crate::source::Source;

/// The longest that any server is believed.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After`, and after a line feed the `Date`.
pub(crate) fn retry_after(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let (Ok(after), Ok(date)) = (
        HeaderValue::from_bytes(source.line()),
        HeaderValue::from_bytes(source.line()),
    ) else {
        return;
    };
    let response = Response::builder()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header("retry-after", after.clone())
        .header("date", date.clone())
        .body(())
        .expect("both are headers");
    let read = ResponseHead::of(&response).retry_after();

    let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let after = text(&after).unwrap_or_default();
    let a_date = |text: &str| httpdate::parse_http_date(text).ok();
    let digits = !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit());
    match (digits, a_date(&after)) {
        (true, _) => {
            let seconds = after.trim_start_matches('0');
            let seconds = if seconds.len() > 6 {
                u64::MAX
            } else {
                seconds.parse().unwrap_or(0)
            };
            assert_eq!(read, Some(Duration::from_secs(seconds).min(A_DAY)));
        }
        (false, Some(until)) => {
            let read = read.expect("a date");
            assert!(read <= A_DAY);
            // Without a date of the server's own it depends on the time of day.
            if let Some(sent) = text(&date).and_then(|date| a_date(&date)) {
                assert_eq!(read, until.duration_since(sent).unwrap_or_default().min(A_DAY));
            }
        }
        (false, None) => assert_eq!(read, None),
    }
}

/// What a limiter of any size, after any calls, says of itself: structured fields, whatever the numbers.
pub(crate) fn rate_limit(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let algorithm = source.byte();
    let (rate, burst, per) = (source.number(), source.number(), source.number());
    let algorithm = [
        Algorithm::TokenBucket,
        Algorithm::SlidingWindowLog,
        Algorithm::SlidingWindowCounter,
        Algorithm::Leaky,
    ][usize::from(algorithm) % 4];
    let builder = RateLimiter::builder()
        .algorithm(algorithm)
        .rate(rate, Duration::from_nanos(per))
        .headers(true);
    let builder = if burst > 0 { builder.burst(burst) } else { builder };
    // Numbers that make no sense are its builder's to refuse.
    let Ok(limiter) = builder.build() else {
        return;
    };
    let calls = 1 + source.byte() % 4;
    on_a_paused_clock(async {
        let service = limiter
            .layer_for(Http::new())
            .layer(service_fn(async |_: Request<()>| {
                Ok::<_, buttress::Error<std::convert::Infallible>>(Response::new(()))
            }));
        for _ in 0..calls {
            if let Ok(response) = service.clone().oneshot(Request::new(())).await {
                let field = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
                let policy = parameters(&field("ratelimit-policy"));
                let now = parameters(&field("ratelimit"));
                let [(q, most), (w, _)] = policy[..] else {
                    panic!("{policy:?}")
                };
                let [(r, left), (t, _)] = now[..] else {
                    panic!("{now:?}")
                };
                assert_eq!((q, w, r, t), ('q', 'w', 'r', 't'));
                assert!(most >= 1 && left <= most, "{left} of {most}");
            }
        }
    });
}

/// `"name";a=1;b=2`, by RFC 9651: integers have at most 15 digits.
fn parameters(field: &str) -> Vec<(char, u64)> {
    let mut parts = field.split(';');
    let name = parts.next().expect("there is a first part");
    assert!(
        name.len() > 2 && name.starts_with('"') && name.ends_with('"'),
        "{field}"
    );
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').expect("a value");
            assert!((1..=15).contains(&value.len()), "{field}");
            let key = key.parse().expect("one letter");
            (key, value.parse().expect("digits"))
        })
        .collect()
}

/// A priority's field: a class, a number, or the urgency of RFC 9218.
pub(crate) fn priority(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = Priority::from_field(text);
    if let Some(priority) = read {
        assert!(priority <= Priority::CRITICAL, "{priority:?}");
        assert!((20..=100).contains(&priority.band().get()));
    }
    // Of dictionaries of bare members all is known.
    let members: Vec<&str> = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .collect();
    let plain = |member: &&str| {
        let bytes = member.as_bytes();
        matches!(bytes, [b'u', b'=', b'0'..=b'9']) || matches!(bytes, [b'a'..=b'z'])
    };
    if members.iter().all(plain) {
        let urgency = members.iter().rev().find_map(|member| member.strip_prefix("u="));
        let urgency: Option<u8> = urgency.and_then(|digit| digit.parse().ok()).filter(|u| *u <= 7);
        assert_eq!(read, urgency.map(Priority::from_urgency), "{text}");
    }
    // Nothing that is no digit is part of a number.
    if text.contains(['+', '-', '.']) {
        assert_eq!(
            Priority::from_field(text.trim()).filter(|_| !text.contains(',') && !text.contains(';')),
            None,
            "{text}"
        );
    }
}

/// `grpc-timeout`.
pub(crate) fn grpc_timeout(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut request = Request::new(());
    request.headers_mut().insert("grpc-timeout", value);
    let grpc = Grpc::new();
    let read = grpc.timeout(&request);

    let nanos = bytes.split_last().and_then(|(unit, digits)| {
        let unit: u128 = match unit {
            b'H' => 3_600_000_000_000,
            b'M' => 60_000_000_000,
            b'S' => 1_000_000_000,
            b'm' => 1_000_000,
            b'u' => 1_000,
            b'n' => 1,
            _ => return None,
        };
        let is_number = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        if !is_number {
            return None;
        }
        let number: u128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(number * unit)
    });
    assert_eq!(read.map(|read| read.as_nanos()), nanos);

    // However it is lowered, what is sent on is never more than either, and reads as a timeout.
    for limit in [
        Duration::from_nanos(1),
        Duration::from_millis(1_500),
        Duration::MAX,
    ] {
        let mut request = request.clone();
        grpc.limit_timeout(&mut request, limit);
        let sent = grpc.timeout(&request);
        match read {
            Some(read) => assert!(sent.expect("still one") <= read.min(limit).max(Duration::from_nanos(1))),
            None => assert!(sent.is_none_or(|sent| sent <= limit)),
        }
    }
}

/// The hops that are trusted, then lines of `X-Forwarded-For`. What is to the left of the trusted entry changes nothing.
pub(crate) fn forwarded_for(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let Some(hops) = NonZeroU8::new(source.byte() % 4) else {
        return;
    };
    let mut request = Request::new(());
    let mut entries: Vec<Vec<u8>> = Vec::new();
    while !source.is_empty() {
        let line = source.line();
        if let Ok(value) = HeaderValue::from_bytes(line) {
            entries.extend(value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::to_vec));
            request.headers_mut().append("x-forwarded-for", value);
        }
    }
    let by = KeyBy::ForwardedFor(hops);
    let read = Http::new().key(&by, &request);
    let trusted = entries
        .len()
        .checked_sub(usize::from(hops.get()))
        .map(|at| &entries[at]);
    // No proxy writes an entry of 64 bytes, and no more of one is looked at.
    let from_the_right = entries.iter().rev().take(usize::from(hops.get()));
    if from_the_right.map(Vec::len).any(|length| length >= 64) {
        return;
    }
    // Addresses with nothing around them are read; what is no address is not.
    let plain = trusted
        .and_then(|entry| std::str::from_utf8(entry).ok())
        .map(str::trim);
    if let Some(address) = plain.and_then(|text| text.parse::<IpAddr>().ok()) {
        assert_eq!(read, Some(Key::from(address)));
    }
    if let Some(address) = plain.and_then(|text| text.parse::<SocketAddr>().ok()) {
        assert_eq!(read, Some(Key::from(address.ip())));
    }
    if trusted.is_none() {
        assert_eq!(read, None);
    }

    // Whoever is further away may claim what he likes.
    let lied: Vec<HeaderValue> =
        std::iter::once(HeaderValue::from_static("203.0.113.9, unknown, 2001:db8::1"))
            .chain(request.headers().get_all("x-forwarded-for").iter().cloned())
            .collect();
    let mut forged = Request::new(());
    for line in lied {
        forged.headers_mut().append("x-forwarded-for", line);
    }
    if trusted.is_some() {
        assert_eq!(Http::new().key(&by, &forged), read);
    }
}

pub(crate) fn on_a_paused_clock(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it needs nothing")
        .block_on(work);
}
