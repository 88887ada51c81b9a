//! `grpc-timeout`, as [gRPC over HTTP/2] has it: up to eight digits and a unit.
//!
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// How much time the client gives the call.
pub(super) static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What eight digits can say.
const LARGEST: u128 = 99_999_999;

/// Nanoseconds of each unit, smallest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The time that a request says it may take. What is no timeout by the letter of the specification is taken for
/// none, as it is where a header is sent twice: nobody knows which one is meant.
///
/// The specification asks for a positive number. A zero is read all the same: a client that sends one has given
/// up already.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    let mut values = headers.get_all(&GRPC_TIMEOUT).iter();
    let value = values.next()?;
    match values.next() {
        None => parse(value.as_bytes()),
        Some(_) => None,
    }
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, nanos) = UNITS.iter().find(|(letter, _)| letter == unit)?;
    let number = digits.iter().fold(0_u64, |n, d| n * 10 + u64::from(d - b'0'));
    let nanos = u128::from(number) * nanos;
    // The longest, 11 415 years, is beyond 64 bits of nanoseconds.
    Some(Duration::new(
        (nanos / 1_000_000_000) as u64,
        (nanos % 1_000_000_000) as u32,
    ))
}

/// Lowers the time that a request says it may take to `limit`. One that is as low already stays as it is, and so
/// does everything if no time is left: zero cannot be said.
pub(super) fn lower(headers: &mut HeaderMap, limit: Duration) {
    if read(headers).is_some_and(|timeout| timeout <= limit) {
        return;
    }
    if let Some(value) = format(limit) {
        headers.insert(&GRPC_TIMEOUT, value);
    }
}

/// In the smallest unit that has room for it, which says it exactly up to 0.1 s and to less than a millionth of it
/// beyond; rounded down, so that the server never works longer than it is waited for.
fn format(timeout: Duration) -> Option<HeaderValue> {
    if timeout.is_zero() {
        return None;
    }
    let nanos = timeout.as_nanos();
    let (unit, number) = UNITS
        .iter()
        .map(|(unit, size)| (*unit, nanos / size))
        .find(|(_, number)| *number <= LARGEST)
        .unwrap_or((b'H', LARGEST));

    let mut text = [0; 9];
    let mut start = text.len() - 1;
    text[start] = unit;
    let mut rest = number as u32;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&text[start..]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(timeout: Duration) -> String {
        let value = format(timeout).expect("not zero");
        value.to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn every_unit_is_read() {
        for (value, nanos) in [
            ("1H", 3_600_000_000_000),
            ("1M", 60_000_000_000),
            ("10S", 10_000_000_000),
            ("1m", 1_000_000),
            ("00000001u", 1_000),
            ("99999999n", 99_999_999),
            ("0S", 0),
        ] {
            assert_eq!(
                parse(value.as_bytes()),
                Some(Duration::from_nanos(nanos)),
                "{value}"
            );
        }
        let longest = Duration::from_secs(99_999_999 * 3600);
        assert_eq!(parse(b"99999999H"), Some(longest));
    }

    #[test]
    fn what_the_specification_does_not_allow_is_no_timeout() {
        for value in [
            "",
            "S",
            "1",
            "10",
            "123456789n",
            "000000001S",
            "1s",
            "1h",
            "1N",
            "1U",
            "1 S",
            " 1S",
            "1S ",
            "-1S",
            "+1S",
            "1.5S",
            "1e3S",
            "0x1S",
            "1SS",
            "1mS",
            "S1",
            "١S",
            "1\u{b5}",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn a_header_sent_twice_is_no_timeout() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), None);
        headers.insert(&GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(read(&headers), Some(Duration::from_secs(1)));
        headers.append(&GRPC_TIMEOUT, HeaderValue::from_static("2S"));
        assert_eq!(read(&headers), None);
        lower(&mut headers, Duration::from_secs(3));
        assert_eq!(headers.get_all(&GRPC_TIMEOUT).iter().count(), 1);
        assert_eq!(read(&headers), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_timeout_is_lowered_and_never_raised() {
        let mut headers = HeaderMap::new();
        for (limit, sent) in [(5, "5000000u"), (7, "5000000u"), (2, "2000000u"), (0, "2000000u")] {
            lower(&mut headers, Duration::from_secs(limit));
            assert_eq!(headers[&GRPC_TIMEOUT], sent);
        }
    }

    #[test]
    fn the_smallest_unit_with_room_is_written() {
        for (timeout, sent) in [
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_000), "100000u"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(text(timeout), sent);
        }
        assert_eq!(format(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_never_more_and_less_by_under_one_unit(
            secs in prop_oneof![Just(0), 0..200_u64, 0..359_999_996_400_u64],
            nanos in 0..1_000_000_000_u32,
        ) {
            let timeout = Duration::new(secs, nanos);
            prop_assume!(!timeout.is_zero());
            let text = text(timeout);
            let read = parse(text.as_bytes()).expect("what is written can be read");
            let unit = text.as_bytes()[text.len() - 1];
            let unit = UNITS.iter().find(|(letter, _)| *letter == unit).expect("a unit").1;
            prop_assert!(read <= timeout, "{text} for {timeout:?}");
            prop_assert!((timeout - read).as_nanos() < unit, "{text} for {timeout:?}");
            prop_assert!(!read.is_zero());
        }

        #[test]
        fn no_bytes_are_too_strange(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(timeout) = parse(&value) {
                prop_assert!(timeout <= Duration::from_secs(99_999_999 * 3600));
            }
        }
    }
}
