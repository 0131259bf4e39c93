//! Finds the addresses of remote gateways, again whenever their names' time to live is over.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use tokio::time::Instant;

use crate::link::Address;

/// The shortest time after which a name is asked for again: a name with TTL 0 must not become a
/// stream of queries.
pub const TTL_MIN: Duration = Duration::from_secs(5);
/// The longest: an address that was moved in spite of a long TTL is found the same day, and
/// everything is, within five minutes.
pub const TTL_MAX: Duration = Duration::from_mins(5);
/// After a failure it is asked again so soon.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many addresses of a link are kept: more are not tried in any sensible time.
pub const ADDRESSES_MAX: usize = 64;

/// What one look-up of a name found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The addresses.
    pub ips: Vec<IpAddr>,
    /// For how long they hold.
    pub ttl: Duration,
}

/// Asks for the addresses of a name.
pub trait Resolve: Clone + Send + Sync + 'static {
    /// The addresses of `host`, or why there are none.
    fn lookup(&self, host: &str) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// The addresses of a link's gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// In the order in which the link names them.
    pub addresses: Arc<[SocketAddr]>,
    /// When to ask again; `None` where no name is among them.
    pub until: Option<Instant>,
    /// What could not be found.
    pub problem: Option<String>,
}

/// Resolves all `addresses` of a link; a name that cannot be resolved costs itself.
pub async fn resolve(resolver: &impl Resolve, addresses: &[Address], now: Instant) -> Resolved {
    let mut found: Vec<SocketAddr> = Vec::new();
    let mut hold: Option<Duration> = None;
    let mut problem = None;
    for address in addresses {
        let ttl = match address {
            Address::Ip(address) => {
                found.push(*address);
                continue;
            }
            Address::Host(host, port) => match lookup(resolver, host).await {
                Ok(answer) => {
                    found.extend(answer.ips.iter().map(|ip| SocketAddr::new(*ip, *port)));
                    answer.ttl.clamp(TTL_MIN, TTL_MAX)
                }
                Err(why) => {
                    problem = problem.or(Some(why));
                    RETRY_AFTER
                }
            },
        };
        hold = Some(hold.map_or(ttl, |hold| hold.min(ttl)));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|address| seen.insert(*address));
    found.truncate(ADDRESSES_MAX);
    Resolved { addresses: found.into(), until: hold.map(|hold| now + hold), problem }
}

async fn lookup(resolver: &impl Resolve, host: &str) -> Result<Answer, String> {
    match tokio::time::timeout(ANSWER_WITHIN, resolver.lookup(host)).await {
        Ok(Ok(answer)) if answer.ips.is_empty() => Err(format!("`{host}` has no address")),
        Ok(answer) => answer.map_err(|why| format!("`{host}` cannot be resolved: {why}")),
        Err(_) => Err(format!("`{host}` was not resolved within {ANSWER_WITHIN:?}")),
    }
}

/// Resolves as the machine's own configuration says.
#[derive(Clone)]
pub struct SystemResolver(Arc<TokioResolver>);

impl SystemResolver {
    /// Reads the machine's configuration.
    pub fn new() -> Result<Self, hickory_resolver::net::NetError> {
        Ok(Self(Arc::new(TokioResolver::builder_tokio()?.build()?)))
    }
}

impl Resolve for SystemResolver {
    async fn lookup(&self, host: &str) -> Result<Answer, String> {
        // The final dot keeps search domains out of it: a link names a place in the world.
        let found = self.0.lookup_ip(format!("{host}.")).await.map_err(|why| why.to_string())?;
        let ttl = found.valid_until().saturating_duration_since(std::time::Instant::now());
        Ok(Answer { ips: found.iter().collect(), ttl })
    }
}

#[cfg(test)]
mod tests;
