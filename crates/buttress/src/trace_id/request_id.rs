//! `x-request-id`, which is nobody's standard: what is taken for one.

use std::num::NonZeroU128;

use super::{hex, parent::trim};

/// The longest that is believed.
const LONGEST: usize = 128;

/// The id, if it is one: up to 128 letters, digits and `-_.~:/+=@`. So it cannot break out of a log line, a header, a
/// query or a shell.
pub(super) fn check(value: &[u8]) -> Option<&str> {
    let of_an_id = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(b);
    let id = trim(value);
    if (1..=LONGEST).contains(&id.len()) && id.iter().all(of_an_id) {
        std::str::from_utf8(id).ok()
    } else {
        None
    }
}

/// The trace-id that a request-id is, or can be read as: 32 digits, or a UUID.
pub(super) fn as_trace_id(id: &str) -> Option<NonZeroU128> {
    let id = id.as_bytes();
    let digits = match id.len() {
        32 => id.try_into().ok()?,
        36 if [id[8], id[13], id[18], id[23]] == *b"----" => {
            let mut digits = [0; 32];
            let parts = [&id[..8], &id[9..13], &id[14..18], &id[19..23], &id[24..]];
            let mut at = 0;
            for part in parts {
                digits[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            digits
        }
        _ => return None,
    };
    NonZeroU128::new(hex::read_128(&digits.map(|b| b.to_ascii_lowercase()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_of_harmless_characters() {
        for good in ["7", "a-b_c.d~e:f/g+h=i@j", &"x".repeat(128), " padded\t"] {
            assert_eq!(check(good.as_bytes()), Some(good.trim()), "{good}");
        }
        let long = "x".repeat(129);
        let bad = [
            "", " ", "a b", "a,b", "a\"b", "a%0ab", "a\nb", "a;b", "<a>", "é", "a\\b", &long,
        ];
        for bad in bad {
            assert_eq!(check(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_uuid_is_a_trace_id() {
        let id = NonZeroU128::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        for same in [
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736",
        ] {
            assert_eq!(as_trace_id(same), id, "{same}");
        }
        for other in [
            "00000000000000000000000000000000",
            "4bf92f35-77b3-4da6-a3ce-929d0e0e473",
            "4bf92f35x77b3-4da6-a3ce-929d0e0e4736",
            "4bf92f35-77b34-da6-a3ce-929d0e0e4736",
            "req-7",
        ] {
            assert_eq!(as_trace_id(other), None, "{other}");
        }
    }
}
