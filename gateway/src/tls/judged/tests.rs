//! What is remembered of a certificate, and for whom.

use std::time::Duration;

use super::*;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn certificate(number: u32) -> CertificateDer<'static> {
    number.to_be_bytes().to_vec().into()
}

fn peer() -> Peer {
    let id = "spiffe://west.example/ns/spanway-system/sa/spanway-gateway".parse().unwrap();
    Peer { link: "west".into(), id, not_after: at(200) }
}

/// Remembers certificate 1 of a client, at second 100.
fn judged() -> Judged {
    let judged = Judged::default();
    judged.remember(&[&certificate(1)], Side::Client, at(100), &peer());
    judged
}

#[test]
fn a_certificate_that_was_found_good_is_good_until_it_ends() {
    let recall = |second| judged().recall(&[&certificate(1)], Side::Client, at(second));
    assert_eq!(recall(100), Some(peer()));
    assert_eq!(recall(200), Some(peer()));
    assert_eq!(recall(201), None);
    assert_eq!(recall(99), None, "nobody knows whether it was valid before");
}

#[test]
fn nothing_is_known_of_another_certificate_a_longer_chain_or_the_other_side() {
    let judged = judged();
    let (one, other) = (certificate(1), certificate(2));
    assert_eq!(judged.recall(&[&other], Side::Client, at(100)), None);
    assert_eq!(judged.recall(&[&one], Side::Server, at(100)), None);
    assert_eq!(judged.recall(&[], Side::Client, at(100)), None);
    judged.remember(&[&one, &other], Side::Client, at(100), &peer());
    assert_eq!(judged.recall(&[&one, &other], Side::Client, at(100)), None);
}

#[test]
fn the_oldest_of_too_many_is_forgotten() {
    let judged = judged();
    let most = u32::try_from(CERTIFICATES_MAX).unwrap();
    for number in 2..=most {
        judged.remember(&[&certificate(number)], Side::Client, at(100), &peer());
    }
    assert!(judged.recall(&[&certificate(1)], Side::Client, at(100)).is_some());
    judged.remember(&[&certificate(most + 1)], Side::Client, at(100), &peer());
    assert!(judged.recall(&[&certificate(1)], Side::Client, at(100)).is_none());
    assert!(judged.recall(&[&certificate(2)], Side::Client, at(100)).is_some());
}
