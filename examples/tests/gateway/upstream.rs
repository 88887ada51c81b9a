//! An upstream that does on each connection what a test says, and nothing of its own.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::client::{Head, read_head};

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A connection on which a request has begun.
pub(crate) struct Connection {
    pub(crate) head: Head,
    pub(crate) reader: BufReader<TcpStream>,
    pub(crate) writer: TcpStream,
}

impl Upstream {
    pub(crate) fn start(handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), handler)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        handler: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let handler = Arc::new(handler);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(SeqCst) {
                    break;
                }
                let (stream, handler) = (stream.expect("a connection"), handler.clone());
                thread::spawn(move || {
                    let patience = Some(Duration::from_secs(20));
                    stream.set_read_timeout(patience).expect("a timeout");
                    stream.set_nodelay(true).expect("no delay");
                    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                    if let Some(head) = read_head(&mut reader) {
                        let writer = stream;
                        handler(Connection { head, reader, writer });
                    }
                });
            }
        });
        Self {
            address,
            over,
            thread: Some(thread),
        }
    }

    /// One that answers everything with 200 and that text.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::start(move |connection| connection.answer("200 OK", text))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        // Wakes the listener, which then closes.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Connection {
    pub(crate) fn answer(mut self, status: &str, text: &str) {
        let length = text.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        self.write(&(head + text));
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).expect("it is read");
    }

    /// So many bytes of the body, exactly.
    pub(crate) fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        let mut text = vec![0; bytes];
        self.reader.read_exact(&mut text).expect("a body");
        text
    }
}
