//! `/api/v1/explain`: what happens to a request, and why.

use std::sync::Arc;

use config::explain::{self, Asked, Explanation};
use config::table::{Outcome, RoutingTable, Target};
use discovery::endpoint::EndpointTable;
use serde::{Deserialize, Serialize};

use super::endpoints::{Endpoint, of_set};
use super::rule_label;

/// A question as it is asked on the command line or in a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Fields as `name: value`.
    pub headers: Vec<String>,
    /// Only the ports of this Gateway or Service, `namespace/name`.
    pub gateway: Option<String>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The method that was asked for.
    pub method: String,
    /// The URL that was asked for.
    pub url: String,
    /// What happens on each port that a client may mean.
    pub ports: Vec<OnPort>,
}

/// What happens on one port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnPort {
    /// The Gateway or mirrored Service whose port it is.
    pub owner: String,
    /// The port that the client connects to.
    pub port: u16,
    /// Where the gateway listens; absent while no leader has allotted a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// What the port speaks, and what comes before any rule.
    pub serves: String,
    /// Each rule in the order in which it is tried.
    pub rules: Vec<Rule>,
    /// What comes of it.
    pub answer: Answer,
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Such as `HTTPRoute shop/cart rule 0`.
    pub rule: String,
    /// The listener's host, `*` for all.
    pub listener: String,
    /// The route's own host, `*` where it names none.
    pub host: String,
    /// Whether it takes the request.
    pub takes: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Answer {
    /// Somebody answers.
    Backends {
        /// Whose rule; absent where no route rules the calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Who, by chance.
        backends: Vec<Choice>,
    },
    /// 404: no rule matches.
    NoRule,
    /// The connection is closed: nobody has the name.
    Closed,
}

/// A backend and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Such as `Service shop/web:80`; empty where it is not valid.
    pub backend: String,
    /// From 0 to 1.
    pub chance: f64,
    /// Why it answers 500 or 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Among whom one is chosen by load.
    pub endpoints: Vec<Endpoint>,
}

/// A question that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuestion {
    /// The URL is none.
    #[error("`{0}` is not a URL such as http://shop.example.com:8080/cart")]
    Url(String),
    /// A field has no name.
    #[error("`{0}` is not a header such as `name: value`")]
    Header(String),
    /// The method is none.
    #[error("`{0}` is not a method such as GET")]
    Method(String),
}

impl Question {
    /// The request that is meant.
    pub fn asked(&self) -> Result<Asked, InvalidQuestion> {
        let wrong = || InvalidQuestion::Url(self.url.clone());
        let url: http::Uri = self.url.parse().map_err(|_| wrong())?;
        let port = match url.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(wrong()),
        };
        if self.method.parse::<http::Method>().is_err() {
            return Err(InvalidQuestion::Method(self.method.clone()));
        }
        let headers = self.headers.iter().map(|header| {
            let pair = header.split_once(':').filter(|(name, _)| !name.trim().is_empty());
            let (name, value) = pair.ok_or_else(|| InvalidQuestion::Header(header.clone()))?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Asked {
            method: self.method.clone(),
            host: url.host().ok_or_else(wrong)?.to_ascii_lowercase(),
            port: url.port_u16().unwrap_or(port),
            path: if url.path().is_empty() { "/".to_owned() } else { url.path().to_owned() },
            query: url.query().map(str::to_owned),
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    /// What happens to the request by `table`, with the `endpoints` of the same moment.
    pub fn answer(
        &self,
        table: &RoutingTable,
        endpoints: &EndpointTable,
    ) -> Result<Explained, InvalidQuestion> {
        let asked = self.asked()?;
        let ports = explain::explain(table, &asked)
            .into_iter()
            .map(|one| on_port(one, asked.port, endpoints))
            .filter(|one| self.gateway.as_ref().is_none_or(|wanted| *wanted == one.owner))
            .collect();
        Ok(Explained { method: self.method.clone(), url: self.url.clone(), ports })
    }
}

impl Explained {
    /// Whether somebody answers, wherever the request arrives.
    pub fn is_answered(&self) -> bool {
        let answered = |one: &OnPort| match &one.answer {
            Answer::Backends { backends, .. } => {
                backends.iter().any(|one| one.chance > 0.0 && one.problem.is_none())
            }
            Answer::NoRule | Answer::Closed => false,
        };
        !self.ports.is_empty() && self.ports.iter().all(answered)
    }
}

fn on_port(one: Explanation, port: u16, known: &EndpointTable) -> OnPort {
    let answer = match one.answer {
        explain::Answer::Backends { rule, chances } => Answer::Backends {
            rule: rule.as_ref().map(rule_label),
            backends: chances.iter().map(|chance| choice(chance, known)).collect(),
        },
        explain::Answer::NoRule => Answer::NoRule,
        explain::Answer::Closed => Answer::Closed,
    };
    let rules = one.tried.into_iter().map(|tried| Rule {
        rule: rule_label(&tried.rule),
        listener: tried.listener,
        host: tried.host,
        takes: tried.outcome == Outcome::Matched,
        why: match tried.outcome {
            Outcome::Matched => None,
            Outcome::Shadowed => Some("it matches, but a rule before it does too".to_owned()),
            Outcome::NotMatched(why) => Some(why),
        },
    });
    OnPort {
        owner: one.owner.to_string(),
        port,
        container_port: Some(one.container_port),
        serves: one.serves,
        rules: rules.collect(),
        answer,
    }
}

fn choice(chance: &explain::Chance, known: &EndpointTable) -> Choice {
    let (backend, problem, endpoints) = match &chance.target {
        Target::Invalid(why) => (String::new(), Some(format!("500: {why}")), Vec::new()),
        Target::Endpoints(key) => match known.sets.get(key).map(Arc::as_ref) {
            Some(set) if set.endpoints.is_empty() => {
                (key.to_string(), Some("503: it has no endpoint".to_owned()), Vec::new())
            }
            Some(set) => (key.to_string(), None, of_set(set)),
            None => (key.to_string(), Some("503: no endpoint is known".to_owned()), Vec::new()),
        },
    };
    Choice { backend, chance: chance.chance, problem, endpoints }
}

#[cfg(test)]
mod tests;
