//! One request and its answer, both directions at once.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use super::failure::Failure;
use super::h1::{
    Alarm, Asked, Block, BodyEvent, Change, ReadError, ReplyTo, ResponseHead, WriteError,
};
use super::side::{AnswerSink, AnswerSource, Sink, Source};

/// How long an endpoint that stopped reading a request may take to say why.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What the forwarding of one request has to know.
pub(crate) struct Exchange<'a> {
    /// How the answer is read.
    pub(crate) asked: Asked,
    /// How the answer is written.
    pub(crate) reply: ReplyTo,
    /// What filters change of the answer's head.
    pub(crate) changes: &'a [Change<'a>],
    /// When it began.
    pub(crate) began: Instant,
    /// From then to the head of the final answer.
    pub(crate) answer_wait: Duration,
    /// An answer that begins before the request has ended closes the client's connection: where
    /// it ends first, nobody reads the rest (HTTP/1 only).
    pub(crate) early_answer_closes: bool,
}

/// How far it came; readable whatever happened.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sent: AtomicU64,
    received: AtomicU64,
    status: AtomicU16,
    request_done: AtomicBool,
    /// Microseconds from the beginning of the exchange to the head of the answer, and one more.
    head_after: AtomicU64,
}

impl Progress {
    /// From the beginning of the last exchange to the head of its answer, once there is one.
    pub(crate) fn head_after(&self) -> Option<Duration> {
        self.head_after.load(Relaxed).checked_sub(1).map(Duration::from_micros)
    }

    fn answered(&self, after: Duration) {
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX - 1);
        self.head_after.store(after + 1, Relaxed);
    }

    /// Body bytes to the endpoint.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Body bytes to the client.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// The status that the client got; `None` while nothing of a final answer was written.
    pub(crate) fn status(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|&status| status != 0)
    }

    /// Whether the whole request went to the endpoint.
    pub(crate) fn request_done(&self) -> bool {
        self.request_done.load(Relaxed)
    }
}

/// Adds to what only one task counts.
fn add(count: &AtomicU64, more: usize) {
    count.store(count.load(Relaxed) + more as u64, Relaxed);
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is complete.
    Whole {
        /// The endpoint keeps its connection for another request.
        server_keeps: bool,
        /// The client was told that its connection stays open.
        client_keeps: bool,
    },
    /// The endpoint switched protocols: bytes follow in both directions.
    Switched,
}

/// Moves the body of a request one way and the answer the other. The head of the request is in
/// `server.0` already. Whatever fails in the middle leaves both messages incomplete: the caller
/// breaks off both connections. `alarm` rings when the answer is late.
pub(crate) async fn forward<B, A, Q, S>(
    client: (&mut B, &mut A),
    server: (&mut Q, &mut S),
    exchange: &Exchange<'_>,
    progress: &Progress,
    alarm: &mut Alarm,
) -> Result<Answered, Failure>
where
    B: Source,
    A: AnswerSink,
    Q: Sink,
    S: AnswerSource,
{
    let up = pin!(send(client.0, server.0, progress));
    let down = pin!(receive(server.1, client.1, exchange, progress, alarm));
    match select(down, up).await {
        Either::Left((answered, _)) => answered,
        Either::Right((Failure::RequestNotTaken, down)) => {
            let early = tokio::time::timeout(EARLY_ANSWER_WAIT, down).await;
            early.unwrap_or(Err(Failure::RequestNotTaken))
        }
        Either::Right((failure, _)) => Err(failure),
    }
}

/// Sends the request; then watches whether the client stays. Ends only with a failure.
async fn send<B: Source, Q: Sink>(body: &mut B, server: &mut Q, progress: &Progress) -> Failure {
    // Most requests have no body.
    let sent = if body.is_done() {
        server.finish(None).await.map_err(not_taken)
    } else {
        send_body(body, server, progress).await
    };
    if let Err(failure) = sent {
        return failure;
    }
    progress.request_done.store(true, Relaxed);
    body.gone().await;
    Failure::ClientGone
}

async fn send_body<B: Source, Q: Sink>(
    body: &mut B,
    server: &mut Q,
    progress: &Progress,
) -> Result<(), Failure> {
    loop {
        if !body.has_buffered() {
            server.flush().await.map_err(not_taken)?;
        }
        match body.next().await {
            Ok(BodyEvent::Data(data)) => {
                add(&progress.sent, data.len());
                server.data(data).await.map_err(not_taken)?;
                body.allow_much(server.is_fast());
            }
            Ok(BodyEvent::Last(data)) => {
                add(&progress.sent, data.len());
                return server.last(data).await.map_err(not_taken);
            }
            Ok(BodyEvent::End(trailers)) => {
                return server.finish(some(&trailers)).await.map_err(not_taken);
            }
            Err(ReadError::Malformed(malformed)) => {
                return Err(Failure::RequestMalformed(malformed));
            }
            Err(ReadError::TimedOut) => return Err(Failure::RequestTooSlow),
            Err(_) => return Err(Failure::ClientGone),
        }
    }
}

/// Whatever stops an endpoint from reading a request, it may still say why.
fn not_taken(_: WriteError) -> Failure {
    Failure::RequestNotTaken
}

/// Receives the heads and the body of the answer.
async fn receive<S: AnswerSource, A: AnswerSink>(
    server: &mut S,
    client: &mut A,
    exchange: &Exchange<'_>,
    progress: &Progress,
    alarm: &mut Alarm,
) -> Result<Answered, Failure> {
    let head = final_head(server, client, exchange, alarm).await?;
    progress.answered(exchange.began.elapsed());
    let early = exchange.early_answer_closes && !progress.request_done();
    let reply = if early { exchange.reply.closing() } else { exchange.reply };
    let (status, keeps) = (head.status(), head.keep_alive());
    client.start(head, reply, exchange.changes).map_err(|_| Failure::AnswerMalformed)?;
    progress.status.store(status, Relaxed);
    if status == 101 {
        client.flush().await.map_err(|_| Failure::ClientGone)?;
        return Ok(Answered::Switched);
    }
    copy_answer(server, client, progress).await?;
    let server_keeps = keeps && progress.request_done();
    Ok(Answered::Whole { server_keeps, client_keeps: reply.keep_alive })
}

async fn final_head<S: AnswerSource, A: AnswerSink>(
    server: &mut S,
    client: &mut A,
    exchange: &Exchange<'_>,
    alarm: &mut Alarm,
) -> Result<ResponseHead, Failure> {
    let by = exchange.began + exchange.answer_wait;
    loop {
        let head = pin!(server.head(exchange.asked, by, alarm));
        let head = match select(head, pin!(client.called_off())).await {
            Either::Left((head, _)) => head.map_err(|error| Failure::of_head(&error))?,
            Either::Right(((), _)) => return Err(Failure::ClientGone),
        };
        if !head.is_interim() {
            return Ok(head);
        }
        client.interim(head, exchange.reply).await.map_err(|_| Failure::ClientGone)?;
    }
}

async fn copy_answer<S: AnswerSource, A: AnswerSink>(
    server: &mut S,
    client: &mut A,
    progress: &Progress,
) -> Result<(), Failure> {
    loop {
        if !server.has_buffered() {
            client.flush().await.map_err(|_| Failure::ClientGone)?;
        }
        let next = match select(pin!(server.next()), pin!(client.called_off())).await {
            Either::Left((next, _)) => next,
            Either::Right(((), _)) => return Err(Failure::ClientGone),
        };
        match next {
            Ok(BodyEvent::Data(data)) => {
                add(&progress.received, data.len());
                client.data(data).await.map_err(|_| Failure::ClientGone)?;
                server.allow_much(client.is_fast());
            }
            Ok(BodyEvent::Last(data)) => {
                add(&progress.received, data.len());
                return client.last(data).await.map_err(|_| Failure::ClientGone);
            }
            Ok(BodyEvent::End(trailers)) => {
                return client.finish(some(&trailers)).await.map_err(|_| Failure::ClientGone);
            }
            Err(_) => return Err(Failure::AnswerBroken),
        }
    }
}

fn some(trailers: &Block) -> Option<&Block> {
    Some(trailers).filter(|block| !block.is_empty())
}
