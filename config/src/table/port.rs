//! What a container port serves.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Backend, RuleId, VirtualHosts};
use crate::model::{AppProtocol, BackendKey, Name};

/// Whose port it is: the key under which it was allotted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortOwner {
    /// UID of the Gateway, derived Service or mirrored Service.
    pub uid: Arc<str>,
    /// The listener's or Service's own port number, TCP.
    pub port: u16,
}

/// One container port.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Whose it is. A connection keeps the owner that it was accepted for.
    pub owner: PortOwner,
    /// The owner's name, for logs and metrics.
    pub name: Name,
    /// What is done with a connection.
    pub serves: PortServes,
}

/// A port as the connections of its owner find it.
#[derive(Clone, Copy, Debug)]
pub struct Owned<'a> {
    /// The port.
    pub port: &'a Arc<Port>,
    /// Whether its owner is still there.
    pub stands: bool,
}

/// A port whose owner went a short while ago. Its connections are told to go, and what still comes
/// over them is answered by what it served last.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// The port as it was last.
    pub port: Arc<Port>,
    /// Whether connections are still accepted: not everybody who sends them here knows by now.
    pub accepts: bool,
}

/// What is done with a connection on a port.
#[derive(Clone, Debug)]
pub enum PortServes {
    /// HTTP without TLS.
    Http(Arc<VirtualHosts>),
    /// TLS: the SNI decides.
    Tls(Arc<SniTable>),
    /// Calls to an imported service.
    Mirrored(Arc<MirroredPort>),
}

/// What a client must present (`Gateway.spec.tls.frontend`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// No certificate is asked for.
    NotAsked,
    /// One that a CA of this set signed (`AllowValidOnly`).
    Required(Arc<[Arc<[u8]>]>),
    /// Asked for, and any accepted (`AllowInsecureFallback`).
    Fallback(Arc<[Arc<[u8]>]>),
}

/// What the SNI of a TLS listener port leads to. `HostIndex` finds the most specific name.
#[derive(Clone, Debug, Default)]
pub struct SniTable {
    /// Host name or wildcard → action.
    pub actions: super::HostIndex<SniAction>,
}

/// What is done with a TLS connection.
#[derive(Clone, Debug)]
pub enum SniAction {
    /// Ended here.
    Terminate(Arc<TlsTermination>),
    /// Copied to a backend (TLSRoute).
    Passthrough(Arc<StreamRule>),
}

/// How TLS is ended, and what is behind it.
#[derive(Clone, Debug)]
pub struct TlsTermination {
    /// The Secret that holds certificate and key; `Credentials` has them under this name.
    pub certificates: Arc<[Name]>,
    /// What a client must present.
    pub client_auth: ClientAuth,
    /// The virtual hosts behind it: a request on such a connection is served from these only.
    pub hosts: Arc<VirtualHosts>,
}

/// Where the bytes of a connection go.
#[derive(Clone, Debug)]
pub struct StreamRule {
    /// Whose rule this is.
    pub id: RuleId,
    /// By weight.
    pub backends: Arc<[Backend]>,
}

/// A port of a derived or mirrored Service.
#[derive(Clone, Debug)]
pub struct MirroredPort {
    /// `appProtocol`, as the exporter says.
    pub protocol: AppProtocol,
    /// Who answers where no route rules the calls.
    pub backend: BackendKey,
    /// The rules of the routes whose parent it is; such a port never falls back to copying.
    pub routes: Option<Arc<VirtualHosts>>,
}

impl PartialEq for PortServes {
    /// By identity: what was built apart is never taken for the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => Arc::ptr_eq(one, other),
            (Self::Tls(one), Self::Tls(other)) => Arc::ptr_eq(one, other),
            (Self::Mirrored(one), Self::Mirrored(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Port {
    /// Everybody whose endpoints it names.
    pub fn backends(&self) -> HashSet<BackendKey> {
        let mut keys = HashSet::new();
        match &self.serves {
            PortServes::Http(hosts) => of_hosts(hosts, &mut keys),
            PortServes::Mirrored(mirrored) => {
                keys.insert(mirrored.backend.clone());
                mirrored.routes.iter().for_each(|hosts| of_hosts(hosts, &mut keys));
            }
            PortServes::Tls(table) => {
                for (_, action) in table.actions.iter() {
                    match action.as_ref() {
                        SniAction::Terminate(by) => of_hosts(&by.hosts, &mut keys),
                        SniAction::Passthrough(rule) => of_backends(&rule.backends, &mut keys),
                    }
                }
            }
        }
        keys
    }
}

fn of_hosts(hosts: &VirtualHosts, keys: &mut HashSet<BackendKey>) {
    for rule in hosts.rules() {
        of_backends(&rule.backends, keys);
    }
}

fn of_backends(backends: &[Backend], keys: &mut HashSet<BackendKey>) {
    keys.extend(backends.iter().filter_map(Backend::key).cloned());
}
