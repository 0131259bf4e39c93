//! Steady load whose every answer is checked against the rules in force.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::service::{Speaks, grpc_message};
use super::tally::Tally;
use crate::lock::lock;

/// How long a request may take before it counts as failed.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// A client that cannot connect tries again after this.
const RECONNECT_WAIT: Duration = Duration::from_millis(20);
/// How long after its withdrawal a rule may still answer: the change has to travel.
pub(crate) const WITHDRAWN_RULE_GRACE: Duration = Duration::from_secs(1);

/// A stream of requests of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Where they go.
    pub(crate) address: SocketAddr,
    /// What they speak.
    pub(crate) speaks: Speaks,
    /// Their `Host`.
    pub(crate) host: String,
    /// Their path.
    pub(crate) path: String,
    /// Bytes of their body; 0 makes a GET.
    pub(crate) body: usize,
    /// From one request to the next on each connection.
    pub(crate) pace: Duration,
    /// What an answer has to be.
    pub(crate) expects: Expects,
}

/// What an answer has to be.
#[derive(Clone, Debug)]
pub(crate) enum Expects {
    /// Given by this service of this cluster.
    From {
        /// The service.
        service: &'static str,
        /// The cluster.
        cluster: &'static str,
    },
    /// As a route says that changes while the load goes on.
    Ruled(Arc<RuleBook>),
}

/// What the changing route has called for, and when.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    versions: std::sync::Mutex<Vec<Ruled>>,
}

#[derive(Clone, Debug)]
struct Ruled {
    version: u64,
    service: &'static str,
    clusters: Vec<&'static str>,
    withdrawn: Option<Instant>,
}

impl RuleBook {
    /// From now on version `version` is in force.
    pub(crate) fn put(
        &self,
        version: u64,
        service: &'static str,
        clusters: Vec<&'static str>,
        now: Instant,
    ) {
        let mut versions = lock(&self.versions);
        if let Some(last) = versions.last_mut() {
            last.withdrawn = Some(now);
        }
        // Long withdrawn rules are never right again.
        versions.retain(|ruled| ruled.withdrawn.is_none_or(|at| now - at < REQUEST_WAIT * 2));
        versions.push(Ruled { version, service, clusters, withdrawn: None });
    }

    /// Whether an answer to a request sent at `sent` may be that of `version`.
    fn allows(&self, version: u64, service: &str, cluster: &str, sent: Instant) -> bool {
        let versions = lock(&self.versions);
        versions.iter().any(|ruled| {
            ruled.version == version
                && ruled.service == service
                && ruled.clusters.contains(&cluster)
                && ruled.withdrawn.is_none_or(|at| at + WITHDRAWN_RULE_GRACE > sent)
        })
    }
}

/// Sends requests one after the other on a connection of its own until `stop` turns true.
pub(crate) async fn run(stream: Stream, tally: Arc<Tally>, mut stop: watch::Receiver<bool>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut connection = None;
    let mut timer = tokio::time::interval(stream.pace);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = timer.tick() => {}
            _ = stop.changed() => break,
        }
        let open = match connection.take() {
            Some(open) => open,
            None => match connect(&stream).await {
                Ok(open) => open,
                Err(problem) => {
                    tally.failed(&stream.path, &problem);
                    tokio::time::sleep(RECONNECT_WAIT).await;
                    continue;
                }
            },
        };
        connection = exchange(&stream, open, &tally, NEXT.fetch_add(1, Relaxed)).await;
    }
}

enum Connection {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

async fn connect(stream: &Stream) -> Result<Connection, String> {
    let tcp = TcpStream::connect(stream.address).await.map_err(|error| error.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let io = TokioIo::new(tcp);
    if stream.speaks == Speaks::Http1 {
        let (send, driver) = http1::handshake(io).await.map_err(|error| error.to_string())?;
        tokio::spawn(driver);
        return Ok(Connection::One(send));
    }
    let (send, driver) =
        http2::handshake(TokioExecutor::new(), io).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    Ok(Connection::Two(send))
}

/// One request; gives the connection back if it can be used again.
async fn exchange(
    stream: &Stream,
    mut connection: Connection,
    tally: &Tally,
    number: u64,
) -> Option<Connection> {
    let payload = payload(stream, number);
    let Ok(request) = request(stream, payload.clone()) else { return None };
    let sent = Instant::now();
    let work = async {
        let response = match &mut connection {
            Connection::One(client) => {
                client.ready().await?;
                client.send_request(request).await?
            }
            Connection::Two(client) => {
                client.ready().await?;
                client.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        Ok::<_, hyper::Error>((Response::from_parts(parts, ()), body))
    };
    let (response, body) = match tokio::time::timeout(REQUEST_WAIT, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tally
                .failed(&stream.path, &format!("{error}: {:?}", std::error::Error::source(&error)));
            return None;
        }
        Err(_) => {
            tally.failed(&stream.path, "no answer in time");
            return None;
        }
    };
    let trailers = body.trailers().cloned();
    let grpc_ok = stream.speaks != Speaks::Grpc
        || trailers.is_some_and(|map| map.get("grpc-status").is_some_and(|status| status == "0"));
    let echoed = payload.is_empty() || body.to_bytes() == payload;
    match judge(stream, &response, sent) {
        Ok(cluster) if grpc_ok && echoed => tally.passed(stream, &cluster, sent.elapsed()),
        Ok(_) => tally.failed(&stream.path, "the body or its trailers are not what was sent"),
        Err(problem) => tally.failed(&stream.path, &problem),
    }
    let closes = response.headers().get("connection").is_some_and(|value| value == "close");
    (!closes).then_some(connection)
}

fn payload(stream: &Stream, number: u64) -> Bytes {
    if stream.body == 0 {
        return Bytes::new();
    }
    let mut payload = format!("{number}:").into_bytes();
    payload.resize(stream.body.max(payload.len()), b'x');
    if stream.speaks == Speaks::Grpc { grpc_message(&payload) } else { payload.into() }
}

fn request(stream: &Stream, payload: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
    let method = if payload.is_empty() { "GET" } else { "POST" };
    let uri = match stream.speaks {
        Speaks::Http1 => stream.path.clone(),
        Speaks::Http2 | Speaks::Grpc => format!("http://{}{}", stream.host, stream.path),
    };
    let mut request = Request::builder().method(method).uri(uri);
    if stream.speaks == Speaks::Http1 {
        request = request.header("host", &stream.host);
    }
    if stream.speaks == Speaks::Grpc {
        request = request.header("content-type", "application/grpc").header("te", "trailers");
    }
    request.body(Full::new(payload))
}

/// Who answered, if that is what the rule in force called for.
fn judge(stream: &Stream, response: &Response<()>, sent: Instant) -> Result<String, String> {
    let field = |name: &str| {
        let value = response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    if response.status() != 200 {
        return Err(format!("status {} {}", response.status(), field("x-spanway-error")));
    }
    let (cluster, service) = (field("x-served-cluster"), field("x-served-service"));
    let right = match &stream.expects {
        Expects::From { service: wanted, cluster: from } => service == *wanted && cluster == *from,
        Expects::Ruled(book) => {
            let version = field("x-rule-version").parse().unwrap_or_default();
            book.allows(version, &service, &cluster, sent)
        }
    };
    if right {
        return Ok(cluster);
    }
    let version = field("x-rule-version");
    Err(format!("answered by {service} in {cluster}, rule version {version:?}"))
}
