//! What a message needs of the connection that carries it: the same for both versions of HTTP.

use std::future::Future;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::h1::{
    Alarm, Asked, Block, BodyEvent, Change, ReadError, Reader, ReplyTo, ResponseHead, Stir,
    WriteError, Writer,
};

/// Gives a body, piece by piece.
pub(crate) trait Source: Send {
    /// The next piece. May be dropped while it waits, and called again.
    fn next(&mut self) -> impl Future<Output = Result<BodyEvent<'_>, ReadError>> + Send;
    /// Whether the next piece is there already: if not, it is time to flush the other side.
    fn has_buffered(&mut self) -> bool;
    /// Whether the body has been given to its end.
    fn is_done(&self) -> bool;
    /// Says whether large pieces are welcome, if that makes a difference.
    fn allow_much(&mut self, _much: bool) {}
    /// Waits, behind the end of the body, until the peer is gone for good.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
}

/// Takes a body, piece by piece.
pub(crate) trait Sink: Send {
    /// Takes a piece, or gathers it if it is small.
    fn data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Takes the last piece, and ends the message.
    fn last(&mut self, data: &[u8]) -> impl Future<Output = Result<(), WriteError>> + Send {
        async move {
            self.data(data).await?;
            self.finish(None).await
        }
    }
    /// Whether large pieces are taken as fast as they come.
    fn is_fast(&self) -> bool {
        false
    }
    /// Sends what is gathered.
    fn flush(&mut self) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Ends the message.
    fn finish(
        &mut self,
        trailers: Option<&Block>,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Takes answers: the way back to a client.
pub(crate) trait AnswerSink: Sink {
    /// Sends an interim answer.
    fn interim(
        &mut self,
        head: ResponseHead,
        to: ReplyTo,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Begins the final answer.
    fn start(
        &mut self,
        head: ResponseHead,
        to: ReplyTo,
        changes: &[Change<'_>],
    ) -> Result<(), WriteError>;
    /// Waits until the client has called the answer off.
    fn called_off(&mut self) -> impl Future<Output = ()> + Send;
}

/// Gives answers: the way back from an endpoint.
pub(crate) trait AnswerSource: Source {
    /// The next head, interim ones first; its last byte has to come until `by`, when `alarm` rings.
    /// That is the client's: an endpoint's connection serves another client each time, and its own
    /// would have to be told anew whom to wake.
    fn head(
        &mut self,
        asked: Asked,
        by: Instant,
        alarm: &mut Alarm,
    ) -> impl Future<Output = Result<ResponseHead, ReadError>> + Send;
}

impl<R: AsyncRead + Unpin + Send> Source for Reader<R> {
    async fn next(&mut self) -> Result<BodyEvent<'_>, ReadError> {
        self.read_body().await
    }

    fn has_buffered(&mut self) -> bool {
        Self::has_buffered(self)
    }

    fn is_done(&self) -> bool {
        Self::is_done(self)
    }

    fn allow_much(&mut self, much: bool) {
        Self::allow_much(self, much);
    }

    async fn gone(&mut self) {
        // A client that ended its direction may still wait for the answer; one that sends the
        // next request early is there too.
        if self.stirs().await != Stir::Broken {
            std::future::pending::<()>().await;
        }
    }
}

impl<R: AsyncRead + Unpin + Send> AnswerSource for Reader<R> {
    async fn head(
        &mut self,
        asked: Asked,
        by: Instant,
        alarm: &mut Alarm,
    ) -> Result<ResponseHead, ReadError> {
        self.read_response_by(asked, by.into(), alarm).await
    }
}

impl<W: AsyncWrite + Unpin + Send> Sink for Writer<W> {
    async fn data(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.write_data(data).await
    }

    fn is_fast(&self) -> bool {
        Self::is_fast(self)
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        Self::flush(self).await
    }

    async fn finish(&mut self, trailers: Option<&Block>) -> Result<(), WriteError> {
        Self::finish(self, trailers).await
    }
}

impl<W: AsyncWrite + Unpin + Send> AnswerSink for Writer<W> {
    async fn interim(&mut self, head: ResponseHead, to: ReplyTo) -> Result<(), WriteError> {
        Self::interim(self, &head, to).await
    }

    fn start(
        &mut self,
        head: ResponseHead,
        to: ReplyTo,
        changes: &[Change<'_>],
    ) -> Result<(), WriteError> {
        self.start_response(&head, to, changes);
        Ok(())
    }

    async fn called_off(&mut self) {
        // HTTP/1 has no word for it but the end of the connection, which the reader sees.
        std::future::pending::<()>().await;
    }
}
