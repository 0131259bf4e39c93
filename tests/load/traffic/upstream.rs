//! The endpoints: they check the head of every request and say in the answer whose it is.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use h2::server;
use http::{HeaderMap, Response};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::bulk;
use super::head::{self, Head};
use super::http2;
use super::request::SMALL;

/// A head that is longer than this is not from our load.
const HEAD_MAX: usize = 16 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// The head of every right answer, without the number of bytes at its end.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: upstream\r\n\
date: Wed, 25 Nov 2026 12:00:00 GMT\r\ncontent-type: text/plain\r\nx-bench-secret: upstream\r\n\
content-length: ";
/// Bytes of a large body that are read at once.
const READ: usize = 256 * 1024;
/// What HTTP/2 connections begin with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that the system takes for one connection of an endpoint without having sent them.
const NOT_SENT: u32 = 128 * 1024;

/// Where endpoints listen and what they expect.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where: several addresses are several endpoints.
    #[arg(long, value_delimiter = ',')]
    listen: Vec<SocketAddr>,
    /// Heads come as the load sent them: nobody between reads them.
    #[arg(long)]
    raw: bool,
    /// Reads a ClientHello and answers each byte behind it with a large body.
    #[arg(long)]
    through: bool,
    /// Speaks TLS with the certificate of this folder.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// One endpoint.
#[derive(Clone)]
struct Endpoint {
    number: usize,
    raw: bool,
    through: bool,
    tls: Option<TlsAcceptor>,
}

/// Listens until it is ended.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let tls = options.tls.as_deref().map(acceptor).transpose()?;
    for (number, address) in options.listen.into_iter().enumerate() {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Endpoints are elsewhere: what waits with them must not fill this system's memory for TCP.
        socket.set_tcp_notsent_lowat(NOT_SENT)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let (raw, through, tls) = (options.raw, options.through, tls.clone());
        let endpoint = Endpoint { number, raw, through, tls };
        spawn_local(accept(listener, endpoint));
    }
    std::future::pending().await
}

fn acceptor(dir: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem"))?];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key"))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    // No row takes sessions up again.
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, endpoint: Endpoint) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let _set = tcp.set_nodelay(true);
                spawn_local(serve(tcp, endpoint.clone()));
            }
            Err(error) => eprintln!("endpoint {}: {error}", endpoint.number),
        }
    }
}

async fn serve(tcp: TcpStream, endpoint: Endpoint) {
    if endpoint.through {
        // A client that leaves ends it.
        let _left = bulk::answer_through(tcp).await;
        return;
    }
    if let Some(tls) = &endpoint.tls {
        // Who does not finish a handshake gets no answer, which the load notices.
        let Ok(stream) = tls.accept(tcp).await else { return };
        return serve_http1(stream, &endpoint).await;
    }
    let mut first = [0; 3];
    // A request is longer than this, so nothing is waited for that does not come.
    match tcp.peek(&mut first).await {
        Ok(3) if PREFACE.starts_with(&first) => serve_http2(tcp, endpoint.number).await,
        _ => serve_http1(tcp, &endpoint).await,
    }
}

async fn serve_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, endpoint: &Endpoint) {
    let (mut buffer, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(512));
    while let Ok(read) = stream.read_buf(&mut buffer).await {
        let mut taken = 0;
        while let Some(end) = memchr::memmem::find(&buffer[taken..], b"\r\n\r\n") {
            let head = &buffer[taken..taken + end];
            taken += end + 4;
            let Some(large) = answer(head, endpoint, &mut out) else { continue };
            let rest = buffer.split_off(taken);
            if exchange(&mut stream, large, &mut out, rest).await.is_err() {
                return;
            }
        }
        buffer.drain(..taken);
        let written = stream.write_all(&out).await;
        if read == 0 || buffer.len() > HEAD_MAX || written.is_err() {
            return;
        }
        out.clear();
    }
}

/// A large body on its way.
enum Large {
    /// It is sent behind the head.
    Down,
    /// So many bytes come.
    Up(usize),
}

/// Sends or takes in a large body; nothing else is on its way meanwhile.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    large: Large,
    out: &mut Vec<u8>,
    first: Vec<u8>,
) -> io::Result<()> {
    match large {
        Large::Down => {
            stream.write_all(out).await?;
            stream.write_all(&bulk::BODY).await?;
        }
        Large::Up(length) => {
            let mut at = first.len();
            let mut right = bulk::BODY.starts_with(&first);
            let mut buffer = vec![0; READ];
            while at < length {
                let read = stream.read(&mut buffer).await?;
                right &= read > 0 && bulk::BODY.get(at..at + read) == Some(&buffer[..read]);
                at += read;
                if !right {
                    return Err(io::Error::other("not the body that was sent"));
                }
            }
            stream.write_all(out).await?;
        }
    }
    out.clear();
    Ok(())
}

/// Writes an answer, or the head of a large one.
fn answer(bytes: &[u8], endpoint: &Endpoint, out: &mut Vec<u8>) -> Option<Large> {
    let checked = if endpoint.raw { head::raw(bytes) } else { head::check(bytes) };
    match checked {
        Ok(head) => {
            let large = match head.path.get(1) {
                Some(b'b') => Some(Large::Down),
                Some(b'u') => Some(Large::Up(head.length)),
                _ => None,
            };
            let length: &[u8] = match large {
                None => b"128",
                Some(Large::Down) => b"1048576",
                Some(Large::Up(_)) => b"0",
            };
            out.extend_from_slice(ANSWER);
            out.extend_from_slice(length);
            out.extend_from_slice(b"\r\n\r\n");
            if large.is_none() {
                body(&head, endpoint.number, out);
            }
            return large;
        }
        Err(reason) => {
            let text = format!("{reason}\n{}", String::from_utf8_lossy(bytes));
            let head = format!("HTTP/1.1 599 Wrong\r\ncontent-length: {}\r\n\r\n", text.len());
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    None
}

/// `/r/0000000001 h0000.bench.example e000` and so many dots that it is as long as all others.
fn body(head: &Head<'_>, endpoint: usize, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(head.path);
    out.push(b' ');
    out.extend_from_slice(head.host);
    out.extend_from_slice(b" e");
    let digits = [endpoint / 100 % 10, endpoint / 10 % 10, endpoint % 10];
    out.extend(digits.map(|digit| b'0' + digit.to_le_bytes()[0]));
    out.resize(from + SMALL, b'.');
}

async fn serve_http2(tcp: TcpStream, endpoint: usize) {
    let Ok(mut connection) = server::handshake(tcp).await else { return };
    while let Some(accepted) = connection.accept().await {
        match accepted {
            Ok((request, respond)) => {
                spawn_local(async move {
                    if let Err(error) = answer_http2(request, respond, endpoint).await {
                        eprintln!("endpoint {endpoint}: {error}");
                    }
                });
            }
            Err(error) if http2::is_end(&error) => return,
            Err(error) => return eprintln!("endpoint {endpoint}: {error}"),
        }
    }
}

async fn answer_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    endpoint: usize,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let mut got = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        got += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    let host = parts.uri.authority().map_or("", http::uri::Authority::as_str);
    let grpc = got > 0;
    let path = match parts.headers.get("x-bench-path") {
        Some(path) => path.as_bytes(),
        None => parts.uri.path().as_bytes(),
    };
    let fields =
        parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let mut text = Vec::new();
    let builder = Response::builder().header("x-bench-secret", "upstream");
    let builder = match head::fields_of(path, host.as_bytes(), fields) {
        Ok(head) => {
            self::body(&head, endpoint, &mut text);
            builder.status(200)
        }
        Err(reason) => {
            text = format!("{reason} in {:?}", parts.headers).into_bytes();
            builder.status(599)
        }
    };
    let kind = if grpc { "application/grpc" } else { "text/plain" };
    let Ok(response) = builder.header("content-type", kind).body(()) else { return Ok(()) };
    let mut stream = respond.send_response(response, false)?;
    if !grpc {
        return stream.send_data(text.into(), true);
    }
    stream.send_data(http2::message(&text), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
