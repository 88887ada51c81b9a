#![allow(clippy::disallowed_types)] // what times the proxies is no part of the crate

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

/// Clients of one proxy, each with a connection that it keeps. They know as much of HTTP as these proxies' answers need, so
/// that little of the second core's time is theirs.
pub(super) struct Clients(Vec<Client>);

impl Clients {
    pub(super) async fn connect(address: SocketAddr, number: usize) -> io::Result<Self> {
        let mut clients = Vec::with_capacity(number);
        for _ in 0..number {
            clients.push(Client::connect(address).await?);
        }
        Ok(Self(clients))
    }

    /// Each asks again once it has its answer. How many there were, and in which time.
    pub(super) async fn as_fast_as_possible(&mut self, lasts: Duration) -> io::Result<(u64, Duration)> {
        let begun = Instant::now();
        let counts = self
            .each(move |mut client, _, _| async move {
                let mut count = 0;
                while begun.elapsed() < lasts {
                    client.get().await?;
                    count += 1;
                }
                Ok((client, count))
            })
            .await?;
        Ok((counts.into_iter().sum(), begun.elapsed()))
    }

    /// So many each, one after the other.
    pub(super) async fn so_many(&mut self, requests: usize) -> io::Result<()> {
        self.each(move |mut client, _, _| async move {
            for _ in 0..requests {
                client.get().await?;
            }
            Ok((client, ()))
        })
        .await?;
        Ok(())
    }

    /// So many a second, all together, at times that are fixed beforehand. How long each took: one that had to wait for the
    /// answer to another is counted from when it was due, for another client would not have waited. What the timer is late
    /// is not counted.
    pub(super) async fn at_a_rate(&mut self, rate: u32, lasts: Duration) -> io::Result<Vec<Duration>> {
        let begin = Instant::now() + Duration::from_millis(5);
        let gap = Duration::from_secs(1) / rate;
        let took = self
            .each(move |mut client, at, of| async move {
                let mut took = Vec::new();
                for n in (at..).step_by(of) {
                    let due = begin + gap * u32::try_from(n).unwrap_or(u32::MAX);
                    if due - begin >= lasts {
                        break;
                    }
                    let from = if Instant::now() < due {
                        sleep_until(due.into()).await;
                        Instant::now()
                    } else {
                        due
                    };
                    client.get().await?;
                    took.push(from.elapsed());
                }
                Ok((client, took))
            })
            .await?;
        Ok(took.into_iter().flatten().collect())
    }

    /// All at once; what is done is told which of how many it is.
    async fn each<F, R, T>(&mut self, work: F) -> io::Result<Vec<T>>
    where
        F: Fn(Client, usize, usize) -> R,
        R: Future<Output = io::Result<(Client, T)>> + Send + 'static,
        T: Send + 'static,
    {
        let of = self.0.len();
        let mut all = JoinSet::new();
        for (at, client) in self.0.drain(..).enumerate() {
            all.spawn(work(client, at, of));
        }
        let mut results = Vec::with_capacity(of);
        while let Some(done) = all.join_next().await {
            let (client, result) = done.map_err(io::Error::other)??;
            self.0.push(client);
            results.push(result);
        }
        Ok(results)
    }
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    read: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /users/7 HTTP/1.1\r\nhost: {address}\r\nuser-agent: proxies/1\r\naccept: */*\r\n\
             accept-encoding: identity\r\n\r\n"
        );
        Ok(Self {
            stream,
            request: request.into_bytes(),
            read: Vec::with_capacity(4096),
        })
    }

    /// One request, and its answer to the end.
    async fn get(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request).await?;
        self.read.clear();
        let mut whole = usize::MAX;
        while self.read.len() < whole {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if whole == usize::MAX
                && let Some(head) = self.read.windows(4).position(|end| end == b"\r\n\r\n")
            {
                whole = head + 4 + length(&self.read[..head])?;
            }
        }
        Ok(())
    }
}

/// The length of the body, from the head of an answer.
fn length(head: &[u8]) -> io::Result<usize> {
    let wrong = || {
        let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        io::Error::other(format!("answered with {}", first.escape_ascii()))
    };
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong());
    }
    head.split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked("content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:").then_some(value)
        })
        .and_then(|value| std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok())
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_in_any_case_and_only_of_a_good_answer() {
        let head = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 12";
        assert_eq!(length(head).expect("it is there"), 12);
        for head in [&b"HTTP/1.1 503 No\r\ncontent-length: 1"[..], b"HTTP/1.1 200 OK"] {
            assert!(length(head).is_err());
        }
    }
}
