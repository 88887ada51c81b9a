//! Bodies stream: nothing is held back, nothing is kept, nothing is changed.

use std::{
    io::{BufReader, Read, Write},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use crate::{
    client::{connect, get, read_chunk, read_head, read_response, read_trailers},
    process::Gateway,
    upstream::{Connection, Upstream},
};

const PATIENCE: Duration = Duration::from_secs(20);
const HUNDRED_MB: usize = 100_000_000;

/// Bytes that do not repeat where buffers do.
fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..65_521).map(|_| next()).collect()
}

/// Writes so many bytes of the pattern, over and over.
fn write_pattern(writer: &mut impl Write, bytes: usize) {
    let pattern = pattern();
    let mut left = bytes;
    while left > 0 {
        let part = &pattern[..left.min(pattern.len())];
        writer.write_all(part).expect("it is read");
        left -= part.len();
    }
}

/// Reads so many bytes, and says whether they are the pattern's.
fn is_pattern(reader: &mut impl Read, bytes: usize) -> bool {
    let pattern = pattern();
    let mut buffer = vec![0; pattern.len()];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(pattern.len());
        reader.read_exact(&mut buffer[..part]).expect("a body");
        if buffer[..part] != pattern[..part] {
            return false;
        }
        left -= part;
    }
    true
}

fn assert_small(gateway: &Gateway) {
    if let Some(peak) = gateway.peak_memory() {
        println!("the gateway had at most {peak} KiB");
        assert!(peak < 48 * 1024, "{peak} KiB");
    }
}

#[test]
fn a_hundred_megabytes_go_up_unchanged_and_are_not_kept() {
    let upstream = Upstream::start(|mut connection: Connection| {
        assert_eq!(connection.head.get("content-length"), Some("100000000"));
        // Whoever would take it all in has the time to do so.
        thread::sleep(Duration::from_millis(500));
        let same = is_pattern(&mut connection.reader, HUNDRED_MB);
        connection.answer("200 OK", &same.to_string());
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {HUNDRED_MB}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is read");
    write_pattern(&mut stream, HUNDRED_MB);
    assert_eq!(read_response(&mut BufReader::new(stream)).text(), "true");
    assert_small(&gateway);
}

#[test]
fn a_hundred_megabytes_come_down_unchanged_and_are_not_kept() {
    let upstream = Upstream::start(|mut connection: Connection| {
        connection.write(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {HUNDRED_MB}\r\nConnection: close\r\n\r\n"
        ));
        write_pattern(&mut connection.writer, HUNDRED_MB);
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it is read");
    thread::sleep(Duration::from_millis(500));
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader).expect("a response");
    assert_eq!(head.get("content-length"), Some("100000000"));
    assert!(is_pattern(&mut reader, HUNDRED_MB));
    assert_small(&gateway);
}

#[test]
fn a_chunk_of_a_response_arrives_before_the_next_is_sent() {
    let (arrived, arrivals) = mpsc::channel::<()>();
    let arrivals = Mutex::new(arrivals);
    let upstream = Upstream::start(move |mut connection: Connection| {
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        let arrivals = arrivals.lock().expect("one connection");
        arrivals.recv_timeout(PATIENCE).expect("the first chunk arrives");
        connection.write("4\r\nlast\r\n0\r\n\r\n");
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it is read");
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader).expect("a response");
    assert_eq!(head.get("transfer-encoding"), Some("chunked"));
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"first"[..]));
    arrived.send(()).expect("the upstream waits");
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"last"[..]));
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b""[..]));
}

#[test]
fn a_chunk_of_a_request_arrives_before_the_next_is_sent() {
    let (arrived, arrivals) = mpsc::channel();
    let upstream = Upstream::start(move |mut connection: Connection| {
        assert_eq!(connection.head.get("transfer-encoding"), Some("chunked"));
        let mut chunks = Vec::new();
        loop {
            let chunk = read_chunk(&mut connection.reader).expect("a chunk");
            if chunk.is_empty() {
                break;
            }
            chunks.push(String::from_utf8(chunk).expect("a text"));
            arrived.send(()).expect("the client waits");
        }
        connection.answer("200 OK", &chunks.join("|"));
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .expect("it is read");
    arrivals.recv_timeout(PATIENCE).expect("the first chunk arrives");
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").expect("it is read");
    assert_eq!(read_response(&mut BufReader::new(stream)).text(), "first|last");
}

#[test]
fn trailers_pass_for_those_who_take_them() {
    let upstream = Upstream::start(|mut connection: Connection| {
        assert_eq!(connection.head.get("te"), Some("trailers"));
        connection.write(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n2\r\nok\r\n0\r\n\
             X-Checksum: 42\r\n\r\n",
        );
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = connect(gateway.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .expect("it is read");
    let mut reader = BufReader::new(stream);
    assert_eq!(
        read_head(&mut reader).expect("a response").get("trailer"),
        Some("X-Checksum")
    );
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"ok"[..]));
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b""[..]));
    assert_eq!(
        read_trailers(&mut reader),
        Some(vec!["x-checksum: 42".to_owned()])
    );
}

#[test]
fn a_body_that_breaks_off_is_not_made_whole() {
    let (has_half, breaks) = mpsc::channel::<()>();
    let breaks = Mutex::new(breaks);
    let upstream = Upstream::start(move |mut connection: Connection| {
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        // Where head and end come together there may be nothing left to send on.
        let _ = breaks.lock().expect("no panic").recv_timeout(PATIENCE);
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut client = connect(gateway.address);
    let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    client.write_all(request).expect("it is read");
    let mut reader = BufReader::new(client);
    assert!(read_head(&mut reader).is_some());
    assert_eq!(read_chunk(&mut reader).as_deref(), Some(&b"half"[..]));
    has_half.send(()).expect("the upstream waits");
    assert_eq!(read_chunk(&mut reader), None);
    let state = get(gateway.admin, "/state").json();
    assert_eq!(state["gateway"]["outcomes"]["failure"], 1, "{state}");
    assert_eq!(state["upstream"]["outcomes"]["failure"], 1, "{state}");
}
