use std::{backtrace::Backtrace, fmt, sync::Arc};

/// Where a panic was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In the service's `poll_ready`.
    Ready,
    /// In the service's `call`, before there was a future.
    Call,
    /// In the future's poll.
    Future,
    /// In the response's body, after the headers had gone out.
    Body,
}

impl Place {
    /// Every place, in the order in which a call passes them.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Call, Self::Future, Self::Body];

    /// The place in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Call => "call",
            Self::Future => "future",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The event of a panic that was caught: what an operator is told and a client never is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Panic {
    /// Where it was caught.
    pub place: Place,
    /// What it said, at most 1 KiB of it; `not a text` if it was thrown with anything but a string.
    pub message: String,
    /// The line that panicked, as `file:line:column`. Only with [`install_hook`](super::install_hook).
    pub location: Option<String>,
    /// The way to that line. Only with [`install_hook`](super::install_hook). Its symbols are looked up when it
    /// is first shown, which is slow.
    pub backtrace: Option<Arc<Backtrace>>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panic in {}: {}", self.place, self.message)?;
        match &self.location {
            Some(location) => write!(f, " ({location})"),
            None => Ok(()),
        }
    }
}
