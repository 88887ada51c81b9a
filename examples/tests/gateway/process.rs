//! The gateway as its users have it: a program.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use buttress::clock;

pub(crate) const TOKEN: &str = "s3cret";

pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: PathBuf,
}

impl Gateway {
    /// In front of that upstream, with these lines at the end of the file.
    pub(crate) fn start(upstream: SocketAddr, more: &str) -> Self {
        Self::with(&format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token = \"{TOKEN}\"\n\
             [upstream]\nendpoints = [\"http://{upstream}\"]\n{more}"
        ))
    }

    /// With that file.
    pub(crate) fn with(config: &str) -> Self {
        let file = file(config);
        let mut command = command();
        command.arg("--config").arg(&file);
        Self::started(command, file.with_extension("log"))
    }

    /// Another program that tells its two addresses as the gateway does.
    pub(crate) fn started(mut command: Command, log: PathBuf) -> Self {
        let mut child = command
            .env("RUST_LOG", "info,buttress=trace")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |before: &str| -> SocketAddr {
            let told = lines.find_map(|line| Some(line.expect("a text").split_once(before)?.1.to_owned()));
            let told = told.unwrap_or_else(|| panic!("it ended before it said {before:?}"));
            told.parse().expect("an address")
        };
        Self {
            address: address("listening on http://"),
            admin: address("admin on http://"),
            child,
            log,
        }
    }

    /// What it has logged so far, all that Buttress says among it.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a text")
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.expect("kill runs").success());
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = clock::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(clock::now() < end, "the gateway runs on");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The most memory it ever had, in KiB, where the system says so.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command().args(args).output().expect("the gateway runs")
}

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
}

/// A file with that text.
pub(crate) fn file(text: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "gateway-{}-{}.toml",
        std::process::id(),
        COUNT.fetch_add(1, Relaxed)
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("a file");
    path
}
