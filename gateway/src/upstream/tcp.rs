//! TCP connections that we open.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;

/// How long bytes may stay unacknowledged before the peer counts as gone: well above what a
/// route needs to settle, well below what a caller waits.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after which an idle connection is probed: below the idle limits of usual firewalls.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Between probes.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Probes without an answer before the peer counts as gone.
pub const KEEPALIVE_PROBES: u32 = 3;

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
    prepare(&stream)?;
    Ok(stream)
}

/// Sets what every connection of ours has, accepted or opened.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
