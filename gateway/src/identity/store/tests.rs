//! An authority is made once, and what stands is never overwritten.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use rustls::pki_types::UnixTime;

use super::*;
use crate::identity::authority::AUTHORITY_LIFE;
use crate::tls::testing::install;

fn terms() -> Terms {
    Terms { now: UnixTime::now(), life: AUTHORITY_LIFE, serial: [3; 16] }
}

async fn open(store: &AuthorityStore) -> Result<Authority, StoreFailed> {
    install();
    store.open(&"east".parse().unwrap(), terms()).await
}

#[tokio::test]
async fn an_authority_is_made_once_and_kept_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let store = AuthorityStore::Directory(directory.path().to_owned());
    let made = open(&store).await.unwrap();
    let again = open(&store).await.unwrap();
    assert!(made.to_pem() == again.to_pem());
}

#[tokio::test]
async fn of_two_that_make_one_at_once_both_get_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = AuthorityStore::Directory(directory.path().to_owned());
    let first = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    let second = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    assert_eq!(store.keep(&first).await.unwrap(), Kept::Now);
    assert_eq!(store.keep(&second).await.unwrap(), Kept::ByAnother);
    assert!(open(&store).await.unwrap().to_pem() == first);
}

#[tokio::test]
async fn only_the_owner_reads_the_key() {
    let directory = tempfile::tempdir().unwrap();
    open(&AuthorityStore::Directory(directory.path().to_owned())).await.unwrap();
    let file = std::fs::metadata(directory.path().join(AUTHORITY_FILE)).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside");
}

#[tokio::test]
async fn what_cannot_be_used_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = AuthorityStore::Directory(directory.path().to_owned());
    let path = directory.path().join(AUTHORITY_FILE);
    let whole = open(&store).await.map(|made| made.to_pem()).unwrap();
    for broken in [String::new(), whole.certificate.clone(), whole.key.clone()] {
        std::fs::write(&path, &broken).unwrap();
        let failed = open(&store).await.unwrap_err();
        assert!(matches!(failed, StoreFailed::Unusable { .. }), "{failed}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    }
}

#[test]
fn a_secret_holds_what_it_was_made_of() {
    install();
    let pem = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    let secret = secret_of(&Name::new("spanway", "spanway-ca"), &pem);
    assert!(pem_of(&secret) == pem);
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
}

#[tokio::test]
async fn a_secret_with_half_a_key_is_refused_in_words() {
    install();
    let pem = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    let mut secret = secret_of(&Name::new("spanway", "spanway-ca"), &pem);
    secret.data.as_mut().unwrap().remove(PRIVATE_KEY);
    let store = AuthorityStore::Directory("spanway-ca".into());
    let failed = store.load(&"east".parse().unwrap(), &pem_of(&secret), terms()).unwrap_err();
    let words = failed.to_string();
    assert!(words.contains("private key") && words.contains("left as it is"), "{words}");
}

#[tokio::test]
async fn a_bundle_is_read_as_it_was_published_last() {
    install();
    let directory = tempfile::tempdir().unwrap();
    let store = BundleStore::Directory(directory.path().to_owned());
    let failed = store.read().await.unwrap_err();
    assert!(matches!(failed, StoreFailed::NoBundle(_)), "{failed}");
    for _ in 0..2 {
        let bundle = Authority::make(&"east".parse().unwrap(), terms()).unwrap().bundle();
        store.publish(&bundle).await.unwrap();
        assert_eq!(store.read().await.unwrap(), bundle);
    }
    std::fs::write(directory.path().join(BUNDLE_KEY), "nothing").unwrap();
    let failed = store.read().await.unwrap_err();
    assert!(matches!(failed, StoreFailed::BadBundle { .. }), "{failed}");
}

/// An API server with one object at most, and what was asked of it.
#[derive(Clone, Default)]
struct Server {
    object: Arc<Mutex<Option<serde_json::Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What another controller creates between our look and our attempt.
    rival: Arc<Mutex<Option<serde_json::Value>>>,
}

impl Server {
    fn client(&self) -> kube::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let this = this.clone();
            async move { Ok::<_, tower::BoxError>(this.answer(request).await) }
        });
        kube::Client::new(service, "spanway")
    }

    async fn answer(
        &self,
        request: http::Request<kube::client::Body>,
    ) -> http::Response<kube::client::Body> {
        let (head, body) = request.into_parts();
        self.asked.lock().unwrap().push(head.method.to_string());
        let body = body.collect_bytes().await.unwrap();
        let mut object = self.object.lock().unwrap();
        let (code, answer) = match head.method {
            http::Method::GET => match object.clone() {
                Some(found) => (200, found),
                None => (404, status(404, "NotFound")),
            },
            http::Method::POST => {
                *object = object.take().or_else(|| self.rival.lock().unwrap().take());
                if object.is_some() {
                    (409, status(409, "AlreadyExists"))
                } else {
                    *object = serde_json::from_slice(&body).unwrap();
                    (201, object.clone().unwrap())
                }
            }
            _ => {
                *object = serde_json::from_slice(&body).unwrap();
                (200, object.clone().unwrap())
            }
        };
        let body = serde_json::to_vec(&answer).unwrap();
        http::Response::builder().status(code).body(body.into()).unwrap()
    }
}

fn status(code: u16, reason: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": "no", "reason": reason, "code": code,
    })
}

#[tokio::test]
async fn a_secret_is_created_once_and_only_read_afterwards() {
    let api = Server::default();
    let store = AuthorityStore::Secret(api.client(), Name::new("spanway", "spanway-ca"));
    let made = open(&store).await.unwrap();
    let again = open(&store).await.unwrap();
    assert!(made.to_pem() == again.to_pem());
    assert_eq!(*api.asked.lock().unwrap(), ["GET", "POST", "GET"]);
}

#[tokio::test]
async fn a_secret_that_another_controller_creates_meanwhile_is_taken_over() {
    install();
    let name = Name::new("spanway", "spanway-ca");
    let rival = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    let api = Server::default();
    *api.rival.lock().unwrap() = Some(serde_json::to_value(secret_of(&name, &rival)).unwrap());
    let store = AuthorityStore::Secret(api.client(), name);
    assert!(open(&store).await.unwrap().to_pem() == rival);
    assert_eq!(*api.asked.lock().unwrap(), ["GET", "POST", "GET"]);
}

#[tokio::test]
async fn a_secret_without_its_key_is_neither_used_nor_written() {
    install();
    let name = Name::new("spanway", "spanway-ca");
    let pem = Authority::make(&"east".parse().unwrap(), terms()).unwrap().to_pem();
    let mut half = secret_of(&name, &pem);
    half.data.as_mut().unwrap().remove(PRIVATE_KEY);
    let half = serde_json::to_value(half).unwrap();
    let api = Server::default();
    *api.object.lock().unwrap() = Some(half.clone());
    let failed = open(&AuthorityStore::Secret(api.client(), name)).await.unwrap_err();
    assert!(matches!(failed, StoreFailed::Unusable { .. }), "{failed}");
    assert_eq!(*api.asked.lock().unwrap(), ["GET"]);
    assert_eq!(*api.object.lock().unwrap(), Some(half));
}

#[tokio::test]
async fn a_bundle_is_applied_to_its_config_map() {
    install();
    let api = Server::default();
    let store = BundleStore::ConfigMap(api.client(), Name::new("spanway", "spanway-bundle"));
    let bundle = Authority::make(&"east".parse().unwrap(), terms()).unwrap().bundle();
    store.publish(&bundle).await.unwrap();
    assert_eq!(store.read().await.unwrap(), bundle);
    assert_eq!(*api.asked.lock().unwrap(), ["PATCH", "GET"]);
}
