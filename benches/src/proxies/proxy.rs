#![allow(clippy::disallowed_types)] // what waits for a process is no part of the crate

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Cores, FIRST, Proxy};

/// How long a proxy may take to listen.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A proxy that runs, and ends with this.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
    folder: PathBuf,
}

impl Running {
    /// One of the proxies.
    pub(super) fn start(
        proxy: Proxy,
        upstreams: [SocketAddr; 2],
        cores: Cores,
    ) -> Result<Self, Box<dyn Error>> {
        let workers = if cores == Cores::All { 2 } else { 1 };
        Self::spawn(
            &proxy.to_string(),
            |address, folder| configuration(proxy, address, upstreams, workers, folder),
            |file, folder| {
                let program = command(proxy, file, folder)?;
                Ok(match cores {
                    Cores::Apart => behind("taskset", &["-c", FIRST], &program),
                    _ => program,
                })
            },
            workers,
        )
    }

    /// The gateway with these policies, under valgrind, which says on standard error what it has counted.
    pub(super) fn counted(policies: &str, upstream: SocketAddr) -> Result<Self, Box<dyn Error>> {
        Self::spawn(
            "counted",
            |address, _| gateway(address, upstream, policies),
            |file, folder| {
                let program = command(Proxy::Full, file, folder)?;
                let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
                let mut program = behind("valgrind", &arguments, &program);
                program.stderr(Stdio::piped());
                Ok(program)
            },
            1,
        )
    }

    fn spawn(
        name: &str,
        configuration: impl FnOnce(SocketAddr, &Path) -> String,
        command: impl FnOnce(&Path, &Path) -> io::Result<Command>,
        workers: usize,
    ) -> Result<Self, Box<dyn Error>> {
        // Taken and given back: nobody else asks for ports here, or it is started again.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = env::temp_dir().join(format!("buttress-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("configuration");
        fs::write(&file, configuration(address, &folder))?;
        let child = command(&file, &folder)?
            .env("RUST_LOG", "off")
            .env("TOKIO_WORKER_THREADS", workers.to_string())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut running = Self {
            child,
            address,
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > STARTS_WITHIN || running.child.try_wait()?.is_some() {
                return Err(format!("{name} does not listen on {address}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it. What it has said on standard error, where that was kept.
    pub(super) fn stop(mut self) -> io::Result<String> {
        let mut said = String::new();
        let stderr = self.child.stderr.take();
        drop(self);
        if let Some(mut stderr) = stderr {
            stderr.read_to_string(&mut said)?;
        }
        Ok(said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's workers end when they are asked to, not with their master's violent death.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if asked.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that runs another.
fn behind(program: &str, arguments: &[&str], other: &Command) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(other.get_program())
        .args(other.get_args());
    command
}

fn command(proxy: Proxy, file: &Path, folder: &Path) -> io::Result<Command> {
    Ok(match proxy {
        Proxy::Empty | Proxy::Full | Proxy::Pool => {
            // Built beside this program.
            let mut command = Command::new(env::current_exe()?.with_file_name("gateway"));
            command.arg("--config").arg(file);
            command
        }
        Proxy::Nginx => {
            let mut command = Command::new("nginx");
            command.arg("-c").arg(file).arg("-p").arg(folder);
            command
        }
        Proxy::HaProxy => {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        }
    })
}

fn configuration(
    proxy: Proxy,
    address: SocketAddr,
    [upstream, other]: [SocketAddr; 2],
    workers: usize,
    folder: &Path,
) -> String {
    match proxy {
        Proxy::Empty => gateway(address, upstream, NOTHING),
        Proxy::Full => gateway(address, upstream, &every_policy()),
        Proxy::Pool => format!(
            "listen = \"{address}\"\nupstream.endpoints = [\n  {{ name = \"a\", url = \"http://{upstream}\" }},\n  \
             {{ name = \"b\", url = \"http://{other}\" }},\n]\n{}",
            every_policy()
        ),
        Proxy::Nginx => {
            let folder = folder.display();
            format!(
                "daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log {folder}/error crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream nodes {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
    }}
  }}
}}
"
            )
        }
        Proxy::HaProxy => format!(
            "global
  nbthread {workers}
  maxconn 4096
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind {address}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend nodes
backend nodes
  server a {upstream} pool-max-conn 256
"
        ),
    }
}

/// The gateway's file. What is said of policies begins with keys, and goes on with sections.
fn gateway(address: SocketAddr, upstream: SocketAddr, policies: &str) -> String {
    format!("listen = \"{address}\"\nupstream.endpoints = [\"http://{upstream}\"]\n{policies}")
}

/// No policy at all: these two are on unless they are switched off.
pub(super) const NOTHING: &str = "metrics = false\nrecover = false\n";

/// Every section of policies that the gateway's file has. Nothing is refused, and nothing is asked twice.
pub(super) const POLICIES: [(&str, &str); 10] = [
    ("trace_id", "[trace_id]\n"),
    ("metrics", "[metrics]\nroute_labels = 100\n"),
    (
        "rate_limit",
        "[rate_limit]\nrate = 1000000\nper = \"1s\"\nkey = \"peer_ip\"\nheaders = true\n",
    ),
    (
        "priority",
        "[priority]\nconcurrency = 256\nqueue = 1024\nclassify = { header = \"priority\" }\n",
    ),
    (
        "circuit_breaker",
        "[circuit_breaker]\nfailure_rate = 0.5\nslow_call_rate = 0.5\n",
    ),
    (
        "timeouts",
        "[timeouts]\nattempt = \"2s\"\ntotal = \"10s\"\nbody_idle = \"30s\"\nbody_total = \"5m\"\n",
    ),
    ("retry", "[retry]\n"),
    ("hedge", "[hedge]\nafter = \"1s\"\n"),
    (
        "fallback",
        "[fallback]\nstatus = 200\nbody = \"{}\"\non = [\"circuit_open\"]\n",
    ),
    ("recover", ""),
];

/// All of them; that panics are caught needs no word.
pub(super) fn every_policy() -> String {
    let sections = POLICIES.iter().map(|(_, section)| *section);
    std::iter::once("routes = [\"/users/{id}\"]\n")
        .chain(sections)
        .collect()
}
