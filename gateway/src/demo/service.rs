//! Sample services: each answer says who gave it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// The longest request body that a sample echoes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a sample speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC, any method: a unary call that returns its message.
    Grpc,
}

impl Speaks {
    /// `appProtocol` of its port.
    pub(crate) const fn app_protocol(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "kubernetes.io/h2c",
            Self::Grpc => "grpc",
        }
    }
}

/// Who answers.
#[derive(Debug)]
struct Identity {
    cluster: String,
    service: String,
    instance: String,
    speaks: Speaks,
}

/// Starts an instance on a free loopback port; it ends with the task that it returns.
pub(crate) async fn start(
    cluster: &str,
    service: &str,
    number: usize,
    speaks: Speaks,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let identity = Arc::new(Identity {
        cluster: cluster.to_owned(),
        service: service.to_owned(),
        instance: format!("{service}-{number}"),
        speaks,
    });
    Ok((address, tokio::spawn(accept(listener, identity))))
}

async fn accept(listener: TcpListener, identity: Arc<Identity>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&identity)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, identity: Arc<Identity>) {
    let nodelay = stream.set_nodelay(true);
    debug_assert!(nodelay.is_ok(), "a connected socket takes options");
    let io = TokioIo::new(stream);
    let speaks = identity.speaks;
    let answer = service_fn(move |request| answer(request, Arc::clone(&identity)));
    // A client may end its connection as it likes.
    let _ended = match speaks {
        Speaks::Http1 => {
            hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await
        }
        Speaks::Http2 | Speaks::Grpc => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, answer)
                .await
        }
    };
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    identity: Arc<Identity>,
) -> Result<Response<Body>, http::Error> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let sent = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let Ok(sent) = sent.map(http_body_util::Collected::to_bytes) else {
        return Response::builder().status(413).body(full(Bytes::new()));
    };
    let Identity { cluster, service, instance, speaks } = identity.as_ref();
    let response = Response::builder()
        .header("x-served-cluster", cluster)
        .header("x-served-service", service)
        .header("x-served-instance", instance);
    if *speaks == Speaks::Grpc {
        return response.header("content-type", "application/grpc").body(unary(sent));
    }
    let body = if sent.is_empty() {
        Bytes::from(format!("{method} {path} answered by {instance} in {cluster}\n"))
    } else {
        sent
    };
    response.header("content-type", "text/plain").body(full(body))
}

fn full(body: Bytes) -> Body {
    Full::new(body).boxed()
}

/// The message back, and `grpc-status: 0` in the trailers.
fn unary(message: Bytes) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures::stream::iter(frames)).boxed()
}

/// A gRPC message: a flag byte, the length, the bytes.
pub(crate) fn grpc_message(payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(payload.len() + 5);
    message.put_u8(0);
    message.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    message.put_slice(payload);
    message.freeze()
}
