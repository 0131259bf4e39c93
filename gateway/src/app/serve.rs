//! Who answers on connections: the request path, and the catalog for linked clusters.

use std::net::SocketAddr;
use std::sync::Arc;

use config::model::LinkName;
use discovery::catalog::Refusal;
use discovery::catalog::server::{PeerLink, Server};
use discovery::endpoint::LinkTarget;
use futures::future::Either;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tonic::service::Routes;
use tower::{Service as _, ServiceExt};

use crate::connection::first::Version;
use crate::connection::{HttpConnection, Serve};
use crate::http::proxy::Proxy;
use crate::http::server::{serve_http1, serve_http2};
use crate::link::far::Exports;
use crate::link::hello::RefusedCode;
use crate::snapshot::Published;
use crate::tls::link::LinkStream;
use crate::tls::stream::Socket;

/// Streams of one peer on one connection: each of its processes needs one.
const CATALOG_STREAMS_MAX: u32 = 16;

/// The request path and the catalog.
pub(super) struct Services {
    pub(super) proxy: Arc<Proxy>,
    pub(super) catalog: Server,
}

impl Serve for Services {
    fn http<S: Socket>(&self, io: S, call: HttpConnection) -> impl Future<Output = ()> + Send {
        let proxy = Arc::clone(&self.proxy);
        // The larger one is boxed, as the other is what most idle connections have.
        match call.version {
            Version::Http1 => Either::Left(serve_http1(proxy, call, io.into_wire())),
            Version::Http2 => Either::Right(Box::pin(serve_http2(proxy, call, io))),
        }
    }

    async fn catalog(&self, link: LinkStream<TcpStream>) {
        let peer = PeerLink(Arc::clone(&link.peer.link));
        let routes = Routes::new(self.catalog.clone().service()).prepare();
        let service =
            tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(peer.clone());
                let mut routes = routes.clone();
                let request = request.map(tonic::body::Body::new);
                async move {
                    ServiceExt::<http::Request<tonic::body::Body>>::ready(&mut routes)
                        .await?
                        .call(request)
                        .await
                }
            });
        let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2.max_concurrent_streams(CATALOG_STREAMS_MAX);
        let service = TowerToHyperService::new(service);
        if let Err(error) = http2.serve_connection(TokioIo::new(link.stream), service).await {
            tracing::debug!(%error, link = %link.peer.link, "catalog connection ended");
        }
    }
}

/// What linked clusters may reach, in the snapshot of now.
pub(super) struct Exported(pub(super) Arc<Published>);

impl Exports for Exported {
    fn resolve(&self, link: &LinkName, target: &LinkTarget) -> Result<SocketAddr, RefusedCode> {
        let snapshot = self.0.load();
        let offer = snapshot.offers.get(link).ok_or(RefusedCode::NotExported)?;
        let resolved = offer.table.allows(target).map_err(|refusal| match refusal {
            Refusal::NotExported | Refusal::NoSuchPort => RefusedCode::NotExported,
            Refusal::NoEndpoint => RefusedCode::UnknownEndpoint,
        })?;
        resolved.pick(rand::random_range(0..usize::MAX)).ok_or(RefusedCode::UnknownEndpoint)
    }
}
