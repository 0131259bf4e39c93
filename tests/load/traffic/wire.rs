//! A connection of the load, plain or TLS, without a task or a buffer more than needed.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// What the kernel takes in for a client that reads slowly: as much as HTTP/2 has for a window.
const NARROW: u32 = 64 * 1024;

/// TLS as every proxy of a row gets it: 1.3, AES-128-GCM, X25519, a client certificate, and no
/// session taken up again.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// With the certificates of this folder.
    pub(crate) fn new(dir: &Path, name: &str, alpn: &str) -> anyhow::Result<Self> {
        let provider = CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519],
            ..default_provider()
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("ca.pem"))?)?;
        let chain = vec![CertificateDer::from_pem_file(dir.join("client.pem"))?];
        let key = PrivateKeyDer::from_pem_file(dir.join("client.key"))?;
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Self { config: config.into(), name: ServerName::try_from(name.to_owned())? })
    }
}

impl Tls {
    /// What a handshake needs.
    pub(crate) fn parts(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        (Arc::clone(&self.config), self.name.clone())
    }
}

/// Connects from this address.
pub(crate) async fn dial(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Many addresses with many ports each: the kernel may choose the port late.
    socket.bind(SocketAddr::new(from, 0))?;
    socket.set_nodelay(true)?;
    socket.connect(to).await
}

/// The same for who reads slowly: the kernel takes in little in its place.
pub(crate) async fn dial_narrow(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(NARROW)?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// The same with TLS on it.
pub(crate) async fn dial_tls(
    from: IpAddr,
    to: SocketAddr,
    tls: &Tls,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = dial(from, to).await?;
    TlsConnector::from(Arc::clone(&tls.config)).connect(tls.name.clone(), tcp).await
}

/// An open connection.
pub(crate) struct Wire {
    tcp: TcpStream,
    tls: Option<RefCell<ClientConnection>>,
}

impl Wire {
    /// Connects and shakes hands.
    pub(crate) async fn open(from: IpAddr, to: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let Some(tls) = tls else { return Ok(Self { tcp: dial(from, to).await?, tls: None }) };
        let (tcp, session) = dial_tls(from, to, tls).await?.into_inner();
        Ok(Self { tcp, tls: Some(RefCell::new(session)) })
    }

    /// Sends a head at once: it fits into the empty buffer of a connection that waits.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut direct = Direct(&self.tcp);
        let Some(session) = &self.tls else { return direct.write_all(bytes) };
        let mut session = session.borrow_mut();
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            session.write_tls(&mut direct)?;
        }
        Ok(())
    }

    /// Says goodbye where TLS wants it.
    pub(crate) fn close(&self) {
        if let Some(session) = &self.tls {
            let mut session = session.borrow_mut();
            session.send_close_notify();
            let _gone = session.write_tls(&mut Direct(&self.tcp));
        }
    }

    /// Waits for bytes; an error is also the end of the connection.
    pub(crate) async fn receive(&self, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            self.tcp.readable().await?;
            let read = match &self.tls {
                None => self.read_plain(into),
                Some(session) => self.read_tls(&mut session.borrow_mut(), into),
            };
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read_plain(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        into.reserve(READ);
        self.tcp.try_read_buf(into)
    }

    fn read_tls(&self, session: &mut ClientConnection, into: &mut Vec<u8>) -> io::Result<usize> {
        if session.read_tls(&mut Direct(&self.tcp))? == 0 {
            return Ok(0);
        }
        let state = session.process_new_packets().map_err(io::Error::other)?;
        let ready = state.plaintext_bytes_to_read();
        if ready == 0 {
            // A ticket, or half of a record.
            return Err(ErrorKind::WouldBlock.into());
        }
        let from = into.len();
        into.resize(from + ready, 0);
        session.reader().read_exact(&mut into[from..])?;
        Ok(ready)
    }
}

/// Reads and writes now or not at all.
struct Direct<'a>(&'a TcpStream);

impl Read for Direct<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
