//! The rules of leading, against an API server that keeps one Lease.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server of one object, with versions; away where it is told to be.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    away: bool,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    fn answer(&mut self, method: &Method, sent: Value) -> (u16, Value) {
        let known = self.lease.clone();
        match (method, known) {
            (&Method::GET, Some(lease)) => (200, lease),
            (&Method::GET, None) => (404, failure(404)),
            (&Method::POST, Some(_)) => (409, failure(409)),
            (_, Some(lease)) if at(&lease) != at(&sent) => (409, failure(409)),
            _ => {
                self.version += 1;
                let mut lease = sent;
                lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.lease = Some(lease.clone());
                (200, lease)
            }
        }
    }

    fn holder(&self) -> Option<String> {
        let lease = self.lease.as_ref()?;
        lease.pointer("/spec/holderIdentity").and_then(Value::as_str).map(ToOwned::to_owned)
    }
}

fn at(lease: &Value) -> Option<&Value> {
    lease.pointer("/metadata/resourceVersion")
}

fn failure(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": "no", "reason": reason, "code": code,
    })
}

fn client(server: &Shared) -> Client {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let method = request.method().clone();
            let sent = request.into_body().collect_bytes().await.expect("it is sent");
            let sent = serde_json::from_slice(&sent).unwrap_or_default();
            let away = server.lock().expect("not poisoned").away;
            if away {
                return std::future::pending().await;
            }
            let (code, body) = server.lock().expect("not poisoned").answer(&method, sent);
            let body = Body::from(body.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body);
            Ok::<_, Infallible>(answer.expect("it is an answer"))
        }
    });
    Client::new(service, "default")
}

struct Candidate {
    watched: watch::Receiver<Leadership>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn candidate(server: &Shared, identity: &str) -> Candidate {
    let (elector, watched) = Elector::new(client(server), "spanway-system", "spanway", identity);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(elector.run(shutdown.clone()));
    Candidate { watched, shutdown, task }
}

impl Candidate {
    fn leads(&self) -> bool {
        self.watched.borrow().leads(Instant::now())
    }

    async fn led(&mut self, leads: bool) {
        let wait = self.watched.wait_for(|l| l.leads(Instant::now()) == leads);
        timeout(LEASE * 8, wait).await.expect("in time").expect("it runs");
    }
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_knows_who() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.led(true).await;
    let mut second = candidate(&server, "b");
    let known = |l: &Leadership| l.holder.as_deref() == Some("a");
    second.watched.wait_for(known).await.expect("it runs");
    sleep(LEASE * 4).await;
    assert!(first.leads() && !second.leads(), "it renews");
}

#[tokio::test(start_paused = true)]
async fn who_ends_hands_the_lease_back_and_the_other_takes_it_at_the_next_look() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.led(true).await;
    let mut second = candidate(&server, "b");
    let ended = Instant::now();
    first.shutdown.cancel();
    first.task.await.expect("it ends");
    second.led(true).await;
    assert!(ended.elapsed() <= RETRY * 2, "{:?}", ended.elapsed());
    assert_eq!(server.lock().expect("not poisoned").holder().as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_followed_after_its_lease_by_a_higher_term() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.led(true).await;
    let term = first.watched.borrow().term;
    first.task.abort();
    let mut second = candidate(&server, "b");
    let killed = Instant::now();
    second.led(true).await;
    assert!(killed.elapsed() >= LEASE, "{:?}", killed.elapsed());
    assert!(killed.elapsed() <= LEASE + RETRY * 2, "{:?}", killed.elapsed());
    assert!(second.watched.borrow().term > term);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_anybody_else_may_begin() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.led(true).await;
    server.lock().expect("not poisoned").away = true;
    let away = Instant::now();
    first.led(false).await;
    assert!(away.elapsed() <= RENEW_WITHIN, "{:?}", away.elapsed());
    server.lock().expect("not poisoned").away = false;
    first.led(true).await;
}

#[tokio::test]
async fn of_a_directory_there_is_one_leader() {
    let (elector, watched) = Elector::always("me");
    assert!(watched.borrow().leads(Instant::now()));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(elector.run(shutdown.clone()));
    shutdown.cancel();
    task.await.expect("it ends");
}
