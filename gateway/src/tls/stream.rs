//! Connections, plain or under TLS, on which pingora's sessions run.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::async_trait;
use tonic::transport::server::Connected;

use super::turn::in_turn;
use super::verifier::PeerRefused;
use crate::wire::Wire;

#[cfg(test)]
mod tests;

/// A byte stream that rests on one TCP connection.
pub trait Socket: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin + 'static {
    /// The TCP connection at the bottom.
    fn tcp(&self) -> &TcpStream;

    /// The same, to be replaced.
    fn tcp_mut(&mut self) -> &mut TcpStream;

    /// The same if the next byte of it is the next of this stream, both ways: then the kernel may
    /// move them by itself.
    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    /// Lets the coming drop break the connection off with a reset, whatever is still unsent.
    ///
    /// Without it a drop looks to the peer like an end that was meant.
    fn arm_reset(&self) -> io::Result<()> {
        socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO))
    }

    /// The connection, and what was read of it ahead.
    fn into_wire(self) -> (Wire, Vec<u8>)
    where
        Self: Sized,
    {
        (Wire::Layered(Box::new(self)), Vec::new())
    }

    /// Breaks the connection off, so that the peer never takes it for a clean end.
    fn abort(self)
    where
        Self: Sized,
    {
        if let Err(error) = self.arm_reset() {
            // The socket is not connected any more: there is nobody to be misled.
            tracing::debug!(%error, "connection was gone before its abort");
        }
    }
}

/// A connection without TLS.
#[derive(Debug)]
pub struct PlainStream<S = TcpStream> {
    io: S,
}

/// A connection under TLS, as server or as client.
///
/// Reading past the peer's last byte fails with `UnexpectedEof` unless the peer had said that it
/// was the last, so a cut connection is never an end.
#[derive(Debug)]
pub struct TlsStream<S = TcpStream> {
    /// Boxed: it has more than a KiB, and moves several times before it comes to rest.
    io: Box<tokio_rustls::TlsStream<S>>,
}

/// Why there is no TLS connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeFailed {
    /// The connection failed underneath.
    #[error("the connection failed during the TLS handshake: {0}")]
    Io(#[source] io::Error),
    /// The peer was not done in time.
    #[error("the TLS handshake took longer than {0:?}")]
    Timeout(Duration),
    /// The two sides do not agree, or one refused the other.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] rustls::Error),
}

/// Completes a handshake as the server.
pub async fn accept<S: Socket>(
    config: Arc<ServerConfig>,
    io: S,
    within: Duration,
) -> Result<TlsStream<S>, HandshakeFailed> {
    let stream = handshake(within, TlsAcceptor::from(config).accept(io)).await?;
    Ok(TlsStream::from(tokio_rustls::TlsStream::from(stream)))
}

/// Completes a handshake as the client; `first` leaves in the same flight as its end.
pub async fn connect<S: Socket>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    io: S,
    first: &[u8],
    within: Duration,
) -> Result<TlsStream<S>, HandshakeFailed> {
    let mut queued = Ok(());
    let connect = TlsConnector::from(config).connect_with(name, io, |connection| {
        // rustls holds it back until the server is verified.
        queued = io::Write::write_all(&mut connection.writer(), first);
    });
    queued.map_err(HandshakeFailed::Io)?;
    let stream = handshake(within, connect).await?;
    Ok(TlsStream::from(tokio_rustls::TlsStream::from(stream)))
}

pub(crate) async fn handshake<T>(
    within: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeFailed> {
    match tokio::time::timeout(within, in_turn(work)).await {
        Ok(done) => done.map_err(HandshakeFailed::from),
        Err(_) => Err(HandshakeFailed::Timeout(within)),
    }
}

// === impl HandshakeFailed ===

impl HandshakeFailed {
    /// Why this side refused the other, if that is what happened.
    pub fn refusal(&self) -> Option<PeerRefused> {
        match self {
            Self::Tls(error) => PeerRefused::of(error),
            Self::Io(_) | Self::Timeout(_) => None,
        }
    }
}

impl From<io::Error> for HandshakeFailed {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Io(error),
        }
    }
}

// === impl Socket ===

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        self
    }

    fn into_wire(self) -> (Wire, Vec<u8>) {
        (Wire::Plain(self), Vec::new())
    }

    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl<T: Socket + ?Sized> Socket for Box<T> {
    fn tcp(&self) -> &TcpStream {
        (**self).tcp()
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        (**self).tcp_mut()
    }

    fn plain(&self) -> Option<&TcpStream> {
        (**self).plain()
    }
}

impl<S: Socket> Socket for PlainStream<S> {
    fn tcp(&self) -> &TcpStream {
        self.io.tcp()
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        self.io.tcp_mut()
    }
}

impl<S: Socket> Socket for TlsStream<S> {
    fn tcp(&self) -> &TcpStream {
        self.io.get_ref().0.tcp()
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        self.io.get_mut().0.tcp_mut()
    }
}

// === impl PlainStream ===

impl<S: Socket> PlainStream<S> {
    /// Wraps a connection.
    pub fn new(io: S) -> Self {
        Self { io }
    }

    /// Gives the connection back.
    pub fn into_inner(self) -> S {
        self.io
    }
}

// === impl TlsStream ===

impl<S> From<tokio_rustls::TlsStream<S>> for TlsStream<S> {
    fn from(io: tokio_rustls::TlsStream<S>) -> Self {
        Self { io: Box::new(io) }
    }
}

impl<S: Socket> TlsStream<S> {
    /// The connection underneath.
    pub fn get_mut(&mut self) -> &mut S {
        self.io.get_mut().0
    }

    /// The protocol that both sides agreed on, if they spoke about it.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.io.get_ref().1.alpn_protocol()
    }

    /// The name that the client asked for; `None` on a client's own stream.
    pub fn sni(&self) -> Option<&str> {
        match &*self.io {
            tokio_rustls::TlsStream::Client(_) => None,
            tokio_rustls::TlsStream::Server(stream) => stream.get_ref().1.server_name(),
        }
    }

    /// The certificates that the peer presented, its own first; empty if it presented none.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.io.get_ref().1.peer_certificates().unwrap_or_default()
    }

    /// Whether an earlier session was taken up, in which case nobody looked at certificates.
    pub fn resumed(&self) -> bool {
        self.io.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What the handshake agreed on; nothing before its end.
    pub fn agreed(&self) -> Option<Agreed> {
        let common = self.io.get_ref().1;
        Some(Agreed {
            version: common.protocol_version()?,
            group: common.negotiated_key_exchange_group()?.name(),
            cipher: common.negotiated_cipher_suite()?.suite(),
        })
    }
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version of TLS.
    pub version: rustls::ProtocolVersion,
    /// The group of the key exchange.
    pub group: rustls::NamedGroup,
    /// The cipher suite.
    pub cipher: rustls::CipherSuite,
}

impl<S: Socket> Connected for TlsStream<S> {
    /// The certificates that the peer presented.
    type ConnectInfo = PeerChain;

    fn connect_info(&self) -> PeerChain {
        PeerChain(self.peer_chain().into())
    }
}

/// What a peer presented, as a gRPC request carries it.
#[derive(Clone, Debug)]
pub struct PeerChain(pub Arc<[CertificateDer<'static>]>);

/// Implements what tokio and pingora ask of a connection, by its field `io`.
macro_rules! transport {
    ($stream:ident) => {
        impl<S: Socket> AsyncRead for $stream<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.io).poll_read(cx, buf)
            }
        }

        impl<S: Socket> AsyncWrite for $stream<S> {
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

            fn poll_flush(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.io).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.io).poll_shutdown(cx)
            }
        }

        #[async_trait]
        impl<S: Socket> Shutdown for $stream<S> {
            async fn shutdown(&mut self) {
                if let Err(error) = AsyncWriteExt::shutdown(self).await {
                    tracing::debug!(%error, "connection was gone before its end");
                }
            }
        }

        impl<S: Socket> UniqueID for $stream<S> {
            fn id(&self) -> UniqueIDType {
                self.tcp().as_raw_fd()
            }
        }

        impl<S: Socket> GetTimingDigest for $stream<S> {
            fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                Vec::new()
            }
        }

        impl<S: Socket> GetProxyDigest for $stream<S> {
            fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                None
            }
        }

        impl<S: Socket> GetSocketDigest for $stream<S> {
            fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                Some(Arc::new(SocketDigest::from_raw_fd(self.tcp().as_raw_fd())))
            }
        }

        impl<S: Socket> Peek for $stream<S> {}
    };
}

transport!(PlainStream);
transport!(TlsStream);

impl<S: Socket> Ssl for PlainStream<S> {}

impl<S: Socket> Ssl for TlsStream<S> {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.alpn()? {
            b"h2" => Some(ALPN::H2),
            b"http/1.1" => Some(ALPN::H1),
            _ => None,
        }
    }
}
