//! `/api/v1/table`: what each port serves, as requests see it.

use config::table::{
    self, Filter, HeaderChange, PortServes, RoutingTable, SniAction, StreamRule, Target,
    VirtualHosts,
};
use discovery::endpoint::EndpointTable;
use serde::{Deserialize, Serialize};

use super::endpoints::protocol;
use super::rule_label;

/// The running table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Counts compilations in the process.
    pub version: u64,
    /// By container port.
    pub ports: Vec<Port>,
}

/// One container port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Where the gateway listens.
    pub container_port: u16,
    /// The Gateway or mirrored Service whose port it is.
    pub owner: String,
    /// The port that clients know: the listener's or the Service's.
    pub port: u16,
    /// `http`, `tls` or `mirrored`.
    pub serves: String,
    /// Whether its owner went, and only what clients still send over old connections is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// What a mirrored port speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// In the order in which they are tried.
    pub rules: Vec<Rule>,
    /// Who answers where no rule stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
}

/// A match of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Such as `HTTPRoute shop/cart rule 0`.
    pub rule: String,
    /// The listener's host, `*` for all.
    pub listener: String,
    /// The route's own host, `*` where it names none.
    pub host: String,
    /// What it asks of a request.
    pub matches: String,
    /// What it changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// The Secrets of the certificates by which TLS is ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Where requests go.
    pub backends: Vec<Backend>,
}

/// A backend of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Such as `Service shop/web:80`; empty where it is not valid.
    pub backend: String,
    /// Its share.
    pub weight: u32,
    /// How many endpoints take requests now; absent while nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<usize>,
    /// Why it is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Table {
    /// What `table` serves, with the `endpoints` of the same moment.
    pub fn of(table: &RoutingTable, endpoints: &EndpointTable) -> Self {
        let standing = table.ports.iter();
        let standing = standing.map(|(number, port)| of_port(*number, port, endpoints));
        let withdrawn = table.withdrawn.iter().map(|(number, gone)| Port {
            withdrawn: true,
            ..of_port(*number, &gone.port, endpoints)
        });
        let mut ports: Vec<_> = standing.chain(withdrawn).collect();
        ports.sort_by_key(|port| (port.container_port, port.withdrawn));
        Self { version: table.version, ports }
    }
}

fn of_port(container_port: u16, port: &table::Port, known: &EndpointTable) -> Port {
    let mut view = Port {
        container_port,
        owner: port.name.to_string(),
        port: port.owner.port,
        serves: "http".to_owned(),
        withdrawn: false,
        protocol: None,
        rules: Vec::new(),
        backends: Vec::new(),
    };
    match &port.serves {
        PortServes::Http(hosts) => view.rules = of_hosts(hosts, &[], known),
        PortServes::Tls(table) => {
            "tls".clone_into(&mut view.serves);
            let mut actions: Vec<_> = table.actions.iter().collect();
            actions.sort_by(|one, other| one.0.cmp(&other.0));
            for (host, action) in actions {
                match action.as_ref() {
                    SniAction::Passthrough(rule) => view.rules.push(of_stream(host, rule, known)),
                    SniAction::Terminate(by) => {
                        let names: Vec<_> =
                            by.certificates.iter().map(ToString::to_string).collect();
                        view.rules.extend(of_hosts(&by.hosts, &names, known));
                    }
                }
            }
        }
        PortServes::Mirrored(mirrored) => {
            "mirrored".clone_into(&mut view.serves);
            view.protocol = Some(protocol(&mirrored.protocol).to_owned());
            if let Some(hosts) = &mirrored.routes {
                view.rules = of_hosts(hosts, &[], known);
            } else {
                let target = Target::Endpoints(mirrored.backend.clone());
                view.backends.push(of_target(&target, 1, known));
            }
        }
    }
    view
}

fn of_hosts(hosts: &VirtualHosts, certificates: &[String], known: &EndpointTable) -> Vec<Rule> {
    let rule = |standing: table::Standing| Rule {
        rule: rule_label(&standing.rule.id),
        listener: standing.listener,
        host: standing.host,
        matches: standing.matched.to_string(),
        filters: standing.rule.filters.iter().flat_map(filter).collect(),
        certificates: certificates.to_vec(),
        backends: of_backends(&standing.rule.backends, known),
    };
    hosts.standing().into_iter().map(rule).collect()
}

fn of_stream(host: String, rule: &StreamRule, known: &EndpointTable) -> Rule {
    Rule {
        rule: rule_label(&rule.id),
        listener: host.clone(),
        host,
        matches: "TLS, passed through".to_owned(),
        filters: Vec::new(),
        certificates: Vec::new(),
        backends: of_backends(&rule.backends, known),
    }
}

fn of_backends(backends: &[table::Backend], known: &EndpointTable) -> Vec<Backend> {
    backends.iter().map(|one| of_target(&one.target, one.weight, known)).collect()
}

fn of_target(target: &Target, weight: u32, known: &EndpointTable) -> Backend {
    match target {
        Target::Endpoints(key) => Backend {
            backend: key.to_string(),
            weight,
            endpoints: known.sets.get(key).map(|set| set.endpoints.len()),
            problem: None,
        },
        Target::Invalid(why) => Backend {
            backend: String::new(),
            weight,
            endpoints: None,
            problem: Some(why.to_string()),
        },
    }
}

/// Values of fields may be secret, so only names are told.
fn filter(filter: &Filter) -> Vec<String> {
    let (of, change): (_, &HeaderChange) = match filter {
        Filter::RequestHeaders(change) => ("request", change),
        Filter::ResponseHeaders(change) => ("response", change),
    };
    let set = change.set().iter().map(|(name, _)| format!("sets {of} header `{name}`"));
    let add = change.add().iter().map(|(name, _)| format!("adds {of} header `{name}`"));
    let remove = change.remove().iter().map(|name| format!("removes {of} header `{name}`"));
    set.chain(add).chain(remove).collect()
}
