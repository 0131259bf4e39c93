//! Answers gateways: signs for them, and hears their reports.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use config::model::identity::SpiffeId;
use futures::Stream;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::generated::control_server::{Control, ControlServer};
use super::generated::{
    IssueReply, IssueRequest, Issued, NotLeader, ReportReply, ReportRequest, issue_reply,
};
use crate::identity::issue::{Chance, Issuer, NotIssued};
use crate::telemetry::Metrics;
use crate::tls::link::ALPN_CATALOG;
use crate::tls::provider;
use crate::tls::stream::{self, PeerChain, TlsStream};
use crate::tls::svid::{Leaf, Svid};
use crate::tls::trust::{LinkTrust, Peers};
use crate::tls::verifier::{PeerVerifier, Presence, Refusals};

#[cfg(test)]
mod tests;

/// How long a handshake may take: gateways are near.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Handshakes at one time; more wait in the backlog, so that strangers cannot use up the memory.
const MAX_HANDSHAKES: usize = 64;

/// How long an answer may take, reports aside: a review and a signature.
const ISSUE_WITHIN: Duration = Duration::from_secs(10);

/// The largest message: a report of a gateway with ten thousand ports.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Streams of one connection: a gateway needs one report and, seldom, one certificate.
const MAX_STREAMS: u32 = 8;

/// How often an open connection is tried, so that a dead gateway's report ends.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long a try may take.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// How long accepting rests after the system has refused a connection, for want of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who leads, as this controller sees it.
#[derive(Clone, Debug)]
pub enum Leading {
    /// This one, which therefore signs.
    Here(Arc<Issuer>),
    /// The one at this address; empty while nobody does.
    Elsewhere(Arc<str>),
}

/// The stream of what the leader says to one gateway.
pub type Replies = Pin<Box<dyn Stream<Item = Result<ReportReply, Status>> + Send>>;

/// Hears the reports of gateways.
pub trait Reports: Send + Sync + 'static {
    /// Hears one gateway until its stream ends, and answers it.
    fn hear(&self, gateway: SpiffeId, reports: Streaming<ReportRequest>) -> Replies;
}

/// The service that controllers offer.
#[derive(Debug)]
pub struct Service<R> {
    leading: watch::Receiver<Leading>,
    reports: R,
    metrics: Arc<Metrics>,
}

/// What a controller shows and whom it knows, as of now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its own identity.
    pub svid: Arc<Svid>,
    /// The gateways and controllers of its own cluster.
    pub known: LinkTrust,
}

/// Serves the control port until `shown` has no sender any more.
pub async fn serve<R: Reports>(
    listener: TcpListener,
    shown: watch::Receiver<Option<Shown>>,
    service: Service<R>,
) -> Result<(), tonic::transport::Error> {
    let (ready, accepted) = mpsc::channel(MAX_HANDSHAKES);
    let accepting = tokio::spawn(accept_all(listener, shown, ready));
    let control = ControlServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let served = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_WITHIN))
        .add_service(control)
        .serve_with_incoming(ReceiverStream::new(accepted))
        .await;
    accepting.abort();
    served
}

async fn accept_all(
    listener: TcpListener,
    mut shown: watch::Receiver<Option<Shown>>,
    ready: mpsc::Sender<io::Result<TlsStream>>,
) {
    let permits = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut config = None;
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        match shown.has_changed() {
            Ok(false) if config.is_some() => {}
            Ok(_) => config = shown.borrow_and_update().as_ref().and_then(server_config),
            Err(_) => return,
        }
        match (accepted, &config) {
            (Ok((tcp, _)), Some(config)) => {
                let handshake = handshake(tcp, Arc::clone(config), ready.clone());
                tokio::spawn(async move {
                    handshake.await;
                    drop(permit);
                });
            }
            // Whoever calls before there is an identity calls again.
            (Ok(_), None) => {}
            (Err(error), _) => {
                tracing::warn!(%error, "the control port could not accept");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn handshake(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    ready: mpsc::Sender<io::Result<TlsStream>>,
) {
    match stream::accept(config, tcp, HANDSHAKE_WITHIN).await {
        Ok(stream) => {
            if ready.send(Ok(stream)).await.is_err() {
                tracing::debug!("the control port closed during a handshake");
            }
        }
        Err(error) => tracing::debug!(%error, "the control port refused a caller"),
    }
}

fn server_config(shown: &Shown) -> Option<Arc<ServerConfig>> {
    let made = make_config(shown);
    if let Err(error) = &made {
        tracing::error!(%error, "the control port has no TLS");
    }
    made.ok()
}

fn make_config(shown: &Shown) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let peers = Peers::only(&shown.known)?;
    // A gateway without a certificate comes to ask for its first.
    let verifier = PeerVerifier::new(peers, Refusals::ignored(), Presence::Optional);
    let mut config = ServerConfig::builder_with_provider(provider::link())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown.svid.certified_key())));
    config.alpn_protocols = vec![ALPN_CATALOG.to_vec()];
    // No session is taken up again, so every caller's certificate has been looked at.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

// === impl Service ===

impl<R: Reports> Service<R> {
    /// Signs while this controller leads, and hands reports to `reports`; whom it gives no
    /// certificate is counted in `metrics`.
    pub fn new(leading: watch::Receiver<Leading>, reports: R, metrics: Arc<Metrics>) -> Self {
        Self { leading, reports, metrics }
    }

    fn leading(&self) -> Leading {
        self.leading.borrow().clone()
    }
}

#[async_trait]
impl<R: Reports> Control for Service<R> {
    type ReportStream = Replies;

    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueReply>, Status> {
        let request = request.into_inner();
        let outcome = match self.leading() {
            Leading::Elsewhere(leader) => {
                issue_reply::Outcome::NotLeader(NotLeader { leader: leader.to_string() })
            }
            Leading::Here(issuer) => {
                let answer = tokio::time::timeout(ISSUE_WITHIN, issue(&issuer, &request)).await;
                let answer = answer
                    .map_err(|_| Status::deadline_exceeded("the review took too long"))?
                    .map_err(|refused| {
                        tracing::warn!(%refused, "issued no certificate");
                        self.metrics.not_issued(refused.label());
                        status_of(&refused)
                    })?;
                issue_reply::Outcome::Issued(answer)
            }
        };
        Ok(Response::new(IssueReply { outcome: Some(outcome) }))
    }

    async fn report(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let gateway = caller(&request)?;
        if let Leading::Elsewhere(leader) = self.leading() {
            return Ok(Response::new(not_leader(&leader)));
        }
        let replies = self.reports.hear(gateway, request.into_inner());
        Ok(Response::new(replies))
    }
}

async fn issue(issuer: &Issuer, request: &IssueRequest) -> Result<Issued, NotIssued> {
    let chance = Chance { now: UnixTime::now(), serial: rand::random() };
    let (id, signed) = issuer.issue(&request.csr_der, &request.token, chance).await?;
    tracing::info!(%id, "issued a certificate");
    Ok(Issued {
        chain: signed.chain.iter().map(|leaf| leaf.to_vec()).collect(),
        bundle: issuer.authority().bundle().iter().map(|root| root.to_vec()).collect(),
        not_after: signed.not_after.as_secs(),
    })
}

fn status_of(refused: &NotIssued) -> Status {
    match refused {
        NotIssued::Refused(reason) => Status::permission_denied(reason.to_string()),
        NotIssued::NotSigned(reason) => Status::invalid_argument(reason.to_string()),
        NotIssued::Unreviewed(_) => Status::unavailable(refused.to_string()),
    }
}

/// Who calls: the verifier has looked at the certificate during the handshake.
fn caller<T>(request: &Request<T>) -> Result<SpiffeId, Status> {
    let chain = request.extensions().get::<PeerChain>();
    let leaf = chain.and_then(|chain| chain.0.first());
    let leaf = leaf.ok_or_else(|| Status::unauthenticated("a report needs a certificate"))?;
    let leaf = Leaf::parse(leaf).map_err(|error| Status::unauthenticated(error.to_string()))?;
    Ok(leaf.id)
}

fn not_leader(leader: &str) -> Replies {
    use super::generated::report_reply::Word;
    let word = Word::NotLeader(NotLeader { leader: leader.to_owned() });
    Box::pin(tokio_stream::once(Ok(ReportReply { word: Some(word) })))
}
