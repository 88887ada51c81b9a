//! Being told to stop.

use std::{
    io::{BufReader, Write},
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::Duration,
};

use buttress::clock;

use crate::{
    client::{connect, get, read_chunk, read_head},
    process::Gateway,
    upstream::{Connection, Upstream},
};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_in_flight_ends_before_the_gateway_does() {
    let (go_on, going) = mpsc::channel::<()>();
    let going = Mutex::new(going);
    let upstream = Upstream::start(move |mut connection: Connection| {
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        let going = going.lock().expect("one connection");
        going.recv_timeout(PATIENCE).expect("a word");
        connection.write("5\r\nwhole\r\n0\r\n\r\n");
    });
    let mut gateway = Gateway::start(upstream.address, "");
    let idle = connect(gateway.address);
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it is read");
    let mut reader = BufReader::new(stream);
    read_head(&mut reader).expect("a response");
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"half"[..]));

    gateway.terminate();
    // Nobody new comes in; operators may still look.
    let end = clock::now() + PATIENCE;
    while TcpStream::connect(gateway.address).is_ok() {
        assert!(clock::now() < end, "it still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    let health = get(gateway.admin, "/healthz");
    assert_eq!(
        (health.status, health.text().as_str()),
        (503, "{\"status\":\"draining\"}\n")
    );
    assert_eq!(get(gateway.admin, "/state").json()["gateway"]["inFlight"], 1);

    go_on.send(()).expect("the upstream waits");
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"whole"[..]));
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b""[..]));
    assert_eq!(gateway.wait(PATIENCE).code(), Some(0));
    drop(idle);
}

#[test]
fn a_second_signal_does_not_wait() {
    let upstream = Upstream::start(|connection: Connection| {
        std::thread::sleep(PATIENCE);
        drop(connection);
    });
    let mut gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it is read");
    while get(gateway.admin, "/state").json()["gateway"]["inFlight"] != 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
    gateway.terminate();
    while get(gateway.admin, "/healthz").status != 503 {
        std::thread::sleep(Duration::from_millis(10));
    }
    gateway.terminate();
    assert_eq!(gateway.wait(Duration::from_secs(5)).code(), Some(1));
}
