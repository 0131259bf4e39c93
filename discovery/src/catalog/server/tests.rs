//! What a replica may answer.

use super::*;
use crate::catalog::Offer;

#[test]
fn a_replica_answers_when_it_has_reached_the_version_in_every_kind() {
    let version = |pairs: &[(&str, u64)]| -> Version {
        pairs.iter().map(|(kind, at)| (Arc::from(*kind), *at)).collect()
    };
    let covers = |told: &[(&str, u64)], reached: &[(&str, u64)], known: &[(&str, u64)]| {
        let catalog = Catalog { version: version(told), ..Catalog::default() };
        let offer = Offer { catalog, reached: version(reached), ..Offer::default() };
        offer.covers(&version(known))
    };
    let known: &[_] = &[("Service", 5), ("EndpointSlice", 7)];
    assert!(covers(known, &[], known));
    assert!(covers(&[("Service", 6), ("EndpointSlice", 7), ("Namespace", 1)], &[], known));
    assert!(!covers(&[("Service", 6), ("EndpointSlice", 6)], &[], known));
    assert!(!covers(&[("Service", 6)], &[], known));
    // The slice of version 7 was deleted before this replica began: no object says 7.
    assert!(covers(&[("Service", 5)], &[("EndpointSlice", 9)], known));
    assert!(covers(&[], &[], &[]), "a new client is served by anybody");
}

fn offers(version: u64, draining: &[&str]) -> Offers {
    let catalog = Catalog {
        version: [(Arc::from("Service"), version)].into_iter().collect(),
        draining: draining.iter().map(|it| Arc::from(*it)).collect(),
        ..Catalog::default()
    };
    let offer = Offer { catalog, ..Offer::default() };
    [(LinkName::from("east"), Arc::new(offer))].into_iter().collect()
}

/// The version of the next heartbeat, with the updates before it left out.
async fn next_beat(subscriber: &mut Subscriber) -> u64 {
    loop {
        if let Some(Kind::Heartbeat(beat)) = subscriber.next().await.unwrap().unwrap().event {
            return wire::read_version(beat.version).unwrap()["Service"];
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_never_falls_behind_one_before_it() {
    let (told, offered) = watch::channel(offers(1, &[]));
    let ages = Arc::new(|_: Instant| Vec::new());
    let mut subscriber = Subscriber::new("east".into(), offered, ages, &"gateway".into());
    assert_eq!(next_beat(&mut subscriber).await, 1);
    // Elsewhere in the cluster something happened, which only heartbeats tell.
    told.send_replace(offers(2, &[]));
    assert_eq!(next_beat(&mut subscriber).await, 2);
    // The beat is due at the moment at which something to be told comes.
    told.send_replace(offers(3, &["gateway"]));
    tokio::time::advance(HEARTBEAT).await;
    assert_eq!(next_beat(&mut subscriber).await, 2);
    assert_eq!(next_beat(&mut subscriber).await, 3);
}
