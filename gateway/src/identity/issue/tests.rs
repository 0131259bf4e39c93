//! Whose token gets which name, and whose gets none.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::identity::authority::SVID_LIFE;
use crate::tls::testing::install;

fn allowed() -> Allowed {
    Allowed {
        trust_domain: "east".parse().unwrap(),
        accounts: [Name::new("spanway", "gateway"), Name::new("spanway", "controller")].into(),
    }
}

fn review(user: &str) -> Review {
    Review {
        authenticated: true,
        user: user.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        error: String::new(),
    }
}

fn refused(review: &Review) -> &'static str {
    allowed().authorize(review).unwrap_err().label()
}

#[test]
fn the_name_follows_from_the_token_alone() {
    let id = allowed().authorize(&review("system:serviceaccount:spanway:gateway")).unwrap();
    assert_eq!(id.as_str(), "spiffe://east/ns/spanway/sa/gateway");
}

#[test]
fn a_token_of_a_foreign_service_account_gets_nothing() {
    for user in [
        "system:serviceaccount:shop:gateway",
        "system:serviceaccount:spanway:default",
        "system:serviceaccount:spanway:gateway2",
    ] {
        assert_eq!(refused(&review(user)), "not_on_the_list", "{user}");
    }
}

#[test]
fn a_token_for_another_audience_gets_nothing() {
    let mut review = review("system:serviceaccount:spanway:gateway");
    for audiences in [vec![], vec!["https://kubernetes.default.svc".to_owned()]] {
        review.audiences = audiences;
        assert_eq!(refused(&review), "audience");
    }
}

#[test]
fn a_token_that_is_not_good_gets_nothing() {
    let mut review = review("system:serviceaccount:spanway:gateway");
    review.authenticated = false;
    assert_eq!(refused(&review), "not_authenticated");
}

#[test]
fn a_user_who_is_no_service_account_gets_nothing() {
    for user in [
        "",
        "admin",
        "spanway:gateway",
        "system:node:a",
        "system:serviceaccount:spanway",
        "system:serviceaccount:spanway:",
        "system:serviceaccount::gateway",
        "system:serviceaccount:spanway:gateway:x",
        " system:serviceaccount:spanway:gateway",
    ] {
        assert_eq!(refused(&review(user)), "not_a_service_account", "{user:?}");
    }
}

#[test]
fn the_list_gives_the_names_of_all_who_are_known() {
    let ids: Vec<_> = allowed().ids().iter().map(SpiffeId::to_string).collect();
    assert_eq!(
        ids,
        ["spiffe://east/ns/spanway/sa/controller", "spiffe://east/ns/spanway/sa/gateway"]
    );
}

#[test]
fn a_table_knows_a_token_in_full_or_not_at_all() {
    let table = TokenTable::parse("spanway gateway s3cret\n\nnonsense\nshop web other\n");
    assert_eq!(table.review("s3cret"), review("system:serviceaccount:spanway:gateway"));
    for token in ["", "s3cre", "s3cret2", "S3CRET", "nonsense", "spanway"] {
        assert!(!table.review(token).authenticated, "{token:?}");
    }
    assert!(!format!("{table:?}").contains("s3cret"));
}

fn issuer() -> Issuer {
    install();
    let terms = Terms { now: UnixTime::now(), life: SVID_LIFE, serial: [1; 16] };
    let authority = Authority::make(&allowed().trust_domain, terms).unwrap();
    let table = TokenTable::parse("spanway gateway s3cret\nshop web other");
    Issuer::new(Arc::new(authority), allowed(), Reviewer::Table(table), SVID_LIFE)
}

async fn issue(token: &str) -> Result<SpiffeId, NotIssued> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    let chance = Chance { now: UnixTime::now(), serial: [2; 16] };
    issuer().issue(request.der(), token, chance).await.map(|(id, _)| id)
}

#[tokio::test]
async fn a_certificate_is_issued_to_those_on_the_list_only() {
    assert_eq!(issue("s3cret").await.unwrap().as_str(), "spiffe://east/ns/spanway/sa/gateway");
    let foreign = issue("other").await;
    assert_eq!(foreign, Err(NotIssued::Refused(Refusal::NotOnTheList(Name::new("shop", "web")))));
    let unknown = issue("guess").await;
    assert!(matches!(unknown, Err(NotIssued::Refused(Refusal::NotAuthenticated(_)))));
    let endless = issue(&"x".repeat(MAX_TOKEN_BYTES + 1)).await;
    assert!(matches!(endless, Err(NotIssued::Refused(Refusal::NotAuthenticated(_)))));
}

/// Asks an API server that gives this answer, and says what it was asked.
async fn reviewed(answer: serde_json::Value) -> (Result<Review, NotIssued>, serde_json::Value) {
    let asked = Arc::new(std::sync::Mutex::new(serde_json::Value::Null));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (seen, answer) = (Arc::clone(&seen), answer.clone());
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            *seen.lock().unwrap() = serde_json::from_slice(&body).unwrap();
            let body = serde_json::to_vec(&answer).unwrap();
            Ok::<_, tower::BoxError>(http::Response::new(kube::client::Body::from(body)))
        }
    });
    let reviewer = Reviewer::Kubernetes(kube::Client::new(service, "spanway"));
    let review = reviewer.review("a-token").await;
    let asked = asked.lock().unwrap().clone();
    (review, asked)
}

fn token_review(status: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "metadata": {}, "spec": {}, "status": status,
    })
}

#[tokio::test]
async fn the_api_server_is_asked_about_our_audience_alone() {
    let user = "system:serviceaccount:spanway:gateway";
    let (answer, asked) = reviewed(token_review(&serde_json::json!({
        "authenticated": true, "audiences": [AUDIENCE], "user": {"username": user},
    })))
    .await;
    assert_eq!(answer, Ok(review(user)));
    assert_eq!(asked["spec"]["audiences"], serde_json::json!([AUDIENCE]));
    assert_eq!(asked["spec"]["token"], "a-token");
}

#[tokio::test]
async fn an_answer_that_says_nothing_lets_nobody_in() {
    for status in [serde_json::json!({}), serde_json::json!({"error": "no"})] {
        let (review, _) = reviewed(token_review(&status)).await;
        assert_eq!(refused(&review.unwrap()), "not_authenticated");
    }
    // An API server that knows no audiences says of none that it is ours.
    let user = serde_json::json!({"username": "system:serviceaccount:spanway:gateway"});
    let status = serde_json::json!({"authenticated": true, "user": user});
    assert_eq!(refused(&reviewed(token_review(&status)).await.0.unwrap()), "audience");
}
