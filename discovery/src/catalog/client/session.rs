//! One catalog stream: dial, subscribe, read until it ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use super::{Client, DialError, Dialer, LinkState};
use crate::catalog::generated::catalog_client::CatalogClient;
use crate::catalog::generated::event::Event as Kind;
use crate::catalog::generated::{Event, SubscribeRequest};
use crate::catalog::inbox::{Inbox, Received};
use crate::catalog::{Catalog, PROTOCOL, Version, wire};
use crate::freshness::{Heard, SILENCE_MAX};
use crate::link::Link;

/// How long a connection with its TLS handshake may take: more than twice round the world with a
/// lost packet in each direction.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer to the subscription may take: the far side may wait for its own watches.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How much of a stream may be under way: a few parts of an update.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// A peer's messages are taken at most this often: five hundred a second, which no honest peer
/// sends, for it puts together what changed while we did not read. One that floods us waits.
const MESSAGE_PAUSE: Duration = Duration::from_millis(2);
/// After a quota was exceeded and something went, a new snapshot is asked for at most this often.
const RESYNC_AFTER: Duration = Duration::from_mins(1);

/// What is asked of a replica.
pub(super) struct Ask<'a> {
    pub(super) link: &'a Link,
    pub(super) address: SocketAddr,
    /// What it must have seen.
    pub(super) known: Version,
    /// Whether that is less than we have.
    pub(super) reset: bool,
}

/// How a stream ended.
pub(super) struct End {
    /// Whether a catalog was received on it.
    pub(super) lived: bool,
    pub(super) why: Why,
}

/// Why a stream ended.
pub(super) enum Why {
    /// There was nothing to dial with.
    NoCredentials,
    /// The replica has seen less than we have.
    Behind(Version),
    /// A reason and a sentence.
    Problem(Arc<str>, String),
    /// We ended it, for a new snapshot.
    Resync,
}

impl End {
    pub(super) fn problem(&self) -> Option<(Arc<str>, String)> {
        match &self.why {
            Why::NoCredentials => {
                Some(("NoCredentials".into(), DialError::NoCredentials.to_string()))
            }
            Why::Problem(reason, sentence) => Some((Arc::clone(reason), sentence.clone())),
            Why::Behind(_) => Some(("Behind".into(), "no gateway has caught up yet".to_owned())),
            Why::Resync => None,
        }
    }
}

impl Why {
    fn problem(reason: &str, sentence: impl Into<String>) -> Self {
        Self::Problem(reason.into(), sentence.into())
    }
}

/// Where in a list of addresses to begin, so that clients spread over them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 1024, and the fraction does not count"
)]
pub(super) fn spread(chance: f64) -> usize {
    (chance.clamp(0.0, 1.0) * 1024.0) as usize
}

pub(super) async fn run<D: Dialer, R, C>(
    client: &Client<D, R, C>,
    ask: Ask<'_>,
    out: &watch::Sender<LinkState>,
) -> End {
    match subscribe(client, &ask).await {
        Ok(stream) => listen(stream, &ask, out).await,
        Err(why) => End { lived: false, why },
    }
}

async fn subscribe<D: Dialer, R, C>(
    client: &Client<D, R, C>,
    ask: &Ask<'_>,
) -> Result<Streaming<Event>, Why> {
    let late = |_| Why::problem("Unreachable", format!("{} did not answer in time", ask.address));
    let dialed = timeout(DIAL_WITHIN, client.dial.dial(ask.link, ask.address)).await;
    let io = dialed.map_err(late)?.map_err(|error| match error {
        DialError::NoCredentials => Why::NoCredentials,
        DialError::Failed { reason, message } => Why::Problem(reason, message),
    })?;
    let channel = timeout(DIAL_WITHIN, channel(io))
        .await
        .map_err(late)?
        .map_err(|why| Why::problem("Unreachable", format!("{}: {why}", ask.address)))?;
    let request = SubscribeRequest {
        cluster: client.cluster.to_string(),
        instance: client.instance.to_string(),
        protocol: PROTOCOL,
        known: wire::write_version(&ask.known),
    };
    let mut catalogs =
        CatalogClient::new(channel).max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
    let answer = timeout(ANSWER_WITHIN, catalogs.subscribe(request)).await.map_err(late)?;
    Ok(answer.map_err(|status| refused(&status))?.into_inner())
}

/// HTTP/2 over a connection that stands. A channel would dial again by itself; ours is used once,
/// and what follows is for the caller to decide.
async fn channel<Io>(io: Io) -> Result<Channel, tonic::transport::Error>
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let once = Arc::new(Mutex::new(Some(TokioIo::new(io))));
    let connector = service_fn(move |_| {
        let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(io.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)))
    });
    Endpoint::from_static("http://catalog.spanway.invalid")
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect_with_connector(connector)
        .await
}

fn refused(status: &Status) -> Why {
    let reason = match status.code() {
        Code::Unimplemented => "ProtocolMismatch",
        Code::PermissionDenied | Code::Unauthenticated => "Refused",
        Code::OutOfRange | Code::DataLoss => "InvalidCatalog",
        _ => "Unreachable",
    };
    // The peer's words, cut short and without control characters.
    let words: String = status.message().chars().filter(|c| !c.is_control()).take(200).collect();
    Why::problem(reason, format!("{:?}: {words}", status.code()))
}

async fn listen(
    mut stream: Streaming<Event>,
    ask: &Ask<'_>,
    out: &watch::Sender<LinkState>,
) -> End {
    let known = Arc::clone(&out.borrow().catalog);
    let mut inbox = Inbox::new(known, ask.link.quota);
    let (mut lived, mut reset, started) = (false, ask.reset, Instant::now());
    let mut next_at = started;
    loop {
        tokio::time::sleep_until(next_at).await;
        let heard = timeout(SILENCE_MAX, stream.message()).await;
        next_at = Instant::now() + MESSAGE_PAUSE;
        let event = match heard {
            Err(_) => {
                let why = Why::problem("Silent", format!("nothing heard for {SILENCE_MAX:?}"));
                return End { lived, why };
            }
            Ok(Err(status)) => return End { lived, why: refused(&status) },
            Ok(Ok(None)) => {
                return End {
                    lived,
                    why: Why::problem("Unreachable", "the peer ended the stream"),
                };
            }
            Ok(Ok(Some(event))) => event,
        };
        match event.event {
            Some(Kind::Update(part)) => {
                if let Received::Catalog(catalog) = inbox.receive(part) {
                    reset |= lived && goes_back(out, &catalog.version);
                    lived = true;
                    publish(out, &inbox, reset, catalog);
                }
            }
            Some(Kind::Heartbeat(beat)) if lived => {
                let age = oldest(&beat.age_ms);
                // A version that cannot be read leaves the one that is known.
                if let Ok(version) = wire::read_version(beat.version) {
                    reset |= goes_back(out, &version);
                    let catalog = inbox.advance(version);
                    publish(out, &inbox, reset, catalog);
                }
                out.send_modify(|state| state.heard = Some(Heard { at: Instant::now(), age }));
            }
            Some(Kind::Behind(behind)) if !lived => match wire::read_version(behind.version) {
                Ok(version) => return End { lived, why: Why::Behind(version) },
                Err(why) => {
                    return End { lived, why: Why::problem("InvalidCatalog", why.to_string()) };
                }
            },
            // What we do not know of a later version, or what is out of place.
            _ => {}
        }
        if inbox.wants_snapshot() && started.elapsed() >= RESYNC_AFTER {
            return End { lived, why: Why::Resync };
        }
    }
}

/// Whether the peer has seen less than it had: its data was restored while the stream stood.
fn goes_back(out: &watch::Sender<LinkState>, version: &Version) -> bool {
    let known = &out.borrow().catalog.version;
    known.iter().any(|(kind, known)| version.get(kind).is_none_or(|now| now < known))
}

/// The longest age that is believed: a peer's word must not overflow a time.
const AGE_MAX: Duration = Duration::from_hours(366 * 24);

fn oldest(ages: &HashMap<String, u64>) -> Duration {
    Duration::from_millis(ages.values().copied().max().unwrap_or_default()).min(AGE_MAX)
}

fn publish(out: &watch::Sender<LinkState>, inbox: &Inbox, reset: bool, catalog: Arc<Catalog>) {
    let told = (
        "VersionReset",
        "no gateway had seen what was seen here before: the newest state offered was taken",
    );
    let reset = reset.then(|| (told.0, told.1.to_owned()));
    let problem = inbox.problem().or(reset);
    out.send_modify(|state| {
        state.catalog = catalog;
        (state.received, state.connected) = (true, true);
        let age = state.heard.map_or(Duration::ZERO, |heard| heard.age);
        state.heard = Some(Heard { at: Instant::now(), age });
        state.problem = problem.map(|(reason, sentence)| (reason.into(), sentence));
    });
}
