//! Says which rule takes a request and why the others do not, through the table itself.

use std::sync::Arc;

use crate::model::Name;
use crate::table::{
    Backend, Port, PortServes, Request, RoutingTable, Rule, RuleId, SniAction, Target, Tried,
    VirtualHosts,
};

#[cfg(test)]
mod tests;

/// A request that somebody asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The host, lower case, without port.
    pub host: String,
    /// The port that a client connects to: the listener's, not the container's.
    pub port: u16,
    /// The path, with its leading slash.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// Fields; the names are lower case.
    pub headers: Vec<(String, String)>,
}

impl Request for Asked {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let named = self.headers.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_bytes())
    }
}

/// What happens to the request on one port.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The container port.
    pub container_port: u16,
    /// The Gateway or mirrored Service whose port it is.
    pub owner: Name,
    /// What the port speaks, and what comes before any rule.
    pub serves: String,
    /// Each rule in the order in which it is tried.
    pub tried: Vec<Tried>,
    /// What comes of it.
    pub answer: Answer,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A rule takes it, or a connection is copied.
    Backends {
        /// Whose rule; `None`: no route rules the calls.
        rule: Option<RuleId>,
        /// Who answers, by chance.
        chances: Vec<Chance>,
    },
    /// 404: no rule matches.
    NoRule,
    /// The connection is closed: nobody has the name.
    Closed,
}

/// A backend and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    /// Who is meant, or why nobody is.
    pub target: Target,
    /// From 0 to 1.
    pub chance: f64,
}

/// What happens to `asked` on each port that a client may mean: those of every Gateway with a
/// listener on that port, and of the mirrored Service that the host names.
pub fn explain(table: &RoutingTable, asked: &Asked) -> Vec<Explanation> {
    let mut ports: Vec<_> = table.ports.iter().filter(|(_, port)| is_meant(port, asked)).collect();
    ports.sort_by_key(|(number, _)| **number);
    ports.into_iter().map(|(number, port)| on_port(*number, port, asked)).collect()
}

fn is_meant(port: &Port, asked: &Asked) -> bool {
    if port.owner.port != asked.port {
        return false;
    }
    if !matches!(port.serves, PortServes::Mirrored(_)) {
        return true;
    }
    let mut labels = asked.host.split('.');
    labels.next() == Some(&port.name.name) && labels.next() == Some(&port.name.namespace)
}

fn on_port(container_port: u16, port: &Port, asked: &Asked) -> Explanation {
    let host = asked.host.as_bytes();
    let (serves, tried, answer) = match &port.serves {
        PortServes::Http(hosts) => {
            let (tried, answer) = by_rules(hosts, asked);
            ("HTTP".to_owned(), tried, answer)
        }
        PortServes::Tls(table) => match table.actions.find(host).map(Arc::as_ref) {
            None => ("TLS: no listener has this name".to_owned(), vec![], Answer::Closed),
            Some(SniAction::Terminate(tls)) => {
                let names: Vec<_> = tls.certificates.iter().map(ToString::to_string).collect();
                let (tried, answer) = by_rules(&tls.hosts, asked);
                (format!("TLS, ended with Secret {}", names.join(", ")), tried, answer)
            }
            Some(SniAction::Passthrough(rule)) if rule.backends.is_empty() => {
                ("TLS: no route or certificate for this name".to_owned(), vec![], Answer::Closed)
            }
            Some(SniAction::Passthrough(rule)) => {
                let chances = chances(&rule.backends);
                let answer = Answer::Backends { rule: Some(rule.id.clone()), chances };
                ("TLS, passed through".to_owned(), vec![], answer)
            }
        },
        PortServes::Mirrored(mirrored) => {
            let (tried, answer) = mirrored.routes.as_ref().map_or_else(
                || {
                    let target = Target::Endpoints(mirrored.backend.clone());
                    let chances = vec![Chance { target, chance: 1.0 }];
                    (vec![], Answer::Backends { rule: None, chances })
                },
                |hosts| by_rules(hosts, asked),
            );
            let ruled = if mirrored.routes.is_some() { "routes" } else { "no route" };
            (format!("calls to a mirrored Service, ruled by {ruled}"), tried, answer)
        }
    };
    Explanation { container_port, owner: port.name.clone(), serves, tried, answer }
}

fn by_rules(hosts: &VirtualHosts, asked: &Asked) -> (Vec<Tried>, Answer) {
    let answer = hosts.find(asked).map_or(Answer::NoRule, |rule| of_rule(rule));
    (hosts.explain(asked), answer)
}

fn of_rule(rule: &Rule) -> Answer {
    Answer::Backends { rule: Some(rule.id.clone()), chances: chances(&rule.backends) }
}

fn chances(backends: &[Backend]) -> Vec<Chance> {
    let total: f64 = backends.iter().map(|backend| f64::from(backend.weight)).sum();
    let chance = |backend: &Backend| {
        let chance = if total > 0.0 { f64::from(backend.weight) / total } else { 0.0 };
        Chance { target: backend.target.clone(), chance }
    };
    backends.iter().map(chance).collect()
}
