//! The rules of writing to an API server, by what it is asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;

use super::*;

/// The requests so far, with what was sent.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that answers everything with this, and what it was asked.
fn answering(code: u16, body: Value) -> (Writer, Asked) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, body) = (Arc::clone(&seen), body.to_string());
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let sent = request.into_body().collect_bytes().await.expect("it is sent");
            let sent = serde_json::from_slice(&sent).unwrap_or_default();
            seen.lock().expect("not poisoned").push((line, sent));
            let answer = Response::builder().status(code).body(Body::from(body.into_bytes()));
            Ok::<_, Infallible>(answer.expect("it is an answer"))
        }
    });
    (Writer::new(Client::new(service, "default")), asked)
}

fn web() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {
        "name": "web", "namespace": "shop", "resourceVersion": "7",
    }})
}

fn object() -> DynamicObject {
    serde_json::from_value(web()).expect("it has the shape of an object")
}

fn reference() -> ObjectRef {
    ObjectRef::new(Kind::Service, Name::new("shop", "web"))
}

#[tokio::test]
async fn what_is_applied_is_ours_by_name_and_no_compare_and_swap() {
    let (writer, asked) = answering(200, web());
    writer.apply(Kind::Service, object(), Conflicts::Force).await.expect("it is applied");
    let (line, sent) = asked.lock().expect("not poisoned").remove(0);
    assert!(line.starts_with("PATCH /api/v1/namespaces/shop/services/web?"), "{line}");
    assert!(line.contains("fieldManager=spanway") && line.contains("force=true"), "{line}");
    assert_eq!(sent.pointer("/metadata/resourceVersion"), None);
}

#[tokio::test]
async fn a_status_names_the_version_from_which_it_was_made() {
    let (writer, asked) = answering(200, web());
    writer.patch_status(&reference(), json!({"a": 1}), Some("7")).await.expect("it is said");
    let (line, sent) = asked.lock().expect("not poisoned").remove(0);
    assert!(line.starts_with("PATCH /api/v1/namespaces/shop/services/web/status?"), "{line}");
    assert_eq!(sent, json!({"status": {"a": 1}, "metadata": {"resourceVersion": "7"}}));
}

#[tokio::test]
async fn a_deletion_names_the_object_that_is_meant() {
    let (writer, asked) = answering(200, web());
    let only = Precondition { uid: Some("u".to_owned()), resource_version: None };
    writer.delete(&reference(), only).await.expect("it is deleted");
    let (_, sent) = asked.lock().expect("not poisoned").remove(0);
    assert_eq!(sent.pointer("/preconditions"), Some(&json!({"uid": "u"})));
}

#[tokio::test]
async fn a_refusal_is_told_by_its_kind() {
    for (code, reason, expected) in [
        (409, "AlreadyExists", WriteFailure::AlreadyExists),
        (409, "Conflict", WriteFailure::Conflict),
        (404, "NotFound", WriteFailure::NotFound),
        (403, "Forbidden", WriteFailure::Forbidden),
        (422, "Invalid", WriteFailure::Invalid),
        (503, "ServiceUnavailable", WriteFailure::Unreachable),
    ] {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure",
            "message": "no", "reason": reason, "code": code,
        });
        let (writer, _) = answering(code, status);
        let refused = writer.create(Kind::Service, object()).await.expect_err("it is refused");
        assert_eq!((refused.reason, refused.message.as_str()), (expected, "no"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_unreachable() {
    let service = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let writer = Writer::new(Client::new(service, "default"));
    let late = writer.get(&reference()).await.expect_err("it does not answer");
    assert_eq!(late.reason, WriteFailure::Unreachable);
}
