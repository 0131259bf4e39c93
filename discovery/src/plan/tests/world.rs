//! A cluster in which plans are made and carried out.

use std::fmt::Write as _;

use config::api::cluster_link::{Import as ImportRules, MirrorRule};
use config::model::AppProtocol;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::super::*;
use crate::catalog::{CatalogPort, CatalogService, Transport};
use crate::merge::{Member, merge};
use crate::report::GatewayReport;
use crate::slices::{WereReady, gateways, standing as seated};

pub(super) fn web() -> Name {
    Name::new("shop", "web")
}

pub(super) fn exported(
    at: i64,
    ports: &[(&str, u16, Transport)],
) -> OrdMap<Name, Arc<CatalogService>> {
    let ports = ports.iter().map(|(name, number, transport)| CatalogPort {
        name: (*name).into(),
        number: *number,
        transport: *transport,
        protocol: AppProtocol::Http1,
        app_protocol: Some("http".into()),
    });
    let service = CatalogService {
        exported_at: at,
        headless: false,
        ports: ports.collect(),
        endpoints: OrdMap::new(),
        session_affinity_seconds: None,
        internal_traffic_policy: None,
        traffic_distribution: None,
        labels: OrdMap::unit("team".into(), "shop".into()),
        annotations: OrdMap::new(),
        ip_families: Vec::new(),
    };
    OrdMap::unit(web(), Arc::new(service))
}

fn web_http() -> OrdMap<Name, Arc<CatalogService>> {
    exported(1, &[("http", 80, Transport::Tcp)])
}

/// A cluster: what is exported to it, what stands in it, and an API server that takes changes.
pub(super) struct World {
    pub(super) own: OrdMap<Name, Arc<CatalogService>>,
    pub(super) remotes: Vec<Remote>,
    pub(super) namespaces: Namespaces,
    pub(super) observed: Observed,
    pub(super) ports: BTreeMap<PortOwner, u16>,
    pub(super) reports: Reports,
    /// What the round before this one knew.
    pub(super) known: Known,
    pub(super) version: u64,
}

impl World {
    /// `west` exports `shop/web`, and the link's rules name mirrored Services so.
    pub(super) fn importing(templates: &[&str]) -> Self {
        let rules = templates
            .iter()
            .map(|name| MirrorRule { name: (*name).into(), ..MirrorRule::default() });
        let rules = Arc::new(ImportRules { rules: rules.collect(), ..ImportRules::default() });
        let west =
            Remote { link: "to-west".into(), cluster: "west".into(), services: web_http(), rules };
        Self {
            own: OrdMap::new(),
            remotes: vec![west],
            namespaces: [("shop".into(), NamespaceView::default())].into(),
            observed: Observed::default(),
            ports: BTreeMap::new(),
            reports: Reports::new(),
            known: Known::default(),
            version: 0,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan_knowing(&self.known)
    }

    fn plan_knowing(&self, known: &Known) -> Plan {
        let remotes: Vec<Remote> = self
            .remotes
            .iter()
            .map(|remote| Remote { services: imported(remote, &self.namespaces), ..remote.clone() })
            .collect();
        let own = Member { cluster: "east".into(), services: self.own.clone() };
        let members: Vec<Member> = remotes
            .iter()
            .map(|r| Member { cluster: Arc::clone(&r.cluster), services: r.services.clone() })
            .chain([own])
            .collect();
        let (mirrors, problems) = mirrors(&remotes, &self.namespaces);
        let gateways = gateways(None, &self.reports, &self.observed.slices, &WereReady::default());
        let mut plan = plan(&Inputs {
            imports: &merge(&members),
            mirrors: &mirrors,
            namespaces: &self.namespaces,
            observed: &self.observed,
            ports: &self.ports,
            gateways: &gateways,
            reports: &self.reports,
            standing: &seated(&self.observed.slices),
            owners: &known.owners.next(&self.observed.services),
            known,
        });
        plan.problems.extend(problems);
        plan
    }

    /// Carries a round out and returns it in words. It is the same whatever is known.
    pub(super) fn round(&mut self) -> String {
        let plan = self.plan();
        assert_eq!(plan.changes, self.plan_knowing(&Known::default()).changes);
        self.known = plan.known;
        let mut words = String::new();
        for change in &plan.changes {
            let verb = match change {
                Change::Create(_) => "create",
                Change::Apply(_) => "apply",
                Change::Replace(_) => "replace",
                Change::Release(_) => "release",
                Change::Delete(_) => "delete",
            };
            let ObjectRef { kind, name } = change.reference();
            writeln!(words, "{verb} {kind} {}", alias(&name.name)).unwrap();
            self.carry_out(change);
        }
        words
    }

    /// Rounds until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..5 {
            if self.round().is_empty() {
                return;
            }
        }
        panic!("the plan does not come to rest: {}", self.round());
    }

    fn carry_out(&mut self, change: &Change) {
        self.version += 1;
        let name = change.reference().name.clone();
        match (change, change.reference().kind) {
            (Change::Delete(_), Kind::Service) => drop(self.observed.services.remove(&name)),
            (Change::Delete(_), Kind::ServiceImport) => drop(self.observed.imports.remove(&name)),
            (Change::Delete(_), _) => {
                self.observed.slices.by_service =
                    std::mem::take(&mut self.observed.slices.by_service)
                        .into_iter()
                        .map(|(service, slices)| (service, slices.without(&*name.name)))
                        .collect();
            }
            (
                Change::Create(o) | Change::Apply(o) | Change::Replace(o) | Change::Release(o),
                kind,
            ) => {
                self.put(kind, name, o.value.clone());
            }
        }
    }

    /// Stores an object as the API server completes it.
    pub(super) fn put(&mut self, kind: Kind, name: Name, mut value: Value) {
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        match kind {
            Kind::Service => {
                let known = self.observed.services.get(&name).and_then(|s| s.metadata.uid.clone());
                value["metadata"]["uid"] =
                    known.unwrap_or_else(|| format!("uid-{}", self.version)).into();
                if value["spec"]["clusterIPs"].is_null() {
                    value["spec"]["clusterIPs"] = json!(["10.96.0.7"]);
                    value["spec"]["ipFamilies"] = json!(["IPv4"]);
                    value["spec"]["sessionAffinity"] = "None".into();
                }
                let service: Service = serde_json::from_value(value).unwrap();
                self.observed.services.insert(name, Arc::new(service));
            }
            Kind::ServiceImport => {
                let import: ServiceImport = serde_json::from_value(value).unwrap();
                self.observed.imports.insert(name, Arc::new(import));
            }
            _ => {
                let slice: EndpointSlice = serde_json::from_value(value).unwrap();
                let label = &slice.metadata.labels.as_ref().unwrap()["kubernetes.io/service-name"];
                let service = Name::new(&name.namespace, label);
                let slices = self.observed.slices.by_service.entry(service).or_default();
                slices.insert(Arc::clone(&name.name), Arc::new(slice));
            }
        }
    }

    pub(super) fn service(&self, name: &str) -> Option<&Service> {
        self.observed.services.get(&Name::new("shop", name)).map(|service| &**service)
    }

    /// Somebody edits a Service.
    pub(super) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Service)) {
        let name = Name::new("shop", name);
        let mut service = (*self.observed.services[&name]).clone();
        edit(&mut service);
        self.observed.services.insert(name, Arc::new(service));
    }

    /// Kubernetes makes a slice for the pods that the user's Service selects.
    pub(super) fn users_slice(&mut self) {
        let name = Name::new("shop", "web-own");
        let value = json!({
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "endpoints": [],
        });
        self.put(Kind::EndpointSlice, name, value);
    }

    /// Gives every owner a port that one gateway has bound.
    pub(super) fn bind_all(&mut self) {
        let owners = Owners::of(&self.observed.services).ports();
        self.ports = owners.into_keys().zip(20_000..).collect();
        let report = GatewayReport {
            instance: "gw".into(),
            pod: Name::new("spanway-system", "gw-0"),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            serving: true,
            draining: false,
            table_version: 1,
            bound: self.ports.iter().map(|(owner, port)| (*port, owner.clone())).collect(),
            bind_failures: Vec::new(),
            strangers: Vec::new(),
            links: Vec::new(),
        };
        self.reports.insert("gw".into(), Arc::new(report));
    }

    pub(super) fn reasons(&self) -> Vec<&'static str> {
        self.plan().problems.iter().map(|problem| problem.reason).collect()
    }
}

/// Names with a digest in them, readable.
fn alias(name: &str) -> String {
    let derived = derived_name(&web()).name;
    let name = name.replace(&*derived, "DERIVED");
    let Some((stem, digest)) = name.rsplit_once('-') else { return name };
    if digest.len() == 20 { format!("{stem}-#") } else { name }
}
