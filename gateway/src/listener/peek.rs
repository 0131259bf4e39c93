//! Reads the first message of a TLS client without answering it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::StartHandshake;

use crate::tls::stream::{self, HandshakeFailed, Socket, TlsStream};
use crate::wire::Wire;

#[cfg(test)]
mod tests;

/// The largest first message: the key shares of post-quantum exchanges take some 2 KiB, names and
/// tickets less than that; what is larger wants memory, not a connection.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;

/// How much is read at once: one TCP segment holds nearly every first message.
const READ_BYTES: usize = 2048;

/// A connection whose client has said what it wants, and has not been answered.
pub struct Peeked<S> {
    /// The host name asked for, in lower case.
    pub sni: Option<String>,
    /// The protocols offered.
    pub alpn: Vec<Vec<u8>>,
    io: S,
    seen: Vec<u8>,
    accepted: Accepted,
}

/// A connection that first yields the bytes which were read ahead.
#[derive(Debug)]
pub struct Replay<S> {
    io: S,
    seen: Vec<u8>,
    at: usize,
}

/// Why a client's first message could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeekFailed {
    /// It closed before it had said what it wants.
    #[error("the client closed the connection within its first message")]
    Closed,
    /// The connection failed.
    #[error("the connection failed within the first message: {0}")]
    Io(#[from] io::Error),
    /// It said too much.
    #[error("the first message has more than {MAX_HELLO_BYTES} bytes")]
    TooLong,
    /// It took too long.
    #[error("the first message took longer than {0:?}")]
    Timeout(Duration),
    /// It does not speak TLS, or not well; it was told so.
    #[error("the first message is not one of TLS: {0}")]
    NotTls(rustls::Error),
}

/// Reads a client's first message, and tells a client that speaks no TLS so.
pub async fn peek<S: Socket>(io: S, within: Duration) -> Result<Peeked<S>, PeekFailed> {
    match tokio::time::timeout(within, read_hello(io)).await {
        Ok(done) => done,
        Err(_) => Err(PeekFailed::Timeout(within)),
    }
}

async fn read_hello<S: Socket>(mut io: S) -> Result<Peeked<S>, PeekFailed> {
    let mut acceptor = Acceptor::default();
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        let room = MAX_HELLO_BYTES.saturating_sub(before).min(READ_BYTES);
        if room == 0 {
            return Err(PeekFailed::TooLong);
        }
        seen.reserve_exact(room);
        if (&mut io).take(room as u64).read_buf(&mut seen).await? == 0 {
            return Err(PeekFailed::Closed);
        }
        feed(&mut acceptor, seen.get(before..).unwrap_or_default())?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Ok(Peeked::new(io, seen, accepted)),
            Err((error, alert)) => {
                answer(&mut io, alert).await;
                return Err(PeekFailed::NotTls(error));
            }
        }
    }
}

fn feed(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<(), PeekFailed> {
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes)? == 0 {
            return Err(PeekFailed::TooLong);
        }
    }
    Ok(())
}

async fn answer<S: Socket>(io: &mut S, mut alert: AcceptedAlert) {
    let mut bytes = Vec::new();
    let told = match alert.write_all(&mut bytes) {
        Ok(()) => io.write_all(&bytes).await,
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "a client that spoke no TLS did not wait for the answer");
    }
}

// === impl Peeked ===

impl<S: Socket> Peeked<S> {
    fn new(io: S, seen: Vec<u8>, accepted: Accepted) -> Self {
        let hello = accepted.client_hello();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
        Self { sni, alpn, io, seen, accepted }
    }

    /// All that the client said.
    pub fn hello(&self) -> ClientHello<'_> {
        self.accepted.client_hello()
    }

    /// The connection underneath.
    pub fn tcp(&self) -> &TcpStream {
        self.io.tcp()
    }

    /// Goes on as if nothing had been read, for somebody else to answer.
    pub fn replay(self) -> Replay<S> {
        Replay { io: self.io, seen: self.seen, at: 0 }
    }

    /// Answers as the server.
    pub async fn terminate(
        self,
        config: Arc<ServerConfig>,
        within: Duration,
    ) -> Result<TlsStream<S>, HandshakeFailed> {
        let start = StartHandshake::from_parts(self.accepted, self.io);
        let done = stream::handshake(within, start.into_stream(config)).await?;
        Ok(TlsStream::from(tokio_rustls::TlsStream::from(done)))
    }
}

// === impl Replay ===

impl<S> Replay<S> {
    /// Puts `seen` before what `io` will yield.
    pub fn new(io: S, seen: Vec<u8>) -> Self {
        Self { io, seen, at: 0 }
    }

    /// What was read ahead and has not been yielded.
    pub fn ahead(&self) -> &[u8] {
        self.seen.get(self.at..).unwrap_or_default()
    }

    /// The connection, and what was read ahead and has not been yielded.
    pub fn into_parts(mut self) -> (S, Vec<u8>) {
        self.seen.drain(..self.at.min(self.seen.len()));
        (self.io, self.seen)
    }
}

impl<S: Socket> Socket for Replay<S> {
    fn tcp(&self) -> &TcpStream {
        self.io.tcp()
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        self.io.tcp_mut()
    }

    fn into_wire(self) -> (Wire, Vec<u8>) {
        let (io, mut ahead) = self.into_parts();
        let (wire, behind) = io.into_wire();
        ahead.extend_from_slice(&behind);
        (wire, ahead)
    }

    fn plain(&self) -> Option<&TcpStream> {
        self.io.plain().filter(|_| self.ahead().is_empty())
    }
}

impl<S: Socket> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ahead = self.ahead();
        if ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = ahead.len().min(buf.remaining());
        buf.put_slice(ahead.get(..count).unwrap_or_default());
        self.at += count;
        if self.ahead().is_empty() {
            self.seen = Vec::new();
            self.at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Replay<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
