//! The phases of going away.

use super::*;

const LIMITS: Limits =
    Limits { leaving: Duration::from_secs(10), draining: Duration::from_secs(20) };
const SETTLING: Duration = Duration::from_secs(3);

/// The time begins when somebody asks.
async fn settled() {
    tokio::time::sleep(SETTLING).await;
}

#[test]
fn a_phase_never_goes_back() {
    let drain = Drain::default();
    let watch = drain.watch();
    drain.advance(Phase::Draining);
    drain.advance(Phase::Leaving);
    assert_eq!(watch.phase(), Phase::Draining);
    assert!(!watch.keeps_alive());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_gateway_goes_once_it_is_confirmed_and_nodes_have_followed() {
    let drain = Drain::default();
    let began = tokio::time::Instant::now();
    assert_eq!(drain.run(LIMITS, std::future::ready(()), settled()).await, 0);
    assert_eq!(began.elapsed().as_secs(), SETTLING.as_secs());
    assert_eq!(drain.watch().phase(), Phase::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_nobody_confirms_goes_after_a_limit() {
    let drain = Drain::default();
    let began = tokio::time::Instant::now();
    drain.run(LIMITS, std::future::pending(), settled()).await;
    let limit = LIMITS.leaving + SETTLING;
    assert_eq!(began.elapsed().as_secs(), limit.as_secs());
}

#[tokio::test(start_paused = true)]
async fn open_connections_are_waited_for_and_then_counted_as_broken_off() {
    let drain = Drain::default();
    let watch = drain.watch();
    let (short, _long) = (watch.open(), watch.open());
    let ends = async {
        watch.reached(Phase::Draining).await;
        drop(short);
    };
    let began = tokio::time::Instant::now();
    let (left, ()) = tokio::join!(drain.run(LIMITS, std::future::ready(()), settled()), ends);
    assert_eq!((left, watch.count()), (1, 1));
    let limit = SETTLING + LIMITS.draining + BREAKING_OFF;
    assert_eq!(began.elapsed().as_secs(), limit.as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_last_connection_that_ends_ends_the_drain() {
    let drain = Drain::default();
    let watch = drain.watch();
    let open = watch.open();
    let ends = async {
        watch.reached(Phase::Draining).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(open);
    };
    let began = tokio::time::Instant::now();
    let (left, ()) = tokio::join!(drain.run(LIMITS, std::future::ready(()), settled()), ends);
    assert_eq!((left, began.elapsed().as_secs()), (0, SETTLING.as_secs() + 5));
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_woken_for_the_phase_that_it_asks_for_whatever_passed_before() {
    let drain = Drain::default();
    let mut follower = drain.watch().follower();
    let follows = tokio::spawn(async move {
        follower.reached(Phase::Leaving).await;
        follower.reached(Phase::Ended).await;
    });
    for phase in [Phase::Leaving, Phase::Draining, Phase::Ended] {
        // The follower is registered whenever the clock can go on.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!follows.is_finished(), "{phase:?} is still to come");
        drain.advance(phase);
    }
    follows.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_follower_asks_once_for_many_looks() {
    let drain = Drain::default();
    let mut follower = drain.watch().follower();
    let registered = || drain.phase.receiver_count();
    let before = registered();
    for _ in 0..100 {
        let looked = tokio::time::timeout(Duration::ZERO, follower.reached(Phase::Draining));
        assert!(looked.await.is_err());
    }
    assert_eq!(registered(), before + 1);
}
