//! Listening sockets, as the routing table wants them from moment to moment.

pub mod accept;
pub mod bind;
pub mod limits;
pub mod peek;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use config::table::{PortOwner, RoutingTable};
use tokio_util::sync::CancellationToken;

pub use self::accept::{Accepted, Handler, Role};
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
    sockets: HashMap<(u16, Owner), Listening>,
    /// The table that was brought about last, if all of it was, and how its ports stand.
    settled: Option<(Arc<RoutingTable>, Arc<[BindReport]>)>,
}

struct Listening {
    bound: Bound,
    /// Its drop stops the accept loops.
    stop: Option<CancellationToken>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
    }
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
        Self { settings, workers, context, sockets: HashMap::new(), settled: None }
    }

    /// Binds what `table` wants and is not bound, stops accepting where nothing is wanted, and
    /// says how every port stands. A port that could not be bound is tried again by every call.
    pub fn sync(&mut self, table: &Arc<RoutingTable>) -> Arc<[BindReport]> {
        if let Some((known, reports)) = &self.settled
            && Arc::ptr_eq(known, table)
        {
            return Arc::clone(reports);
        }
        let wanted = self.wanted(table);
        self.sockets.retain(|key, _| wanted.contains(key));
        for key in &wanted {
            let bound = self.sockets.get(key).is_some_and(|it| it.bound == Bound::Yes);
            if !bound {
                let listening = self.listen(key);
                self.sockets.insert(key.clone(), listening);
            }
        }
        let reports: Arc<[BindReport]> = self.reports().into();
        let all = reports.iter().all(|report| report.bound == Bound::Yes);
        self.settled = all.then(|| (Arc::clone(table), Arc::clone(&reports)));
        reports
    }

    /// How every port stands, in the order of their numbers.
    fn reports(&self) -> Vec<BindReport> {
        let mut reports: Vec<BindReport> = self
            .sockets
            .iter()
            .map(|((port, owner), listening)| BindReport {
                port: *port,
                owner: owner.clone(),
                bound: listening.bound.clone(),
            })
            .collect();
        reports.sort_by(|a, b| (a.port, &a.owner).cmp(&(b.port, &b.owner)));
        reports
    }

    /// Stops accepting on all ports; connections that are open go on.
    pub fn stop(&mut self) {
        self.sockets.clear();
        self.settled = None;
    }

    fn wanted(&self, table: &RoutingTable) -> HashSet<(u16, Owner)> {
        let ports = table.accepting();
        let ports = ports.map(|(number, port)| (number, Owner::Port(port.owner.clone())));
        ports.chain(self.settings.link_port.map(|port| (port, Owner::Link))).collect()
    }

    fn listen(&self, (port, owner): &(u16, Owner)) -> Listening {
        let bound = bind::bind_all(&self.settings.addresses, *port);
        let (sockets, acceptor) = match (bound, self.workers.acceptor()) {
            (Ok(sockets), Some(acceptor)) => (sockets, acceptor),
            (Ok(_), None) => {
                return Listening { bound: Bound::No("no worker runs".into()), stop: None };
            }
            (Err(error), _) => {
                tracing::warn!(port, ?owner, %error, "a port could not be bound");
                return Listening { bound: Bound::No(error.to_string().into()), stop: None };
            }
        };
        let stop = CancellationToken::new();
        for socket in sockets {
            let context = self.context.clone();
            let seats = self.workers.seats().clone();
            acceptor.spawn(accept::run(socket, owner.clone(), context, seats, stop.clone()));
        }
        Listening { bound: Bound::Yes, stop: Some(stop) }
    }
}
