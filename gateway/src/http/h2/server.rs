//! The server side: a client's HTTP/2 connection, one task for each request.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use pingora_core::protocols::http::v2::server::default_h2_options;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::fields;
use super::stream::{StreamReader, StreamWriter, write_error};
use crate::drain::PhaseWait;
use crate::http::h1::{
    Block, Body, BodyEvent, Change, ReadError, ReplyTo, ResponseHead, Waits, WriteError,
};
use crate::http::side::{AnswerSink, Sink, Source};

/// Bytes that a client may send ahead on one stream: what edge proxies recommend.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers that wait for a slow client, for each stream, beside what the system holds.
const SEND_BUFFER: usize = 16 * 1024;
/// How long a client has for the preface and the first settings.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// A request and the way back.
pub(crate) struct Incoming {
    /// The head, as the `h2` crate read it.
    pub(crate) request: http::request::Parts,
    /// Whether no body follows.
    pub(crate) ended: bool,
    /// The body.
    pub(crate) body: StreamReader,
    /// The way back.
    pub(crate) responder: Responder,
    /// Held as long as the request is under way: without any, the connection idles.
    pub(crate) active: Active,
}

/// Serves a connection until it ends: each request in a task of its own.
/// When the gateway drains, or `leave` is notified, the client is told to go elsewhere (GOAWAY), and
/// what is under way ends.
pub(crate) async fn serve<IO, F>(
    io: IO,
    waits: Waits,
    (mut drain, leave): (PhaseWait, &Notify),
    handle: impl Fn(Incoming) -> F,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = ()> + Send + 'static,
{
    let mut options = default_h2_options();
    options.initial_window_size(STREAM_WINDOW);
    options.initial_connection_window_size(CONNECTION_WINDOW);
    options.max_send_buffer_size(SEND_BUFFER);
    let Ok(Ok(mut connection)) =
        tokio::time::timeout(HANDSHAKE_WAIT, options.handshake::<_, Bytes>(io)).await
    else {
        return;
    };
    let active = Arc::new(AtomicUsize::new(0));
    // Made once, not anew for each request.
    let mut leaves = pin!(async {
        tokio::select! {
            biased;
            () = drain.reached() => {}
            () = leave.notified() => {}
            () = idle(&active, waits.idle) => {}
        }
    });
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = connection.accept() => accepted,
            () = &mut leaves, if !told => {
                told = true;
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else { return };
        // Boxed, as a task is moved ten times on its way from here to its end.
        tokio::spawn(Box::pin(handle(incoming(request, respond, waits, Active::enter(&active)))));
    }
}

fn incoming(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    waits: Waits,
    active: Active,
) -> Incoming {
    let (request, body) = request.into_parts();
    let ended = body.is_end_stream();
    Incoming {
        request,
        ended,
        body: StreamReader::new(Some(body), waits),
        responder: Responder { respond, writer: None, waits },
        active,
    }
}

/// Waits until the connection has had no request for `wait`.
async fn idle(active: &AtomicUsize, wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        if active.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

/// One request under way.
pub(crate) struct Active(Arc<AtomicUsize>);

impl Active {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way back to a client. Dropped before the end of an answer, it breaks the stream off.
pub(crate) struct Responder {
    respond: SendResponse<Bytes>,
    writer: Option<StreamWriter>,
    waits: Waits,
}

impl Responder {
    /// Breaks the stream off.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match &mut self.writer {
            Some(writer) => writer.reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

impl Sink for Responder {
    async fn data(&mut self, data: &[u8]) -> Result<(), WriteError> {
        match &mut self.writer {
            Some(writer) => writer.data(data).await,
            None => Ok(()),
        }
    }

    async fn last(&mut self, data: &[u8]) -> Result<(), WriteError> {
        match &mut self.writer {
            Some(writer) => writer.last(data).await,
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    async fn finish(&mut self, trailers: Option<&Block>) -> Result<(), WriteError> {
        match &mut self.writer {
            Some(writer) => writer.finish(trailers),
            None => Ok(()),
        }
    }
}

impl AnswerSink for Responder {
    async fn interim(&mut self, head: ResponseHead, _to: ReplyTo) -> Result<(), WriteError> {
        let response = fields::response(head, &[])?;
        self.respond.send_informational(response).map_err(write_error)
    }

    fn start(
        &mut self,
        head: ResponseHead,
        to: ReplyTo,
        changes: &[Change<'_>],
    ) -> Result<(), WriteError> {
        let ended = to.head || head.body() == Body::None;
        let response = fields::response(head, changes)?;
        let stream = self.respond.send_response(response, ended).map_err(write_error)?;
        self.writer = Some(StreamWriter::new(stream, self.waits, ended));
        Ok(())
    }

    async fn called_off(&mut self) {
        match &mut self.writer {
            Some(writer) => writer.reset_by_peer().await,
            None => {
                std::future::poll_fn(|cx| self.respond.poll_reset(cx).map(|_| ())).await;
            }
        }
    }
}

impl Source for StreamReader {
    async fn next(&mut self) -> Result<BodyEvent<'_>, ReadError> {
        Self::next(self).await
    }

    fn has_buffered(&mut self) -> bool {
        Self::has_buffered(self)
    }

    fn is_done(&self) -> bool {
        Self::is_done(self)
    }

    async fn gone(&mut self) {
        self.let_go();
        // The responder sees it.
        std::future::pending::<()>().await;
    }
}
