//! Both ends of HTTP/2, stream by stream.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::WAIT;

/// A request as an endpoint sees it, and the way back.
pub type Incoming = (Request<RecvStream>, h2::server::SendResponse<Bytes>);

/// A client's connection.
pub struct Client {
    /// Where requests are sent.
    pub send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub ended: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// Shakes hands.
    pub async fn start<S>(io: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = timeout(WAIT, h2::client::handshake(io)).await.expect("in time");
        let (send, connection) = shaken.expect("HTTP/2");
        Self { send, ended: tokio::spawn(connection) }
    }

    /// Sends a head; the body follows on the stream.
    pub async fn request(
        &self,
        request: Request<()>,
        ended: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let ready = timeout(WAIT, self.send.clone().ready()).await.expect("in time");
        ready.expect("an open connection").send_request(request, ended).expect("a sound request")
    }
}

/// The connection of an endpoint: its requests, as they come.
pub fn serve<S>(io: S) -> mpsc::Receiver<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (give, take) = mpsc::channel(16);
    tokio::spawn(async move {
        let Ok(mut connection) = h2::server::handshake(io).await else { return };
        while let Some(Ok(incoming)) = connection.accept().await {
            if give.send(incoming).await.is_err() {
                return;
            }
        }
    });
    take
}

/// The next request.
pub async fn next(requests: &mut mpsc::Receiver<Incoming>) -> Incoming {
    timeout(WAIT, requests.recv()).await.expect("in time").expect("a request")
}

/// The head of an answer.
pub async fn head(answer: h2::client::ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    timeout(WAIT, answer).await.expect("an answer in time")
}

/// A body to its end, with its trailers.
pub async fn body(mut stream: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let work = async {
        let mut bytes = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, stream.trailers().await?))
    };
    timeout(WAIT, work).await.expect("the body ends in time")
}
