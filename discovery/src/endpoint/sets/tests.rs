//! The rules of putting sets and finding them.

use config::model::AppProtocol;

use super::*;

fn web() -> Name {
    Name::new("shop", "web")
}

fn at(port: u16) -> ServicePort {
    ServicePort { service: web(), port }
}

fn set(protocol: AppProtocol) -> Arc<EndpointSet> {
    Arc::new(EndpointSet { protocol, ..EndpointSet::default() })
}

#[test]
fn a_set_is_found_by_kind_name_and_port_alone() {
    let mut sets = EndpointSets::default();
    let (http, h2c) = (set(AppProtocol::Http1), set(AppProtocol::H2c));
    assert!(sets.put(Owner::Import(&web()), [(443, Arc::clone(&h2c)), (80, Arc::clone(&http))]));
    assert_eq!(sets.get(&BackendKey::Import(at(80))), Some(&http));
    assert_eq!(sets.get(&BackendKey::Import(at(443))), Some(&h2c));
    assert_eq!(sets.get(&BackendKey::Import(at(81))), None);
    assert_eq!(sets.get(&BackendKey::Service(at(80))), None);
    assert_eq!(sets.get(&BackendKey::Mirror(at(80))), None);
    let keys: Vec<_> = sets.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [BackendKey::Import(at(80)), BackendKey::Import(at(443))]);
}

#[test]
fn what_is_put_takes_the_place_of_all_and_keeps_what_is_equal() {
    let mut sets = EndpointSets::default();
    let (first, again) = (set(AppProtocol::Http1), set(AppProtocol::Http1));
    sets.put(Owner::Service(&web()), [(80, Arc::clone(&first)), (81, Arc::clone(&first))]);
    let before = sets.clone();
    assert!(
        !sets.put(Owner::Service(&web()), [(80, Arc::clone(&again)), (81, Arc::clone(&first))])
    );
    assert!(sets.ptr_eq(&before), "nothing is another");
    assert!(sets.put(Owner::Service(&web()), [(80, again)]));
    assert!(Arc::ptr_eq(sets.get(&BackendKey::Service(at(80))).unwrap(), &first));
    assert_eq!(sets.get(&BackendKey::Service(at(81))), None);
    assert!(!sets.ptr_eq(&before) && before.iter().count() == 2, "a copy keeps what it saw");
    assert!(sets.put(Owner::Service(&web()), []));
    assert_eq!(sets.iter().count(), 0);
}

#[test]
fn one_that_is_inserted_leaves_the_other_ports_alone() {
    let mut sets = EndpointSets::default();
    for port in [443, 80] {
        sets.insert(&BackendKey::Mirror(at(port)), set(AppProtocol::Unset));
    }
    sets.insert(&BackendKey::Mirror(at(80)), set(AppProtocol::H2c));
    let protocols: Vec<_> =
        sets.of(Owner::Mirror(&web())).iter().map(|it| &it.1.protocol).collect();
    assert_eq!(protocols, [&AppProtocol::H2c, &AppProtocol::Unset]);
}
