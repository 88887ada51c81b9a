//! HTTP/1.1 by hand, so that every byte is the test's own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The first line and the header fields.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// The values of that field; names are in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(n, _)| n == name);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its head said it would.
    pub(crate) whole: bool,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Sends these bytes and reads one response.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> Response {
    exchange_bytes(address, request.as_bytes())
}

/// The same, where they need not be a text.
pub(crate) fn exchange_bytes(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(address);
    stream.write_all(request).expect("it is read");
    read_response(&mut BufReader::new(stream))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"),
    )
}

pub(crate) fn post(address: SocketAddr, path: &str, fields: &str) -> Response {
    exchange(
        address,
        &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n{fields}\r\n"),
    )
}

/// `None` where there is nothing.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<Head> {
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    };
    let first = line(reader)?;
    let mut fields = Vec::new();
    loop {
        let field = line(reader)?;
        if field.is_empty() {
            return Some(Head { first, fields });
        }
        let (name, value) = field.split_once(':').expect("a field");
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

pub(crate) fn read_response(reader: &mut impl BufRead) -> Response {
    let head = read_head(reader).expect("a response");
    let status = head.first[9..12].parse().expect("a status");
    let mut body = Vec::new();
    let whole = if head.get("transfer-encoding") == Some("chunked") {
        loop {
            match read_chunk(reader) {
                None => break false,
                Some(chunk) if chunk.is_empty() => break read_trailers(reader).is_some(),
                Some(chunk) => body.extend(chunk),
            }
        }
    } else {
        let length: u64 = head
            .get("content-length")
            .map_or(0, |n| n.parse().expect("a length"));
        reader.take(length).read_to_end(&mut body).is_ok() && body.len() as u64 == length
    };
    Response {
        status,
        head,
        body,
        whole,
    }
}

/// The next chunk, empty the last; `None` where it broke off.
pub(crate) fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
    if length == 0 {
        return Some(Vec::new());
    }
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(length);
    Some(chunk)
}

/// What follows the last chunk.
pub(crate) fn read_trailers(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut trailers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" if line.is_empty() => return None,
            "" => return Some(trailers),
            trailer => trailers.push(trailer.to_ascii_lowercase()),
        }
    }
}

/// The text with the part of the gateway's name in `Via` that it drew cut out.
pub(crate) fn without_pseudonym(text: &str) -> String {
    let (before, after) = text.split_once("buttress-").expect("a name");
    let (drawn, after) = after.split_at(16);
    assert!(drawn.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
    format!("{before}buttress-…{after}")
}
