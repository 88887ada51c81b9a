//! A server that does what it should not, byte by byte.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use super::{AS_ASKED, Mischief, dice::Dice};

/// A server on a port of its own.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts one. While there is no mischief it answers well, and at once.
    pub async fn start(dice: Dice, mischief: Mischief) -> Self {
        let (listener, address) = crate::server::listener().await;
        Self {
            address,
            accepting: tokio::spawn(accept(listener, dice, mischief)),
        }
    }

    /// Listens no more. What is connected stays so until the other side hangs up.
    pub async fn stop(self) {
        self.accepting.abort();
        let _aborted = self.accepting.await;
    }
}

async fn accept(listener: TcpListener, dice: Dice, mischief: Mischief) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let (dice, mischief) = (dice.fork(), mischief.clone());
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _ended = Connection::new(connection, dice).serve(mischief).await;
                });
            }
            // It may be gone before it was accepted.
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    dice: Dice,
}

/// Whether there may be another request.
type Next = io::Result<bool>;

impl Connection {
    fn new(stream: TcpStream, dice: Dice) -> Self {
        let read = Vec::new();
        Self { stream, read, dice }
    }

    async fn serve(mut self, mischief: Mischief) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while self.request().await? {
            let goes_on = match mischief.is_on() {
                true => self.misbehave().await?,
                false => self.whole("200 OK", "", b"calm").await?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Reads a request to its end.
    async fn request(&mut self) -> Next {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(false);
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().expect("hyper writes numbers"));
        while self.read.len() < end + length {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(false);
            }
        }
        self.read.drain(..end + length);
        Ok(true)
    }

    async fn misbehave(&mut self) -> Next {
        match self.dice.below(200) {
            // Half of all is well; the other half is what follows.
            100.. => self.whole("200 OK", "", b"well").await,
            0..50 => {
                self.pause(0, 3).await;
                self.whole("200 OK", "", b"well").await
            }
            50..56 => {
                let length = self.dice.between(1, 200_000) as usize;
                self.whole("200 OK", "", &vec![b'x'; length]).await
            }
            56..62 => {
                self.pause(5, 80).await;
                self.whole("200 OK", "", b"late").await
            }
            62..68 => self.in_parts(5).await,
            68..72 => {
                let status = *self.dice.of(&["500 No", "502 No", "503 No", "504 No"]);
                self.whole(status, "", b"no").await
            }
            72..74 => self.whole("429 Slow", "retry-after: 1\r\n", b"").await,
            74..77 => self.whole("404 None", "", b"none").await,
            77..79 => self.write("HTTP/1.1 204 Empty\r\n\r\n").await,
            79 => self.whole("200 OK", "", b"").await,
            80..83 => {
                self.pause(0, 3).await;
                Ok(false)
            }
            83..85 => self.reset(),
            85..87 => {
                self.write("HTTP/1.1 200 OK\r\ncontent-le").await?;
                self.pause(0, 5).await;
                Ok(false)
            }
            87..90 => {
                self.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
                    .await?;
                self.pause(0, 5).await;
                match self.dice.below(2) {
                    0 => Ok(false),
                    _ => self.reset(),
                }
            }
            90..92 => {
                self.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n")
                    .await?;
                self.pause(0, 5).await;
                Ok(false)
            }
            // Half closed: in mid-body, and before the head. It listens until the other side has had enough.
            92 => {
                self.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
                    .await?;
                self.half_close().await
            }
            93 => self.half_close().await,
            94 => {
                self.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
                    .await?;
                self.hang().await
            }
            95 => self.hang().await,
            96 => self.write("this is not HTTP\r\n\r\n").await,
            97 => std::panic::panic_any(AS_ASKED),
            98 => {
                self.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
                    .await?;
                std::panic::panic_any(AS_ASKED)
            }
            _ => {
                self.whole("200 OK", "connection: close\r\n", b"the last").await?;
                Ok(false)
            }
        }
    }

    async fn pause(&self, least: u64, most: u64) {
        sleep(self.dice.millis(least, most)).await;
    }

    async fn write(&mut self, text: &str) -> Next {
        self.stream.write_all(text.as_bytes()).await?;
        Ok(true)
    }

    async fn whole(&mut self, status: &str, fields: &str, body: &[u8]) -> Next {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        Ok(true)
    }

    async fn in_parts(&mut self, parts: u64) -> Next {
        self.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        for _ in 0..self.dice.between(1, parts) {
            self.pause(0, 25).await;
            self.write("4\r\npart\r\n").await?;
        }
        self.write("0\r\n\r\n").await
    }

    fn reset(&mut self) -> Next {
        #[allow(deprecated)] // it says that it may block; with zero it does not
        self.stream.set_linger(Some(Duration::ZERO))?;
        Ok(false)
    }

    async fn half_close(&mut self) -> Next {
        self.stream.shutdown().await?;
        self.hang().await
    }

    async fn hang(&mut self) -> Next {
        while self.stream.read_buf(&mut self.read).await? > 0 {}
        Ok(false)
    }
}
