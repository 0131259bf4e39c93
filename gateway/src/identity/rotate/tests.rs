//! How a gateway stays certified, and when it is no longer.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::control::server::Leading;
use crate::control::testing::{CONTROLLER, Controller, GATEWAY, TOKENS, terms};
use crate::tls::testing::{WITHIN, install};

/// A gateway's directory: its token and the bundle.
struct Gateway {
    directory: tempfile::TempDir,
    source: Controllers,
}

impl Gateway {
    async fn of(controller: &Controller, addresses: Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bundle = BundleStore::Directory(directory.path().to_owned());
        bundle.publish(&controller.authority.bundle()).await.unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, format!("{}\n", TOKENS.gateway)).unwrap();
        let source = Controllers {
            addresses,
            ids: [CONTROLLER.parse().unwrap()].into(),
            trust_domain: "east".parse().unwrap(),
            bundle,
            token,
        };
        Self { directory, source }
    }

    async fn obtain(&self) -> Result<Svid, NotRenewed> {
        obtain(&Source::Controllers(self.source.clone()), UnixTime::now()).await
    }
}

/// The loop under way, and what it tells.
struct Loop {
    svid: watch::Receiver<Option<Arc<Svid>>>,
    status: watch::Receiver<Status>,
    task: JoinHandle<Infallible>,
}

impl Loop {
    fn start(source: Source, clock: fn() -> UnixTime) -> Self {
        let outputs = Outputs {
            svid: watch::Sender::new(None),
            status: watch::Sender::new(Status::default()),
        };
        let (svid, status) = (outputs.svid.subscribe(), outputs.status.subscribe());
        let task = tokio::spawn(run(source, clock, outputs));
        Self { svid, status, task }
    }

    /// Waits until what is held is as wanted.
    async fn held(&mut self, wanted: impl FnMut(&Option<Arc<Svid>>) -> bool) -> Option<Arc<Svid>> {
        let held = tokio::time::timeout(WITHIN, self.svid.wait_for(wanted)).await;
        held.expect("it did not come").unwrap().clone()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_gateway_is_certified_by_the_controller() {
    let controller = Controller::start().await;
    let gateway = Gateway::of(&controller, vec![controller.address.clone()]).await;
    assert_eq!(gateway.obtain().await.unwrap().id().as_str(), GATEWAY);
}

#[tokio::test]
async fn a_dead_controller_and_a_follower_lead_to_the_leader() {
    let leader = Controller::start().await;
    let authority = Arc::clone(&leader.authority);
    let follower = Controller::start_with(authority, Duration::from_hours(1)).await;
    follower.leading.send_replace(Leading::Elsewhere(leader.address.as_str().into()));
    let addresses = vec!["127.0.0.1:1".to_owned(), follower.address.clone()];
    let gateway = Gateway::of(&leader, addresses).await;
    assert_eq!(gateway.obtain().await.unwrap().id().as_str(), GATEWAY);
}

#[tokio::test]
async fn without_a_leader_there_is_no_certificate_and_no_endless_search() {
    let one = Controller::start().await;
    let other = Controller::start_with(Arc::clone(&one.authority), Duration::from_hours(1)).await;
    one.leading.send_replace(Leading::Elsewhere(other.address.as_str().into()));
    other.leading.send_replace(Leading::Elsewhere(one.address.as_str().into()));
    let gateway = Gateway::of(&one, vec![one.address.clone()]).await;
    let failed = gateway.obtain().await.unwrap_err();
    assert!(matches!(failed, NotRenewed::NoLeader), "{failed}");
}

#[tokio::test]
async fn the_token_is_read_anew_each_time() {
    let controller = Controller::start().await;
    let gateway = Gateway::of(&controller, vec![controller.address.clone()]).await;
    std::fs::write(&gateway.source.token, TOKENS.foreign).unwrap();
    let failed = gateway.obtain().await.unwrap_err();
    assert!(matches!(failed, NotRenewed::Refused { .. }), "{failed}");
    std::fs::write(&gateway.source.token, TOKENS.gateway).unwrap();
    gateway.obtain().await.unwrap();
    std::fs::remove_file(&gateway.source.token).unwrap();
    let failed = gateway.obtain().await.unwrap_err();
    assert!(matches!(failed, NotRenewed::Token { .. }), "{failed}");
}

#[tokio::test]
async fn no_token_goes_to_one_whom_the_bundle_does_not_know() {
    let controller = Controller::start().await;
    let gateway = Gateway::of(&controller, vec![controller.address.clone()]).await;
    let other = Authority::make(&"east".parse().unwrap(), terms()).unwrap();
    gateway.source.bundle.publish(&other.bundle()).await.unwrap();
    let failed = gateway.obtain().await.unwrap_err();
    assert!(matches!(failed, NotRenewed::Call(Uncallable::Handshake { .. })), "{failed}");
    std::fs::remove_file(gateway.directory.path().join("bundle.pem")).unwrap();
    let failed = gateway.obtain().await.unwrap_err();
    assert!(matches!(failed, NotRenewed::Bundle(_)), "{failed}");
}

#[tokio::test]
async fn a_certificate_is_renewed_before_its_end() {
    let controller = Controller::start().await;
    let source = Source::Authority {
        authority: Arc::clone(&controller.authority),
        id: GATEWAY.parse().unwrap(),
        life: Duration::from_secs(3),
    };
    let mut running = Loop::start(source, UnixTime::now);
    let first = running.held(Option::is_some).await.unwrap();
    let second = running.held(|held| held.as_ref().is_none_or(|held| !Arc::ptr_eq(held, &first)));
    let second = second.await.expect("there was a moment without a certificate");
    assert!(second.not_after() > first.not_after());
}

#[tokio::test]
async fn the_last_good_certificate_is_held_to_its_end_and_no_longer() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.store(UnixTime::now().as_secs(), Ordering::SeqCst);
    let clock = || UnixTime::since_unix_epoch(Duration::from_secs(NOW.load(Ordering::SeqCst)));
    let controller = Controller::start().await;
    let gateway = Gateway::of(&controller, vec![controller.address.clone()]).await;
    let held = obtain(&Source::Controllers(gateway.source.clone()), clock()).await.unwrap();
    let end = held.not_after().as_secs();
    let outputs = Outputs {
        svid: watch::Sender::new(Some(Arc::new(held))),
        status: watch::Sender::new(Status::default()),
    };
    // Nobody answers from now on.
    drop(controller);
    NOW.store(end, Ordering::SeqCst);
    expire(&outputs, clock());
    assert!(outputs.svid.borrow().is_some());
    NOW.store(end + 1, Ordering::SeqCst);
    let mut svid = outputs.svid.subscribe();
    let mut status = outputs.status.subscribe();
    let source = Source::Controllers(gateway.source.clone());
    let task = tokio::spawn(run(source, clock, outputs));
    // Nothing of the channel is kept borrowed: the loop writes to it.
    let gone = tokio::time::timeout(WITHIN, svid.wait_for(Option::is_none)).await.is_ok();
    assert!(gone, "an expired certificate must not stay in use");
    let failed = tokio::time::timeout(WITHIN, status.wait_for(|status| status.failures > 0)).await;
    let error = failed.unwrap().unwrap().error.clone();
    assert!(error.is_some());
    task.abort();
}

#[tokio::test]
async fn a_certificate_ends_also_while_a_controller_does_not_answer() {
    let controller = Controller::start().await;
    // Accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let gateway = Gateway::of(&controller, vec![address]).await;
    let life = Terms { life: Duration::from_secs(2), ..terms() };
    let short = controller.authority.svid(&GATEWAY.parse().unwrap(), life).unwrap();
    let until = Some(short.not_after());
    let outputs = Outputs {
        svid: watch::Sender::new(Some(Arc::new(short))),
        status: watch::Sender::new(Status { until, ..Status::default() }),
    };
    let (mut svid, status) = (outputs.svid.subscribe(), outputs.status.subscribe());
    let source = Source::Controllers(gateway.source.clone());
    let task = tokio::spawn(run(source, UnixTime::now, outputs));
    let gone = tokio::time::timeout(WITHIN, svid.wait_for(Option::is_none)).await.is_ok();
    assert!(gone && status.borrow().failures == 0, "it ended within the first attempt");
    task.abort();
    drop(silent);
}

#[tokio::test]
async fn the_loop_recovers_and_says_how_it_stands() {
    let controller = Controller::start().await;
    let gateway = Gateway::of(&controller, vec![controller.address.clone()]).await;
    controller.leading.send_replace(Leading::Elsewhere("".into()));
    let mut running = Loop::start(Source::Controllers(gateway.source.clone()), UnixTime::now);
    let failing = running.status.wait_for(|status| status.failures > 0);
    let failing = tokio::time::timeout(WITHIN, failing).await.unwrap().unwrap().clone();
    assert_eq!((failing.until, failing.error.as_deref()), (None, Some("no controller leads")));
    assert!(running.svid.borrow().is_none());
    let leader = Controller::start_with(Arc::clone(&controller.authority), Duration::from_hours(1));
    let leader = leader.await;
    controller.leading.send_replace(Leading::Elsewhere(leader.address.as_str().into()));
    let svid = running.held(Option::is_some).await.unwrap();
    let status = running.status.borrow().clone();
    assert_eq!(status.until, Some(svid.not_after()));
    assert_eq!((status.failures, status.error), (0, None));
}

#[test]
fn renewal_is_due_between_a_half_and_two_thirds_of_a_life() {
    install();
    let authority = Authority::make(&"east".parse().unwrap(), terms()).unwrap();
    let now = UnixTime::now();
    let life = Terms { now, life: Duration::from_mins(100), serial: [1; 16] };
    let svid = authority.svid(&GATEWAY.parse().unwrap(), life).unwrap();
    let due = [0.0, 0.5, 1.0, 7.0].map(|chance| renew_at(&svid, now, chance).as_secs());
    let expected = [3000, 3500, 4000, 4000].map(|after| now.as_secs() + after);
    assert_eq!(due, expected);
}

#[test]
fn waits_between_failures_grow_to_a_limit_and_differ_by_chance() {
    let day = Some(Duration::from_hours(24));
    let wait = |failures| backoff(failures, day, 1.0).as_millis();
    let waits = [1, 2, 3, 7, 8, 1000, u32::MAX].map(wait);
    assert_eq!(waits, [500, 1000, 2000, 30_000, 30_000, 30_000, 30_000]);
    assert_eq!(backoff(1, day, 0.0), Duration::from_millis(250));
    assert_eq!(backoff(0, day, 1.0), Duration::from_millis(500));
}

#[test]
fn without_a_certificate_the_waits_stay_short() {
    let wait = |failures| backoff(failures, None, 1.0).as_millis();
    assert_eq!([1, 2, 3, 4, 5, 1000].map(wait), [500, 1000, 2000, 4000, 5000, 5000]);
}

#[test]
fn the_nearer_the_end_of_a_certificate_the_shorter_a_wait() {
    let wait = |left| backoff(1000, Some(Duration::from_secs(left)), 1.0).as_millis();
    assert_eq!([86_400, 80, 24, 1, 0].map(wait), [30_000, 10_000, 3_000, 500, 500]);
}
