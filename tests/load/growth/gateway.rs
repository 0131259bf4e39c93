//! What a gateway does with its objects, without its sockets.

use std::sync::Arc;
use std::time::Duration;

use config::compile::{Compiler, Context};
use config::resources::{Resources, Slices};
use config::table::{PortServes, Request, RoutingTable, Rule};
use gateway::app::{Identity, Model, Withdrawals};
use gateway::snapshot::Published;
use gateway::telemetry::Metrics;
use gateway::tls::verifier::Refusals;
use tokio::time::Instant;

use super::objects::{NAMESPACE, PORT};

/// A model and what it publishes.
pub(crate) struct Gateway {
    model: Model,
    pub(crate) published: Arc<Published>,
}

impl Gateway {
    /// One that knows nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let published = Arc::new(Published::default());
        let model = Model::new(
            Compiler::new(Context::new(NAMESPACE)),
            Identity { cluster: "bench".into(), trust_domain: "bench.example".parse()? },
            (Arc::clone(&published), Arc::new(Metrics::new()?), Refusals::ignored()),
            (Withdrawals::new(Duration::ZERO), Duration::ZERO),
        );
        Ok(Self { model, published })
    }

    /// Takes in what there is, as the task does that follows a source, and publishes it.
    pub(crate) fn take(&mut self, resources: &Resources, slices: &Slices) {
        self.model.take_slices(&Arc::new(slices.clone()));
        self.model.take_resources(&Arc::new(resources.clone()), Instant::now());
        self.model.publish(Instant::now());
    }
}

/// A request for a path of a host.
pub(crate) struct Get<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl Request for Get<'_> {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn path(&self) -> &[u8] {
        self.1.as_bytes()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn header<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        std::iter::empty()
    }
}

/// The rule that takes a request.
pub(crate) fn find<'t>(table: &'t RoutingTable, request: &Get<'_>) -> Option<&'t Arc<Rule>> {
    match &table.port(PORT)?.serves {
        PortServes::Http(hosts) => hosts.find(request),
        PortServes::Tls(_) | PortServes::Mirrored(_) => None,
    }
}
