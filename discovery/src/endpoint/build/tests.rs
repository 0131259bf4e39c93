//! Which endpoints stand under which key.

use config::model::{BackendKey, ServicePort};
use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::freshness::Freshness;
use crate::samples::{
    all_slices, catalog, exports, leaving, link, link_state, ready, service, web,
};

/// What a cluster knows.
#[derive(Clone, Default)]
struct World {
    services: OrdMap<Name, Arc<Service>>,
    slices: Slices,
    exports: Exports,
    links: Links,
    mirrors: OrdMap<Name, Mirrored>,
    namespaces: NamespaceLabels,
}

impl World {
    fn with_local(endpoints: &[Value]) -> Self {
        let service = Arc::new(service(&json!({})));
        let services = OrdMap::unit(web(), service);
        Self { services, slices: all_slices(endpoints), ..Self::default() }
    }

    fn link(mut self, name: &str, catalog: Catalog) -> Self {
        let link = Arc::new(link(name, &json!({})));
        let state = Arc::new(link_state(catalog));
        self.links.insert(name.into(), LinkInput { link, state });
        self
    }

    fn exported(mut self, endpoints: &[Value]) -> Self {
        self.exports = exports(endpoints);
        self
    }

    fn mirrored(mut self, link: Option<&str>) -> Self {
        let mirrored = Mirrored { import: web(), link: link.map(Into::into) };
        self.mirrors.insert(Name::new("shop", "far"), mirrored);
        self
    }

    fn state(mut self, link: &str, change: impl FnOnce(&mut LinkState)) -> Self {
        change(Arc::make_mut(&mut self.links.get_mut(link).unwrap().state));
        self
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            services: &self.services,
            slices: &self.slices,
            exports: &self.exports,
            links: &self.links,
            mirrors: &self.mirrors,
            namespaces: &self.namespaces,
        }
    }

    /// The endpoints under `key`, `None` if it is not known.
    fn check(&self, key: &BackendKey, expected: Option<&[&str]>) {
        let built = Built::new(&self.inputs());
        assert_eq!(names(&built, key).as_deref(), expected.map(Vec::from).as_deref(), "{key}");
    }
}

fn names<'a>(built: &'a Built, key: &BackendKey) -> Option<Vec<&'a str>> {
    let set = built.table.sets.get(key)?;
    let name = |endpoint: &'a Arc<Endpoint>| match &endpoint.reach {
        Reach::Direct(_) => "here",
        Reach::Via(target) => &*target.endpoint.as_ref().unwrap().0,
    };
    let mut names: Vec<_> = set.endpoints.iter().map(name).collect();
    names.sort_unstable();
    Some(names)
}

fn at(service: Name) -> ServicePort {
    ServicePort { service, port: 80 }
}

fn local() -> BackendKey {
    BackendKey::Service(at(web()))
}

fn import() -> BackendKey {
    BackendKey::Import(at(web()))
}

fn mirror() -> BackendKey {
    BackendKey::Mirror(at(Name::new("shop", "far")))
}

const HERE: &[(&str, &str)] = &[("a", "10.0.0.1")];

fn here() -> Vec<Value> {
    HERE.iter().map(|(name, ip)| ready(name, ip)).collect()
}

#[test]
fn a_service_means_its_local_endpoints() {
    let world = World::with_local(&here()).link("west", catalog(1, &[("web", &["w1"])]));
    world.check(&local(), Some(&["here"]));
}

#[test]
fn a_service_without_endpoints_is_known_to_have_none() {
    World::with_local(&[]).check(&local(), Some(&[]));
    World::default().check(&local(), None);
}

#[test]
fn an_import_means_the_endpoints_of_all_exporters() {
    let world = World::with_local(&here())
        .link("west", catalog(1, &[("web", &["w1", "w2"])]))
        .link("north", catalog(1, &[("web", &["n1"])]));
    world.check(&import(), Some(&["n1", "w1", "w2"]));
    world.exported(&here()).check(&import(), Some(&["here", "n1", "w1", "w2"]));
}

#[test]
fn a_mirrored_service_means_the_remote_endpoints_that_it_stands_for() {
    let world = World::with_local(&here())
        .exported(&here())
        .link("west", catalog(1, &[("web", &["w1"])]))
        .link("north", catalog(1, &[("web", &["n1"])]));
    world.clone().mirrored(None).check(&mirror(), Some(&["n1", "w1"]));
    world.mirrored(Some("west")).check(&mirror(), Some(&["w1"]));
}

#[test]
fn a_remote_endpoint_is_reached_by_the_exporters_port_and_its_id() {
    let world = World::default().link("west", catalog(1, &[("web", &["w1"])]));
    let built = Built::new(&world.inputs());
    let set = built.table.sets.get(&import()).unwrap();
    assert_eq!(set.protocol, AppProtocol::Http1);
    let Reach::Via(target) = &set.endpoints[0].reach else { panic!("it is remote") };
    assert_eq!(target.sni(), "w1.80.web.shop.svc.clusterset.local");
    assert_eq!(&*target.link, "west");
}

#[test]
fn an_endpoint_that_does_not_serve_the_port_is_not_under_it() {
    let mut catalog = catalog(1, &[("web", &["w1", "w2"])]);
    let service = Arc::make_mut(catalog.services.get_mut(&web()).unwrap());
    let other = crate::catalog::CatalogEndpoint { zone: None, ports: Some(vec!["admin".into()]) };
    service.endpoints.insert(crate::endpoint::EndpointId("w2".into()), Arc::new(other));
    World::default().link("west", catalog).check(&import(), Some(&["w1"]));
}

#[test]
fn the_oldest_export_says_what_a_port_speaks() {
    let mut newer = catalog(1, &[("web", &["w1"])]);
    let service = Arc::make_mut(newer.services.get_mut(&web()).unwrap());
    service.exported_at = 200;
    service.ports[0].protocol = AppProtocol::H2c;
    let world = World::default().link("a", newer).link("b", catalog(1, &[("web", &["n1"])]));
    let built = Built::new(&world.inputs());
    assert_eq!(built.table.sets.get(&import()).unwrap().protocol, AppProtocol::Http1);
}

#[test]
fn an_import_rule_keeps_a_namespace_out() {
    let mut world = World::default().link("west", catalog(1, &[("web", &["w1"])]));
    let spec = json!({"spec": {"import": {"namespaces": {"names": ["bank"]}}}});
    world.links.get_mut("west").unwrap().link = Arc::new(link("west", &spec));
    world.check(&import(), None);
}

#[test]
fn a_namespace_that_gets_the_label_is_imported() {
    let mut old = World::default().link("west", catalog(1, &[("web", &["w1"])]));
    let selector = json!({"matchLabels": {"mesh": "yes"}});
    let spec = json!({"spec": {"import": {"namespaces": {"selector": selector}}}});
    old.links.get_mut("west").unwrap().link = Arc::new(link("west", &spec));
    old.check(&import(), None);
    let labels = std::collections::BTreeMap::from([("mesh".to_owned(), "yes".to_owned())]);
    let mut new = old.clone();
    new.namespaces.insert("shop".into(), Arc::new(labels));
    let mut touched = Touched::default();
    touched.namespaces(&new.links);
    let (built, _) = follow(&old, &new, &touched);
    assert_eq!(names(&built, &import()).unwrap(), ["w1"]);
}

#[test]
fn a_lost_cluster_is_asked_last_or_never_as_its_link_says() {
    let two = || {
        World::default()
            .link("west", catalog(1, &[("web", &["w1"])]))
            .link("north", catalog(1, &[("web", &["n1"])]))
            .state("west", |state| state.freshness = Freshness::Lost)
    };
    two().check(&import(), Some(&["n1"]));
    let alone = || {
        World::default()
            .link("west", catalog(1, &[("web", &["w1"])]))
            .state("west", |state| state.freshness = Freshness::Lost)
    };
    alone().check(&import(), Some(&["w1"]));
    let policy = |then: &str| {
        let mut world = two();
        let spec = json!({"spec": {"staleness": {"then": then}}});
        world.links.get_mut("west").unwrap().link = Arc::new(link("west", &spec));
        world
    };
    policy("Keep").check(&import(), Some(&["n1", "w1"]));
    policy("Withdraw").check(&import(), Some(&["n1"]));
}

#[test]
fn a_drained_cluster_is_asked_last() {
    let drained = Catalog { drained_percent: 100, ..catalog(1, &[("web", &["w1"])]) };
    let world = World::default().link("west", drained);
    world.check(&import(), Some(&["w1"]));
    world.link("north", catalog(1, &[("web", &["n1"])])).check(&import(), Some(&["n1"]));
}

#[test]
fn draining_gateways_stand_beside_the_addresses() {
    let mut catalog = catalog(1, &[]);
    catalog.draining.insert("gateway-1".into());
    let built = Built::new(&World::default().link("west", catalog).inputs());
    let peers = &built.table.links["west"];
    assert_eq!(peers.addresses.len(), 1);
    assert!(peers.draining.contains("gateway-1"));
}

/// Brings a table of `old` to `new` and compares it with one made of `new` alone.
fn follow(old: &World, new: &World, touched: &Touched) -> (Built, bool) {
    let mut built = Built::new(&old.inputs());
    let changed = built.update(&new.inputs(), touched);
    let fresh = Built::new(&new.inputs());
    assert_eq!(built.table.sets.iter().count(), fresh.table.sets.iter().count());
    for (key, set) in fresh.table.sets.iter() {
        assert_eq!(built.table.sets.get(&key), Some(set), "{key}");
    }
    assert_eq!(built.table.links, fresh.table.links);
    (built, changed)
}

fn touched_link(old: &World, new: &World) -> Touched {
    let mut touched = Touched::default();
    touched.link(old.links.get("west"), new.links.get("west"));
    touched
}

#[test]
fn a_remote_change_reaches_the_import_and_its_mirrors_and_nothing_else() {
    let services: &[(&str, &[&str])] = &[("web", &["w1"]), ("api", &["x"])];
    let old = World::default().link("west", catalog(1, services)).mirrored(None);
    let mut next = old.links["west"].state.catalog.as_ref().clone();
    let put =
        crate::catalog::Change::RemoveEndpoint(web(), crate::endpoint::EndpointId("w1".into()));
    crate::catalog::apply(&mut next, put);
    let new = old.clone().state("west", |state| state.catalog = Arc::new(next));
    let touched = touched_link(&old, &new);
    assert_eq!(touched.imports.iter().collect::<Vec<_>>(), [&web()]);
    let before = Built::new(&old.inputs());
    let (after, changed) = follow(&old, &new, &touched);
    assert!(changed);
    assert_eq!(names(&before, &mirror()).unwrap(), ["w1"]);
    assert_eq!(names(&after, &mirror()).unwrap(), Vec::<&str>::new());
}

#[test]
fn a_local_change_reaches_the_service_and_the_import_that_it_is_part_of() {
    let old = World::with_local(&here()).exported(&here());
    let gone = [leaving("a", "10.0.0.1"), ready("b", "10.0.0.2")];
    let new = World::with_local(&gone).exported(&gone);
    let touched = Touched { services: BTreeSet::from([web()]), ..Touched::default() };
    follow(&old, &new, &touched);
}

#[test]
fn a_link_that_goes_takes_its_endpoints_along() {
    let old = World::default().link("west", catalog(1, &[("web", &["w1"])]));
    let new = World::default();
    let (built, _) = follow(&old, &new, &touched_link(&old, &new));
    assert_eq!(built.table.sets.iter().count(), 0);
}

#[test]
fn while_a_mirrored_service_stands_its_ports_are_known_to_have_no_endpoint() {
    let old = World::default().link("west", catalog(1, &[("web", &["w1"])])).mirrored(None);
    let new = old.clone().state("west", |state| state.catalog = Arc::default());
    let mut built = Built::new(&old.inputs());
    built.update(&new.inputs(), &touched_link(&old, &new));
    assert_eq!(names(&built, &mirror()), Some(Vec::new()));
    assert_eq!(names(&built, &import()), None);
    let gone = World { mirrors: OrdMap::new(), ..new };
    let mirrors = BTreeSet::from([Name::new("shop", "far")]);
    built.update(&gone.inputs(), &Touched { mirrors, ..Touched::default() });
    assert_eq!(names(&built, &mirror()), None);
}

#[test]
fn a_name_that_its_user_took_over_leads_to_what_it_stands_for_now_once_the_export_is_gone() {
    let key = BackendKey::Mirror(ServicePort { service: web(), port: 80 });
    let taken_over = World {
        mirrors: OrdMap::unit(web(), Mirrored { import: web(), link: None }),
        ..World::with_local(&here()).link("west", catalog(1, &[("web", &["w1"])]))
    };
    let mut built = Built::new(&taken_over.inputs());
    assert_eq!(names(&built, &key).unwrap(), ["w1"], "the export is there still");
    let gone = taken_over.clone().state("west", |state| state.catalog = Arc::default());
    built.update(&gone.inputs(), &touched_link(&taken_over, &gone));
    let of_user = BackendKey::Service(ServicePort { service: web(), port: 80 });
    assert_eq!(names(&built, &key), names(&built, &of_user));
    assert!(!names(&built, &key).unwrap().is_empty());
    // And it follows what becomes of them.
    let one = [ready("b", "10.0.0.2")];
    let fewer = World { slices: all_slices(&one), ..gone };
    let services = BTreeSet::from([web()]);
    built.update(&fewer.inputs(), &Touched { services, ..Touched::default() });
    assert_eq!(names(&built, &key).unwrap().len(), 1);
}

#[test]
fn what_changes_no_endpoint_makes_no_new_table() {
    let old = World::with_local(&here()).link("west", catalog(1, &[("web", &["w1"])]));
    let new = old.clone().link("west", catalog(2, &[("web", &["w1"])]));
    let touched = Touched {
        services: BTreeSet::from([web()]),
        imports: BTreeSet::from([web()]),
        links: BTreeSet::from(["west".into()]),
        ..Touched::default()
    };
    assert!(!follow(&old, &new, &touched).1);
    assert!(touched_link(&old, &new).is_empty(), "a version alone touches nothing");
}
