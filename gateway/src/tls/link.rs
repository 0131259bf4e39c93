//! Both ends of a link connection: who accepts it, who dials it, whom each then speaks with.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;

use super::provider;
use super::server::offer_sessions;
use super::stream::{self, HandshakeFailed, Socket, TlsStream};
use super::svid::Svid;
use super::trust::{Peer, Side};
use super::verifier::{PeerRefused, PeerVerifier, Refused};

#[cfg(test)]
mod tests;

/// The protocol of calls: hello, answer, then bytes both ways.
pub const ALPN_CALLS: &[u8] = b"spanway/1";

/// The protocol of the catalog: gRPC.
pub const ALPN_CATALOG: &[u8] = b"h2";

/// Endpoints of a link whose sessions may be taken up again: a server takes up a session only under
/// the name that it began with.
const ENDPOINTS: usize = 1024;
/// Sessions of one endpoint that rustls keeps, by which it divides what it is told.
const SESSIONS_OF_ENDPOINT: usize = 8;
/// Sessions that may be taken up again by whom they were begun, all links together: each has the
/// chain that its client presented, about a kilobyte.
const SESSIONS: usize = 4096;

/// What a link connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkProtocol {
    /// A call to a service.
    Calls,
    /// The catalog.
    Catalog,
}

/// The accepting end, for all links at once.
#[derive(Clone, Debug)]
pub struct LinkListener {
    config: Arc<ServerConfig>,
    verifier: Arc<PeerVerifier>,
}

/// The dialling end of one link.
#[derive(Clone, Debug)]
pub struct LinkDialler {
    link: Arc<str>,
    calls: Arc<ClientConfig>,
    catalog: Arc<ClientConfig>,
    verifier: Arc<PeerVerifier>,
}

/// A link connection whose other end is known.
#[derive(Debug)]
pub struct LinkStream<S> {
    /// The bytes.
    pub stream: TlsStream<S>,
    /// The other end.
    pub peer: Peer,
    /// What it is for.
    pub protocol: LinkProtocol,
}

/// Why there is no link connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkFailed {
    /// There is no TLS.
    #[error(transparent)]
    Handshake(#[from] HandshakeFailed),
    /// The two ends have no protocol in common.
    #[error("the peer agreed on no protocol of links")]
    Protocol,
    /// The peer is not one of ours.
    #[error(transparent)]
    Refused(#[from] PeerRefused),
}

// === impl LinkFailed ===

impl LinkFailed {
    /// The reason as it stands in a condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Protocol => "ProtocolMismatch",
            Self::Refused(refused) => refused.reason(),
            Self::Handshake(failed) => failed
                .refusal()
                .map_or_else(|| handshake_reason(failed), |refused| refused.reason()),
        }
    }
}

fn handshake_reason(failed: &HandshakeFailed) -> &'static str {
    use rustls::AlertDescription as Alert;
    match failed {
        HandshakeFailed::Io(_) => "ConnectionFailed",
        HandshakeFailed::Timeout(_) => "HandshakeTimeout",
        HandshakeFailed::Tls(
            rustls::Error::AlertReceived(Alert::NoApplicationProtocol | Alert::ProtocolVersion)
            | rustls::Error::NoApplicationProtocol
            | rustls::Error::PeerIncompatible(_),
        ) => "ProtocolMismatch",
        HandshakeFailed::Tls(rustls::Error::AlertReceived(_)) => "RefusedByPeer",
        HandshakeFailed::Tls(_) => "HandshakeFailed",
    }
}

// === impl LinkListener ===

impl LinkListener {
    /// Accepts whom `verifier` knows, as the holder of `svid`.
    pub fn new(svid: &Svid, verifier: Arc<PeerVerifier>) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider::link())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(svid.certified_key())));
        config.alpn_protocols = vec![ALPN_CALLS.to_vec(), ALPN_CATALOG.to_vec()];
        offer_sessions(&mut config, SESSIONS);
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The configuration, for a connection whose ClientHello was read already.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether a peer that was accepted at `at` would be accepted still: by the trust of now, and
    /// without regard to the end of its certificate, which a standing connection outlives.
    pub fn still_trusts(&self, chain: &[CertificateDer<'_>], at: UnixTime) -> bool {
        let chain: Vec<&CertificateDer<'_>> = chain.iter().collect();
        self.verifier.peers().authenticate(&chain, Side::Client, at).is_ok()
    }

    /// Completes a handshake, and says with whom.
    pub async fn accept<S: Socket>(
        &self,
        io: S,
        within: Duration,
    ) -> Result<LinkStream<S>, LinkFailed> {
        self.admit(stream::accept(self.config(), io, within).await)
    }

    /// Says with whom a handshake was completed that used [`config`](Self::config).
    pub fn admit<S: Socket>(
        &self,
        done: Result<TlsStream<S>, HandshakeFailed>,
    ) -> Result<LinkStream<S>, LinkFailed> {
        let stream = done.inspect_err(|error| {
            // rustls does not ask the verifier about a peer that presents nothing.
            if error.refusal() == Some(PeerRefused::NoCertificate) {
                self.verifier.refusals().tell(Refused {
                    link: None,
                    claimed: None,
                    reason: PeerRefused::NoCertificate,
                    side: Side::Client,
                });
            }
        })?;
        known(stream, &self.verifier, Side::Client, self.config.time_provider.as_ref())
    }
}

// === impl LinkDialler ===

impl LinkDialler {
    /// Dials those that `verifier` knows, as the holder of `svid`.
    pub fn new(
        link: Arc<str>,
        svid: &Svid,
        verifier: Arc<PeerVerifier>,
    ) -> Result<Self, rustls::Error> {
        let config = |protocol: LinkProtocol| {
            let mut config = ClientConfig::builder_with_provider(provider::link())
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(svid.certified_key())));
            config.alpn_protocols = vec![protocol.alpn().to_vec()];
            config.resumption = Resumption::in_memory_sessions(ENDPOINTS * SESSIONS_OF_ENDPOINT);
            Ok::<_, rustls::Error>(Arc::new(config))
        };
        Ok(Self {
            link,
            calls: config(LinkProtocol::Calls)?,
            catalog: config(LinkProtocol::Catalog)?,
            verifier,
        })
    }

    /// The name of the link.
    pub fn link(&self) -> &Arc<str> {
        &self.link
    }

    /// Completes a handshake over `io`; `first` leaves with its end, once the server is verified.
    pub async fn connect<S: Socket>(
        &self,
        protocol: LinkProtocol,
        name: ServerName<'static>,
        io: S,
        dial: Dial<'_>,
    ) -> Result<LinkStream<S>, LinkFailed> {
        let config = match protocol {
            LinkProtocol::Calls => &self.calls,
            LinkProtocol::Catalog => &self.catalog,
        };
        let stream = stream::connect(Arc::clone(config), name, io, dial.first, dial.within).await?;
        known(stream, &self.verifier, Side::Server, config.time_provider.as_ref())
    }
}

/// How a link is dialled.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// What leaves together with the end of the handshake.
    pub first: &'a [u8],
    /// How long the handshake may take.
    pub within: Duration,
}

fn known<S: Socket>(
    stream: TlsStream<S>,
    verifier: &PeerVerifier,
    side: Side,
    time: &dyn TimeProvider,
) -> Result<LinkStream<S>, LinkFailed> {
    let protocol = LinkProtocol::of(stream.alpn()).ok_or(LinkFailed::Protocol)?;
    let chain: Vec<&CertificateDer<'_>> = stream.peer_chain().iter().collect();
    let now = time.current_time().unwrap_or_else(UnixTime::now);
    let peer = if stream.resumed() {
        // Nobody has looked at the certificates, and meanwhile they may have expired.
        verifier.authenticate(&chain, side, now)?
    } else {
        verifier.recall(&chain, side, now)?
    };
    Ok(LinkStream { stream, peer, protocol })
}

// === impl LinkProtocol ===

impl LinkProtocol {
    /// Its name in the handshake.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Calls => ALPN_CALLS,
            Self::Catalog => ALPN_CATALOG,
        }
    }

    /// The one of that name.
    pub fn of(alpn: Option<&[u8]>) -> Option<Self> {
        [Self::Calls, Self::Catalog].into_iter().find(|protocol| alpn == Some(protocol.alpn()))
    }
}
