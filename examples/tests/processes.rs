//! Three real processes behind the gateway, under load, and what it costs to kill them.
//!
//! One test: what it measures is what the machine has left.
#![allow(clippy::print_stdout)] // figures, for whoever looks

mod lateness;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use buttress::clock;
use lateness::Lateness;
use serde_json::Value;

/// As the file of the gateway has it.
const OPEN_FOR: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(2);
const SLOW_START: Duration = Duration::from_secs(4);

/// What a machine that does other things as well may add to a time.
const SLACK: Duration = Duration::from_secs(1);

/// How often it is tried on a machine that is [late](Lateness) itself: that makes a time too long, or a share too large,
/// but hardly three times in a row.
const TRIES: usize = 3;

/// What came too late, or what came of that. Anything else that is not as it should be is a panic.
type Timely = Result<(), String>;

fn timely(is: bool, what: impl FnOnce() -> String) -> Timely {
    is.then_some(()).ok_or_else(what)
}

/// A program that runs until it is killed, and says first where it listens.
struct Process {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Process {
    fn start(program: &str, args: &[&str], addresses: usize) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = |line: std::io::Result<String>| {
            let line = line.expect("a text");
            let (_, address) = line.split_once("http://").expect("an address");
            address.parse().expect("an address")
        };
        let addresses = lines.take(addresses).map(address).collect();
        Self { child, addresses }
    }

    fn node(name: &str, address: SocketAddr) -> Self {
        let program = env!("CARGO_BIN_EXE_node");
        Self::start(program, &[name, &address.to_string(), "2ms"], 1)
    }

    /// As by `kill -9`.
    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three of them behind a gateway.
struct Stage {
    nodes: Vec<Process>,
    gateway: Process,
}

impl Stage {
    fn set(more: &str) -> Self {
        let free = ([127, 0, 0, 1], 0).into();
        let nodes: Vec<_> = ["a", "b", "c"].map(|name| Process::node(name, free)).into();
        let endpoint = |(name, node): (&str, &Process)| {
            format!("{{ name = \"{name}\", url = \"http://{}\" }}", node.addresses[0])
        };
        let endpoints: Vec<_> = ["a", "b", "c"].into_iter().zip(&nodes).map(endpoint).collect();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [upstream]\nendpoints = [{}]\nbalance = \"round_robin\"\nslow_start = \"4s\"\n\
             [circuit_breaker]\nconsecutive_failures = 3\nhalf_open_probes = 1\nsuccess_threshold = 2\n\
             open_for = \"2s\"\nopen_jitter = 0.0\n\
             [timeouts]\nattempt = \"10s\"\n{more}",
            endpoints.join(", ")
        );
        let name = format!("processes-{}-{}.toml", std::process::id(), more.len());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, config).expect("a file");
        let file = file.to_str().expect("a text");
        let gateway = Process::start(env!("CARGO_BIN_EXE_gateway"), &["--config", file], 2);
        Self { nodes, gateway }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.addresses[0]
    }

    fn pool(&self) -> Value {
        let (_, state) = get(self.gateway.addresses[1], "/state");
        let state: Value = serde_json::from_str(&state).expect("JSON");
        state["upstream"]["pool"].clone()
    }

    fn requests(&self) -> Vec<u64> {
        let pool = self.pool();
        let of = |name| pool["endpoints"][name]["requests"].as_u64().expect("a count");
        ["a", "b", "c"].map(of).into()
    }

    /// How many requests each got in that time.
    fn shares(&self, time: Duration) -> Vec<u64> {
        let before = self.requests();
        thread::sleep(time);
        self.requests()
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect()
    }

    /// Waits until it is so, and says how long that took.
    fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Duration {
        let begin = clock::now();
        loop {
            let pool = self.pool();
            if so(&pool) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {pool}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self, i: usize) {
        self.nodes[i].kill();
    }

    fn revive(&mut self, i: usize) {
        let address = self.nodes[i].addresses[0];
        self.nodes[i] = Process::node(["a", "b", "c"][i], address);
    }
}

/// The status, and the body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let status = text[9..12].parse().expect("a status");
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    (status, body.to_owned())
}

/// About a thousand requests a second, in the background.
struct Load(Option<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Load {
    fn start(to: SocketAddr, time: &str) -> Self {
        let url = format!("http://{to}");
        let args = [&url, "--rate", "1000", "--for", time, "--long", "0.05", "--json"];
        let load = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(args)
            .stdout(Stdio::piped())
            .spawn();
        Self(Some(load.expect("it starts")))
    }

    fn end(mut self) -> Value {
        let child = self.0.take().expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn is_out(pool: &Value, name: &str) -> bool {
    pool["endpoints"][name]["usable"] == false
}

fn all_well(pool: &Value) -> bool {
    pool["usable"] == 3
        && ["a", "b", "c"]
            .iter()
            .all(|name| pool["endpoints"][name]["state"] == "UP")
}

/// One of three dies and comes back, and no caller notices.
fn one_dies_and_comes_back(stage: &mut Stage, checked: bool) -> Timely {
    let load = Load::start(stage.address(), "14s");
    stage.until("traffic", |pool| pool["calls"].as_u64() > Some(500));
    stage.kill(1);
    stage.until("marked", |pool| is_out(pool, "b"));

    // From then on it gets probes alone.
    let begin = clock::now();
    let shares = stage.shares(Duration::from_secs(3));
    let open_times = begin.elapsed().as_secs_f64() / OPEN_FOR.as_secs_f64();
    println!("dead: {shares:?}");
    // One at a time, for each time that the breaker lets one through. Checks are in no books.
    let probes = open_times.ceil() as u64 + 1;
    assert!(shares[1] <= probes, "{shares:?}, at most {probes} probes");
    timely(shares[0] + shares[2] > 100 * probes, || {
        format!("few calls: {shares:?}")
    })?;

    let revived = clock::now();
    stage.revive(1);
    stage.until("back", all_well);
    println!("back after {:?}", revived.elapsed());
    let limit = if checked { INTERVAL } else { OPEN_FOR };
    let back = revived.elapsed();
    timely(back < limit + SLACK, || format!("back after {back:?}"))?;
    // Eased in: the first quarter of the slow start is a quarter of its share at most.
    let early = stage.shares(SLOW_START / 4);
    thread::sleep(SLOW_START.saturating_sub(revived.elapsed()) + SLOW_START / 4);
    let late = stage.shares(SLOW_START / 4);
    println!("eased in: {early:?}, then {late:?}");
    let share = |counts: &[u64]| counts[1] as f64 / counts.iter().sum::<u64>().max(1) as f64;
    let eased_in = share(&early) > 0.0 && share(&early) < share(&late) / 1.5;
    let whole = (0.25..0.42).contains(&share(&late));
    timely(eased_in && whole, || {
        format!("eased in: {early:?}, then {late:?}")
    })?;

    let toll = load.end();
    println!("{toll}");
    assert_eq!(toll["lost"], 0, "not one whose answer had not begun");
    timely(toll["sent"].as_u64() > Some(10_000), || toll.to_string())?;
    let pool = stage.pool();
    assert_eq!(pool["outOfBudget"], 0, "{pool}");
    Ok(())
}

/// All die, and one comes back.
fn all_die_and_one_comes_back(stage: &mut Stage, checked: bool) -> Timely {
    (0..3).for_each(|i| stage.kill(i));
    // So that the breakers find out.
    stage.until("all out", |pool| {
        assert!(get(stage.address(), "/").0 >= 500);
        pool["usable"] == 0
    });
    let mut took = Vec::new();
    for _ in 0..100 {
        let begin = clock::now();
        let (status, text) = get(stage.address(), "/");
        took.push(begin.elapsed());
        // A probe, of which there is one for each at a time, is a failure of its own.
        assert!([502, 503].contains(&status), "{status} {text}");
        assert!(status == 502 || text.contains("no_endpoint"), "{text}");
    }
    took.sort_unstable();
    println!("refused in {:?}, {:?} at most", took[50], took[99]);
    timely(took[50] < OPEN_FOR / 20, || format!("refused in {:?}", took[50]))?;

    let revived = clock::now();
    stage.revive(0);
    let listening = clock::now();
    let restored = loop {
        if get(stage.address(), "/").0 == 200 {
            break clock::now();
        }
        assert!(revived.elapsed() < Duration::from_secs(60));
    };
    println!("restored after {:?}", restored - listening);
    let limit = if checked { INTERVAL } else { OPEN_FOR };
    let after = restored - listening;
    timely(after < limit + SLACK, || format!("restored after {after:?}"))?;
    // And it stays so: of one that is alone, nothing is held back.
    stage.until("in service", |pool| {
        pool["endpoints"]["a"]["state"] == "UP" || {
            get(stage.address(), "/");
            false
        }
    });
    (0..100).for_each(|_| assert_eq!(get(stage.address(), "/").0, 200));
    Ok(())
}

fn play(more: &str, checked: bool) {
    type Act = fn(&mut Stage, bool) -> Timely;
    for act in [one_dies_and_comes_back as Act, all_die_and_one_comes_back] {
        let mut late = Vec::new();
        loop {
            let lateness = Lateness::watch();
            let Err(what) = act(&mut Stage::set(more), checked) else {
                break;
            };
            let worst = lateness.worst();
            println!("too late: {what}, the machine itself by {worst:?}");
            assert!(worst > SLACK / 10, "and it was not the machine: {what}");
            late.push(what);
            assert!(late.len() < TRIES, "each time: {late:?}");
        }
    }
}

#[test]
fn killing_one_of_three_processes_loses_nothing_and_killing_all_is_refused_at_once() {
    println!("with no checks");
    play("", false);
    println!("with checks");
    play("[health_check]\npath = \"/healthz\"\ninterval = \"2s\"\n", true);
}
