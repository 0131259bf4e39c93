//! One request, from its head to its last byte: the table of contents of the request path.

use std::pin::pin;
use std::time::{Duration, Instant};

use config::model::AppProtocol;

use super::attempt::{self, Attempt, Switched};
use super::failure::Failure;
use super::forward::{Answered, Progress};
use super::h1::{Alarm, ReplyTo, RequestHead, ResponseHead};
use super::prepare::{Ids, Origin, Prepared, error_body};
use super::proxy::Proxy;
use super::record::Record;
use super::route::{Found, find};
use super::side::{AnswerSink, Source};
use crate::chance;
use crate::connection::HttpConnection;
use crate::connection::first::Version;
use crate::snapshot::Snapshot;

/// Endpoints that are tried for one request before it fails: the first, and four more. So many may
/// be gone before anybody has told us, where five were scaled to one.
const ATTEMPTS_MAX: u32 = 5;

/// How long an endpoint may take for the head of its answer where no rule says otherwise.
/// Long, because a stream may say nothing until something happens.
const ANSWER_WAIT: Duration = Duration::from_mins(5);

/// A request, as far as its head and its connection tell.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The connection that carries it.
    pub(crate) call: &'a HttpConnection,
    /// Where it comes from, as the next hop is told.
    pub(crate) origin: &'a Origin,
    /// Its head.
    pub(crate) head: &'a RequestHead,
    /// Whether the gateway leaves, or whom the connection was made for: the client is told to come
    /// back on another.
    pub(crate) leaving: bool,
    /// When its first byte was read.
    pub(crate) began: Instant,
}

/// The client's two directions.
pub(crate) struct Sides<'a, B, A> {
    /// The body of the request.
    pub(crate) body: &'a mut B,
    /// The way back.
    pub(crate) answer: &'a mut A,
    /// Rings when the answer is late.
    pub(crate) alarm: &'a mut Alarm,
}

/// What becomes of the client's connection.
pub(crate) enum Served {
    /// It may carry the next request.
    KeepAlive,
    /// It ends behind this answer.
    Close,
    /// It is broken off: the answer is incomplete.
    BreakOff,
    /// It speaks another protocol now.
    Switched(Box<Switched>),
}

/// Serves one request.
pub(crate) async fn serve<B, A>(
    proxy: &Proxy,
    request: Request<'_>,
    mut sides: Sides<'_, B, A>,
) -> Served
where
    B: Source,
    A: AnswerSink,
{
    let snapshot = proxy.published.seen();
    let port = request.call.port_in(&snapshot);
    let leaving = request.leaving || !port.is_some_and(|owned| owned.stands);
    let request = Request { leaving, ..request };
    let found = find(port, request.call, request.head);
    let mut record = Record::new(request, found.as_ref().ok());
    let ids = Ids::of(request.head, &mut chance::next);
    let mut prepared = Prepared::new(request.head, request.origin, &ids);
    let progress = Progress::default();
    let result = match &found {
        Err(failure) => Err(*failure),
        Ok(found) => {
            prepared.filter(found.filters());
            let state = (&mut prepared, &mut record, &progress);
            let work = pin!(try_endpoints(proxy, (&snapshot, found), request, &mut sides, state));
            match limit(found.timeouts().request) {
                Some(limit) => {
                    tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::TimedOut))
                }
                None => work.await,
            }
        }
    };
    let served = finish(&mut sides, result, &progress, &ids, &mut record).await;
    record.end(proxy, &ids, &progress);
    served
}

/// Chooses a backend once, then endpoints of it until one answers or nothing more may be tried.
async fn try_endpoints<'a, B, A>(
    proxy: &Proxy,
    (snapshot, found): (&'a Snapshot, &Found<'a>),
    request: Request<'a>,
    sides: &mut Sides<'_, B, A>,
    (prepared, record, progress): (&mut Prepared<'a>, &mut Record<'a>, &Progress),
) -> Result<Answered, Failure>
where
    B: Source,
    A: AnswerSink,
{
    let (filters, key) = found.backend(chance::next())?;
    prepared.filter(filters);
    let set = snapshot.endpoints.sets.get(key).ok_or(Failure::NoEndpoint)?;
    let response = super::prepare::response_changes(found.filters(), filters);
    let mut attempt = Attempt {
        snapshot,
        key,
        set,
        http2: wants_http2(&set.protocol, request),
        response: &response,
        answer_wait: limit(found.timeouts().backend_request).unwrap_or(ANSWER_WAIT),
        tried: Vec::new(),
    };
    loop {
        record.attempts += 1;
        let state = (&*prepared, &mut *record, progress);
        let result = attempt::run(proxy, &mut attempt, request, sides, state).await;
        match result {
            Err(failed) if failed.again && record.attempts < ATTEMPTS_MAX => {}
            Err(failed) => return Err(failed.failure),
            Ok(answered) => return Ok(answered),
        }
    }
}

/// A timeout of a rule; zero says that there is none (GEP-1742).
fn limit(timeout: Option<Duration>) -> Option<Duration> {
    timeout.filter(|timeout| !timeout.is_zero())
}

/// What the endpoint is spoken to with.
fn wants_http2(protocol: &AppProtocol, request: Request<'_>) -> bool {
    let http2 = request.call.version == Version::Http2;
    match protocol {
        AppProtocol::H2c => true,
        AppProtocol::Http1 | AppProtocol::Opaque(_) => false,
        // Nobody has said what the endpoint speaks. Behind a mirrored port it is what the caller
        // speaks, as if no gateway were there; otherwise HTTP/1.1, and gRPC needs HTTP/2.
        AppProtocol::Unset if matches!(request.origin, Origin::Inside) => http2,
        AppProtocol::Unset => {
            let grpc = |value: &[u8]| value.starts_with(b"application/grpc");
            http2 && request.head.header("content-type").is_some_and(grpc)
        }
    }
}

/// Brings the client's side to its end.
async fn finish<B, A>(
    sides: &mut Sides<'_, B, A>,
    result: Result<Answered, Failure>,
    progress: &Progress,
    ids: &Ids,
    record: &mut Record<'_>,
) -> Served
where
    B: Source,
    A: AnswerSink,
{
    match result {
        Ok(Answered::Whole { client_keeps: true, .. }) => Served::KeepAlive,
        Ok(Answered::Whole { client_keeps: false, .. }) => Served::Close,
        Ok(Answered::Switched) => match record.switched.take() {
            Some(switched) => Served::Switched(Box::new(switched)),
            None => Served::BreakOff,
        },
        Err(failure) => {
            record.failure = Some(failure);
            if progress.status().is_some() || failure == Failure::ClientGone {
                return Served::BreakOff;
            }
            // What few requests need makes none larger.
            Box::pin(respond(sides, failure, ids, record)).await
        }
    }
}

/// Answers for the endpoint that did not.
async fn respond<B, A>(
    sides: &mut Sides<'_, B, A>,
    failure: Failure,
    ids: &Ids,
    record: &mut Record<'_>,
) -> Served
where
    B: Source,
    A: AnswerSink,
{
    let body = error_body(failure.code(), &ids.id);
    let fields: [(&str, &[u8]); 3] = [
        ("content-type", b"text/plain"),
        ("x-spanway-error", failure.code().as_bytes()),
        ("x-request-id", ids.id.as_bytes()),
    ];
    let Ok(head) = ResponseHead::local(failure.status(), fields, body.len()) else {
        return Served::BreakOff;
    };
    let reply = reply(record.request);
    // The rest of a request that was not read would be taken for the next one.
    let reply = if sides.body.is_done() { reply } else { reply.closing() };
    record.answered(failure.status(), body.len() as u64);
    let written = async {
        sides.answer.start(head, reply, &[])?;
        sides.answer.data(body.as_bytes()).await?;
        sides.answer.finish(None).await
    };
    match written.await {
        Ok(()) if reply.keep_alive => Served::KeepAlive,
        Ok(()) => Served::Close,
        Err(_) => Served::BreakOff,
    }
}

/// How answers are written to this client.
pub(crate) fn reply(request: Request<'_>) -> ReplyTo {
    let reply = request.head.reply_to();
    if request.leaving { reply.closing() } else { reply }
}
