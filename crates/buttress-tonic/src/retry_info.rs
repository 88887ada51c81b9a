//! `google.rpc.RetryInfo`, in the `google.rpc.Status` that a status's details are.
//!
//! It is three messages of a few fields each, so they are written and read here by hand: no generated code, no
//! dependency for it.
//!
//! ```text
//! Status    { int32 code = 1; string message = 2; repeated Any details = 3; }
//! Any       { string type_url = 1; bytes value = 2; }
//! RetryInfo { Duration retry_delay = 1; }
//! Duration  { int64 seconds = 1; int32 nanos = 2; }
//! ```

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tonic::Code;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The longest that protobuf's `Duration` may be: 10 000 years.
const LONGEST: u64 = 315_576_000_000;

/// The details of a status that says when to come again.
pub(crate) fn details(code: Code, message: &str, after: Duration) -> Bytes {
    let mut duration = BytesMut::new();
    put_number(&mut duration, 1, after.as_secs().min(LONGEST));
    put_number(&mut duration, 2, after.subsec_nanos().into());

    let mut retry_info = BytesMut::new();
    put_bytes(&mut retry_info, 1, &duration);

    let mut any = BytesMut::new();
    put_bytes(&mut any, 1, RETRY_INFO.as_bytes());
    put_bytes(&mut any, 2, &retry_info);

    let mut status = BytesMut::new();
    put_number(&mut status, 1, i32::from(code) as u64);
    put_bytes(&mut status, 2, message.as_bytes());
    put_bytes(&mut status, 3, &any);
    status.freeze()
}

/// When those details say to come again, if they do.
pub(crate) fn retry_delay(details: &[u8]) -> Option<Duration> {
    let retry_info = find(details, retry_info_in)?;
    let duration = find(retry_info, |field| match field {
        Field::Bytes(1, duration) => Some(duration),
        _ => None,
    })?;
    let number = |of| {
        let number = find(duration, |field| match field {
            Field::Number(at, number) if at == of => Some(number),
            _ => None,
        });
        number.unwrap_or(0)
    };
    let (seconds, nanos) = (number(1), number(2));
    // A negative number is one beyond these.
    (seconds <= LONGEST && nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos as u32))
}

/// What the field holds, if it is a detail of that type.
fn retry_info_in(field: Field<'_>) -> Option<&[u8]> {
    let Field::Bytes(3, any) = field else {
        return None;
    };
    find(any, |field| match field {
        Field::Bytes(1, url) => url.ends_with(b"/google.rpc.RetryInfo").then_some(()),
        _ => None,
    })?;
    find(any, |field| match field {
        Field::Bytes(2, value) => Some(value),
        _ => None,
    })
}

enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
    Other,
}

/// The first that `wanted` finds among the fields of a message. What is no message has none.
fn find<'a, T>(mut message: &'a [u8], wanted: impl Fn(Field<'a>) -> Option<T>) -> Option<T> {
    while !message.is_empty() {
        let key = take_number(&mut message)?;
        let field = match key & 7 {
            0 => Field::Number(key >> 3, take_number(&mut message)?),
            1 => {
                take(&mut message, 8)?;
                Field::Other
            }
            2 => {
                let length = take_number(&mut message)?;
                Field::Bytes(key >> 3, take(&mut message, usize::try_from(length).ok()?)?)
            }
            5 => {
                take(&mut message, 4)?;
                Field::Other
            }
            _ => return None,
        };
        if let Some(found) = wanted(field) {
            return Some(found);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What is zero is left out.
fn put_number(message: &mut BytesMut, field: u64, number: u64) {
    if number > 0 {
        put_varint(message, field << 3);
        put_varint(message, number);
    }
}

fn put_bytes(message: &mut BytesMut, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.put_slice(bytes);
}

fn put_varint(message: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        message.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    message.put_u8(number as u8);
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn others_read_what_is_written() {
        for after in [
            Duration::ZERO,
            Duration::from_millis(1500),
            Duration::from_nanos(1),
            Duration::from_secs(86_400),
        ] {
            let details = details(Code::Unavailable, "later", after);
            let status = tonic::Status::with_details(Code::Unavailable, "later", details.clone());
            let read = status.get_details_retry_info().expect("it has one");
            assert_eq!(read.retry_delay, Some(after));
            assert_eq!(retry_delay(&details), Some(after));
        }
        let endless = details(Code::Unavailable, "later", Duration::MAX);
        assert_eq!(retry_delay(&endless).map(|after| after.as_secs()), Some(LONGEST));
    }

    #[test]
    fn what_others_write_is_read() {
        let mut all = ErrorDetails::with_debug_info(["a".to_owned()], "b");
        all.set_retry_info(Some(Duration::from_millis(250)));
        let status = tonic::Status::with_error_details(Code::ResourceExhausted, "", all);
        assert_eq!(retry_delay(status.details()), Some(Duration::from_millis(250)));

        let other = ErrorDetails::with_debug_info(["a".to_owned()], "b");
        let status = tonic::Status::with_error_details(Code::ResourceExhausted, "", other);
        assert_eq!(retry_delay(status.details()), None);
    }

    #[test]
    fn what_is_no_message_says_nothing() {
        let good = details(Code::Unavailable, "later", Duration::from_millis(1500));
        for end in 0..good.len() {
            // Cut off anywhere, and with a byte that is another: it may say something else, and never panics.
            retry_delay(&good[..end]);
            let mut bent = good.to_vec();
            bent[end] ^= 0x55;
            retry_delay(&bent);
        }
        assert_eq!(retry_delay(&[]), None);
        assert_eq!(retry_delay(&[0xff; 32]), None);
    }
}
