//! One connection, which is opened again when it is gone.

use buttress::BoxError;
use bytes::Bytes;
use http::{Request, Response, header::HOST, uri::Authority};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was answered with that status, and to the end.
    Answered(u16),
    /// The answer had begun, with that status, and broke off.
    Cut(u16),
    /// There was no answer.
    Unanswered,
}

pub(crate) struct Connection {
    to: Authority,
    open: Option<SendRequest<Empty<Bytes>>>,
}

impl Connection {
    pub(crate) fn to(authority: &Authority) -> Self {
        Self {
            to: authority.clone(),
            open: None,
        }
    }

    /// Sends one request and reads the answer to its end.
    pub(crate) async fn get(&mut self, path: &'static str) -> End {
        let Ok(response) = self.head(path).await else {
            self.open = None;
            return End::Unanswered;
        };
        let status = response.status().as_u16();
        match response.into_body().collect().await {
            Ok(_) => End::Answered(status),
            Err(_) => {
                self.open = None;
                End::Cut(status)
            }
        }
    }

    async fn head(&mut self, path: &'static str) -> Result<Response<Incoming>, BoxError> {
        let request = Request::get(path)
            .header(HOST, self.to.as_str())
            .body(Empty::new())?;
        // A server may close a connection between two requests: that loses none.
        if let Some(open) = &mut self.open
            && open.ready().await.is_ok()
        {
            return Ok(open.send_request(request).await?);
        }
        let stream = TcpStream::connect(self.to.as_str()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(self.open.insert(sender).send_request(request).await?)
    }
}
