//! Clients of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::{Answer, WAIT, Wire};

/// Connects.
pub async fn connect(address: SocketAddr) -> Wire {
    let stream = timeout(WAIT, TcpStream::connect(address)).await.expect("in time");
    let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_nodelay(true).expect("a socket that is open");
    Wire::new(stream)
}

/// Sends one GET on a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    let mut client = connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.answer().await
}

/// How TLS is spoken.
#[derive(Debug, Default)]
pub struct Tls<'a> {
    /// The name that is asked for; none is sent for an IP address.
    pub name: &'a str,
    /// The protocols offered.
    pub alpn: &'a [&'a [u8]],
    /// The client's certificate and key.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Connects over TLS, whatever certificate the server has.
pub async fn connect_tls(
    address: SocketAddr,
    tls: Tls<'_>,
) -> std::io::Result<Wire<TlsStream<TcpStream>>> {
    let builder =
        ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match tls.identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("a valid key"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = tls.alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(tls.name.to_owned()).expect("a name");
    let tcp = TcpStream::connect(address).await?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    timeout(WAIT, connected).await.expect("in time").map(Wire::new)
}

/// The name in the certificate that the server showed.
pub fn shown(wire: &Wire<TlsStream<TcpStream>>) -> Vec<u8> {
    let (_, session) = wire.io.get_ref();
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    shown.expect("a certificate").to_vec()
}

/// Takes every certificate: tests look at what was shown.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
