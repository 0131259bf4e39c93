//! Shares of backends.

use std::sync::Arc;

use config::model::{Name, ServicePort};

use super::*;

fn backend(name: &str, weight: u32) -> Backend {
    let service = Name::new("default", name);
    let key = BackendKey::Service(ServicePort { service, port: 80 });
    Backend { weight, target: Target::Endpoints(key), filters: Arc::default() }
}

fn shares(backends: &[Backend], draws: u64) -> Vec<u64> {
    let mut shares = vec![0; backends.len()];
    for draw in 0..draws {
        let chance = draw * (u64::MAX / draws);
        let (chosen, _) = split(backends, chance).unwrap();
        let place = backends.iter().position(|backend| std::ptr::eq(backend, chosen)).unwrap();
        shares[place] += 1;
    }
    shares
}

#[test]
fn backends_share_by_weight() {
    let backends = [backend("a", 1), backend("b", 3)];
    let shares = shares(&backends, 4000);
    assert!(shares[0].abs_diff(1000) <= 2 && shares[1].abs_diff(3000) <= 2, "{shares:?}");
}

#[test]
fn a_weight_of_zero_gets_nothing() {
    let backends = [backend("a", 0), backend("b", 1), backend("c", 0)];
    assert_eq!(shares(&backends, 100), [0, 100, 0]);
}

#[test]
fn an_invalid_backend_keeps_its_share_and_fails() {
    let invalid =
        Backend { weight: 1, target: Target::Invalid("gone".into()), filters: Arc::default() };
    let backends = [invalid, backend("b", 1)];
    assert_eq!(split(&backends, 0).unwrap_err(), Failure::InvalidBackend);
    assert!(split(&backends, u64::MAX).is_ok());
}

#[test]
fn no_weight_at_all_is_an_invalid_backend() {
    assert_eq!(split(&[], 7).unwrap_err(), Failure::InvalidBackend);
    assert_eq!(split(&[backend("a", 0)], 7).unwrap_err(), Failure::InvalidBackend);
}
