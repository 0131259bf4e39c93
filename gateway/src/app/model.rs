//! Brings the snapshot forward, change by change: objects, slices, links and certificates come in,
//! one published value goes out.
//!
//! One task does all of it, in order, so no two moments are ever mixed and no worker waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use config::api::cluster_link::BundleRef;
use config::compile::{Compiled, Compiler, Named};
use config::marks::Standing;
use config::model::identity::TrustDomain;
use config::model::{BackendKey, Kind, LinkName, Name, ObjectRef};
use config::resources::{Resources, Slices, Versions, changed};
use config::table::{PortOwner, RoutingTable};
use discovery::catalog::{self, Exports, NamespaceLabels, Offer, Offers, Version};
use discovery::endpoint::build::{Built, Inputs, Links, Mirrored, Touched};
use discovery::link::{Link, LinkRejection, Own, links};
use discovery::plan::Owners;
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::Service;
use rustls_pki_types::UnixTime;
use tokio::time::Instant;

use super::retired::Retired;
use super::trust;
use super::withdrawn::Withdrawals;
use crate::snapshot::{Published, Snapshot};
use crate::telemetry::Metrics;
use crate::tls::credentials::{Credentials, Fault};
use crate::tls::svid::Svid;
use crate::tls::verifier::Refusals;

/// What follows from the objects, for those who write and for those who look.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// What was compiled last, published or held back.
    pub compiled: Arc<Compiled>,
    /// The Services that it was made of.
    pub services: OrdMap<Name, Arc<Service>>,
    /// The links that are sound.
    pub links: Arc<[Link]>,
    /// Those that are not.
    pub rejected_links: Arc<[LinkRejection]>,
    /// What each link knows.
    pub known: Links,
    /// What this cluster exports.
    pub exports: Exports,
    /// What is wrong with certificates and links' trust.
    pub faults: Arc<[Fault]>,
}

impl Derived {
    /// Who is to have a port: listeners, and the ports of Services of ours. Found out anew each time:
    /// nobody asks once all have theirs.
    pub fn owners(&self) -> impl Iterator<Item = PortOwner> {
        let listeners = self.compiled.wanted_ports.iter().map(|(owner, _)| owner.clone());
        listeners.chain(Owners::of(&self.services).ports().into_keys())
    }
}

/// Who this cluster is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub cluster: Arc<str>,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
}

/// The state between two snapshots.
pub struct Model {
    compiler: Compiler,
    pub(super) own: Identity,
    pub(super) published: Arc<Published>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) refusals: Refusals,
    resources: Arc<Resources>,
    slices: Arc<Slices>,
    svid: Option<Arc<Svid>>,
    built: Built,
    namespaces: NamespaceLabels,
    /// The mirrored Services that stand.
    standing: OrdMap<Name, Mirrored>,
    /// Them, and those that went lately.
    mirrors: OrdMap<Name, Mirrored>,
    withdrawals: Withdrawals,
    /// How long a new table waits for slices of the Services that it is the first to name.
    first_slices: Duration,
    /// The newest table; its version rises with each.
    table: RoutingTable,
    /// Whom the published table names.
    named: Named,
    retired: Retired,
    offers: Offers,
    draining: OrdSet<Arc<str>>,
    reached: Version,
    derived: Derived,
    /// Since when the newest table is held back.
    held: Option<Instant>,
    /// Whether links, certificates or our own identity have changed since credentials were made.
    credentials_stale: bool,
}

impl Model {
    /// Nothing is known yet. A new table waits for `first_slices` at most for the slices of Services
    /// that it is the first to name.
    pub fn new(
        compiler: Compiler,
        own: Identity,
        (published, metrics, refusals): (Arc<Published>, Arc<Metrics>, Refusals),
        (withdrawals, first_slices): (Withdrawals, Duration),
    ) -> Self {
        Self {
            compiler,
            own,
            published,
            metrics,
            refusals,
            resources: Arc::default(),
            slices: Arc::default(),
            svid: None,
            built: Built::default(),
            namespaces: NamespaceLabels::default(),
            standing: OrdMap::new(),
            mirrors: OrdMap::new(),
            withdrawals,
            first_slices,
            table: RoutingTable::default(),
            named: Named::default(),
            retired: Retired::default(),
            offers: Offers::default(),
            draining: OrdSet::new(),
            reached: Version::default(),
            derived: Derived::default(),
            held: None,
            credentials_stale: true,
        }
    }

    /// What follows from the objects now.
    pub(super) const fn derived(&self) -> &Derived {
        &self.derived
    }

    /// What each link gets of us.
    pub(super) const fn offers(&self) -> &Offers {
        &self.offers
    }

    /// The Secrets and `ConfigMap`s that the objects refer to.
    pub(super) fn wanted(&self) -> BTreeSet<ObjectRef> {
        let bundles = self.resources.cluster_links.valid.values().filter_map(|link| {
            let reference = link.spec.bundle_ref.as_ref()?;
            let name = Name::new(&self.compiler.context().namespace, &reference.name);
            Some(ObjectRef::new(Kind::ConfigMap, name))
        });
        self.derived.compiled.wanted.iter().cloned().chain(bundles).collect()
    }

    /// When something is due although nothing comes in: a table that is held back goes out at the
    /// latest, or a withdrawn port takes its next step.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = self.held.map(|since| since + self.first_slices);
        held.into_iter().chain(self.withdrawals.next()).chain(self.retired.next()).min()
    }

    /// The snapshots that nobody reads any more, to be dropped where nobody waits.
    pub(super) fn unread(&mut self, at: Instant) -> Vec<Arc<Snapshot>> {
        self.retired.unread(at)
    }

    /// Lets go of withdrawn ports whose time is over.
    pub(super) fn settle(&mut self, at: Instant) {
        if !self.withdrawals.advance(at) {
            return;
        }
        let mut touched = Touched::default();
        self.take_mirrors(&mut touched);
        self.update(&touched);
        self.take_table();
    }

    /// The table as it was compiled, with the ports that were withdrawn lately.
    fn take_table(&mut self) {
        let version = self.table.version + 1;
        let withdrawn = self.withdrawals.ports();
        self.table = RoutingTable { withdrawn, version, ..self.derived.compiled.table.clone() };
    }

    /// Takes in objects: compiles, finds links and exports. Of those where only a status is new,
    /// nothing follows but the version that other clusters are told.
    pub fn take_resources(&mut self, next: &Arc<Resources>, at: Instant) {
        if Arc::ptr_eq(&self.resources, next) {
            return;
        }
        let before = std::mem::replace(&mut self.resources, Arc::clone(next));
        if before.revision() == next.revision() {
            return self.offer(Some(&BTreeSet::new()));
        }
        let now = Arc::clone(&self.resources);
        let mut touched = Touched::default();
        touched.services.extend(changed(&before.services.valid, &now.services.valid));
        touched.services.extend(changed(&before.service_exports.valid, &now.service_exports.valid));
        if !before.namespaces.valid.ptr_eq(&now.namespaces.valid) {
            self.namespaces = namespace_labels(&now);
            touched.namespaces(&self.derived.known);
        }
        let compiled = self.compiler.compile(&now);
        let services_stand = before.services.valid.ptr_eq(&now.services.valid);
        let maps_stand = before.config_maps.valid.ptr_eq(&now.config_maps.valid);
        // Who owns a mirrored port follows from Services, and its number from the records.
        if !services_stand || !maps_stand {
            self.withdrawals.note(&self.table, &compiled.table, &self.mirrors, at);
        }
        self.take_services(&touched);
        self.take_mirrors(&mut touched);
        self.take_compiled(compiled);
        let links_stand = maps_stand && before.cluster_links.valid.ptr_eq(&now.cluster_links.valid);
        if !links_stand {
            self.read_links();
        }
        self.held.get_or_insert_with(Instant::now);
        self.update(&touched);
        let same_rules = links_stand && before.namespaces.valid.ptr_eq(&now.namespaces.valid);
        self.offer(same_rules.then_some(&touched.services));
    }

    /// Takes in which of these Services are mirrored.
    fn take_services(&mut self, touched: &Touched) {
        self.derived.services = self.resources.services.valid.clone();
        for name in &touched.services {
            let now = self.resources.services.valid.get(name);
            match now.and_then(|service| mirror(name, service)) {
                Some(mirrored) => drop(self.standing.insert(name.clone(), mirrored)),
                None => drop(self.standing.remove(name)),
            }
        }
    }

    fn take_compiled(&mut self, compiled: Arc<Compiled>) {
        let before = std::mem::replace(&mut self.derived.compiled, compiled);
        let compiled = &self.derived.compiled;
        self.credentials_stale |= !Arc::ptr_eq(&before.certificates, &compiled.certificates);
        self.take_table();
    }

    fn read_links(&mut self) {
        let now = &self.resources;
        let own = Own { cluster: &self.own.cluster, trust_domain: &self.own.trust_domain };
        let (sound, rejected) = links(&now.cluster_links.valid, own, &|wanted: &BundleRef| {
            let name = Name::new(&self.compiler.context().namespace, &wanted.name);
            now.config_maps.valid.get(&name)?.data.get(wanted.key()).map(Arc::from)
        });
        self.derived.links = sound.into();
        self.derived.rejected_links = rejected.into();
        self.credentials_stale = true;
    }

    /// Takes in slices: endpoints change, no route is compiled.
    pub fn take_slices(&mut self, next: &Arc<Slices>) {
        if Arc::ptr_eq(&self.slices, next) {
            return;
        }
        let before = std::mem::replace(&mut self.slices, Arc::clone(next));
        let mut touched = Touched::default();
        touched.services.extend(changed(&before.by_service, &self.slices.by_service));
        self.update(&touched);
        self.offer(Some(&touched.services));
    }

    /// Takes in what the links know.
    pub(super) fn take_links(&mut self, next: Links) {
        let mut touched = Touched::default();
        let names: BTreeSet<_> = self.derived.known.keys().chain(next.keys()).cloned().collect();
        for name in &names {
            touched.link(self.derived.known.get(name), next.get(name));
        }
        self.derived.known = next;
        self.update(&touched);
    }

    /// Takes in up to where the watches are complete, as it was read before the objects and slices
    /// that were taken in last.
    pub(super) fn take_reached(&mut self, reached: &Versions) {
        let reached = catalog::version(reached);
        if self.reached != reached {
            self.reached = reached;
            self.offer(Some(&BTreeSet::new()));
        }
    }

    /// Takes in our own certificate.
    pub(super) fn take_svid(&mut self, svid: Option<Arc<Svid>>) {
        self.svid = svid;
        self.credentials_stale = true;
    }

    /// Takes in which gateways of this cluster drain, to be told to all links.
    pub(super) fn take_draining(&mut self, draining: OrdSet<Arc<str>>) {
        self.draining = draining;
        self.offer(Some(&BTreeSet::new()));
    }

    /// Puts together what is known and publishes it if anything of it is new. Says whether it is.
    pub fn publish(&mut self, now: Instant) -> bool {
        let current = self.published.load_full();
        let newest = &self.table;
        let waits = self.held.is_some_and(|since| now < since + self.first_slices);
        let hold = waits && self.misses_slices();
        if !hold {
            self.held = None;
        }
        let table = if hold || newest.version == current.table.version {
            Arc::clone(&current.table)
        } else {
            self.named = self.derived.compiled.named.clone();
            Arc::new(newest.clone())
        };
        let credentials = self.credentials(&table, &current);
        let causes = [
            (!Arc::ptr_eq(&table, &current.table), "routes"),
            (!same_endpoints(&self.built, &current), "endpoints"),
        ];
        let is_new = causes.iter().any(|(changed, _)| *changed)
            || !Arc::ptr_eq(&credentials, &current.credentials)
            || !same_reach(&self.offers, &current.offers);
        if !is_new {
            return false;
        }
        let next = Snapshot {
            table,
            endpoints: Arc::new(self.built.table.clone()),
            credentials,
            offers: Arc::new(self.offers.clone()),
        };
        self.retired.push(self.published.swap(Arc::new(next)));
        for (_, cause) in causes.iter().filter(|(changed, _)| *changed) {
            self.metrics.swap(cause);
        }
        true
    }

    fn update(&mut self, touched: &Touched) {
        for name in &touched.services {
            self.derived.exports.update(
                name,
                self.resources.service_exports.valid.get(name).map(AsRef::as_ref),
                self.resources.services.valid.get(name).map(AsRef::as_ref),
                self.slices.by_service.get(name),
            );
        }
        let inputs = Inputs {
            services: &self.resources.services.valid,
            slices: &self.slices,
            exports: &self.derived.exports,
            links: &self.derived.known,
            mirrors: &self.mirrors,
            namespaces: &self.namespaces,
        };
        self.built.update(&inputs, touched);
    }

    fn take_mirrors(&mut self, touched: &mut Touched) {
        let mirrors = self.withdrawals.with(self.standing.clone());
        touched.mirrors.extend(changed(&self.mirrors, &mirrors));
        self.mirrors = mirrors;
    }

    /// Brings what each link gets up to date: these exports, or all where rules may have changed.
    fn offer(&mut self, only: Option<&BTreeSet<Name>>) {
        let version = version(&self.resources, &self.slices);
        let mut offers = Offers::default();
        for link in self.derived.links.iter() {
            let known = self.offers.get(&link.name).filter(|_| only.is_some());
            let mut offer = match (known, only) {
                (Some(known), Some(names)) => {
                    let mut offer = Offer::clone(known);
                    for name in names {
                        offer.update(&link.export, name, &self.derived.exports, &self.namespaces);
                    }
                    offer
                }
                _ => Offer::build(&link.export, &self.derived.exports, &self.namespaces),
            };
            offer.catalog.version = version.clone();
            offer.catalog.draining = self.draining.clone();
            offer.reached = self.reached.clone();
            offers.insert(Arc::clone(&link.name), Arc::new(offer));
        }
        self.offers = offers;
    }

    /// Whether the newest table names a Service for the first time whose slices nobody has seen.
    fn misses_slices(&self) -> bool {
        self.derived.compiled.named.not_in(&self.named).any(|key| {
            matches!(key, BackendKey::Service(port)
                if !self.slices.by_service.contains_key(&port.service))
        })
    }

    /// The credentials for `table`: those of now unless something that they are made of has changed.
    fn credentials(&mut self, table: &Arc<RoutingTable>, current: &Snapshot) -> Arc<Credentials> {
        let stale = std::mem::take(&mut self.credentials_stale);
        if !stale && table.terminations == current.table.terminations {
            return Arc::clone(&current.credentials);
        }
        let own = (&self.own.trust_domain, self.svid.as_ref());
        let certificates = &self.derived.compiled.certificates;
        let inputs = trust::inputs(own, &self.derived.links, certificates, table);
        let (credentials, faults) =
            Credentials::build(&inputs, &current.credentials, &self.refusals, UnixTime::now());
        self.derived.faults = faults.into();
        Arc::new(credentials)
    }
}

fn namespace_labels(resources: &Resources) -> NamespaceLabels {
    let labels = resources.namespaces.valid.iter().map(|(name, namespace)| {
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        (Arc::clone(&name.name), Arc::new(labels))
    });
    labels.collect()
}

fn mirror(name: &Name, service: &Service) -> Option<Mirrored> {
    match Standing::read(&name.namespace, service.metadata.labels.as_ref())? {
        Standing::Derived { .. } => None,
        Standing::Mirrored { import, from } => {
            Some(Mirrored { import, link: from.map(Into::into) })
        }
    }
}

/// What the watches have seen, as other clusters are told.
fn version(resources: &Resources, slices: &Slices) -> Version {
    let mut versions = resources.versions.clone();
    versions.insert(Kind::EndpointSlice, slices.version);
    catalog::version(&versions)
}

fn same_endpoints(built: &Built, current: &Snapshot) -> bool {
    built.table.sets.ptr_eq(&current.endpoints.sets)
        && built.table.links.ptr_eq(&current.endpoints.links)
}

/// Whether all links may reach the same. How new that is does not concern a connection.
fn same_reach(new: &Offers, current: &Offers) -> bool {
    let same = |(name, offer): (&LinkName, &Arc<Offer>)| {
        current.get(name).is_some_and(|known| known.reaches_what(offer))
    };
    new.len() == current.len() && new.iter().all(same)
}

#[cfg(test)]
mod tests;
