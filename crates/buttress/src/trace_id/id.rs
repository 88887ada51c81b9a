use std::{fmt, num::NonZeroU128, str::FromStr};

use super::hex;

/// The id of a trace. It is written as 32 hexadecimal digits in lower case, and read in no other form.
///
/// ```
/// use buttress::trace_id::Id;
///
/// let id: Id = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!("4BF92F3577B34DA6A3CE929D0E0E4736".parse::<Id>().is_err());
/// # Ok::<(), buttress::trace_id::NotAnId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU128);

/// A text that is no [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAnId;

impl Id {
    /// The id as a number.
    #[must_use]
    pub const fn get(self) -> NonZeroU128 {
        self.0
    }
}

impl From<NonZeroU128> for Id {
    fn from(id: NonZeroU128) -> Self {
        Self(id)
    }
}

impl From<Id> for NonZeroU128 {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.as_bytes().try_into().map_err(|_| NotAnId)?;
        hex::read_128(digits)
            .and_then(NonZeroU128::new)
            .map(Self)
            .ok_or(NotAnId)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(hex::as_str(&hex::of_128(self.0.get())))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trace-id is 32 hexadecimal digits in lower case, not all of them zero")
    }
}

impl std::error::Error for NotAnId {}
