//! The client side: one HTTP/2 connection to an endpoint, shared by many requests.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::fields;
use super::stream::{StreamReader, StreamWriter, read_error};
use crate::http::h1::{
    Alarm, Asked, Block, BodyEvent, Change, Malformed, ReadError, RequestHead, ResponseHead, Waits,
    WriteError,
};
use crate::http::side::{AnswerSource, Sink, Source};
use crate::upstream::sessions::Shareable;

/// Bytes that an endpoint may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of requests that wait for a slow endpoint, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes of the fields of an answer, as for HTTP/1.
const HEADER_LIST_BYTES: u32 = 64 * 1024;
/// Requests at once on one connection; more wait for a place, or for another connection.
const STREAMS_MAX: usize = 100;
/// How long an endpoint has for its first settings, and for a free place.
const READY_WAIT: Duration = Duration::from_secs(5);

/// Why a request could not be put on a session. Nothing of it was sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The session takes no more requests: another one may.
    Gone,
    /// The head would break a rule.
    Malformed(Malformed),
}

/// A connection to an endpoint, shared by its requests.
pub(crate) struct Session {
    send: SendRequest<Bytes>,
    waits: Waits,
    /// One reference is the session's own, each other that of an answer not yet read.
    active: Arc<()>,
}

impl Session {
    /// Shakes hands on `io` and drives the connection in a task of its own.
    pub(crate) async fn start<IO>(io: IO, waits: Waits) -> Option<Self>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(HEADER_LIST_BYTES)
            .initial_max_send_streams(STREAMS_MAX)
            .enable_push(false);
        let handshake = builder.handshake::<_, Bytes>(io);
        let (send, connection) = tokio::time::timeout(READY_WAIT, handshake).await.ok()?.ok()?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP/2 connection to an endpoint ended");
            }
        });
        Some(Self { send, waits, active: Arc::default() })
    }

    /// Sends the head of a request.
    pub(crate) async fn request(
        &self,
        head: &RequestHead,
        changes: &[Change<'_>],
        ended: bool,
    ) -> Result<(Request, Answer), NotSent> {
        let request = fields::request(head, changes).map_err(NotSent::Malformed)?;
        let mut send = self.send.clone();
        let ready = |cx: &mut Context<'_>| send.poll_ready(cx);
        let Some(Ok(())) = Alarm::new().within(READY_WAIT, ready).await else {
            return Err(NotSent::Gone);
        };
        let (response, stream) = send.send_request(request, ended).map_err(|_| NotSent::Gone)?;
        let request = Request(StreamWriter::new(stream, self.waits, ended));
        let active = Arc::clone(&self.active);
        let answer =
            Answer { response: Some(response), body: None, waits: self.waits, _active: active };
        Ok((request, answer))
    }
}

/// The body of a request on its way.
pub(crate) struct Request(StreamWriter);

impl Request {
    /// Tells the endpoint that nobody waits any more.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.0.reset(reason);
    }
}

impl Sink for Request {
    async fn data(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.0.data(data).await
    }

    async fn last(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.0.last(data).await
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    async fn finish(&mut self, trailers: Option<&Block>) -> Result<(), WriteError> {
        self.0.finish(trailers)
    }
}

/// The answer to a request.
pub(crate) struct Answer {
    response: Option<ResponseFuture>,
    body: Option<StreamReader>,
    waits: Waits,
    _active: Arc<()>,
}

impl Source for Answer {
    async fn next(&mut self) -> Result<BodyEvent<'_>, ReadError> {
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(BodyEvent::End(Block::default())),
        }
    }

    fn has_buffered(&mut self) -> bool {
        self.body.as_ref().is_none_or(StreamReader::has_buffered)
    }

    fn is_done(&self) -> bool {
        self.body.as_ref().is_none_or(StreamReader::is_done)
    }

    async fn gone(&mut self) {
        std::future::pending::<()>().await;
    }
}

impl AnswerSource for Answer {
    async fn head(
        &mut self,
        asked: Asked,
        by: Instant,
        alarm: &mut Alarm,
    ) -> Result<ResponseHead, ReadError> {
        let Some(response) = &mut self.response else { return Err(ReadError::Unread) };
        let next = |cx: &mut Context<'_>| match response.poll_informational(cx) {
            Poll::Ready(Some(interim)) => {
                Poll::Ready(interim.map(|head| (head.into_parts().0, None)))
            }
            Poll::Ready(None) | Poll::Pending => {
                std::pin::Pin::new(&mut *response).poll(cx).map_ok(|answer| {
                    let (parts, body) = answer.into_parts();
                    (parts, Some(body))
                })
            }
        };
        let next = alarm.until(by.into(), next).await.ok_or(ReadError::TimedOut)?;
        let (head, body) = next.map_err(head_error)?;
        let ended = body.as_ref().is_none_or(RecvStream::is_end_stream);
        let head = fields::response_head(head, asked, ended)?;
        if body.is_some() {
            self.response = None;
            self.body = Some(StreamReader::new(body, self.waits));
        }
        Ok(head)
    }
}

/// A stream that the endpoint has certainly not worked on may be tried again (RFC 9113 8.7): one
/// that it refused, and one that came after the last that it named when it went.
fn head_error(error: h2::Error) -> ReadError {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    let left_out = error.is_remote() && is_farewell(&error);
    if refused || left_out || error.is_io() {
        return ReadError::Closed;
    }
    read_error(error)
}

/// Whether a peer that goes away in order has said so: h2 gives that to the streams left out.
fn is_farewell(error: &h2::Error) -> bool {
    error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)
}

impl Shareable for Session {
    fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        !matches!(self.send.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        self.under_way() < self.send.current_max_send_streams().min(STREAMS_MAX)
    }

    fn under_way(&self) -> usize {
        // One reference is the session's own.
        Arc::strong_count(&self.active).saturating_sub(1)
    }
}
