//! One end of a TCP connection in a test: bytes as they are, every wait with a deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must come: far beyond what a loaded machine needs.
pub const WAIT: Duration = Duration::from_secs(15);
/// How long nothing must happen before it counts as never.
pub const QUIET: Duration = Duration::from_millis(150);

/// How a peer's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order (FIN, or TLS `close_notify`).
    Clean,
    /// Broken off (RST, or TLS without `close_notify`).
    Abort,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire<S = TcpStream> {
    /// The connection.
    pub io: S,
    seen: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connection.
    pub const fn new(io: S) -> Self {
        Self { io, seen: Vec::new() }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        };
        timeout(WAIT, sent).await.expect("the peer reads").expect("the connection stands");
    }

    /// Sends these bytes to a peer that may have gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let sent = async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        };
        timeout(WAIT, sent).await.expect("the peer reads or goes")
    }

    /// Ends our direction.
    pub async fn end(&mut self) {
        self.io.shutdown().await.expect("the connection stands");
    }

    /// Reads up to and with `end`; what follows stays for the next read.
    pub async fn until(&mut self, end: &str) -> String {
        let work = async {
            loop {
                if let Some(at) = find(&self.seen, end.as_bytes()) {
                    return self.take(at + end.len());
                }
                let seen = String::from_utf8_lossy(&self.seen).into_owned();
                let more = self.more().await;
                assert!(matches!(more, Ok(true)), "{more:?} after {seen:?} instead of {end:?}");
            }
        };
        let taken = timeout(WAIT, work).await;
        taken.unwrap_or_else(|_| panic!("no {end:?} within {WAIT:?}"))
    }

    /// Reads a head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads as many bytes.
    pub async fn exactly(&mut self, count: usize) -> String {
        let work = async {
            while self.seen.len() < count {
                let more = self.more().await;
                assert!(matches!(more, Ok(true)), "{more:?} after {} bytes", self.seen.len());
            }
            self.take(count)
        };
        timeout(WAIT, work).await.expect("as many bytes in time")
    }

    /// Reads to the end, however it comes.
    pub async fn rest(&mut self) -> (String, Ending) {
        let work = async {
            loop {
                match self.more().await {
                    Ok(true) => {}
                    Ok(false) => return Ending::Clean,
                    Err(_) => return Ending::Abort,
                }
            }
        };
        let ending = timeout(WAIT, work).await.unwrap_or_else(|_| {
            panic!("no end within {WAIT:?}, after {:?}", String::from_utf8_lossy(&self.seen))
        });
        (self.take(self.seen.len()), ending)
    }

    /// Asserts that nothing comes for a while.
    pub async fn silent(&mut self) {
        assert!(self.seen.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.seen));
        let more = timeout(QUIET, self.more()).await;
        let seen = String::from_utf8_lossy(&self.seen);
        assert!(more.is_err(), "{more:?} with {seen:?} where nothing was expected");
    }

    /// Reads an answer with a length, or without a body where there is none.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let length = field(&head, "content-length").and_then(|length| length.parse().ok());
        let body = self.exactly(length.unwrap_or_default()).await;
        Answer { head, body }
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.io.read_buf(&mut self.seen).await? > 0)
    }

    fn take(&mut self, count: usize) -> String {
        let taken: Vec<u8> = self.seen.drain(..count).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }
}

impl Wire<TcpStream> {
    /// Breaks the connection off (RST).
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.io);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket that is open");
    }
}

/// An answer of HTTP/1.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line and the fields.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The status of an answer's head.
pub fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}

/// The value of a field of a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The head without the fields that a gateway adds.
pub fn without_ours(head: &str) -> String {
    const OURS: [&str; 6] = [
        "x-request-id",
        "traceparent",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
    ];
    let ours = |line: &&str| {
        let name = line.split_once(':').map(|(name, _)| name.to_ascii_lowercase());
        name.is_some_and(|name| OURS.contains(&name.as_str()))
    };
    let kept: Vec<&str> = head.split("\r\n").filter(|line| !ours(line)).collect();
    kept.join("\r\n")
}

/// Where `what` stands in `bytes`.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
