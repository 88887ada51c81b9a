//! Sizes as people write them: `"64KiB"`, `"1MB"`.

use std::fmt;

/// Bytes of each unit. The binary ones largest first, for [`Human`].
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// How many of them write sizes that [`parse`] reads back exactly.
const WRITTEN: usize = 4;

/// Reads a size in bytes: a whole or decimal number with a unit, as in `"64KiB"` or `"1.5MB"`. Units are `B`, `kB`
/// (or `KB`), `MB` and `GB`, of a thousand each, and `KiB`, `MiB` and `GiB`, of 1024 each; a bare `"0"` needs none.
///
/// # Errors
///
/// [`ParseSizeError`], which names what was found and what would be right.
///
/// ```
/// assert_eq!(buttress::size::parse("64KiB")?, 65_536);
/// assert!(buttress::size::parse("64").unwrap_err().to_string().contains("unit"));
/// # Ok::<(), buttress::size::ParseSizeError>(())
/// ```
pub fn parse(text: &str) -> Result<u64, ParseSizeError> {
    let fail = |why| ParseSizeError {
        text: text.chars().take(64).collect(),
        why,
    };
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(0);
    }
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let unit = match unit.trim_start() {
        "KB" => "kB",
        unit => unit,
    };
    if number.is_empty() {
        return Err(fail("a number is missing"));
    }
    if unit.is_empty() {
        return Err(fail("a unit is missing"));
    }
    let Some(&(_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(fail("the unit is unknown"));
    };
    scale(number, bytes).ok_or_else(|| fail("the number is malformed or too large"))
}

/// A decimal number times a unit, exactly; what is less than a byte is cut off.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More than nine places are less than a byte of the largest unit.
    let (mut part, mut place) = (0, 1_u64);
    for digit in fraction.bytes().take(9) {
        part = part * 10 + u64::from(digit - b'0');
        place *= 10;
    }
    let part = u128::from(part) * u128::from(unit) / u128::from(place);
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSizeError {
    text: String,
    why: &'static str,
}

impl ParseSizeError {
    /// What is wrong with the text, without the text.
    pub(crate) fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a size, {}: write a number and a unit (B, KiB, MiB, GiB, kB, MB, GB), as in \"64KiB\"",
            self.text, self.why
        )
    }
}

impl std::error::Error for ParseSizeError {}

/// Writes a size the way [`parse`] reads it, in the largest binary unit that divides it.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(_, bytes): &&(_, u64)| self.0 >= bytes && self.0 % bytes == 0;
        match UNITS[..WRITTEN].iter().find(fits) {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            (" 1MiB ", 1 << 20),
            ("1.5KiB", 1536),
            (".5MB", 500_000),
            ("2kB", 2000),
            ("2KB", 2000),
            ("3GB", 3_000_000_000),
            ("1GiB", 1 << 30),
            ("7B", 7),
            ("0.9B", 0),
            ("0", 0),
            ("0.0000000001GB", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, why) in [
            ("", "number is missing"),
            ("KiB", "number is missing"),
            ("-1B", "number is missing"),
            ("64", "unit is missing"),
            ("64K", "unit is unknown"),
            ("64kib", "unit is unknown"),
            ("1KiB2", "unit is unknown"),
            ("1.2.3B", "malformed"),
            ("1.B", "malformed"),
            ("99999999999999999999B", "malformed"),
            ("99999999999999999GiB", "too large"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(
            parse(&"x".repeat(100_000))
                .expect_err("nonsense")
                .to_string()
                .len()
                < 300
        );
    }

    #[test]
    fn human_text_reads_back() {
        for bytes in [0, 1, 1000, 1024, 65_536, 65_537, 1 << 20, u64::MAX] {
            assert_eq!(parse(&Human(bytes).to_string()), Ok(bytes));
        }
        assert_eq!(Human(65_536).to_string(), "64KiB");
    }
}
