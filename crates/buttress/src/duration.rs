//! Durations as people write them: `"250ms"`, `"1m"`, `"1h30m"`.

use std::{fmt, time::Duration};

/// Nanoseconds of each unit, largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: whole or decimal numbers with a unit, one after the other, as in `"1m"`, `"1.5s"` or
/// `"1h30m"`. Units are `d`, `h`, `m`, `s`, `ms`, `us` (or `µs`) and `ns`; a bare `"0"` needs none.
///
/// # Errors
///
/// [`ParseDurationError`], which names what was found and what would be right.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(buttress::duration::parse("1m30s")?, Duration::from_secs(90));
/// assert!(buttress::duration::parse("90").unwrap_err().to_string().contains("unit"));
/// # Ok::<(), buttress::duration::ParseDurationError>(())
/// ```
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    let fail = |why| ParseDurationError {
        text: text.chars().take(64).collect(),
        why,
    };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fail("it is empty"));
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        rest = after.trim_start();
        if number.is_empty() {
            return Err(fail("a number is missing"));
        }
        if unit.is_empty() {
            return Err(fail("a unit is missing"));
        }
        let unit = if unit == "µs" || unit == "μs" {
            "us"
        } else {
            unit
        };
        let Some(&(_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(fail("the unit is unknown"));
        };
        let part = scale(number, nanos).ok_or_else(|| fail("the number is malformed or too large"))?;
        total = total.saturating_add(part);
    }
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| fail("it is longer than 584 years"))
}

/// A decimal number times a unit, exactly; what is finer than a nanosecond is cut off.
fn scale(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = u128::from(whole) * u128::from(unit);
    let mut place = u128::from(unit);
    for digit in fraction.bytes() {
        nanos += u128::from(digit - b'0') * place / 10;
        place /= 10;
    }
    Some(nanos)
}

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDurationError {
    text: String,
    why: &'static str,
}

impl ParseDurationError {
    /// What is wrong with the text, without the text.
    pub(crate) fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a duration, {}: write a number and a unit (d, h, m, s, ms, us, ns), as in \"250ms\" or \"1m30s\"",
            self.text, self.why
        )
    }
}

impl std::error::Error for ParseDurationError {}

/// Writes a duration the way [`parse`] reads it, in its two largest units.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        let mut written = 0;
        for (name, nanos) in UNITS {
            let count = rest / nanos;
            if count > 0 {
                write!(f, "{count}{name}")?;
                rest -= count * nanos;
            }
            written += u8::from(count > 0 || written > 0);
            if written == 2 {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("1m", 60_000),
            ("250ms", 250),
            ("1.5s", 1500),
            (".5s", 500),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            (" 2d ", 172_800_000),
            ("0", 0),
            ("0s", 0),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("1.0000000019s"), Ok(Duration::from_nanos(1_000_000_001)));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, why) in [
            ("", "empty"),
            ("5", "unit is missing"),
            ("m", "number is missing"),
            ("5 minutes", "unit"),
            ("5min", "unit is unknown"),
            ("-5s", "number is missing"),
            ("1.2.3s", "malformed"),
            ("1.s", "malformed"),
            ("99999999999999999999s", "malformed"),
            ("999999999d", "584 years"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_hostile_text_is_cut_short() {
        let error = parse(&"x".repeat(100_000)).expect_err("nonsense");
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn human_text_reads_back() {
        for millis in [1, 250, 1500, 60_000, 90_000, 5_400_000, 172_800_000] {
            let d = Duration::from_millis(millis);
            assert_eq!(parse(&Human(d).to_string()), Ok(d));
        }
        assert_eq!(Human(Duration::ZERO).to_string(), "0s");
        assert_eq!(Human(Duration::from_millis(28_400)).to_string(), "28s400ms");
        assert_eq!(Human(Duration::from_nanos(3_600_000_000_001)).to_string(), "1h");
    }
}
