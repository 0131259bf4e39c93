//! One try at one endpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::model::BackendKey;
use discovery::endpoint::Reach;
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use super::failure::Failure;
use super::forward::{Answered, Exchange, Progress, forward};
use super::h1::{Body, Change, ClientConn, ServerConn, WriteError};
use super::h2::client::{NotSent, Session};
use super::prepare::Prepared;
use super::proxy::Proxy;
use super::record::Record;
use super::serve::{Incoming, reply};
use super::side::{AnswerSink, Source};
use crate::link::hello::Hello;
use crate::listener::peek::Replay;
use crate::snapshot::Snapshot;
use crate::splice::{Copied, Splice, splice};
use crate::tls::stream::Socket;
use crate::upstream::pool::{IDLE_WAIT, IDLE_WAIT_ONCE, Origin};
use crate::upstream::{self, Chosen, Connection};
use crate::worker::{Http1, Worker};

/// What stays the same from one try of a request to the next, and what they leave behind.
pub(crate) struct Attempt<'a> {
    /// Whose endpoints.
    pub(crate) key: &'a BackendKey,
    /// Whether the endpoint is spoken to over HTTP/2.
    pub(crate) http2: bool,
    /// What filters change of the answer.
    pub(crate) response: Vec<Change<'a>>,
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
pub(crate) struct Switched(ClientConn<ReadHalf<Connection>, WriteHalf<Connection>>);

/// Chooses an endpoint, connects or takes a connection that is there, and forwards.
pub(crate) async fn run<B, A>(
    proxy: &Proxy,
    snapshot: &Snapshot,
    attempt: &mut Attempt<'_>,
    incoming: &mut Incoming<'_, B, A>,
    (prepared, record, progress): (&Prepared, &mut Record, &Progress),
) -> Result<Answered, Failed>
where
    B: Source,
    A: AnswerSink,
{
    let chosen = upstream::choose(&incoming.call.worker, snapshot, attempt.key, &attempt.tried)
        .map_err(Failed::last)?;
    record.tries(&chosen.endpoint);
    let changes = prepared.changes();
    let exchange = Exchange {
        asked: incoming.head.asked(),
        reply: reply(incoming),
        changes: &attempt.response,
        answer_wait: attempt.answer_wait,
        early_answer_closes: !incoming.http2,
    };
    let hello = Hello { request_id: Some(prepared.id.as_str().into()) };
    let worker = Arc::clone(&incoming.call.worker);
    let over =
        Over { proxy, worker: &worker, snapshot, key: attempt.key, chosen: &chosen, hello: &hello };
    let result = if attempt.http2 {
        over.http2(incoming, &changes, &exchange, progress).await
    } else {
        over.http1(incoming, &changes, &exchange, (record, progress)).await
    };
    if let Some(after) = progress.head_after() {
        chosen.answered(after, Instant::now());
    }
    if result.is_err() {
        attempt.tried.push(chosen.endpoint.reach.clone());
    }
    result
}

/// Where a try goes.
struct Over<'a> {
    proxy: &'a Proxy,
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    key: &'a BackendKey,
    chosen: &'a Chosen,
    hello: &'a Hello,
}

impl Over<'_> {
    async fn http1<B, A>(
        &self,
        incoming: &mut Incoming<'_, B, A>,
        changes: &[Change<'_>],
        exchange: &Exchange<'_>,
        (record, progress): (&mut Record, &Progress),
    ) -> Result<Answered, Failed>
    where
        B: Source,
        A: AnswerSink,
    {
        let reach = &self.chosen.endpoint.reach;
        let idempotent = may_be_repeated(incoming.head.method());
        let within = if idempotent { IDLE_WAIT } else { IDLE_WAIT_ONCE };
        let pooled = self.worker.http1().take(reach, self.snapshot, Instant::now(), within);
        let pooled = pooled.or_else(|| self.ready());
        let reused = pooled.is_some();
        let (mut client, origin) = if let Some(pooled) = pooled {
            pooled
        } else {
            let (connection, origin) = self.connect().await?;
            (ClientConn::over(connection, self.proxy.endpoint_waits), origin)
        };
        client.start(&incoming.head, None, changes).map_err(|error| match error {
            WriteError::Malformed(malformed) => Failed::last(Failure::RequestMalformed(malformed)),
            _ => Failed::last(Failure::RequestNotTaken),
        })?;
        let whole = incoming.head.body() == Body::None;
        let sides = (&mut client.writer, &mut client.reader);
        let result =
            forward((&mut *incoming.body, &mut *incoming.answer), sides, exchange, progress).await;
        match result {
            Ok(Answered::Whole { server_keeps, .. }) => {
                if server_keeps && is_clean(&client) {
                    self.worker.http1().put(client, origin, Instant::now());
                } else if !progress.request_done() {
                    // Answered before its end: what has left of the request is not all of it.
                    into_stream(client).abort();
                }
            }
            Ok(Answered::Switched) => record.switched = Some(Switched(client)),
            Err(failure) => {
                into_stream(client).abort();
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
        incoming: &mut Incoming<'_, B, A>,
        changes: &[Change<'_>],
        exchange: &Exchange<'_>,
        progress: &Progress,
    ) -> Result<Answered, Failed>
    where
        B: Source,
        A: AnswerSink,
    {
        let reach = &self.chosen.endpoint.reach;
        let session = match self.worker.http2().get(reach, self.snapshot, Instant::now()) {
            Some((session, _)) => session,
            None => self.open_session().await?,
        };
        let ended = incoming.head.body() == Body::None;
        let sent = session.request(&incoming.head, changes, ended).await;
        let (mut request, mut answer) = match sent {
            Ok(sent) => sent,
            Err(NotSent::Malformed(malformed)) => {
                return Err(Failed::last(Failure::RequestMalformed(malformed)));
            }
            Err(NotSent::Gone) => {
                return Err(Failed::again(Failure::ConnectFailed));
            }
        };
        let client = (&mut *incoming.body, &mut *incoming.answer);
        let result = forward(client, (&mut request, &mut answer), exchange, progress).await;
        result.map_err(|failure| {
            request.reset(Reason::CANCEL);
            let idempotent = ended && may_be_repeated(incoming.head.method());
            let again = failure == Failure::Closed && idempotent && progress.status().is_none();
            Failed { failure, again }
        })
    }

    /// A call that was opened before anybody needed it.
    fn ready(&self) -> Option<(Http1, Origin)> {
        let reach = &self.chosen.endpoint.reach;
        let (call, origin) =
            self.worker.ahead().take(reach, self.key, self.snapshot, Instant::now())?;
        Some((ClientConn::over(call, self.proxy.endpoint_waits), origin))
    }

    /// A session of our own making, which other requests may share from now on.
    async fn open_session(&self) -> Result<Arc<Session>, Failed> {
        let (connection, origin) = self.connect().await?;
        let session = Session::start(connection, self.proxy.endpoint_waits).await;
        let session = Arc::new(session.ok_or(Failed::again(Failure::ConnectFailed))?);
        self.worker.http2().put(Arc::clone(&session), origin, Instant::now());
        Ok(session)
    }

    async fn connect(&self) -> Result<(Connection, Origin), Failed> {
        let reach = &self.chosen.endpoint.reach;
        let connected = upstream::connect(self.worker, self.snapshot, reach, self.hello).await;
        let connected = connected.map(|connection| {
            let origin = Origin::of(&connection, reach.clone(), self.key.clone());
            (connection, origin)
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
fn may_be_repeated(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// Whether nothing is left of the last exchange on the connection.
fn is_clean<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(client: &ClientConn<R, W>) -> bool {
    client.reader.is_done() && !client.reader.has_surplus() && client.writer.keeps_alive()
}

fn into_stream<S>(client: ClientConn<ReadHalf<S>, WriteHalf<S>>) -> S
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (read, write, _surplus) = client.into_parts();
    read.unsplit(write)
}

/// Joins the two ends of a connection that changed its protocol, until either ends.
pub(crate) async fn join_switched<S: Socket>(
    client: ServerConn<ReadHalf<S>, WriteHalf<S>>,
    Switched(endpoint): Switched,
) {
    let (read, write, ahead) = client.into_parts();
    let client = Replay::new(read.unsplit(write), ahead);
    let (read, write, ahead) = endpoint.into_parts();
    let endpoint = Replay::new(read.unsplit(write), ahead);
    if let Err(error) = splice(client, endpoint, Splice::default(), &Copied::default()).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
}

/// Breaks a client's connection off, so that an answer that is not whole never looks whole.
pub(crate) fn break_off<S: Socket>(client: ServerConn<ReadHalf<S>, WriteHalf<S>>) {
    let (read, write, _ahead) = client.into_parts();
    read.unsplit(write).abort();
}
