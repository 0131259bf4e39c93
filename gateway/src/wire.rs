//! A connection whose two directions are used at once.
//!
//! One type for all connections that carry HTTP/1: what a request runs through on its client's side
//! and on its endpoint's is the same code, and there once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::tls::stream::Socket;

#[cfg(test)]
mod tests;

/// A connection, whatever it is made of.
#[derive(Debug)]
pub enum Wire {
    /// TCP alone. Its directions have nothing in common, and need no lock.
    Plain(TcpStream),
    /// TCP with something on it.
    Layered(Box<dyn Socket>),
}

/// What comes from the peer.
#[derive(Debug)]
pub enum WireReader {
    /// Over TCP alone.
    Plain(OwnedReadHalf),
    /// Over anything else.
    Layered(ReadHalf<Box<dyn Socket>>),
}

/// What goes to the peer.
#[derive(Debug)]
pub enum WireWriter {
    /// Over TCP alone.
    Plain(OwnedWriteHalf),
    /// Over anything else.
    Layered(WriteHalf<Box<dyn Socket>>),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($io) => $call,
            Self::Layered($io) => $call,
        }
    };
}

macro_rules! reads {
    ($type:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self, io => Pin::new(io).poll_read(cx, buf))
            }
        }
    };
}

macro_rules! writes {
    ($type:ident) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!(self, io => Pin::new(io).poll_write(cx, buf))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self, io => Pin::new(io).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self, io => Pin::new(io).poll_shutdown(cx))
            }
        }
    };
}

reads!(Wire);
writes!(Wire);
reads!(WireReader);
writes!(WireWriter);

impl Socket for Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Layered(stream) => stream.tcp(),
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Layered(stream) => stream.tcp_mut(),
        }
    }

    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Layered(stream) => stream.plain(),
        }
    }
}

impl Wire {
    /// The two directions.
    pub fn split(self) -> (WireReader, WireWriter) {
        match self {
            Self::Plain(stream) => {
                let (reader, writer) = stream.into_split();
                (WireReader::Plain(reader), WireWriter::Plain(writer))
            }
            Self::Layered(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (WireReader::Layered(reader), WireWriter::Layered(writer))
            }
        }
    }
}

impl WireReader {
    /// Both directions together again. An error: they are those of two connections.
    pub fn join(self, writer: WireWriter) -> io::Result<Wire> {
        match (self, writer) {
            (Self::Plain(reader), WireWriter::Plain(writer)) => {
                reader.reunite(writer).map(Wire::Plain).map_err(io::Error::other)
            }
            (Self::Layered(reader), WireWriter::Layered(writer)) if reader.is_pair_of(&writer) => {
                Ok(Wire::Layered(reader.unsplit(writer)))
            }
            _ => Err(io::Error::other("the directions of two connections")),
        }
    }

    /// Whether a peer that should be waiting has sent something, or gone: nobody waits for it. What
    /// it has sent may be lost. Costs no system call while the socket is known to have nothing.
    pub fn has_stirred(&mut self) -> bool {
        match self {
            Self::Plain(reader) => {
                let read = reader.try_read(&mut [0; 1]);
                !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Layered(reader) => has_stirred(reader),
        }
    }
}

/// The same of any stream on which nobody waits meanwhile.
pub fn has_stirred(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 1])).is_ready()
}
