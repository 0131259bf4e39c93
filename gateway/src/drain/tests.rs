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

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_wait_is_woken_when_its_phase_is_there_and_never_before() {
    let drain = Drain::default();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let (mut begins, mut ends) = (drain.watch().begins(), drain.watch().ends());
    let mut poll = || (begins.poll_reached(&mut cx), ends.poll_reached(&mut cx));
    let count = || woken.0.load(Relaxed);
    assert_eq!((poll(), count()), ((Poll::Pending, Poll::Pending), 0));
    drain.advance(Phase::Leaving);
    assert_eq!((poll(), count()), ((Poll::Pending, Poll::Pending), 0));
    drain.advance(Phase::Draining);
    assert_eq!((poll(), count()), ((Poll::Ready(()), Poll::Pending), 1));
    drain.advance(Phase::Ended);
    assert_eq!((poll(), count()), ((Poll::Ready(()), Poll::Ready(())), 2));
}

#[test]
fn a_wait_that_another_task_polls_wakes_that_task() {
    let drain = Drain::default();
    let mut wait = drain.watch().ends();
    let tasks = [Arc::new(Woken::default()), Arc::default()];
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        assert_eq!(wait.poll_reached(&mut Context::from_waker(&waker)), Poll::Pending);
    }
    drop(drain);
    let [before, now] = tasks.map(|task| task.0.load(Relaxed));
    assert_eq!((before, now), (0, 1), "the drain that nobody leads is over");
}
