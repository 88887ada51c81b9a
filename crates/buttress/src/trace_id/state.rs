//! `tracestate`, which other tracing systems have a request carry for them. It is checked, and sent on as it is.

use super::parent::trim;

/// More entries than that are none.
const ENTRIES: usize = 32;
/// What is sent on at most, and what an entry may have before it is the first to go if there is more than that.
const LENGTH: usize = 512;
const LONG: usize = 128;

/// The value to send on, of the values of all the headers of that name, in their order.
///
/// By the letter of W3C Trace Context: a list of at most 32 entries `key=value`, no key twice; empty ones are left out.
/// A list with anything else in it is dropped as a whole. Of one that is longer than 512 characters, the entries of
/// over 128 are left out first, then the last ones.
pub(super) fn combine<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Box<str>>, Malformed> {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for value in values {
        for entry in value.split(|b| *b == b',').map(trim) {
            if entry.is_empty() {
                continue;
            }
            let (key, value) = split(entry).ok_or(Malformed)?;
            if entries.len() == ENTRIES || entries.iter().any(|(known, _)| *known == key) {
                return Err(Malformed);
            }
            entries.push((key, value));
        }
    }
    let length = |(key, value): &(&str, &str)| key.len() + 1 + value.len();
    // Each has a comma before it but the first.
    let total = |entries: &[(&str, &str)]| entries.iter().map(|e| length(e) + 1).sum::<usize>();
    if total(&entries) > LENGTH + 1 {
        entries.retain(|entry| length(entry) <= LONG);
    }
    while total(&entries) > LENGTH + 1 {
        entries.pop();
    }
    let mut list = String::with_capacity(total(&entries));
    for (key, value) in entries {
        if !list.is_empty() {
            list.push(',');
        }
        list.extend([key, "=", value]);
    }
    Ok((!list.is_empty()).then(|| list.into()))
}

/// A list that is not to be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn split(entry: &[u8]) -> Option<(&str, &str)> {
    let (key, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
    (is_key(key) && is_value(value)).then_some((key, value))
}

/// A name, or two of them: a tenant's and, after `@`, its system's. That a name alone may begin with a digit is new in
/// level 2.
fn is_key(key: &str) -> bool {
    let is_name = |name: &str, longest| {
        let of_a_name =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/');
        (1..=longest).contains(&name.len()) && name.bytes().all(of_a_name)
    };
    let begins_with = |name: &str, of: fn(&u8) -> bool| name.as_bytes().first().is_some_and(of);
    let is_first = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match key.split_once('@') {
        None => is_name(key, 256) && begins_with(key, is_first),
        Some((tenant, system)) => {
            is_name(tenant, 241)
                && begins_with(tenant, is_first)
                && is_name(system, 14)
                && begins_with(system, u8::is_ascii_lowercase)
        }
    }
}

/// Up to 256 printable characters but comma and equals sign, the last not a blank.
fn is_value(value: &str) -> bool {
    let of_a_value = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(of_a_value) && !value.ends_with(' ')
}
