//! Calls a controller, once it has shown that it is one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use discovery::link::Address;
use discovery::resolve::{SystemResolver, resolve};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::generated::control_client::ControlClient;
use crate::tls::link::ALPN_CATALOG;
use crate::tls::provider;
use crate::tls::stream::{self, HandshakeFailed};
use crate::tls::svid::Svid;
use crate::tls::trust::{InvalidTrust, LinkTrust, Peers};
use crate::tls::verifier::{PeerVerifier, Presence, Refusals};

/// The name that every controller answers to; who it is follows from its SPIFFE ID.
const NAME: &str = "control.spanway.internal";

/// The largest answer: a chain and a bundle have some KiB.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// How often an open connection is tried, so that a dead controller is left for another.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long a try may take.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Why a controller could not be called.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Uncallable {
    /// Nobody could be trusted as one.
    #[error(transparent)]
    Trust(#[from] InvalidTrust),
    /// rustls refuses what we would show.
    #[error("our own certificate cannot be used: {0}")]
    Own(#[from] rustls::Error),
    /// The address leads nowhere.
    #[error("{address:?}: {error}")]
    Connect {
        /// The address.
        address: String,
        /// What happened.
        #[source]
        error: io::Error,
    },
    /// Whoever answers is no controller, or speaks otherwise.
    #[error("{address:?}: {error}")]
    Handshake {
        /// The address.
        address: String,
        /// What happened.
        #[source]
        error: HandshakeFailed,
    },
    /// It speaks no gRPC.
    #[error("{address:?}: {error}")]
    Transport {
        /// The address.
        address: String,
        /// What happened.
        #[source]
        error: tonic::transport::Error,
    },
}

/// Trusts the controllers that `trust` names, as nobody or as the holder of `svid`.
pub fn config(trust: &LinkTrust, svid: Option<&Svid>) -> Result<Arc<ClientConfig>, Uncallable> {
    let peers = Peers::only(trust)?;
    let verifier = PeerVerifier::new(peers, Refusals::ignored(), Presence::Required);
    let builder = ClientConfig::builder_with_provider(provider::link())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match svid {
        None => builder.with_no_client_auth(),
        Some(svid) => builder
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(svid.certified_key()))),
    };
    config.alpn_protocols = vec![ALPN_CATALOG.to_vec()];
    // Such a connection is opened once in a while, and then anew.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Connects to one of the addresses of a host and port. Names are resolved by our own resolver: a
/// static binary cannot use that of the C library.
async fn dial(address: &str) -> io::Result<TcpStream> {
    let parsed = Address::parse(address)
        .ok_or_else(|| io::Error::other(format!("`{address}` is not a host and a port")))?;
    let resolver = SystemResolver::new().map_err(io::Error::other)?;
    let found = resolve(&resolver, &[parsed], Instant::now()).await;
    let mut last = io::Error::other(found.problem.unwrap_or_else(|| "no address".into()));
    for address in found.addresses.iter() {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Calls the controller at `address`, a host and a port; nothing is sent to one that is none.
pub async fn connect(
    address: &str,
    config: Arc<ClientConfig>,
    within: Duration,
) -> Result<ControlClient<Channel>, Uncallable> {
    let failed = |error| Uncallable::Connect { address: address.to_owned(), error };
    let tcp = match tokio::time::timeout(within, dial(address)).await {
        Ok(connected) => connected.map_err(failed)?,
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    let name = ServerName::try_from(NAME).map_err(|error| failed(io::Error::other(error)))?;
    let tls = stream::connect(config, name, tcp, b"", within)
        .await
        .map_err(|error| Uncallable::Handshake { address: address.to_owned(), error })?;
    let transport = |error| Uncallable::Transport { address: address.to_owned(), error };
    let endpoint = Endpoint::from_shared(format!("http://{NAME}"))
        .map_err(transport)?
        .connect_timeout(within)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    // One connection, made already: a second would be to somebody who has not been asked.
    let mut made = Some(TokioIo::new(tls));
    let connector = service_fn(move |_| {
        std::future::ready(made.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(transport)?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
}
