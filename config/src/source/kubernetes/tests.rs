//! The rules of watching, against a scripted API server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::model::{Kind, Name};

/// The requests so far.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers each request with the next of the script, and none after its end.
fn scripted(script: Vec<(u16, String)>) -> (Client, Asked) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = script.lock().expect("not poisoned").pop_front();
        seen.lock().expect("not poisoned").push(request.uri().to_string());
        async move {
            let Some((status, body)) = answer else { return std::future::pending().await };
            let body = Body::from(body.into_bytes());
            Ok::<_, Infallible>(
                Response::builder().status(status).body(body).expect("it is an answer"),
            )
        }
    });
    (Client::new(service, "default"), asked)
}

fn export(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExport",
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": version},
    })
}

fn list(items: &[Value], version: &str) -> (u16, String) {
    let list = json!({
        "apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExportList",
        "metadata": {"resourceVersion": version}, "items": items,
    });
    (200, list.to_string())
}

fn watched(events: &[Value]) -> (u16, String) {
    (200, events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn refused(code: u16, reason: &str) -> (u16, String) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    (code, status.to_string())
}

/// What the reader tells while the script lasts.
async fn read(script: Vec<(u16, String)>) -> (Vec<String>, Vec<String>) {
    let (client, asked) = scripted(script);
    let options = Options { namespace: "spanway-system".into(), controls: false };
    let mut scopes = everywhere(&options).into_iter();
    let scope = scopes.find(|scope| scope.kind == Kind::ServiceExport).expect("it is watched");
    let (sender, mut changes) = mpsc::channel(CHANGES);
    let reader = reader::read(scope.clone(), scope.api(client), sender);
    let mut told = Vec::new();
    let hear = async {
        while let Some(change) = changes.recv().await {
            told.push(match change.news {
                ledger::News::Listed { objects, version } => {
                    format!("listed {} at {version}", objects.len())
                }
                ledger::News::Applied(object) => {
                    format!("applied {}", object.metadata.name.unwrap_or_default())
                }
                ledger::News::Deleted { name, version } => format!("deleted {name} at {version}"),
                ledger::News::Bookmark(version) => format!("bookmark {version}"),
                ledger::News::Heard => "heard".to_owned(),
                ledger::News::Failed(trouble) => format!("failed {trouble:?}"),
            });
        }
    };
    // Time is paused: it passes only when nobody has anything left to do. The script is over
    // before the first deadline for an answer.
    let over = tokio::time::sleep(Duration::from_secs(25));
    tokio::select! { () = reader => {}, () = hear => {}, () = over => {} }
    let asked = asked.lock().expect("not poisoned").clone();
    (told, asked)
}

#[tokio::test(start_paused = true)]
async fn a_watch_follows_the_list_and_goes_on_where_it_ended() {
    let script = vec![
        list(&[export("a", "3")], "5"),
        watched(&[
            json!({"type": "ADDED", "object": export("b", "7")}),
            json!({"type": "DELETED", "object": export("a", "8")}),
            json!({"type": "BOOKMARK", "object": {
                "apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExport",
                "metadata": {"resourceVersion": "20"},
            }}),
        ]),
    ];
    let (told, asked) = read(script).await;
    let expected = ["listed 1 at 5", "heard", "applied b", "deleted shop/a at 8", "bookmark 20"];
    assert_eq!(told, expected);
    assert!(asked[1].contains("resourceVersion=5"), "{asked:?}");
    assert!(asked[2].contains("resourceVersion=20"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_leads_to_a_new_list() {
    let expired = json!({"type": "ERROR", "object": {
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": 410, "reason": "Expired", "message": "too old",
    }});
    let script = vec![list(&[], "5"), watched(&[expired]), list(&[export("a", "9")], "9")];
    let (told, _) = read(script).await;
    assert_eq!(told, ["listed 0 at 5", "heard", "listed 1 at 9"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_an_unknown_kind_are_asked_again() {
    let script = vec![refused(403, "Forbidden"), refused(404, "NotFound"), list(&[], "5")];
    let (told, _) = read(script).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("Forbidden") && told[1].contains("Missing"), "{told:?}");
    assert_eq!(told[2], "listed 0 at 5");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_costs_itself() {
    let script = vec![
        list(&[], "5"),
        watched(&[
            json!({"type": "ADDED", "object": {"metadata": {"name": ["no", "name"]}}}),
            json!({"type": "ADDED", "object": export("b", "7")}),
        ]),
    ];
    let (told, _) = read(script).await;
    assert_eq!(told, ["listed 0 at 5", "heard", "applied b"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_asked_for_by_name_in_its_namespace_alone() {
    let wanted = ObjectRef::new(Kind::Secret, Name::new("shop", "tls"));
    let scope = named(&wanted).expect("it is watched by name");
    let (client, asked) = scripted(Vec::new());
    let (sender, _changes) = mpsc::channel(1);
    let reader = reader::read(scope.clone(), scope.api(client), sender);
    drop(tokio::time::timeout(Duration::from_secs(1), reader).await);
    let asked = asked.lock().expect("not poisoned").clone();
    assert!(asked[0].starts_with("/api/v1/namespaces/shop/secrets?"), "{asked:?}");
    assert!(asked[0].contains("fieldSelector=metadata.name%3Dtls"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn role_bindings_are_asked_for_by_our_mark_and_by_controllers_alone() {
    let scope = |controls| {
        let options = Options { namespace: "spanway-system".into(), controls };
        everywhere(&options).into_iter().find(|scope| scope.kind == Kind::RoleBinding)
    };
    assert!(scope(false).is_none());
    let scope = scope(true).expect("it is watched");
    let (client, asked) = scripted(Vec::new());
    let (sender, _changes) = mpsc::channel(1);
    let reader = reader::read(scope.clone(), scope.api(client), sender);
    drop(tokio::time::timeout(Duration::from_secs(1), reader).await);
    let asked = asked.lock().expect("not poisoned").clone();
    let path = "/apis/rbac.authorization.k8s.io/v1/rolebindings?";
    assert!(asked[0].starts_with(path), "{asked:?}");
    assert!(asked[0].contains("labelSelector=spanway.dev%2Fmanaged-by"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_ends_it() {
    let (client, _) = scripted(Vec::new());
    let options = Options { namespace: "spanway-system".into(), controls: true };
    let (_keep, wanted) = watch::channel(BTreeSet::new());
    let (source, watched) = Kubernetes::new(client, options, wanted);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(source.run(shutdown.clone()));
    shutdown.cancel();
    task.await.expect("it ends");
    assert!(!watched.state.borrow().synced);
}

#[tokio::test(start_paused = true)]
async fn a_change_alone_is_given_on_at_once_and_of_many_those_of_a_time_become_one() {
    let options = Options { namespace: "spanway-system".into(), controls: false };
    let scope = everywhere(&options).into_iter().next().expect("something is watched");
    let heard = || ledger::Change { scope: scope.clone(), news: ledger::News::Heard };
    let mut ledger = Ledger::new(std::iter::once(scope.clone()));
    let (sender, mut changes) = mpsc::channel(CHANGES);
    let start = Instant::now();
    sender.try_send(heard()).expect("there is room");
    gather(&mut changes, &mut ledger, start).await;
    assert_eq!((changes.len(), start.elapsed()), (0, Duration::ZERO), "it is due already");
    let later = async {
        for _ in 0..2 {
            tokio::time::sleep(PACE * 2 / 3).await;
            sender.try_send(heard()).expect("there is room");
        }
    };
    tokio::join!(gather(&mut changes, &mut ledger, start + PACE), later);
    assert_eq!(changes.len(), 1, "the first came in time, the second did not");
}
