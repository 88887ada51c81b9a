//! What the process holds of the system.

use std::{fmt, fs};

/// What the process holds at one moment, where the system says so (Linux).
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Open files, sockets among them.
    pub files: Option<usize>,
    /// Memory, in KiB.
    pub memory: Option<u64>,
}

impl Held {
    /// What it holds now.
    #[must_use]
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").ok();
        let memory = status.as_deref().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        });
        Self {
            files: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            memory,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.files, self.memory) {
            (Some(files), Some(memory)) => write!(f, "{files} open files, {memory} KiB resident"),
            _ => f.write_str("the system does not say"),
        }
    }
}
