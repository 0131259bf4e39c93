//! The near end of a call: dials a gateway of the other cluster and waits for its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::model::LinkName;
use discovery::endpoint::{LinkPeers, LinkTarget};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;

use super::hello::{self, Answer, Hello, InvalidMessage, Refusal};
use crate::snapshot::Snapshot;
use crate::tls::link::{Dial, LinkDialler, LinkFailed, LinkProtocol};
use crate::tls::stream::TlsStream;
use crate::upstream::state::Shared;
use crate::upstream::tcp::{self, DialFailed};

/// For a TCP connection to a gateway: long enough for one lost first packet between continents.
pub const TCP_WAIT: Duration = Duration::from_secs(2);
/// For the TLS handshake: two round trips and the work of both ends.
pub const TLS_WAIT: Duration = Duration::from_secs(3);
/// For the far gateway's answer: it connects to the endpoint meanwhile, which it gives up sooner.
pub const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// Gateways that are tried for one call: one may be gone and another leave.
pub const GATEWAYS_TRIED: usize = 3;

/// A call that the far gateway accepted: what is written reaches the endpoint.
#[derive(Debug)]
pub struct Call {
    /// Towards the endpoint.
    pub stream: TlsStream<TcpStream>,
    /// Through whom.
    pub carrier: Carrier,
}

/// Which gateway of which link carries a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The link.
    pub link: LinkName,
    /// The far gateway's instance id.
    pub instance: Arc<str>,
}

/// Why there is no call. No byte of a request was sent: it is always safe to try elsewhere.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallFailed {
    /// The link has no address, or is not there any more.
    #[error("no gateway of link {0:?} is known")]
    NoGateway(LinkName),
    /// We have no identity for the link, or do not trust it.
    #[error("no credentials for link {0:?}")]
    NoCredentials(LinkName),
    /// The target makes no valid SNI.
    #[error("{0:?} is no name for a link connection")]
    Name(String),
    /// The gateway did not take the TCP connection.
    #[error("gateway {address} of the link: {reason}")]
    Unreachable {
        /// The gateway's address.
        address: SocketAddr,
        /// What failed.
        #[source]
        reason: DialFailed,
    },
    /// There is no TLS with the gateway, or it is not one of ours.
    #[error("gateway {address} of the link: {reason}")]
    Tls {
        /// The gateway's address.
        address: SocketAddr,
        /// What failed.
        #[source]
        reason: Box<LinkFailed>,
    },
    /// The gateway's answer was not understood or did not come.
    #[error("gateway {address} of the link: {reason}")]
    Answer {
        /// The gateway's address.
        address: SocketAddr,
        /// What failed.
        #[source]
        reason: InvalidMessage,
    },
    /// The gateway did not answer in time.
    #[error("gateway {0} of the link did not answer within {ANSWER_WAIT:?}")]
    AnswerTooSlow(SocketAddr),
    /// The gateway refused.
    #[error("refused by gateway {address} of the link: {refusal}")]
    Refused {
        /// The gateway's address.
        address: SocketAddr,
        /// Why.
        #[source]
        refusal: Refusal,
    },
}

/// Opens a call to `target`. Gateways that failed lately come last.
pub async fn call(
    shared: &Shared,
    snapshot: &Snapshot,
    target: &LinkTarget,
    hello: &Hello,
) -> Result<Call, CallFailed> {
    let no_gateway = || CallFailed::NoGateway(Arc::clone(&target.link));
    let peers = snapshot.endpoints.links.get(&target.link).ok_or_else(no_gateway)?;
    let dialler = snapshot
        .credentials
        .link(&target.link)
        .ok_or_else(|| CallFailed::NoCredentials(Arc::clone(&target.link)))?;
    let sni = target.sni();
    let name = ServerName::try_from(sni.as_str()).map_err(|_| CallFailed::Name(sni.clone()))?;
    let name = name.to_owned();
    let mut failed = no_gateway();
    for address in candidates(shared, peers, Instant::now()) {
        match dial(dialler, name.clone(), address, hello).await {
            Ok(call) => {
                shared.gateways.succeeded(&address);
                return Ok(call);
            }
            Err(error) => {
                if !error.is_of_gateway() {
                    return Err(error);
                }
                shared.gateways.failed(&address, Instant::now(), rand::random());
                tracing::debug!(%error, link = %target.link, "gateway of a link failed");
                failed = error;
            }
        }
    }
    Err(failed)
}

/// The addresses to try, each time beginning with the next.
fn candidates(shared: &Shared, peers: &LinkPeers, now: Instant) -> Vec<SocketAddr> {
    let count = peers.addresses.len();
    let first = shared.turn() % count.max(1);
    let turned = peers.addresses.iter().cycle().skip(first).take(count).copied();
    let (good, bad): (Vec<_>, Vec<_>) =
        turned.partition(|address| !shared.gateways.is_out(address, now));
    good.into_iter().chain(bad).take(GATEWAYS_TRIED).collect()
}

async fn dial(
    dialler: &LinkDialler,
    name: ServerName<'static>,
    address: SocketAddr,
    hello: &Hello,
) -> Result<Call, CallFailed> {
    let tcp = tcp::dial(address, TCP_WAIT)
        .await
        .map_err(|reason| CallFailed::Unreachable { address, reason })?;
    let first = hello.encode();
    let dial = Dial { first: &first, within: TLS_WAIT };
    let mut link = dialler
        .connect(LinkProtocol::Calls, name, tcp, dial)
        .await
        .map_err(|reason| CallFailed::Tls { address, reason: Box::new(reason) })?;
    let broken = |reason| CallFailed::Answer { address, reason };
    let message = tokio::time::timeout(ANSWER_WAIT, hello::read(&mut link.stream))
        .await
        .map_err(|_| CallFailed::AnswerTooSlow(address))?
        .map_err(broken)?;
    match Answer::decode(&message).map_err(broken)? {
        Answer::Accepted { instance } => {
            let carrier = Carrier { link: Arc::clone(dialler.link()), instance };
            Ok(Call { stream: link.stream, carrier })
        }
        Answer::Refused(refusal) => Err(CallFailed::Refused { address, refusal }),
    }
}

// === impl CallFailed ===

impl CallFailed {
    /// Whether another gateway of the link may do better.
    pub const fn is_of_gateway(&self) -> bool {
        match self {
            Self::NoGateway(_) | Self::NoCredentials(_) | Self::Name(_) => false,
            Self::Refused { refusal, .. } => refusal.code.is_of_gateway(),
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Answer { .. }
            | Self::AnswerTooSlow(_) => true,
        }
    }

    /// Whether it says nothing about the endpoint: no gateway of the link took the call, or we
    /// could not even ask.
    pub const fn is_of_link(&self) -> bool {
        match self {
            Self::NoGateway(_) | Self::NoCredentials(_) => true,
            Self::Name(_) => false,
            _ => self.is_of_gateway(),
        }
    }

    /// Whether time ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::AnswerTooSlow(_) | Self::Unreachable { reason: DialFailed::TooSlow(_), .. }
        )
    }
}

// === impl Carrier ===

impl Carrier {
    /// Whether the far gateway drains, or its link is gone: no request may begin there.
    pub fn is_draining(&self, snapshot: &Snapshot) -> bool {
        let peers = snapshot.endpoints.links.get(&self.link);
        peers.is_none_or(|peers| peers.draining.contains(&self.instance))
    }
}
