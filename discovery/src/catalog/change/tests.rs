//! The changes between two catalogs lead from the one to the other.

use super::*;
use crate::samples::{catalog, web};

/// The changes, after a look at whether they lead there.
fn check(old: &Catalog, new: &Catalog) -> Vec<Change> {
    let changes = diff(old, new);
    let mut made = old.clone();
    for change in changes.clone() {
        apply(&mut made, change);
    }
    assert_eq!(made, *new);
    changes
}

#[test]
fn one_endpoint_more_is_one_change() {
    let (old, new) = (catalog(1, &[("web", &["a"])]), catalog(1, &[("web", &["a", "b"])]));
    let changes = check(&old, &new);
    assert!(matches!(&changes[..], [Change::PutEndpoint(name, id, _)]
        if *name == web() && &*id.0 == "b"));
}

#[test]
fn one_endpoint_less_is_one_change() {
    let (old, new) = (catalog(1, &[("web", &["a", "b"])]), catalog(1, &[("web", &["a"])]));
    assert_eq!(check(&old, &new), [Change::RemoveEndpoint(web(), EndpointId("b".into()))]);
}

#[test]
fn a_new_port_leaves_the_endpoints() {
    let (old, mut new) = (catalog(1, &[("web", &["a"])]), catalog(1, &[("web", &["a"])]));
    let service = Arc::make_mut(new.services.get_mut(&web()).unwrap());
    service.ports.clear();
    assert!(matches!(&check(&old, &new)[..], [Change::PutService(..)]));
}

#[test]
fn services_come_and_go() {
    let (old, new) = (catalog(1, &[("a", &["x"])]), catalog(2, &[("b", &["y"])]));
    check(&old, &new);
    check(&Catalog::default(), &new);
    check(&new, &Catalog::default());
}

#[test]
fn what_is_the_same_is_no_change() {
    let same = catalog(1, &[("web", &["a"]), ("api", &["b"])]);
    assert_eq!(check(&same, &same.clone()), []);
    assert_eq!(check(&same, &catalog(1, &[("web", &["a"]), ("api", &["b"])])), []);
}

#[test]
fn draining_and_version_are_changes() {
    let old = catalog(1, &[]);
    let draining = OrdSet::unit("gateway-1".into());
    let new = Catalog { draining, drained_percent: 30, ..catalog(2, &[]) };
    assert_eq!(check(&old, &new).len(), 3);
}
