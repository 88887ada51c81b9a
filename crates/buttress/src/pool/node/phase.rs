/// Whether an endpoint has its share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has.
    Up,
    /// It is out.
    Failed,
    /// It is out, and a few calls or checks find out whether it is back.
    Recovering,
}

impl Phase {
    /// In `SCREAMING_SNAKE_CASE`, as it appears in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Failed => "FAILED",
            Self::Recovering => "RECOVERING",
        }
    }

    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Up,
            1 => Self::Failed,
            _ => Self::Recovering,
        }
    }
}
