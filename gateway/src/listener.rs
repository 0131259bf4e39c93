//! Listening sockets, as the routing table wants them from moment to moment.

pub mod accept;
mod acceptor;
pub mod bind;
pub mod limits;
pub mod peek;

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use config::table::{PortOwner, RoutingTable};
use mio::Token;

use self::accept::Place;
pub use self::accept::{Accepted, Handler, Role};
use self::acceptor::Acceptor;
pub use self::bind::{BindReport, Bound};
use crate::drain::Draining;
use crate::snapshot::Published;
use crate::worker::Workers;

#[cfg(test)]
mod tests;

/// The container port on which calls and catalogs of linked clusters arrive.
pub const LINK_PORT: u16 = 15443;

/// What does not change while the gateway runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses on which every port is bound; `::` takes IPv4 too.
    pub addresses: Vec<IpAddr>,
    /// Ports that are not the routing table's.
    pub link_port: Option<u16>,
    /// How many connections may be open.
    pub limits: limits::Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            link_port: Some(LINK_PORT),
            limits: limits::Limits::default(),
        }
    }
}

/// Whose a listening socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A Gateway's, or a derived or mirrored Service's.
    Port(PortOwner),
    /// The links'.
    Link,
}

/// The sockets that listen now.
pub struct Listeners<H> {
    settings: Settings,
    workers: Arc<Workers>,
    context: accept::Context<H>,
    /// Started with the first socket.
    acceptor: Option<Acceptor>,
    /// The table that was brought about last.
    table: Arc<RoutingTable>,
    report: BindReport,
}

impl<H: Handler> Listeners<H> {
    /// None yet.
    pub fn new(
        settings: Settings,
        workers: Arc<Workers>,
        published: Arc<Published>,
        handler: Arc<H>,
        draining: Draining,
    ) -> Self {
        let limits = limits::Limiter::new(settings.limits);
        let context = accept::Context { published, handler, draining, limits };
        let (table, report) = (Arc::default(), BindReport::default());
        Self { settings, workers, context, acceptor: None, table, report }
    }

    /// Binds what `table` wants and is not bound, stops accepting where nothing is wanted, and
    /// says how every port stands. Only ports that differ from the table before are looked at, and
    /// those that could not be bound, which every call tries again.
    pub fn sync(&mut self, table: &Arc<RoutingTable>) -> &BindReport {
        if !matches!(self.report.link, Some(Bound::Yes)) {
            self.report.link = self.settings.link_port.map(|port| self.bind(port, &Owner::Link));
        }
        if Arc::ptr_eq(&self.table, table) && self.report.is_complete() {
            return &self.report;
        }
        let mut due = table.ports_not_in(&self.table);
        due.extend(self.report.failed.keys().map(|(port, _)| *port));
        self.table = Arc::clone(table);
        for port in due {
            self.settle(port, table.accepts(port));
        }
        &self.report
    }

    /// Stops accepting on all ports; connections that are open go on.
    pub fn stop(&mut self) {
        self.acceptor = None;
        self.table = Arc::default();
        self.report = BindReport::default();
    }

    /// Lets `owner` have a port, and nobody else.
    fn settle(&mut self, port: u16, owner: Option<&PortOwner>) {
        for other in self.owners(port).filter(|other| Some(other) != owner).collect::<Vec<_>>() {
            self.report.failed.remove(&(port, other.clone()));
            if self.report.bound.remove(&(port, other)) {
                self.close(port);
            }
        }
        let Some(owner) = owner else { return };
        let key = (port, owner.clone());
        if self.report.bound.contains(&key) {
            return;
        }
        match self.bind(port, &Owner::Port(owner.clone())) {
            Bound::Yes => {
                self.report.failed.remove(&key);
                self.report.bound.insert(key);
            }
            Bound::No(why) => drop(self.report.failed.insert(key, why)),
        }
    }

    /// Who has a port, or would have it if it could be bound.
    fn owners(&self, port: u16) -> impl Iterator<Item = PortOwner> {
        // No owner comes before one without a UID.
        let first = (port, PortOwner { uid: "".into(), port: 0 });
        let failed = self.report.failed.range(first..).map(|(key, _)| key);
        let failed = failed.take_while(move |(other, _)| *other == port).map(|(_, owner)| owner);
        self.report.bound.owners(port).chain(failed).cloned()
    }

    fn bind(&mut self, port: u16, owner: &Owner) -> Bound {
        match self.listen(port, owner) {
            Ok(()) => Bound::Yes,
            Err(error) => {
                tracing::warn!(port, ?owner, %error, "a port could not be bound");
                Bound::No(error.to_string().into())
            }
        }
    }

    fn listen(&mut self, port: u16, owner: &Owner) -> io::Result<()> {
        let sockets = bind::bind_all(&self.settings.addresses, port)?;
        if self.acceptor.is_none() {
            self.acceptor = Some(self.start()?);
        }
        let Some(acceptor) = &self.acceptor else { return Ok(()) };
        for (at, socket) in sockets.into_iter().enumerate() {
            let place = Place { owner: owner.clone(), container_port: port };
            if let Err(error) = acceptor.open(token(at, port), place, socket) {
                (0..at).for_each(|at| acceptor.close(token(at, port)));
                return Err(error);
            }
        }
        Ok(())
    }

    fn start(&self) -> io::Result<Acceptor> {
        let runtime = self.workers.acceptor().ok_or_else(|| io::Error::other("no worker runs"))?;
        Acceptor::start(self.context.clone(), self.workers.seats().clone(), runtime)
    }

    fn close(&self, port: u16) {
        if let Some(acceptor) = &self.acceptor {
            (0..self.settings.addresses.len()).for_each(|at| acceptor.close(token(at, port)));
        }
    }
}

/// Names the socket of a port on the `at`th address, of which there are a few: tokens are in the order
/// of ports.
fn token(at: usize, port: u16) -> Token {
    Token(usize::from(port) << 16 | at)
}
