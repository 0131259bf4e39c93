//! Which objects are made, left alone, released and withdrawn.

mod world;

use serde_json::json;

use self::world::{World, exported, web};
use super::*;
use crate::catalog::Transport;
use crate::slices::standing as seated;

#[test]
fn an_export_becomes_an_import_and_a_derived_service() {
    let mut world = World::importing(&[]);
    assert_eq!(world.round(), "create ServiceImport web\ncreate Service DERIVED\n");
    assert_eq!(world.round(), "apply ServiceImport web\n");
    assert_eq!(world.observed.imports[&web()].spec.ips, ["10.96.0.7"]);
    assert_eq!(world.round(), "");
}

#[test]
fn the_exporting_cluster_has_the_import_too() {
    let mut world = World::importing(&[]);
    world.own = std::mem::take(&mut world.remotes[0].services);
    world.put(Kind::Service, web(), json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}}));
    assert_eq!(world.round(), "create ServiceImport web\ncreate Service DERIVED\n");
}

#[test]
fn an_import_needs_its_namespace() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    world.namespaces.clear();
    assert_eq!(world.plan().changes.iter().filter(|c| !matches!(c, Change::Delete(_))).count(), 0);
}

#[test]
fn guarded_namespaces_take_only_what_a_link_names() {
    let mut world = World::importing(&[]);
    world.namespaces.get_mut("shop").unwrap().guarded = true;
    assert_eq!(world.round(), "");
    let mut rules = (*world.remotes[0].rules).clone();
    rules.namespaces.names.push("shop".into());
    world.remotes[0].rules = Arc::new(rules);
    assert!(world.round().contains("create ServiceImport web"));
}

#[test]
fn a_rule_asks_for_a_mirrored_service() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    let labels = world.service("web").unwrap().metadata.labels.clone().unwrap();
    assert_eq!(labels["spanway.dev/mirrored-for"], "web");
    assert_eq!(labels["spanway.dev/mirrored-from"], "");
    assert_eq!(labels["team"], "shop");
}

#[test]
fn a_name_with_the_cluster_stands_for_that_cluster_alone() {
    let mut world = World::importing(&["{service}-{cluster}"]);
    world.settle();
    let labels = world.service("web-west").unwrap().metadata.labels.clone().unwrap();
    assert_eq!(labels["spanway.dev/mirrored-from"], "to-west");
}

#[test]
fn the_first_rule_that_fits_decides() {
    let mut world = World::importing(&["a-{service}", "b-{service}"]);
    world.settle();
    assert!(world.service("a-web").is_some() && world.service("b-web").is_none());
}

#[test]
fn a_name_that_is_none_is_a_problem() {
    assert_eq!(World::importing(&["{service}.x"]).reasons(), ["InvalidName"]);
}

#[test]
fn a_local_service_of_the_same_name_is_not_touched() {
    let mut world = World::importing(&["{service}"]);
    let local = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}});
    world.put(Kind::Service, web(), local);
    world.settle();
    let service = world.service("web").unwrap();
    assert_eq!(service.metadata.labels, None);
    assert_eq!(world.reasons(), ["NameTaken"]);
    world.remotes.clear();
    world.settle();
    assert!(world.service("web").is_some());
}

#[test]
fn a_service_that_cannot_be_read_has_its_name() {
    let mut world = World::importing(&["{service}"]);
    world.observed.unreadable_services.insert(web());
    world.settle();
    assert!(world.service("web").is_none());
}

#[test]
fn a_local_import_of_the_same_name_is_not_touched() {
    let mut world = World::importing(&[]);
    let local = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [], "type": "Headless"},
    });
    world.put(Kind::ServiceImport, web(), local);
    world.settle();
    assert_eq!(world.reasons(), ["NameTaken"]);
    assert_eq!(world.observed.imports[&web()].metadata.labels, None);
    world.remotes.clear();
    world.settle();
    assert!(world.observed.imports.contains_key(&web()));
}

#[test]
fn slices_name_the_gateways_that_have_the_port_bound() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    world.bind_all();
    assert_eq!(world.round(), "apply EndpointSlice DERIVED-#\napply EndpointSlice web-#\n");
    assert_eq!(world.round(), "");
    assert_eq!(seated(&world.observed.slices), world.plan().seating);
    let slice = world.observed.slices.by_service[&web()].values().next().unwrap();
    let labels = slice.metadata.labels.as_ref().unwrap();
    let expected = json!({
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "spanway.dev",
        "multicluster.kubernetes.io/service-name": "web",
        "multicluster.kubernetes.io/source-cluster": "west",
        "spanway.dev/managed-by": "spanway",
    });
    assert_eq!(json!(labels), expected);
    assert_eq!(slice.endpoints[0].addresses, ["10.0.0.1"]);
}

#[test]
fn gateways_with_other_ports_bound_stand_in_other_slices() {
    let mut world = World::importing(&[]);
    world.remotes[0].services =
        exported(1, &[("http", 80, Transport::Tcp), ("admin", 90, Transport::Tcp)]);
    world.settle();
    world.bind_all();
    let mut late = (*world.reports["gw"]).clone();
    (late.instance, late.addresses) = ("late".into(), vec!["10.0.0.2".parse().unwrap()]);
    let bound: Vec<_> = late.bound.iter().cloned().collect();
    late.bound = bound.split_last().unwrap().1.iter().cloned().collect();
    world.reports.insert("late".into(), Arc::new(late));
    assert_eq!(world.round(), "apply EndpointSlice DERIVED-#\napply EndpointSlice DERIVED-#\n");
    let seated = seated(&world.observed.slices);
    assert_eq!(seated.of(&derived_name(&web())).map(BTreeSet::len), Some(3));
}

#[test]
fn a_new_slice_stands_before_the_one_that_it_replaces_goes() {
    let mut world = World::importing(&[]);
    world.settle();
    world.bind_all();
    world.settle();
    world.remotes[0].services =
        exported(1, &[("http", 80, Transport::Tcp), ("admin", 90, Transport::Tcp)]);
    world.settle();
    world.bind_all();
    assert_eq!(world.round(), "apply EndpointSlice DERIVED-#\ndelete EndpointSlice DERIVED-#\n");
}

#[test]
fn udp_ports_are_imported_and_in_no_slice() {
    let mut world = World::importing(&[]);
    world.remotes[0].services =
        exported(1, &[("dns", 53, Transport::Udp), ("dns-tcp", 53, Transport::Tcp)]);
    world.settle();
    world.bind_all();
    world.settle();
    assert_eq!(world.observed.imports[&web()].spec.ports.len(), 2);
    let slices = &world.observed.slices.by_service[&derived_name(&web())];
    let ports = slices.values().next().unwrap().ports.clone().unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0].name.as_deref(), Some("dns-tcp"));
}

#[test]
fn a_headless_import_has_no_ip_and_no_derived_service() {
    let mut world = World::importing(&[]);
    let mut service = (*world.remotes[0].services[&web()]).clone();
    service.headless = true;
    world.remotes[0].services.insert(web(), Arc::new(service));
    assert_eq!(world.round(), "create ServiceImport web\n");
    assert_eq!(world.round(), "");
}

#[test]
fn all_is_withdrawn_when_the_export_goes() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    world.bind_all();
    world.settle();
    world.remotes[0].services.clear();
    assert_eq!(
        world.round(),
        "delete EndpointSlice DERIVED-#\ndelete EndpointSlice web-#\n\
         delete ServiceImport web\ndelete Service DERIVED\ndelete Service web\n"
    );
    assert_eq!(world.round(), "");
}

fn take_over(world: &mut World) {
    world.edit("web", |service| {
        let selector = [("app".to_owned(), "web".to_owned())].into();
        service.spec.as_mut().unwrap().selector = Some(selector);
    });
}

#[test]
fn a_mirrored_service_that_somebody_set_is_released_and_never_touched_again() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    world.bind_all();
    world.settle();
    take_over(&mut world);
    assert_eq!(world.round(), "release Service web\n");
    world.users_slice();
    assert_eq!(world.round(), "delete EndpointSlice web-#\n");
    let service = world.service("web").unwrap();
    assert!(
        service.metadata.labels.as_ref().unwrap().keys().all(|key| !key.starts_with("spanway.dev"))
    );
    assert!(service.spec.as_ref().unwrap().selector.is_some());
    assert_eq!(world.round(), "");
    world.remotes.clear();
    world.settle();
    assert!(world.service("web").is_some());
}

#[test]
fn the_slices_of_a_service_that_is_taken_over_go_when_its_own_stand_or_none_will_come() {
    fn selector() -> BTreeMap<String, String> {
        [("app".to_owned(), "web".to_owned())].into()
    }
    let edited = |edit: fn(&mut Service)| {
        let mut world = World::importing(&["{service}"]);
        world.settle();
        world.bind_all();
        world.settle();
        world.edit("web", edit);
        world.round()
    };
    assert_eq!(
        edited(|service| service.spec.as_mut().unwrap().selector = Some(selector())),
        "release Service web\n"
    );
    let both = "release Service web\ndelete EndpointSlice web-#\n";
    assert_eq!(
        edited(|service| service.spec.as_mut().unwrap().type_ = Some("NodePort".into())),
        both
    );
    assert_eq!(
        edited(|service| {
            let spec = service.spec.as_mut().unwrap();
            (spec.selector, spec.type_) = (Some(selector()), Some("ExternalName".into()));
        }),
        both
    );
}

#[test]
fn a_service_taken_over_as_its_export_goes_is_released_and_not_deleted() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    take_over(&mut world);
    world.remotes.clear();
    world.settle();
    assert!(world.service("web").is_some());
}

#[test]
fn setting_type_or_ports_takes_a_service_over_and_other_fields_do_not() {
    let edited = |edit: fn(&mut Service)| {
        let mut world = World::importing(&["{service}"]);
        world.settle();
        world.edit("web", edit);
        world.round().contains("release Service web")
    };
    assert!(edited(|service| service.spec.as_mut().unwrap().type_ = Some("NodePort".into())));
    assert!(edited(|service| {
        service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].port = 81;
    }));
    assert!(!edited(|service| {
        service.metadata.annotations.as_mut().unwrap().insert("note".into(), "x".into());
    }));
}

#[test]
fn what_somebody_changed_in_a_derived_service_is_put_right() {
    let mut world = World::importing(&[]);
    world.settle();
    let derived = derived_name(&web());
    world.edit(&derived.name, |service| {
        let selector = [("app".to_owned(), "x".to_owned())].into();
        service.spec.as_mut().unwrap().selector = Some(selector);
    });
    assert_eq!(world.round(), "replace Service DERIVED\n");
    assert_eq!(world.service(&derived.name).unwrap().spec.as_ref().unwrap().selector, None);
    assert_eq!(world.round(), "");
}

#[test]
fn an_annotation_of_the_namespace_frees_a_name() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    let annotated = json!({"metadata": {"name": "shop", "annotations": {"spanway.dev/mirror-name-free": "api, web"}}});
    let view = NamespaceView::read(&serde_json::from_value(annotated).unwrap(), "spanway-system");
    world.namespaces.insert("shop".into(), view.unwrap());
    assert_eq!(world.round(), "delete Service web\n");
    assert_eq!(world.reasons(), ["NameKeptFree"]);
    assert_eq!(world.round(), "");
}

#[test]
fn a_change_of_the_export_changes_what_is_ours() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    world.remotes[0].services = exported(1, &[("http", 8080, Transport::Tcp)]);
    assert_eq!(
        world.round(),
        "apply ServiceImport web\napply Service DERIVED\napply Service web\n"
    );
    assert_eq!(world.round(), "");
}

#[test]
fn a_change_names_the_version_that_was_seen() {
    let mut world = World::importing(&["{service}"]);
    world.settle();
    let seen = world.service("web").unwrap().metadata.resource_version.clone();
    world.remotes[0].services = exported(1, &[("http", 8080, Transport::Tcp)]);
    let plan = world.plan();
    let change = plan.changes.iter().find(|change| {
        change.reference().name == web() && change.reference().kind == Kind::Service
    });
    let Some(Change::Apply(object)) = change else { panic!("{change:?}") };
    assert_eq!(object.value["metadata"]["resourceVersion"].as_str(), seen.as_deref());
}

#[test]
fn what_stands_for_an_unheard_cluster_does_not_change() {
    let mut world = World::importing(&["{service}-{cluster}"]);
    world.own = exported(5, &[("admin", 90, Transport::Tcp)]);
    world.settle();
    world.bind_all();
    world.settle();
    world.remotes[0].services = standing("west", &world.observed.imports);
    assert_eq!(world.round(), "");
}

#[test]
fn of_two_services_that_want_one_name_the_older_has_it() {
    let mut world = World::importing(&["mirror"]);
    let mut older = (*world.remotes[0].services[&web()]).clone();
    older.exported_at = 0;
    world.remotes[0].services.insert(Name::new("shop", "api"), Arc::new(older));
    world.settle();
    let labels = world.service("mirror").unwrap().metadata.labels.clone().unwrap();
    assert_eq!(labels["spanway.dev/mirrored-for"], "api");
    assert_eq!(world.reasons(), ["NameTaken"]);
}

#[test]
fn an_exporter_cannot_say_what_steers_controllers() {
    let mut world = World::importing(&["{service}"]);
    let mut service = (*world.remotes[0].services[&web()]).clone();
    for key in ["spanway.dev/managed-by", "service.kubernetes.io/headless", "a/b/c", "ok"] {
        service.labels.insert(key.into(), "x".into());
    }
    service.labels.insert("long".into(), "x".repeat(64).into());
    world.remotes[0].services.insert(web(), Arc::new(service));
    world.settle();
    let labels = world.observed.imports[&web()].metadata.labels.clone().unwrap();
    let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
    assert_eq!(keys, ["ok", "spanway.dev/managed-by", "team"]);
}

#[test]
fn an_export_of_which_no_object_can_be_made_is_not_imported() {
    for (name, port, number) in [("Web", "http", 80), ("web", "http", 0), ("web", "-", 80)] {
        let mut world = World::importing(&[]);
        let services = exported(1, &[(port, number, Transport::Tcp)]);
        let service = services.values().next().cloned().unwrap();
        world.remotes[0].services = OrdMap::unit(Name::new("shop", name), service);
        assert_eq!(world.round(), "", "{name} {port} {number}");
    }
}
