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

/// Bytes that the system takes from us for a connection without having sent them. By itself it takes
/// megabytes where a peer reads slowly, for each connection, and once all have as much as the system
/// allows it drops what others send. With two parts of a body the next is there in time.
pub const NOT_SENT_MAX: u32 = 128 * 1024;
/// The same where much flows that nobody here looks at: a pipe holds more than a part of a body, and
/// to be woken for less than one holds costs more than all else.
const NOT_SENT_MUCH: u32 = 1024 * 1024;

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
    let stream = dial_briefly(address, within).await?;
    find_gone(&SockRef::from(&stream))?;
    Ok(stream)
}

/// The same for a connection that may end soon: its peer is [watched over](watch_over) only if it does
/// not. To say so to the system costs a fortieth of all that a copied connection of one exchange does.
pub async fn dial_briefly(address: SocketAddr, within: Duration) -> Result<TcpStream, DialFailed> {
    let connect = TcpStream::connect(address);
    let stream =
        tokio::time::timeout(within, connect).await.map_err(|_| DialFailed::TooSlow(within))??;
    send_at_once(&SockRef::from(&stream))?;
    Ok(stream)
}

/// Sets what every connection of ours has. Those that are accepted have it of the listening socket.
pub fn prepare(socket: &Socket) -> io::Result<()> {
    send_at_once(socket)?;
    find_gone(socket)
}

fn send_at_once(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(NOT_SENT_MAX)?;
    Ok(())
}

/// Lets the system find out when the peer is gone. Without that the connection works too.
pub fn watch_over(stream: &TcpStream) {
    if let Err(error) = find_gone(&SockRef::from(stream)) {
        tracing::debug!(%error, "nobody will find out when a peer is gone");
    }
}

fn find_gone(socket: &Socket) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// Lets the system take more of a connection through which much flows. Without that it works too.
pub fn carry_much(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_MUCH) {
        tracing::debug!(%error, "a connection carries no more at once");
    }
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
