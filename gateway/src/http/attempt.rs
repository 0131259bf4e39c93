//! One try at one endpoint.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::model::BackendKey;
use discovery::endpoint::{EndpointSet, Reach};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::Failure;
use super::forward::{Answered, Exchange, Progress, forward};
use super::h1::{Body, Change, ClientConn, ServerConn, WriteError};
use super::h2::client::{NotSent, Session};
use super::prepare::Prepared;
use super::proxy::Proxy;
use super::record::Record;
use super::serve::{Request, Sides, reply};
use super::side::{AnswerSink, Source};
use crate::connection::first::Version;
use crate::link::hello::Hello;
use crate::listener::peek::Replay;
use crate::snapshot::Snapshot;
use crate::splice::{Copied, Splice, splice};
use crate::tls::stream::Socket;
use crate::upstream::pool::{IDLE_WAIT, IDLE_WAIT_ONCE, Origin};
use crate::upstream::{self, Chosen, Connection};
use crate::wire::{Wire, WireReader, WireWriter};
use crate::worker::Http1;

/// What stays the same from one try of a request to the next, and what they leave behind.
pub(crate) struct Attempt<'a, 'c> {
    /// What the request sees.
    pub(crate) snapshot: &'a Snapshot,
    /// Whose endpoints.
    pub(crate) key: &'a BackendKey,
    /// The endpoints.
    pub(crate) set: &'a EndpointSet,
    /// Whether the endpoint is spoken to over HTTP/2.
    pub(crate) http2: bool,
    /// What filters change of the answer.
    pub(crate) response: &'c [Change<'a>],
    /// From the request to the head of the answer.
    pub(crate) answer_wait: Duration,
    /// Endpoints that failed this request.
    pub(crate) tried: Vec<Reach>,
}

/// A try that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) failure: Failure,
    /// Whether the endpoint can have seen nothing of the request that it may not see twice.
    pub(crate) again: bool,
}

impl Failed {
    const fn last(failure: Failure) -> Self {
        Self { failure, again: false }
    }

    const fn again(failure: Failure) -> Self {
        Self { failure, again: true }
    }
}

/// The endpoint's end of a connection that changed its protocol.
pub(crate) struct Switched(Http1);

/// Chooses an endpoint, connects or takes a connection that is there, and forwards.
pub(crate) async fn run<'a, B, A>(
    proxy: &Proxy,
    attempt: &mut Attempt<'a, '_>,
    request: Request<'_>,
    sides: &mut Sides<'_, B, A>,
    (prepared, record, progress): (&Prepared<'_>, &mut Record<'a>, &Progress),
) -> Result<Answered, Failed>
where
    B: Source,
    A: AnswerSink,
{
    // The first try begins with the request, and a look at the clock is not free.
    let now = if attempt.tried.is_empty() { request.began } else { Instant::now() };
    let worker = &request.call.worker;
    let chosen =
        upstream::choose(worker, attempt.set, &attempt.tried, now).map_err(Failed::last)?;
    record.tries(chosen.endpoint);
    let exchange = Exchange {
        asked: request.head.asked(),
        reply: reply(request),
        changes: attempt.response,
        began: now,
        answer_wait: attempt.answer_wait,
        early_answer_closes: request.call.version == Version::Http1,
    };
    let changes = prepared.changes();
    let over = Over { proxy, request, attempt: &*attempt, chosen: &chosen, now };
    // What most requests do not need is boxed, so that it makes no request larger.
    let result = if attempt.http2 {
        Box::pin(over.http2(sides, changes, &exchange, (prepared, progress))).await
    } else {
        over.http1(sides, changes, &exchange, (prepared, record, progress)).await
    };
    if let Some(after) = progress.head_after() {
        chosen.answered(after);
    }
    if result.is_err() {
        attempt.tried.push(chosen.endpoint.reach.clone());
    }
    result
}

/// Where a try goes.
struct Over<'a> {
    proxy: &'a Proxy,
    request: Request<'a>,
    attempt: &'a Attempt<'a, 'a>,
    chosen: &'a Chosen<'a>,
    now: Instant,
}

impl Over<'_> {
    async fn http1<B, A>(
        &self,
        sides: &mut Sides<'_, B, A>,
        changes: &[Change<'_>],
        exchange: &Exchange<'_>,
        (prepared, record, progress): (&Prepared<'_>, &mut Record<'_>, &Progress),
    ) -> Result<Answered, Failed>
    where
        B: Source,
        A: AnswerSink,
    {
        let reach = &self.chosen.endpoint.reach;
        let head = self.request.head;
        let idempotent = may_be_repeated(head.method_bytes());
        let within = if idempotent { IDLE_WAIT } else { IDLE_WAIT_ONCE };
        let worker = &self.request.call.worker;
        let (idle, snapshot) = (worker.http1(), self.attempt.snapshot);
        let pooled = idle.take(reach, snapshot, self.now, within).or_else(|| self.ready());
        let reused = pooled.is_some();
        let (mut client, origin) = if let Some(pooled) = pooled {
            pooled
        } else {
            let (wire, origin) = Box::pin(self.connect(prepared)).await?;
            (self.over(wire), Box::new(origin))
        };
        client.start(head, None, changes).map_err(|error| match error {
            WriteError::Malformed(malformed) => Failed::last(Failure::RequestMalformed(malformed)),
            _ => Failed::last(Failure::RequestNotTaken),
        })?;
        let whole = head.body() == Body::None;
        let server = (&mut client.writer, &mut client.reader);
        let from = (&mut *sides.body, &mut *sides.answer);
        let result = forward(from, server, exchange, progress, sides.alarm).await;
        match result {
            Ok(Answered::Whole { server_keeps, .. }) => {
                let now = Instant::now();
                record.ended = Some(now);
                if server_keeps && is_clean(&client) {
                    idle.own().put(client, origin, now);
                } else if !progress.request_done() {
                    // Answered before its end: what has left of the request is not all of it.
                    break_off(client.into_parts());
                }
            }
            Ok(Answered::Switched) => record.switched = Some(Switched(client)),
            Err(failure) => {
                break_off(client.into_parts());
                // An idle connection that the endpoint closes while a request is on its way.
                let closed = matches!(failure, Failure::Closed | Failure::RequestNotTaken);
                let again = reused && closed && whole && idempotent && progress.status().is_none();
                return Err(Failed { failure, again });
            }
        }
        result.map_err(Failed::last)
    }

    async fn http2<B, A>(
        &self,
        sides: &mut Sides<'_, B, A>,
        changes: &[Change<'_>],
        exchange: &Exchange<'_>,
        (prepared, progress): (&Prepared<'_>, &Progress),
    ) -> Result<Answered, Failed>
    where
        B: Source,
        A: AnswerSink,
    {
        let reach = &self.chosen.endpoint.reach;
        let head = self.request.head;
        let sessions = self.request.call.worker.http2();
        let session = match sessions.get(reach, self.attempt.snapshot, self.now) {
            Some(session) => session,
            None => Box::pin(self.open_session(prepared)).await?,
        };
        let ended = head.body() == Body::None;
        let sent = session.request(head, changes, ended).await;
        let (mut request, mut answer) = match sent {
            Ok(sent) => sent,
            Err(NotSent::Malformed(malformed)) => {
                return Err(Failed::last(Failure::RequestMalformed(malformed)));
            }
            Err(NotSent::Gone) => {
                return Err(Failed::again(Failure::ConnectFailed));
            }
        };
        let client = (&mut *sides.body, &mut *sides.answer);
        let result =
            forward(client, (&mut request, &mut answer), exchange, progress, sides.alarm).await;
        result.map_err(|failure| {
            request.reset(Reason::CANCEL);
            let idempotent = ended && may_be_repeated(head.method_bytes());
            let again = failure == Failure::Closed && idempotent && progress.status().is_none();
            Failed { failure, again }
        })
    }

    /// A call that was opened before anybody needed it.
    fn ready(&self) -> Option<(Http1, Box<Origin>)> {
        let reach = &self.chosen.endpoint.reach;
        let Attempt { key, snapshot, .. } = *self.attempt;
        let worker = &self.request.call.worker;
        let ahead = &worker.shared().ahead;
        let (wire, origin) = ahead.take((reach, key), snapshot, worker.number(), self.now)?;
        Some((self.over(wire), Box::new(origin)))
    }

    fn over(&self, wire: Wire) -> Http1 {
        let (reader, writer) = wire.split();
        Box::new(ClientConn::new(reader, writer, self.proxy.endpoint_waits))
    }

    /// A session of our own making, which other requests may share from now on.
    async fn open_session(&self, prepared: &Prepared<'_>) -> Result<Arc<Session>, Failed> {
        let (wire, origin) = self.connect(prepared).await?;
        let session = Session::start(wire, self.proxy.endpoint_waits).await;
        let session = Arc::new(session.ok_or(Failed::again(Failure::ConnectFailed))?);
        let sessions = self.request.call.worker.http2().own();
        sessions.put(Arc::clone(&session), origin, Instant::now());
        Ok(session)
    }

    async fn connect(&self, prepared: &Prepared<'_>) -> Result<(Wire, Origin), Failed> {
        let reach = &self.chosen.endpoint.reach;
        let hello = Hello { request_id: Some(prepared.ids.id.as_str().into()) };
        let worker = &self.request.call.worker;
        let connected = upstream::connect(worker, self.attempt.snapshot, reach, &hello).await;
        let connected = connected.inspect(Connection::watch_over);
        let connected = connected.map(|Connection { wire, carrier }| {
            (wire, Origin::new(reach.clone(), self.attempt.key.clone(), carrier))
        });
        connected.map_err(|error| {
            let cluster = match reach {
                Reach::Direct(_) => "local",
                Reach::Via(target) => &target.link,
            };
            self.proxy.metrics.connect_failure(cluster, error.failure().code());
            Failed::again(error.failure())
        })
    }
}

/// Methods that may be sent a second time when nobody knows what became of the first (RFC 9110
/// section 9.2.2), of those that seldom carry a body.
fn may_be_repeated(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// Whether nothing is left of the last exchange on the connection.
fn is_clean<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(client: &ClientConn<R, W>) -> bool {
    client.reader.is_done() && !client.reader.has_surplus() && client.writer.keeps_alive()
}

/// Joins the two ends of a connection that changed its protocol, until either ends.
pub(crate) async fn join_switched(
    client: ServerConn<WireReader, WireWriter>,
    Switched(endpoint): Switched,
) {
    let (client, endpoint) = match (joined(client.into_parts()), joined(endpoint.into_parts())) {
        (Ok(client), Ok(endpoint)) => (client, endpoint),
        (Err(error), _) | (_, Err(error)) => {
            return tracing::debug!(%error, "upgraded connection was gone");
        }
    };
    if let Err(error) = splice(client, endpoint, Splice::default(), &Copied::default()).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
}

/// The connection, which first yields what was read ahead.
fn joined((reader, writer, ahead): Parts) -> io::Result<Replay<Wire>> {
    Ok(Replay::new(reader.join(writer)?, ahead))
}

/// What is left of a connection that carried HTTP/1.
type Parts = (WireReader, WireWriter, Vec<u8>);

/// Breaks a connection off, so that a message that is not whole never looks whole.
pub(crate) fn break_off((reader, writer, _ahead): Parts) {
    match reader.join(writer) {
        Ok(wire) => wire.abort(),
        Err(error) => tracing::debug!(%error, "connection was gone before its abort"),
    }
}
