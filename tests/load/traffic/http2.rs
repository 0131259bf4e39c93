//! The HTTP/2 side of the load: requests over streams, and gRPC calls of one message each way.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, Uri};
use tokio::task::spawn_local;

use super::hold::{out_of_step, pause};
use super::lane::from;
use super::request::{Fields, Request, SMALL};
use super::wire::{Tls, dial, dial_narrow, dial_tls};

/// The message of a gRPC call: some fields of a usual request.
const MESSAGE: [u8; SMALL] = [b'm'; SMALL];

/// Opens a connection.
pub(crate) async fn open(
    number: usize,
    to: SocketAddr,
    tls: Option<&Tls>,
) -> anyhow::Result<SendRequest<Bytes>> {
    if let Some(tls) = tls {
        let (requests, connection) =
            client::handshake(dial_tls(from(number), to, tls).await?).await?;
        spawn_local(connection);
        return Ok(requests);
    }
    let (requests, connection) = client::handshake(dial(from(number), to).await?).await?;
    spawn_local(connection);
    Ok(requests)
}

/// What the heads of requests have in common, made once: names are not looked at anew for each.
pub(crate) struct Heads {
    grpc: bool,
    fields: HeaderMap,
    authorities: Vec<Authority>,
}

impl Heads {
    /// Of requests to so many hosts.
    pub(crate) fn new(fields: Fields, grpc: bool, hosts: u64) -> anyhow::Result<Self> {
        let mut lines = HeaderMap::new();
        for line in fields.text().lines() {
            let (name, value) = line.split_once(": ").context("a field has a name and a value")?;
            lines.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        if grpc {
            lines.append("content-type", HeaderValue::from_static("application/grpc"));
            lines.append("te", HeaderValue::from_static("trailers"));
        }
        lines.append("x-bench-remove", HeaderValue::from_static("secret"));
        lines.append("x-bench-keep", HeaderValue::from_static("yes"));
        let authority = |host| Authority::try_from(Request { number: 0, host }.host());
        let authorities = (0..hosts).map(authority).collect::<Result<_, _>>()?;
        Ok(Self { grpc, fields: lines, authorities })
    }

    fn of(&self, request: Request) -> anyhow::Result<HttpRequest<()>> {
        let host = usize::try_from(request.host)?;
        let authority = self.authorities.get(host).context("one of the hosts")?.clone();
        let (method, scheme, path) = if self.grpc {
            (Method::POST, Scheme::HTTP, PathAndQuery::from_static("/bench.Echo/Call"))
        } else {
            (Method::GET, Scheme::HTTPS, PathAndQuery::try_from(request.path())?)
        };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path);
        let mut head = HttpRequest::new(());
        *head.method_mut() = method;
        *head.uri_mut() = uri.build()?;
        *head.headers_mut() = self.fields.clone();
        if self.grpc {
            head.headers_mut().append("x-bench-path", HeaderValue::try_from(request.path())?);
        }
        Ok(head)
    }
}

/// One request; tells which endpoint answered.
pub(crate) async fn call(
    connection: SendRequest<Bytes>,
    heads: &Heads,
    request: Request,
) -> Result<usize, String> {
    let broken = |error: h2::Error| format!("stream: {error}");
    let mut connection = connection.ready().await.map_err(broken)?;
    let head = heads.of(request).map_err(|error| error.to_string())?;
    let (answer, mut body) = connection.send_request(head, !heads.grpc).map_err(broken)?;
    if heads.grpc {
        body.send_data(message(&MESSAGE), true).map_err(broken)?;
    }
    let (head, body) = answer.await.map_err(broken)?.into_parts();
    if head.status != 200 {
        let (text, _) = collect(body).await.map_err(broken)?;
        return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&text)));
    }
    if head.headers.contains_key("x-bench-secret") || !head.headers.contains_key("x-bench-served") {
        return Err(format!("fields were not changed: {:?}", head.headers));
    }
    let (bytes, trailers) = collect(body).await.map_err(broken)?;
    if !heads.grpc {
        return request.check(&bytes);
    }
    let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    if status.is_none_or(|status| status != "0") {
        return Err(format!("no grpc-status 0: {trailers:?}"));
    }
    request.check(bytes.get(5..).unwrap_or_default())
}

async fn collect(mut body: RecvStream) -> Result<(BytesMut, Option<HeaderMap>), h2::Error> {
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.put(data);
    }
    Ok((bytes, body.trailers().await?))
}

/// Clients give their window, of 65,535 bytes, back by halves; the `h2` crate would send an update
/// for every frame.
const GIVEN_BACK: usize = 32 * 1024 - 1;

/// Asks for a large body on a connection of its own and takes it in sips.
pub(crate) async fn sip(number: usize, to: SocketAddr, request: Request) -> anyhow::Result<()> {
    let tcp = dial_narrow(from(number), to).await?;
    let (requests, connection) = client::handshake(tcp).await?;
    spawn_local(connection);
    let uri = format!("http://{}/b/{:010}", request.host(), request.number);
    let head = HttpRequest::builder().uri(uri);
    let head = head.header("x-bench-remove", "secret").header("x-bench-keep", "yes").body(())?;
    let (answer, _) = requests.ready().await?.send_request(head, true)?;
    let mut body = answer.await?.into_body();
    spawn_local(async move {
        out_of_step(number).await;
        let mut owed = 0;
        while let Some(Ok(data)) = body.data().await {
            owed += data.len();
            if owed >= GIVEN_BACK {
                pause().await;
                let _given = body.flow_control().release_capacity(std::mem::take(&mut owed));
            }
        }
    });
    Ok(())
}

/// A message as gRPC frames it: not compressed, then its length.
pub(crate) fn message(bytes: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + bytes.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    framed.put_slice(bytes);
    framed.freeze()
}

/// Whether an end of a connection is an orderly one.
pub(crate) fn is_end(error: &h2::Error) -> bool {
    error.is_io() || error.reason() == Some(Reason::NO_ERROR)
}
