//! One round of the leader's work, decided and not yet done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::api::ClusterLink;
use config::api::cluster_link::{BundleRef, Import as ImportRules};
use config::marks::Standing;
use config::model::identity::TrustDomain;
use config::model::{LinkName, Name};
use config::resources::{Resources, Slices};
use config::status::BIND_FAILED;
use config::table::PortOwner;
use imbl::OrdMap;
use jiff::{SignedDuration, Timestamp};

use crate::catalog::CatalogService;
use crate::catalog::client::LinkStates;
use crate::export::export;
use crate::link::{self, LinkRejection, Own};
use crate::merge::{Member, merge};
use crate::plan::{
    self, Change, Known, NamespaceView, Namespaces, Observed, Owners, Problem, Remote, imported,
    mirrors,
};
use crate::ports::{self, Allotment, Needs, PortRange};
use crate::report::LeaderWord;
use crate::slices::{self, Reports, Seating, WereReady};
use crate::status::{self, ExportVerdicts, ImportFacts, LinkFacts, PORTS_EXHAUSTED, StatusPatch};

/// What the leader works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// A Kubernetes cluster: gateways are pods, namespaces are objects.
    Kubernetes,
    /// A directory: there are no pods, and a namespace is there because something is in it.
    Directory,
}

/// What is set for as long as the process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our cluster's name.
    pub cluster: Arc<str>,
    /// Our trust domain.
    pub trust_domain: TrustDomain,
    /// Spanway's own namespace.
    pub namespace: Arc<str>,
    /// What the leader works in.
    pub world: World,
    /// The container ports that are allotted.
    pub range: PortRange,
    /// How long a freed port rests, as a rule [`ports::REST`].
    pub rest: SignedDuration,
}

/// What a round sees.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// All objects but slices.
    pub resources: &'a Resources,
    /// The slices.
    pub slices: &'a Slices,
    /// The catalogs of the links.
    pub states: &'a LinkStates,
    /// The reports of the gateways, the newest of each.
    pub reports: &'a Reports,
    /// What the round before this one knew.
    pub known: &'a Known,
    /// The time.
    pub now: Timestamp,
}

/// What a round comes to.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// The statuses.
    pub statuses: Vec<StatusPatch>,
    /// What each gateway is told.
    pub words: BTreeMap<Arc<str>, LeaderWord>,
    /// When there is something to do again even if nothing happens.
    pub next: Option<Timestamp>,
    /// What is known for the next round.
    pub known: Known,
}

/// What else the leader does: the work for Gateways, whose ports come from the same range.
pub trait Gateways: Send + 'static {
    /// What a round sees of them.
    type View: Send;

    /// Looks once for both questions.
    fn look(&self, seen: &Seen<'_>) -> Self::View;

    /// The owners of listener ports, each with its Gateway's name.
    fn owners(&self, view: &Self::View) -> BTreeMap<PortOwner, Name>;

    /// Their Services, role bindings and conditions.
    fn round(
        &mut self,
        seen: &Seen<'_>,
        view: Self::View,
        ports: &Ports,
    ) -> (Vec<Change>, Vec<StatusPatch>);
}

/// No work for Gateways.
impl Gateways for () {
    type View = ();

    fn look(&self, _: &Seen<'_>) {}

    fn owners(&self, (): &()) -> BTreeMap<PortOwner, Name> {
        BTreeMap::new()
    }

    fn round(&mut self, _: &Seen<'_>, (): (), _: &Ports) -> (Vec<Change>, Vec<StatusPatch>) {
        (Vec::new(), Vec::new())
    }
}

/// How the container ports are given out.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// Owner → container port, as it is recorded.
    pub allotted: BTreeMap<PortOwner, u16>,
    /// The owners for which no port is left.
    pub exhausted: Vec<PortOwner>,
}

/// The links as a round finds them.
struct Links {
    remotes: Vec<Remote>,
    rejected: BTreeMap<LinkName, LinkRejection>,
    /// Whether there are links that cannot be read: what they ask for is not known.
    unreadable: bool,
}

/// Decides a round.
pub fn round<G: Gateways>(seen: &Seen<'_>, were_ready: &WereReady, gateways: &mut G) -> Round {
    let resources = seen.resources;
    let mut links = read_links(seen);
    let (own, verdicts) = own_exports(seen);
    let namespaces = namespaces(seen, &links.remotes, &own);
    for remote in &mut links.remotes {
        remote.services = imported(remote, &namespaces);
    }
    let own = Member { cluster: Arc::clone(&seen.settings.cluster), services: own };
    let theirs = links.remotes.iter().map(|remote| Member {
        cluster: Arc::clone(&remote.cluster),
        services: remote.services.clone(),
    });
    let members: Vec<Member> = theirs.chain([own]).collect();
    let imports = merge(&members);
    let (mirrors, problems) = mirrors(&links.remotes, &namespaces);

    let view = gateways.look(seen);
    let standing = slices::standing(seen.slices);
    let owners = seen.known.owners.next(&resources.services.valid);
    let facts = (&standing, &owners);
    let (ports, allotment, mut troubles) = allot(seen, gateways.owners(&view), facts);
    let pods = (seen.settings.world == World::Kubernetes).then_some(&resources.pods.valid);
    let in_reach = slices::gateways(pods, seen.reports, seen.slices, were_ready);
    let observed = observed(seen);
    let mut planned = plan::plan(&plan::Inputs {
        imports: &imports,
        mirrors: &mirrors,
        namespaces: &namespaces,
        observed: &observed,
        ports: &ports.allotted,
        gateways: &in_reach,
        reports: seen.reports,
        standing: &standing,
        owners: &owners,
        known: seen.known,
    });
    if links.unreadable {
        planned.changes.retain(|change| !matches!(change, Change::Delete(_)));
    }
    troubles.extend(planned.problems);
    troubles.extend(problems);
    let (more, statuses) = gateways.round(seen, view, &ports);
    let mut changes = allotment.changes;
    changes.extend(planned.changes);
    changes.extend(more);
    changes.sort_by_key(Change::phase);
    let facts = Statuses { links: &links, verdicts: &verdicts, problems: &troubles, statuses };
    Round {
        changes,
        statuses: facts.all(seen, &imports, &standing),
        words: slices::words(seen.reports, &planned.seating, &standing),
        next: allotment.next,
        known: planned.known,
    }
}

/// What statuses follow from, beside what is seen.
struct Statuses<'a> {
    links: &'a Links,
    verdicts: &'a ExportVerdicts,
    problems: &'a [Problem],
    statuses: Vec<StatusPatch>,
}

impl Statuses<'_> {
    fn all(
        self,
        seen: &Seen<'_>,
        imports: &crate::merge::Imports,
        standing: &Seating,
    ) -> Vec<StatusPatch> {
        let resources = seen.resources;
        let import_facts = ImportFacts {
            observed: &resources.service_imports.valid,
            imports,
            standing,
            problems: self.problems,
        };
        let link_facts = LinkFacts {
            observed: &resources.cluster_links.valid,
            rejected: &self.links.rejected,
            states: seen.states,
            reports: seen.reports,
        };
        let exports = &resources.service_exports.valid;
        let mut all = status::exports(exports, self.verdicts, imports, seen.now);
        all.extend(status::imports(&import_facts, seen.now));
        all.extend(status::links(&link_facts, seen.now));
        all.extend(self.statuses);
        all
    }
}

/// The links, each with its catalog. Of one that was not heard yet or that is not sound now, what
/// stands counts: only an empty catalog that was received, or a link that is gone, withdraws.
fn read_links(seen: &Seen<'_>) -> Links {
    let objects = &seen.resources.cluster_links;
    let namespace = &seen.settings.namespace;
    let bundle = |reference: &BundleRef| {
        let name = Name::new(namespace, &reference.name);
        let object = seen.resources.config_maps.get(&name)?;
        object.data.get(reference.key()).map(Arc::from)
    };
    let Settings { cluster, trust_domain, .. } = seen.settings;
    let own = Own { cluster, trust_domain };
    let (sound, rejections) = link::links(&objects.valid, own, &bundle);
    let sound: BTreeSet<LinkName> = sound.into_iter().map(|link| link.name).collect();
    let rejected: BTreeMap<LinkName, LinkRejection> = rejections
        .into_iter()
        .map(|rejection| (Arc::clone(&rejection.object.name.name), rejection))
        .collect();
    let remotes = objects
        .valid
        .iter()
        // What stands of our own cluster is what we export, and no link's to keep.
        .filter(|(_, object)| object.cluster() != &**cluster)
        .map(|(name, object)| remote(seen, &name.name, object, sound.contains(&name.name)))
        .collect();
    Links { remotes, rejected, unreadable: !objects.broken.is_empty() }
}

fn remote(seen: &Seen<'_>, link: &LinkName, object: &ClusterLink, sound: bool) -> Remote {
    let cluster: Arc<str> = object.cluster().into();
    let heard = seen.states.get(link).filter(|state| state.received && sound);
    let services = match heard {
        Some(state) => state.catalog.services.clone(),
        None => plan::standing(&cluster, &seen.resources.service_imports.valid),
    };
    let rules: Arc<ImportRules> = Arc::new(object.spec.import.clone());
    Remote { link: Arc::clone(link), cluster, services, rules }
}

/// What we export, and what of it is not valid. What cannot be read stays as it stands.
fn own_exports(seen: &Seen<'_>) -> (OrdMap<Name, Arc<CatalogService>>, ExportVerdicts) {
    let (exports, services) = (&seen.resources.service_exports, &seen.resources.services);
    let imports = &seen.resources.service_imports.valid;
    let unread = exports.valid.keys().filter(|name| services.broken.contains_key(*name));
    let unread = exports.broken.keys().chain(unread);
    let stand = |name: &Name| plan::stood(&seen.settings.cluster, imports.get(name)?);
    let mut own: OrdMap<Name, Arc<CatalogService>> =
        unread.filter_map(|name| Some((name.clone(), Arc::new(stand(name)?)))).collect();
    let mut verdicts = ExportVerdicts::new();
    for (name, object) in
        exports.valid.iter().filter(|(name, _)| !services.broken.contains_key(*name))
    {
        match export(object, services.get(name).map(|service| &**service)) {
            Ok(export) => drop(own.insert(name.clone(), export.service)),
            Err(rejection) => drop(verdicts.insert(name.clone(), rejection)),
        }
    }
    (own, verdicts)
}

fn namespaces(
    seen: &Seen<'_>,
    remotes: &[Remote],
    own: &OrdMap<Name, Arc<CatalogService>>,
) -> Namespaces {
    let objects = &seen.resources.namespaces;
    let guard = &seen.settings.namespace;
    let read = objects.valid.iter().filter_map(|(name, object)| {
        Some((Arc::clone(&name.name), NamespaceView::read(object, guard)?))
    });
    let broken = objects.broken.keys().map(|name| {
        let guarded = name.name == *guard;
        (Arc::clone(&name.name), NamespaceView { guarded, ..NamespaceView::default() })
    });
    let mut namespaces: Namespaces = read.chain(broken).collect();
    if seen.settings.world == World::Directory {
        let theirs = remotes.iter().flat_map(|remote| remote.services.keys());
        for name in theirs.chain(own.keys()) {
            namespaces.entry(Arc::clone(&name.namespace)).or_default();
        }
    }
    namespaces
}

fn observed(seen: &Seen<'_>) -> Observed {
    let resources = seen.resources;
    Observed {
        services: resources.services.valid.clone(),
        unreadable_services: resources.services.broken.keys().cloned().collect(),
        imports: resources.service_imports.valid.clone(),
        unreadable_imports: resources.service_imports.broken.keys().cloned().collect(),
        slices: seen.slices.clone(),
    }
}

/// Allots ports, and says which import goes without.
fn allot(
    seen: &Seen<'_>,
    mut owners: BTreeMap<PortOwner, Name>,
    (standing, ours): (&Seating, &Owners),
) -> (Ports, Allotment, Vec<Problem>) {
    let resources = seen.resources;
    let namespace = &*seen.settings.namespace;
    let ours = ours.ports();
    owners.extend(ours.clone());
    let bound: BTreeSet<u16> = seen
        .reports
        .values()
        .flat_map(|report| report.bound.iter().map(|(port, _)| *port))
        .collect();
    let needs = Needs {
        owners: &owners,
        bound: &bound,
        all_reported: !seen.reports.is_empty()
            && standing.instances().into_iter().all(|it| seen.reports.contains_key(it)),
        rest: seen.settings.rest,
        now: seen.now,
    };
    let objects = &resources.config_maps.valid;
    let allotment = ports::allot(namespace, objects, seen.settings.range, &needs);
    let problem = |owner: &PortOwner, reason, message| {
        let service = resources.services.get(ours.get(owner)?)?;
        let namespace = service.metadata.namespace.as_deref()?;
        let standing = Standing::read(namespace, service.metadata.labels.as_ref())?;
        Some(Problem { import: standing.import().clone(), reason, message })
    };
    let exhausted = allotment.exhausted.iter().filter_map(|owner| {
        problem(owner, PORTS_EXHAUSTED, seen.settings.range.exhausted(owner.port))
    });
    let failed = seen.reports.values().flat_map(|report| report.unbound());
    let failed = failed.filter_map(|(owner, message)| problem(owner, BIND_FAILED, message));
    let problems = exhausted.chain(failed).collect();
    let (allotted, exhausted) = (allotment.recorded.clone(), allotment.exhausted.clone());
    (Ports { allotted, exhausted }, allotment, problems)
}
