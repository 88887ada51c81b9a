//! `Retry-After`, RFC 9110 section 10.2.3.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName,
    header::{DATE, RETRY_AFTER},
};

use crate::clock;

/// The longest that any server is believed: one that says "in ten years" would otherwise keep a breaker open
/// until someone restarts the client.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let after = if value.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits for a number are a long time too.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let sent = text(headers, &DATE)
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .unwrap_or_else(clock::wall);
        until.duration_since(sent).unwrap_or_default()
    };
    Some(after.min(LONGEST))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a value"));
        }
        retry_after(&headers)
    }

    const NOON: &str = "Wed, 21 Oct 2015 12:00:00 GMT";

    #[test]
    fn seconds_are_read() {
        assert_eq!(read("0", None), Some(Duration::ZERO));
        assert_eq!(read("120", None), Some(Duration::from_secs(120)));
        assert_eq!(read(" 7 ", None), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_date_counts_from_the_servers_own_clock() {
        let in_90_seconds = "Wed, 21 Oct 2015 12:01:30 GMT";
        assert_eq!(read(in_90_seconds, Some(NOON)), Some(Duration::from_secs(90)));
        // The two obsolete forms that a recipient has to accept.
        assert_eq!(
            read("Wednesday, 21-Oct-15 12:01:30 GMT", Some(NOON)),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            read("Wed Oct 21 12:01:30 2015", Some(NOON)),
            Some(Duration::from_secs(90))
        );
    }

    #[test]
    fn a_date_without_one_counts_from_ours() {
        for date in [None, Some("yesterday")] {
            let soon = httpdate::fmt_http_date(clock::wall() + Duration::from_secs(60));
            let after = read(&soon, date).expect("a date");
            assert!(
                after > Duration::from_secs(50) && after <= Duration::from_secs(60),
                "{after:?}"
            );
        }
    }

    #[test]
    fn a_past_date_is_zero() {
        assert_eq!(
            read("Wed, 21 Oct 2015 11:59:59 GMT", Some(NOON)),
            Some(Duration::ZERO)
        );
        assert_eq!(read(NOON, None), Some(Duration::ZERO));
    }

    #[test]
    fn no_server_is_believed_beyond_a_day() {
        assert_eq!(read("86401", None), Some(LONGEST));
        assert_eq!(read("99999999999999999999999999", None), Some(LONGEST));
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT", None), Some(LONGEST));
        assert_eq!(
            read(
                "Wed, 21 Oct 2015 12:00:00 GMT",
                Some("Thu, 01 Jan 1970 00:00:00 GMT")
            ),
            Some(LONGEST)
        );
    }

    #[test]
    fn garbage_is_ignored() {
        for value in [
            "",
            " ",
            "-1",
            "+5",
            "1.5",
            "soon",
            "5s",
            "1e3",
            "Wed, 99 Oct 2015",
            "\u{1F600}",
        ] {
            assert_eq!(read(value, Some(NOON)), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
