//! The server side of a connection.
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use super::edit::Change;
use super::head::{ReplyTo, RequestHead, ResponseHead};
use super::limits::{self, Waits};
use super::read::{ReadError, Reader};
use super::write::{WriteError, Writer};

/// A client's connection. Its two directions are separate, so that both can be used at once.
#[derive(Debug)]
pub struct ServerConn<R, W> {
    /// Requests.
    pub reader: Reader<R>,
    /// Answers.
    pub writer: Writer<W>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerConn<ReadHalf<S>, WriteHalf<S>> {
    /// Over a stream that has no halves of its own.
    pub fn over(stream: S, waits: Waits) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self::new(read, write, waits)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> ServerConn<R, W> {
    /// Over two halves.
    pub fn new(read: R, write: W, waits: Waits) -> Self {
        Self { reader: Reader::new(read, waits), writer: Writer::new(write, waits) }
    }

    /// The next request. `None`: the client has ended, or sent nothing for the idle time.
    pub async fn read_head(&mut self) -> Result<Option<RequestHead>, ReadError> {
        self.reader.read_request().await
    }

    /// Writes a whole answer.
    pub async fn respond(
        &mut self,
        head: &ResponseHead,
        to: ReplyTo,
        changes: &[Change<'_>],
        body: &[u8],
    ) -> Result<(), WriteError> {
        self.writer.start_response(head, to, changes);
        self.writer.write_data(body).await?;
        self.writer.finish(None).await
    }

    /// Whether the next request may be read: this one is read, and answered without a close.
    pub const fn is_reusable(&self) -> bool {
        self.reader.is_done() && self.writer.keeps_alive()
    }

    /// Ends the connection so that the last answer arrives: says the end, then reads what still comes for a while.
    pub async fn close(mut self) {
        if self.writer.shutdown().await.is_ok() {
            let _late = tokio::time::timeout(limits::LINGER, self.reader.linger()).await;
        }
    }

    /// Both halves, and the bytes read behind the last request: for a protocol that takes over.
    pub fn into_parts(self) -> (R, W, Vec<u8>) {
        let (read, rest) = self.reader.into_parts();
        (read, self.writer.into_io(), rest)
    }
}

#[cfg(test)]
mod tests;
