//! What a client's first bytes say.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::listener::peek::Replay;

#[cfg(test)]
mod tests;

/// What HTTP/2 with prior knowledge begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest first line that makes a connection HTTP/1: what is longer is refused there anyway.
pub const FIRST_LINE_BYTES_MAX: usize = crate::http::h1::limits::FIRST_LINE_BYTES;
/// The longest method, as for HTTP/1 itself.
const METHOD_BYTES_MAX: usize = crate::http::h1::limits::METHOD_BYTES;
/// How much is read at once: a usual head.
const READ_BYTES: usize = 2048;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What bytes are the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests.
    Http(Version),
    /// Anything else.
    Raw,
    /// It could still be either.
    Undecided,
}

/// What `bytes` are the beginning of.
pub fn kind(bytes: &[u8]) -> Kind {
    match version(bytes) {
        Some(Version::Http2) => Kind::Http(Version::Http2),
        None => Kind::Undecided,
        Some(Version::Http1) => request_line(bytes),
    }
}

/// The version of bytes that are HTTP; `None` while they could be either.
pub fn version(bytes: &[u8]) -> Option<Version> {
    if bytes.starts_with(PREFACE) {
        return Some(Version::Http2);
    }
    if PREFACE.starts_with(bytes) { None } else { Some(Version::Http1) }
}

/// `METHOD target HTTP/1.x`, to the end of the line: other protocols begin with words too.
fn request_line(bytes: &[u8]) -> Kind {
    // RFC 9112, 2.2: an empty line before the request is overlooked.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if begins_line(bytes) { Kind::Undecided } else { Kind::Raw };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let whole = begins_line(line)
        && line.len().checked_sub(9).and_then(|at| line.get(at..)).is_some_and(|version| {
            version.starts_with(b" HTTP/1.") && version.last().is_some_and(u8::is_ascii_digit)
        });
    if whole { Kind::Http(Version::Http1) } else { Kind::Raw }
}

/// Whether a request line may begin so: a method, then nothing that is not printed.
fn begins_line(bytes: &[u8]) -> bool {
    if bytes.len() > FIRST_LINE_BYTES_MAX {
        return false;
    }
    // An empty line that is not whole.
    if bytes == b"\r" {
        return true;
    }
    let method = memchr::memchr(b' ', bytes).unwrap_or(bytes.len());
    let (method, rest) = bytes.split_at_checked(method).unwrap_or_default();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    (method.len() <= METHOD_BYTES_MAX)
        && (!method.is_empty() || bytes.is_empty())
        && method.iter().all(token)
        && rest.iter().all(|byte| *byte >= b' ' && *byte != 0x7f)
}

/// A connection and the bytes that were read ahead.
#[derive(Debug)]
pub struct First {
    stream: TcpStream,
    seen: Vec<u8>,
    ended: bool,
}

impl First {
    /// Nothing was read.
    pub const fn new(stream: TcpStream) -> Self {
        Self { stream, seen: Vec::new(), ended: false }
    }

    /// What was read.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// What it is the beginning of.
    pub fn kind(&self) -> Kind {
        kind(&self.seen)
    }

    /// Reads on. May be dropped while it waits. Returns whether the client goes on.
    pub async fn more(&mut self) -> io::Result<bool> {
        if self.ended {
            return std::future::pending().await;
        }
        self.seen.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.seen).await?;
        self.ended = count == 0;
        Ok(!self.ended)
    }

    /// Reads until the version of HTTP is known; `None` if the client ends before the first byte.
    pub async fn version(&mut self) -> io::Result<Option<Version>> {
        loop {
            if let Some(version) = version(&self.seen) {
                return Ok(Some(version));
            }
            if !self.more().await? {
                return Ok((!self.seen.is_empty()).then_some(Version::Http1));
            }
        }
    }

    /// The connection, which first yields what was read.
    pub fn replay(self) -> Replay<TcpStream> {
        Replay::new(self.stream, self.seen)
    }
}
