//! The rules of summing up what the watches tell.

use serde_json::json;

use super::super::Options;
use super::super::scope::{everywhere, named};
use super::*;

fn options() -> Options {
    Options { namespace: "spanway-system".into(), controls: false }
}

fn scope(kind: Kind) -> Scope {
    everywhere(&options()).into_iter().find(|scope| scope.kind == kind).expect("it is watched")
}

fn secret(name: &str) -> Scope {
    named(&ObjectRef::new(Kind::Secret, Name::new("shop", name))).expect("it is watched by name")
}

fn object(name: &str, version: u64) -> DynamicObject {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "shop", "name": name, "uid": name,
            "resourceVersion": version.to_string(),
        },
    }))
    .expect("it has the shape of an object")
}

/// A ledger to which everything was told once.
fn listed() -> Ledger {
    let mut ledger = Ledger::new(everywhere(&options()).into_iter());
    for scope in everywhere(&options()) {
        tell(&mut ledger, &scope, News::Listed { objects: Vec::new(), version: 1 });
    }
    ledger
}

fn tell(ledger: &mut Ledger, scope: &Scope, news: News) {
    ledger.take(Change { scope: scope.clone(), news }, Instant::now());
}

fn applied(name: &str, version: u64) -> News {
    News::Applied(Box::new(object(name, version)))
}

fn exports(ledger: &Ledger) -> Vec<&str> {
    ledger.resources.service_exports.valid.keys().map(|name| &*name.name).collect()
}

#[test]
fn nothing_is_given_before_everything_was_listed() {
    let (publisher, watched) = Publisher::new();
    let mut ledger = Ledger::new(everywhere(&options()).into_iter());
    for scope in everywhere(&options()) {
        ledger.publish(&publisher);
        assert!(!watched.state.borrow().synced, "before {scope:?}");
        assert!(!watched.resources.has_changed().expect("it is open"));
        tell(&mut ledger, &scope, News::Listed { objects: Vec::new(), version: 1 });
    }
    ledger.publish(&publisher);
    assert!(watched.state.borrow().synced);
    assert!(watched.resources.has_changed().expect("it is open"));
    assert!(watched.slices.has_changed().expect("it is open"));
}

#[test]
fn a_kind_that_the_cluster_does_not_know_blocks_nobody_and_is_told() {
    let mut ledger = listed();
    let tls = scope(Kind::TlsRoute);
    tell(&mut ledger, &tls, News::Failed(Trouble::Missing("not found".into())));
    let state = ledger.state.kinds.get(&Kind::TlsRoute).expect("it is watched");
    assert!(state.listed && state.missing && state.failing.is_none());
}

#[test]
fn a_list_replaces_what_was_there() {
    let mut ledger = listed();
    let scope = scope(Kind::ServiceExport);
    let both = vec![object("a", 2), object("b", 3)];
    tell(&mut ledger, &scope, News::Listed { objects: both, version: 3 });
    assert_eq!(exports(&ledger), ["a", "b"]);
    tell(&mut ledger, &scope, News::Listed { objects: vec![object("b", 3)], version: 9 });
    assert_eq!(exports(&ledger), ["b"]);
}

#[test]
fn an_object_that_is_listed_again_is_the_very_same() {
    let mut ledger = listed();
    let scope = scope(Kind::ServiceExport);
    tell(&mut ledger, &scope, applied("a", 2));
    let before = ledger.resources.service_exports.get(&Name::new("shop", "a")).cloned();
    tell(&mut ledger, &scope, News::Listed { objects: vec![object("a", 2)], version: 9 });
    let after = ledger.resources.service_exports.get(&Name::new("shop", "a")).cloned();
    assert!(Arc::ptr_eq(&before.expect("was there"), &after.expect("is there")));
}

#[test]
fn versions_count_deletions_but_neither_lists_nor_bookmarks_which_are_reached() {
    let mut ledger = listed();
    let scope = scope(Kind::ServiceExport);
    tell(&mut ledger, &scope, applied("a", 5));
    tell(&mut ledger, &scope, News::Deleted { name: Name::new("shop", "a"), version: 7 });
    tell(&mut ledger, &scope, News::Bookmark(20));
    assert_eq!(exports(&ledger), [""; 0]);
    assert_eq!(ledger.resources.versions.get(&Kind::ServiceExport), Some(&7));
    assert_eq!(ledger.state.reached.get(&Kind::ServiceExport), Some(&20));
}

#[test]
fn a_restored_api_server_begins_its_versions_anew() {
    let mut ledger = listed();
    let scope = scope(Kind::ServiceExport);
    tell(&mut ledger, &scope, applied("a", 50));
    tell(&mut ledger, &scope, News::Listed { objects: vec![object("a", 30)], version: 31 });
    assert_eq!(ledger.resources.versions.get(&Kind::ServiceExport), Some(&30));
    assert_eq!(ledger.state.reached.get(&Kind::ServiceExport), Some(&31));
}

#[test]
fn an_api_server_that_is_away_changes_no_object_and_is_told() {
    let mut ledger = listed();
    let scope = scope(Kind::ServiceExport);
    tell(&mut ledger, &scope, applied("a", 5));
    let later = Instant::now() + std::time::Duration::from_mins(1);
    tell(&mut ledger, &scope, News::Failed(Trouble::Other("connection refused".into())));
    assert_eq!(exports(&ledger), ["a"]);
    let age = ledger.state.age(later).expect("it fails");
    assert!(age >= std::time::Duration::from_secs(59), "{age:?}");
    tell(&mut ledger, &scope, News::Heard);
    assert_eq!(ledger.state.age(later), None);
}

#[test]
fn a_secret_is_answered_when_it_was_listed_or_refused_but_not_while_nobody_answers() {
    let mut ledger = listed();
    let tls = secret("tls");
    let reference = tls.object().expect("it is one object");
    ledger.expect(tls.clone());
    tell(&mut ledger, &tls, News::Failed(Trouble::Other("connection refused".into())));
    assert!(!ledger.state.answered.contains(&reference));
    tell(&mut ledger, &tls, News::Failed(Trouble::Forbidden("no".into())));
    assert!(ledger.state.answered.contains(&reference));
    assert_eq!(ledger.state.refused.get(&reference).map(|why| &**why), Some("no"));
    tell(&mut ledger, &tls, News::Listed { objects: vec![object("tls", 4)], version: 9 });
    assert!(ledger.state.refused.is_empty());
    assert_eq!(ledger.resources.secrets.valid.len(), 1);
}

#[test]
fn a_secret_that_is_no_longer_wanted_goes_and_its_late_changes_do_not_count() {
    let mut ledger = listed();
    let tls = secret("tls");
    ledger.expect(tls.clone());
    tell(&mut ledger, &tls, applied("tls", 4));
    ledger.forget(&tls);
    tell(&mut ledger, &tls, applied("tls", 5));
    assert!(ledger.resources.secrets.valid.is_empty());
}

#[test]
fn an_object_that_two_watches_hold_stays_until_both_have_lost_it() {
    let mut ledger = listed();
    let record = scope(Kind::ConfigMap);
    let name = Name::new("shop", "c");
    let wanted = named(&ObjectRef::new(Kind::ConfigMap, name.clone())).expect("by name");
    ledger.expect(wanted.clone());
    tell(&mut ledger, &record, applied("c", 4));
    tell(&mut ledger, &wanted, applied("c", 4));
    ledger.forget(&wanted);
    assert!(ledger.resources.config_maps.get(&name).is_some());
    tell(&mut ledger, &record, News::Deleted { name: name.clone(), version: 5 });
    assert!(ledger.resources.config_maps.get(&name).is_none());
}
