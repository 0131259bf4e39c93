//! The client side of a connection.
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use super::edit::Change;
use super::head::{Asked, RequestHead, ResponseHead};
use super::limits::Waits;
use super::read::{ReadError, Reader};
use super::write::{WriteError, Writer};

/// A connection to a server. Its two directions are separate, so that both can be used at once.
#[derive(Debug)]
pub struct ClientConn<R, W> {
    /// Answers.
    pub reader: Reader<R>,
    /// Requests.
    pub writer: Writer<W>,
    /// The last answer was final and leaves the connection open.
    answered: bool,
    asked: Asked,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientConn<ReadHalf<S>, WriteHalf<S>> {
    /// Over a stream that has no halves of its own.
    pub fn over(stream: S, waits: Waits) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self::new(read, write, waits)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> ClientConn<R, W> {
    /// Over two halves.
    pub fn new(read: R, write: W, waits: Waits) -> Self {
        Self {
            reader: Reader::new(read, waits),
            writer: Writer::new(write, waits),
            answered: true,
            asked: Asked::default(),
        }
    }

    /// Gathers the head of a request; the body follows through the writer.
    pub fn start(
        &mut self,
        head: &RequestHead,
        target: Option<&str>,
        changes: &[Change<'_>],
    ) -> Result<(), WriteError> {
        self.answered = false;
        self.asked = head.asked();
        self.writer.start_request(head, target, changes)
    }

    /// The next head of the answer: interim ones first. Where reading and writing run at once, use
    /// [`Reader::read_response`] and tell the result with [`Self::answered`].
    pub async fn read_head(&mut self) -> Result<ResponseHead, ReadError> {
        let head = self.reader.read_response(self.asked).await?;
        self.answered(&head);
        Ok(head)
    }

    /// Takes note of a head that the reader gave.
    pub const fn answered(&mut self, head: &ResponseHead) {
        self.answered = head.keep_alive() && head.status() >= 200;
    }

    /// Whether another request may follow: this one is written, its answer is read, and nothing came behind it.
    pub fn is_reusable(&self) -> bool {
        self.answered
            && self.reader.is_done()
            && !self.reader.has_surplus()
            && self.writer.keeps_alive()
    }

    /// Whether the server closed an idle connection or sent what nobody asked for: some of it is here, or `look`
    /// sees it.
    pub fn is_stale(&mut self, look: impl FnOnce(&mut R) -> bool) -> bool {
        self.reader.has_stirred(look)
    }

    /// Both halves, and the bytes read behind the last answer: for a protocol that takes over.
    pub fn into_parts(self) -> (R, W, Vec<u8>) {
        let (read, rest) = self.reader.into_parts();
        (read, self.writer.into_io(), rest)
    }
}
