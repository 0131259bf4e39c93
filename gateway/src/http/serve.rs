//! One request, from its head to its last byte: the table of contents of the request path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::model::AppProtocol;
use config::table::{Backend, Filter, PortServes, Target, Timeouts};
use pingora_timeout::fast_timeout::fast_timeout;

use super::attempt::{self, Attempt, Switched};
use super::failure::Failure;
use super::forward::{Answered, Progress};
use super::h1::{ReplyTo, RequestHead, ResponseHead};
use super::prepare::{Origin, Prepared, error_body};
use super::proxy::Proxy;
use super::record::Record;
use super::route::{Found, find};
use super::side::{AnswerSink, Source};
use crate::connection::HttpConnection;
use crate::snapshot::Snapshot;
use crate::upstream::split::split;

/// Endpoints that are tried for one request before it fails: the first, and two more.
const ATTEMPTS_MAX: u32 = 3;

/// How long an endpoint may take for the head of its answer where no rule says otherwise.
/// Long, because a stream may say nothing until something happens.
const ANSWER_WAIT: Duration = Duration::from_mins(5);

/// A request and the way back.
pub(crate) struct Incoming<'a, B, A> {
    /// The connection that carries it.
    pub(crate) call: &'a HttpConnection,
    /// Its head.
    pub(crate) head: RequestHead,
    /// Its body.
    pub(crate) body: &'a mut B,
    /// The way back.
    pub(crate) answer: &'a mut A,
    /// Whether HTTP/2 carries it.
    pub(crate) http2: bool,
    /// Whether the gateway leaves, or whom the connection was made for: the client is told to come
    /// back on another.
    pub(crate) leaving: bool,
    /// When its first byte was read.
    pub(crate) began: Instant,
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

/// Who answers, in one form for rules and for mirrored ports without rules.
struct Plan {
    backends: Arc<[Backend]>,
    filters: Arc<[Filter]>,
    timeouts: Timeouts,
    /// A mirrored port: calls look as if the service were here.
    inside: bool,
}

/// Serves one request.
pub(crate) async fn serve<B, A>(proxy: &Proxy, mut incoming: Incoming<'_, B, A>) -> Served
where
    B: Source,
    A: AnswerSink,
{
    let snapshot = proxy.published.load_full();
    incoming.leaving |= !incoming.call.stands(&snapshot);
    let mut record = Record::new(incoming.call, &incoming.head, incoming.began);
    let progress = Progress::default();
    let plan = plan(&snapshot, &incoming, &mut record);
    let inside = plan.as_ref().is_ok_and(|plan| plan.inside);
    let mut prepared = prepare(&incoming, inside);
    record.named(&prepared);
    let result = match plan {
        Err(failure) => Err(failure),
        Ok(plan) => {
            prepared.filter(&plan.filters);
            let work = try_endpoints(
                proxy,
                (&snapshot, &plan),
                &mut incoming,
                (&mut prepared, &mut record, &progress),
            );
            match limit(plan.timeouts.request) {
                Some(limit) => fast_timeout(limit, work).await.unwrap_or(Err(Failure::TimedOut)),
                None => work.await,
            }
        }
    };
    let served = finish(&mut incoming, result, &progress, &prepared, &mut record).await;
    record.end(proxy, &progress);
    served
}

fn plan<B, A>(
    snapshot: &Snapshot,
    incoming: &Incoming<'_, B, A>,
    record: &mut Record,
) -> Result<Plan, Failure> {
    let found = find(snapshot, incoming.call, &incoming.head)?;
    let inside = matches!(incoming.call.port.serves, PortServes::Mirrored(_));
    record.found(&found);
    Ok(match found {
        Found::Rule(rule) => Plan {
            backends: Arc::clone(&rule.backends),
            filters: Arc::clone(&rule.filters),
            timeouts: rule.timeouts,
            inside,
        },
        Found::Mirrored(backend) => Plan {
            backends: Arc::new([Backend {
                weight: 1,
                target: Target::Endpoints(backend),
                filters: Arc::default(),
            }]),
            filters: Arc::default(),
            timeouts: Timeouts::default(),
            inside,
        },
    })
}

fn prepare<B, A>(incoming: &Incoming<'_, B, A>, inside: bool) -> Prepared {
    let call = incoming.call;
    let origin = if inside {
        Origin::Inside
    } else {
        Origin::Outside {
            client: call.peer.ip(),
            tls: call.tls.is_some(),
            host: incoming.head.host(),
            port: call.port.owner.port,
        }
    };
    Prepared::new(&incoming.head, origin, (rand::random(), rand::random(), rand::random()))
}

/// Chooses a backend once, then endpoints of it until one answers or nothing more may be tried.
async fn try_endpoints<B, A>(
    proxy: &Proxy,
    (snapshot, plan): (&Snapshot, &Plan),
    incoming: &mut Incoming<'_, B, A>,
    (prepared, record, progress): (&mut Prepared, &mut Record, &Progress),
) -> Result<Answered, Failure>
where
    B: Source,
    A: AnswerSink,
{
    let (backend, key) = split(&plan.backends, incoming.call.worker.chance())?;
    prepared.filter(&backend.filters);
    let set = snapshot.endpoints.sets.get(key).ok_or(Failure::NoEndpoint)?;
    let mut attempt = Attempt {
        key,
        http2: wants_http2(&set.protocol, incoming, plan.inside),
        response: super::prepare::response_changes(&plan.filters, &backend.filters),
        answer_wait: limit(plan.timeouts.backend_request).unwrap_or(ANSWER_WAIT),
        tried: Vec::new(),
    };
    loop {
        record.attempts += 1;
        let result =
            attempt::run(proxy, snapshot, &mut attempt, incoming, (prepared, record, progress))
                .await;
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
fn wants_http2<B, A>(protocol: &AppProtocol, incoming: &Incoming<'_, B, A>, inside: bool) -> bool {
    match protocol {
        AppProtocol::H2c => true,
        AppProtocol::Http1 | AppProtocol::Opaque(_) => false,
        // Nobody has said what the endpoint speaks. Behind a mirrored port it is what the caller
        // speaks, as if no gateway were there; otherwise HTTP/1.1, and gRPC needs HTTP/2.
        AppProtocol::Unset if inside => incoming.http2,
        AppProtocol::Unset => {
            let grpc = |value: &[u8]| value.starts_with(b"application/grpc");
            incoming.http2 && incoming.head.header("content-type").is_some_and(grpc)
        }
    }
}

/// Brings the client's side to its end.
async fn finish<B, A>(
    incoming: &mut Incoming<'_, B, A>,
    result: Result<Answered, Failure>,
    progress: &Progress,
    prepared: &Prepared,
    record: &mut Record,
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
            respond(incoming, failure, prepared, record).await
        }
    }
}

/// Answers for the endpoint that did not.
async fn respond<B, A>(
    incoming: &mut Incoming<'_, B, A>,
    failure: Failure,
    prepared: &Prepared,
    record: &mut Record,
) -> Served
where
    B: Source,
    A: AnswerSink,
{
    let body = error_body(failure.code(), &prepared.id);
    let fields: [(&str, &[u8]); 3] = [
        ("content-type", b"text/plain"),
        ("x-spanway-error", failure.code().as_bytes()),
        ("x-request-id", prepared.id.as_str().as_bytes()),
    ];
    let Ok(head) = ResponseHead::local(failure.status(), fields, body.len()) else {
        return Served::BreakOff;
    };
    let reply = reply(incoming);
    // The rest of a request that was not read would be taken for the next one.
    let reply = if incoming.body.is_done() { reply } else { reply.closing() };
    record.answered(failure.status(), body.len() as u64);
    let written = async {
        incoming.answer.start(&head, reply, &[])?;
        incoming.answer.data(body.as_bytes()).await?;
        incoming.answer.finish(None).await
    };
    match written.await {
        Ok(()) if reply.keep_alive => Served::KeepAlive,
        Ok(()) => Served::Close,
        Err(_) => Served::BreakOff,
    }
}

/// How answers are written to this client.
pub(crate) fn reply<B, A>(incoming: &Incoming<'_, B, A>) -> ReplyTo {
    let reply = incoming.head.reply_to();
    if incoming.leaving { reply.closing() } else { reply }
}
