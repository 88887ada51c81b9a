use std::{fs, io, time::Duration};

/// The time that the threads of a process have been on a processor, as the scheduler counts it, in nanoseconds: finer than
/// the ticks of `/proc/PID/stat`.
///
/// A thread that has ended takes its time along; the servers' live as long as they do.
pub(crate) fn of(process: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text
            .split_ascii_whitespace()
            .next()
            .and_then(|n| n.parse::<u64>().ok());
        nanos += first.ok_or_else(|| io::Error::other("no times in schedstat"))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The same of a process and its children, for a server that forks.
pub(crate) fn of_family(process: u32) -> io::Result<Duration> {
    let mut all = of(process)?;
    for other in fs::read_dir("/proc")? {
        let other = other?.file_name();
        let Some(id) = other.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Others come and go.
        let Ok(status) = fs::read_to_string(format!("/proc/{id}/status")) else {
            continue;
        };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.and_then(|parent| parent.trim().parse().ok()) == Some(process) {
            all += of(id)?;
        }
    }
    Ok(all)
}
