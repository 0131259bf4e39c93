//! Makes listening sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use config::table::PortOwner;
use discovery::report::BoundPorts;
use imbl::OrdMap;
use socket2::{Domain, Protocol, Socket, Type};

use crate::upstream::tcp;

#[cfg(test)]
mod tests;

/// Connections that the kernel holds until we accept them; it lowers this to its own limit.
const BACKLOG: i32 = 4096;
/// What Linux answers where it was built or started without IPv6.
const EAFNOSUPPORT: i32 = 97;

/// How the ports stand. A copy is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindReport {
    /// Those that are bound on all addresses, each with its owner.
    pub bound: BoundPorts,
    /// Those that are not; why.
    pub failed: OrdMap<(u16, PortOwner), Arc<str>>,
    /// The same of the links' port, once it was tried.
    pub link: Option<Bound>,
}

/// Whether a port is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// On all addresses.
    Yes,
    /// Not; why.
    No(Arc<str>),
}

impl BindReport {
    /// Whether nothing was tried yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all that was wanted is bound.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && !matches!(self.link, Some(Bound::No(_)))
    }
}

/// Binds `port` on all `addresses`, or on none. Where the kernel has no IPv6, `::` means
/// `0.0.0.0`.
pub fn bind_all(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    addresses.iter().map(|address| bind(SocketAddr::new(*address, port))).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        Err(error) if address.ip().is_unspecified() && no_ipv6(&error) => {
            listen(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        done => done,
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    tcp::prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
