//! Hexadecimal digits: written eight at a time, read by a table.

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

/// The digits of 32 bits, all of them at once in the bytes of a word: so they are in memory in one store, and whoever
/// reads them there does not have to wait for eight.
#[inline]
const fn of_32(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut word = number as u64;
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    word = (word | word << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte that is more than nine.
    let letters = (word + 6 * EACH) >> 4 & EACH;
    (word + b'0' as u64 * EACH + letters * (b'a' - b'9' - 1) as u64).to_be_bytes()
}

#[inline]
pub(super) fn of_128(number: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    digits[..16].copy_from_slice(&of_64((number >> 64) as u64));
    digits[16..].copy_from_slice(&of_64(number as u64));
    digits
}

#[inline]
pub(super) fn of_64(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&of_32((number >> 32) as u32));
    digits[8..].copy_from_slice(&of_32(number as u32));
    digits
}

#[inline]
pub(super) fn of_8(number: u8) -> [u8; 2] {
    let [.., high, low] = of_32(number.into());
    [high, low]
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
    fn every_digit_is_written_in_every_place() {
        for byte in 0..=u8::MAX {
            assert_eq!(as_str(&of_8(byte)), format!("{byte:02x}"));
            for place in 0..16 {
                let number = u128::from(byte) << (8 * place);
                assert_eq!(as_str(&of_128(number)), format!("{number:032x}"));
            }
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
