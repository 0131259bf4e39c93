//! Parts become a catalog, within the quota.

use std::collections::VecDeque;

use super::*;
use crate::catalog::diff;
use crate::samples::{catalog, web};

const FEW: Quota = Quota { services: 2, endpoints: 3, bytes: 64 * 1024 };

/// The parts of an update, each of one change.
fn parts(old: &Catalog, new: &Catalog, snapshot: bool) -> Vec<pb::Update> {
    let changes = diff(old, new);
    let one = |change| wire::next_part(&mut VecDeque::from([change]), snapshot);
    let mut parts: Vec<_> = changes.into_iter().map(one).collect();
    parts.push(pb::Update { snapshot, state: Some(wire::state(new)), ..pb::Update::default() });
    parts
}

fn snapshot(inbox: &mut Inbox, new: &Catalog) -> Arc<Catalog> {
    receive(inbox, parts(&Catalog::default(), new, true))
}

fn receive(inbox: &mut Inbox, parts: Vec<pb::Update>) -> Arc<Catalog> {
    let mut received = Received::More;
    for part in parts {
        assert_eq!(received, Received::More, "only the last part ends an update");
        received = inbox.receive(part);
    }
    match received {
        Received::Catalog(catalog) => catalog,
        Received::More => panic!("the update has no end"),
    }
}

#[test]
fn a_snapshot_then_a_change() {
    let (first, second) = (catalog(1, &[("web", &["a"])]), catalog(2, &[("web", &["b"])]));
    let mut inbox = Inbox::new(Arc::default(), FEW);
    assert_eq!(*snapshot(&mut inbox, &first), first);
    assert_eq!(*receive(&mut inbox, parts(&first, &second, false)), second);
    assert_eq!(inbox.problem(), None);
}

#[test]
fn a_snapshot_that_is_cut_off_changes_nothing() {
    let first = Arc::new(catalog(1, &[("web", &["a"])]));
    let mut inbox = Inbox::new(Arc::clone(&first), FEW);
    let mut cut = parts(&Catalog::default(), &catalog(2, &[]), true);
    cut.truncate(1);
    cut[0].state = None;
    for part in cut {
        assert_eq!(inbox.receive(part), Received::More);
    }
    assert!(Arc::ptr_eq(&inbox.complete, &first));
}

#[test]
fn a_snapshot_takes_away_what_it_does_not_name_and_keeps_what_is_the_same() {
    let known = Arc::new(catalog(1, &[("web", &["a"]), ("api", &["b"])]));
    let mut inbox = Inbox::new(Arc::clone(&known), FEW);
    let next = snapshot(&mut inbox, &catalog(2, &[("web", &["a"])]));
    assert_eq!(next.services.len(), 1);
    assert!(Arc::ptr_eq(&next.services[&web()], &known.services[&web()]));
}

#[test]
fn services_over_the_quota_are_left_out_with_a_reason() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let many = catalog(1, &[("a", &["x"]), ("b", &["y"]), ("c", &["z"])]);
    assert_eq!(snapshot(&mut inbox, &many).services.len(), 2);
    let (reason, sentence) = inbox.problem().unwrap();
    assert_eq!(reason, "QuotaExceeded");
    assert!(sentence.contains("shop/c"), "{sentence}");
}

#[test]
fn endpoints_over_the_quota_are_left_out_with_a_reason() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let many = catalog(1, &[("web", &["a", "b", "c", "d", "e"])]);
    assert_eq!(snapshot(&mut inbox, &many).services[&web()].endpoints.len(), 3);
    assert_eq!(inbox.problem().unwrap().0, "QuotaExceeded");
}

#[test]
fn bytes_over_the_quota_are_left_out_with_a_reason() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let mut large = catalog(1, &[("a", &[]), ("web", &[])]);
    let service = Arc::make_mut(large.services.get_mut(&web()).unwrap());
    service.annotations.insert("note".into(), "x".repeat(100_000).into());
    let got = snapshot(&mut inbox, &large);
    assert_eq!(got.services.len(), 1);
    assert_eq!(inbox.problem().unwrap().0, "QuotaExceeded");
}

#[test]
fn usage_follows_what_comes_and_goes() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let mut known = Catalog::default();
    for round in 1..20 {
        let ids = [format!("a{round}"), format!("b{round}"), format!("c{round}")];
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let next = catalog(round, &[("web", &ids)]);
        // Removals stand before what is put in their place only within one part.
        let changes = diff(&known, &next);
        let mut part = wire::next_part(&mut changes.into(), false);
        part.state = Some(wire::state(&next));
        assert_eq!(*receive(&mut inbox, vec![part]), next);
        known = next;
    }
    assert_eq!(inbox.problem(), None);
    let counted = Inbox::new(Arc::clone(&inbox.complete), FEW).usage;
    assert_eq!(inbox.usage, counted);
}

#[test]
fn room_after_a_refusal_asks_for_a_new_snapshot() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let many = catalog(1, &[("a", &["x"]), ("b", &["y"]), ("c", &["z"])]);
    snapshot(&mut inbox, &many);
    assert!(!inbox.wants_snapshot());
    let fewer = catalog(2, &[("b", &["y"]), ("c", &["z"])]);
    receive(&mut inbox, parts(&many, &fewer, false));
    assert!(inbox.wants_snapshot());
}

#[test]
fn an_invalid_service_costs_itself() {
    let mut inbox = Inbox::new(Arc::default(), FEW);
    let mut all = parts(&Catalog::default(), &catalog(1, &[("a", &[]), ("b", &[])]), true);
    all[0].services[0].name.as_mut().unwrap().name = "A".into();
    assert_eq!(receive(&mut inbox, all).services.len(), 1);
    assert_eq!(inbox.problem().unwrap().0, "InvalidCatalog");
}
