//! Hexadecimal digits, by a table.

/// Every byte as its two digits.
static PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// What no digit is worth.
const NONE: u8 = 0xff;

/// What a digit is worth; capital letters are none.
static VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Writes the bytes' digits, twice as many as there are bytes.
#[inline]
pub(super) fn write(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&PAIRS[usize::from(*byte)]);
    }
}

pub(super) fn of_128(number: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    write(&number.to_be_bytes(), &mut digits);
    digits
}

pub(super) fn of_64(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    write(&number.to_be_bytes(), &mut digits);
    digits
}

/// Digits are ASCII.
pub(super) fn as_str(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

#[inline]
pub(super) fn read_128(digits: &[u8; 32]) -> Option<u128> {
    let (high, low) = digits.split_at(16);
    let half = |half: &[u8]| half.try_into().ok().and_then(read_64).map(u128::from);
    Some(half(high)? << 64 | half(low)?)
}

#[inline]
pub(super) fn read_64(digits: &[u8; 16]) -> Option<u64> {
    read(digits)
}

#[inline]
pub(super) fn read_8(digits: &[u8; 2]) -> Option<u8> {
    read(digits).map(|byte| byte as u8)
}

/// All are looked at before any is found wanting: nothing branches in between.
#[inline]
fn read(digits: &[u8]) -> Option<u64> {
    let (number, seen) = digits.iter().fold((0_u64, 0), |(number, seen), digit| {
        let value = VALUES[usize::from(*digit)];
        (number << 4 | u64::from(value & 15), seen | value)
    });
    (seen & 0xf0 == 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(as_str(&of_64(number)), format!("{number:016x}"));
            assert_eq!(read_64(&of_64(number)), Some(number));
            let long = u128::from(number) << 64 | 0xfedc;
            assert_eq!(as_str(&of_128(long)), format!("{long:032x}"));
            assert_eq!(read_128(&of_128(long)), Some(long));
        }
    }

    #[test]
    fn only_digits_in_lower_case_are_read() {
        for byte in 0..=u8::MAX {
            let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert_eq!(read_8(&[b'0', byte]).is_some(), is_digit, "{byte:#x}");
            assert_eq!(read_8(&[byte, b'0']).is_some(), is_digit, "{byte:#x}");
            // One that is wrong does not make up for another.
            assert_eq!(read_8(&[byte; 2]).is_some(), is_digit, "{byte:#x}");
        }
    }
}
