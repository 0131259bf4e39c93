//! An authority is made once, and what stands is never overwritten.

use std::os::unix::fs::PermissionsExt as _;

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
