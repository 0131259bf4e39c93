//! A client's connection: requests one after the other (HTTP/1) or side by side (HTTP/2).

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use ::h2::Reason;
use futures::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::attempt;
use super::h1::{Alarm, ReadError, Reader, ReplyTo, ResponseHead, ServerConn};
use super::h2;
use super::prepare::Origin;
use super::proxy::Proxy;
use super::serve::{Request, Served, Sides, serve};
use crate::connection::HttpConnection;
use crate::drain::Phase;
use crate::tls::stream::Socket;
use crate::wire::Wire;

#[cfg(test)]
mod tests;

/// Serves an HTTP/1 connection to its end.
///
/// A request has a box of its own, and so has whatever comes only once: between two requests the
/// connection does without their memory.
pub fn serve_http1(
    proxy: Arc<Proxy>,
    call: HttpConnection,
    (wire, ahead): (Wire, Vec<u8>),
) -> impl Future<Output = ()> + Send {
    let (reader, writer) = wire.split();
    let mut connection = ServerConn::new(reader, writer, proxy.waits);
    connection.reader = connection.reader.behind(ahead);
    let origin = Origin::of(&call);
    let mut alarm = Alarm::new();
    let (mut drain, mut end) = (proxy.draining.begins(), proxy.draining.ends());
    // Not an `async fn`, which would hold each of its arguments twice.
    async move {
        loop {
            let head = match select(pin!(connection.read_head()), pin!(drain.reached())).await {
                Either::Left((head, _)) => Some(head),
                Either::Right(((), _)) => None,
            };
            // Only an idle connection is ended: what has come of a request is read before.
            let Some(head) = head else { return Box::pin(connection.close()).await };
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => return Box::pin(connection.close()).await,
                Err(error) => return Box::pin(refuse(&proxy, connection, &error)).await,
            };
            let ServerConn { reader, writer } = &mut connection;
            let request = Request {
                call: &call,
                origin: &origin,
                head: &head,
                leaving: proxy.draining.phase() >= Phase::Leaving,
                began: Instant::now(),
            };
            let sides = Sides { body: reader, answer: writer, alarm: &mut alarm };
            // Written where it stays: it is large, and each request has one.
            let work = Box::write(Box::new_uninit(), serve(&proxy, request, sides));
            let served = match select(Box::into_pin(work), pin!(end.reached())).await {
                Either::Left((served, _)) => served,
                // An answer without a length would look whole if its connection merely ended.
                Either::Right(((), _)) => Served::BreakOff,
            };
            match served {
                Served::KeepAlive if is_read(&mut connection.reader).await => {}
                Served::KeepAlive | Served::Close => return Box::pin(connection.close()).await,
                Served::BreakOff => return attempt::break_off(connection.into_parts()),
                Served::Switched(switched) => {
                    return Box::pin(attempt::join_switched(connection, *switched)).await;
                }
            }
        }
    }
}

/// Whether all of a request is read, or the rest is so little that it was thrown away.
async fn is_read<R: AsyncRead + Unpin>(reader: &mut Reader<R>) -> bool {
    reader.is_done() || Box::pin(reader.drain()).await
}

/// Answers what could not be read, and ends the connection.
async fn refuse<R, W>(proxy: &Proxy, mut connection: ServerConn<R, W>, error: &ReadError)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let ReadError::Malformed(malformed) = error {
        proxy.metrics.malformed(malformed.label());
    }
    let Some(status) = error.request_status() else { return };
    let body = format!("spanway: {error}\n");
    let fields: [(&str, &[u8]); 2] =
        [("content-type", b"text/plain"), ("x-spanway-error", error.label().as_bytes())];
    let Ok(head) = ResponseHead::local(status, fields, body.len()) else { return };
    let answered = connection.respond(&head, ReplyTo::unread(), &[], body.as_bytes()).await;
    if answered.is_ok() {
        connection.close().await;
    }
}

/// What the requests of one HTTP/2 connection have in common: counted for each connection, as what
/// all connections hold must not be counted by each request.
struct Common {
    proxy: Arc<Proxy>,
    call: HttpConnection,
    origin: Origin,
    /// Somebody was told to go elsewhere.
    leave: Notify,
}

/// Serves an HTTP/2 connection to its end.
pub async fn serve_http2<S>(proxy: Arc<Proxy>, call: HttpConnection, stream: S)
where
    S: Socket,
{
    let origin = Origin::of(&call);
    let (waits, drain) = (proxy.waits, proxy.draining.begins());
    let common = Arc::new(Common { proxy, call, origin, leave: Notify::new() });
    h2::server::serve(stream, waits, (drain, &common.leave), |incoming| {
        serve_stream(Arc::clone(&common), incoming)
    })
    .await;
}

/// Serves one request of an HTTP/2 connection, in a task of its own.
fn serve_stream(
    common: Arc<Common>,
    stream: h2::server::Incoming,
) -> impl Future<Output = ()> + Send {
    let began = Instant::now();
    let h2::server::Incoming { request, ended, mut body, mut responder, active } = stream;
    let head = h2::fields::request_head(request, ended);
    // Not an `async fn`, which would hold each of its arguments twice.
    async move {
        let Common { proxy, call, origin, leave } = &*common;
        let head = match &head {
            Ok(head) => head,
            Err(malformed) => {
                proxy.metrics.malformed(malformed.label());
                return responder.reset(Reason::PROTOCOL_ERROR);
            }
        };
        let request = Request { call, origin, head, leaving: false, began };
        let mut alarm = Alarm::new();
        let sides = Sides { body: &mut body, answer: &mut responder, alarm: &mut alarm };
        match serve(proxy, request, sides).await {
            Served::KeepAlive => {}
            Served::Close => leave.notify_one(),
            Served::BreakOff | Served::Switched(_) => responder.reset(Reason::INTERNAL_ERROR),
        }
        drop(active);
    }
}
