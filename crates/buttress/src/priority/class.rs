use std::{fmt, str::FromStr};

/// How important a call is: 0 to 100, the greater the more important.
///
/// Five classes have names, twenty apart; what stands between two of them is in the *band* of the lower one, and
/// settings that are made by class ([`max_queue_time`](super::PriorityQueueBuilder::max_queue_time)) are those of the
/// band.
///
/// ```
/// use buttress::priority::Priority;
///
/// assert!(Priority::CRITICAL > Priority::NORMAL);
/// assert_eq!(Priority::from(60), Priority::NORMAL);
/// assert_eq!(Priority::from(250), Priority::CRITICAL);
/// assert_eq!("low".parse(), Ok(Priority::LOW));
/// assert_eq!(Priority::from(85).to_string(), "85");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

/// So many classes have names.
pub(super) const BANDS: usize = 5;

const NAMES: [(&str, Priority); BANDS] = [
    ("background", Priority::BACKGROUND),
    ("low", Priority::LOW),
    ("normal", Priority::NORMAL),
    ("high", Priority::HIGH),
    ("critical", Priority::CRITICAL),
];

impl Priority {
    /// 100: what must go through as if there were no load.
    pub const CRITICAL: Self = Self(100);
    /// 80.
    pub const HIGH: Self = Self(80);
    /// 60: what nobody has said anything about.
    pub const NORMAL: Self = Self(60);
    /// 40.
    pub const LOW: Self = Self(40);
    /// 20: what can as well be done tomorrow.
    pub const BACKGROUND: Self = Self(20);

    /// The priority of that number; one above 100 is 100.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(if value > 100 { 100 } else { value })
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The named class at or below it; below 20 it is still `background`.
    #[must_use]
    pub const fn band(self) -> Self {
        Self(match self.0 {
            100.. => 100,
            80.. => 80,
            60.. => 60,
            40.. => 40,
            _ => 20,
        })
    }

    /// What an *urgency* of RFC 9218 (0, the most urgent, to 7) stands for: 0 is `Critical`, 2 `High`, 3 (which is what
    /// a request means that names none) `Normal`, 5 `Low`, 7 (background) `Background`, and 1, 4 and 6 lie between. What
    /// is above 7 is 7.
    #[must_use]
    pub const fn from_urgency(urgency: u8) -> Self {
        Self(match urgency {
            0 => 100,
            1 => 90,
            2 => 80,
            3 => 60,
            4 => 50,
            5 => 40,
            6 => 30,
            _ => 20,
        })
    }

    /// What the value of a header or of gRPC metadata says: a class's name, a number, or the `u` of RFC 9218's
    /// dictionary (`u=1, i`). `None` if it says nothing of the kind.
    ///
    /// ```
    /// use buttress::priority::Priority;
    ///
    /// assert_eq!(Priority::from_field("u=0, i"), Some(Priority::CRITICAL));
    /// assert_eq!(Priority::from_field("Background"), Some(Priority::BACKGROUND));
    /// assert_eq!(Priority::from_field("1000000"), None);
    /// assert_eq!(Priority::from_field("i"), None);
    /// ```
    #[must_use]
    pub fn from_field(value: &str) -> Option<Self> {
        if let Ok(priority) = value.parse() {
            return Some(priority);
        }
        // Of a key that stands there twice the last counts (RFC 9651, section 4.2.2).
        let mut urgency = None;
        for member in value.split(',') {
            // Parameters of a member mean nothing here.
            let member = member.split(';').next().unwrap_or_default().trim();
            if let Some(value) = member.strip_prefix("u=") {
                urgency = digits(value).filter(|u| *u <= 7);
            }
        }
        urgency.map(Self::from_urgency)
    }

    /// The number of its band: 0 for `background` to 4 for `critical`.
    pub(super) const fn index(self) -> usize {
        self.band().0 as usize / 20 - 1
    }

    /// The named classes, the least important first.
    pub(super) fn bands() -> impl Iterator<Item = (&'static str, Self)> {
        NAMES.into_iter()
    }
}

/// `NORMAL`.
impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// One above 100 is 100.
impl From<u8> for Priority {
    fn from(value: u8) -> Self {
        Self::new(value)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, named)| named == self) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Priority({self})")
    }
}

/// A class's name, in whatever case, or a number up to 100.
/// A number as structured fields have it: Rust's own reader takes a `+` as well.
fn digits(text: &str) -> Option<u8> {
    let bare = text.bytes().all(|b| b.is_ascii_digit());
    bare.then(|| text.parse().ok()).flatten()
}

impl FromStr for Priority {
    type Err = ParsePriorityError;

    fn from_str(text: &str) -> Result<Self, ParsePriorityError> {
        let text = text.trim();
        if let Some((_, named)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*named);
        }
        match digits(text) {
            Some(value) if value <= 100 => Ok(Self(value)),
            _ => Err(ParsePriorityError { _private: () }),
        }
    }
}

/// A text that names no priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePriorityError {
    _private: (),
}

impl fmt::Display for ParsePriorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write critical, high, normal, low, background, or a number from 0 to 100")
    }
}

impl std::error::Error for ParsePriorityError {}
