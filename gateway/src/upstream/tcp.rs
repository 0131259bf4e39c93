//! TCP connections that we open.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;

#[cfg(test)]
mod tests;

/// How long bytes may stay unacknowledged before the peer counts as gone: well above what a
/// route needs to settle, well below what a caller waits. A probe of an idle connection counts too,
/// so that no number of probes has to be said.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after which an idle connection is probed: below the idle limits of usual firewalls.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Between probes.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Why there is no TCP connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialFailed {
    /// The system or the peer said no.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// Nobody answered.
    #[error("no connection within {0:?}")]
    TooSlow(Duration),
}

/// Connects to `address`.
pub async fn dial(address: SocketAddr, within: Duration) -> Result<TcpStream, DialFailed> {
    let connect = TcpStream::connect(address);
    let stream =
        tokio::time::timeout(within, connect).await.map_err(|_| DialFailed::TooSlow(within))??;
    prepare(&SockRef::from(&stream))?;
    Ok(stream)
}

/// Sets what every connection of ours has. Those that are accepted have it of the listening socket.
pub fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// Lets the runtime of this thread watch a connection on which nothing is under way, in place of the
/// one that has till now. Fails if the peer has said or ended something meanwhile.
///
/// What watches a socket cannot be taken off a stream that lies under TLS, so the stream is
/// replaced by one with a descriptor of its own for the same socket.
pub fn rewatch(stream: &mut TcpStream) -> io::Result<()> {
    let socket = SockRef::from(&*stream);
    // The other runtime may not have looked yet.
    let mut byte = [MaybeUninit::uninit(); 1];
    match socket.peek(&mut byte) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
    }
    let same = socket.try_clone()?;
    *stream = TcpStream::from_std(same.into())?;
    Ok(())
}
