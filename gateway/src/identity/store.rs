//! Where the authority's key lies and where its bundle is published.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::Name;
use config::model::identity::TrustDomain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::authority::{Authority, AuthorityPem, Terms, UnusableAuthority, to_pem};
use crate::tls::server::{MAX_PEM_BYTES, UnusableCertificate, read_chain};

#[cfg(test)]
mod tests;

/// The key of a bundle in its `ConfigMap`, and the name of its file in a directory.
pub const BUNDLE_KEY: &str = "bundle.pem";

/// Certificate and key in the Secret, named as `kubernetes.io/tls` asks.
const CERTIFICATE_KEY: &str = "tls.crt";
const PRIVATE_KEY: &str = "tls.key";

/// The authority's file in a directory; one file, so that it is there whole or not at all.
const AUTHORITY_FILE: &str = "authority.pem";

/// Who writes, as the API server records it.
const FIELD_MANAGER: &str = "spanway-controller";

/// How long the API server may take; whoever waits asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the authority is kept: made once, never overwritten.
#[derive(Clone)]
pub enum AuthorityStore {
    /// In a Secret of this name.
    Secret(kube::Client, Name),
    /// In a file of this directory.
    Directory(PathBuf),
}

/// Where the bundle is published.
#[derive(Clone)]
pub enum BundleStore {
    /// In a `ConfigMap` of this name.
    ConfigMap(kube::Client, Name),
    /// In a file of this directory.
    Directory(PathBuf),
}

/// Why the authority or its bundle could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreFailed {
    /// The API server did not do it.
    #[error("the API server: {0}")]
    Api(#[from] Box<kube::Error>),
    /// The API server took too long.
    #[error("the API server took longer than {ANSWER_WITHIN:?}")]
    Timeout,
    /// The file could not be read or written.
    #[error("{path:?}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        #[source]
        error: io::Error,
    },
    /// What is kept is no authority; it is left as it is.
    #[error("what is kept in {place} cannot be used, and is left as it is: {reason}")]
    Unusable {
        /// Where it is kept.
        place: String,
        /// What is wrong.
        #[source]
        reason: UnusableAuthority,
    },
    /// None could be made.
    #[error(transparent)]
    NotMade(#[from] UnusableAuthority),
    /// There is no bundle yet.
    #[error("no bundle is published in {0}")]
    NoBundle(String),
    /// What is published is no bundle.
    #[error("what is published in {place} cannot be used: {reason}")]
    BadBundle {
        /// Where it is published.
        place: String,
        /// What is wrong.
        #[source]
        reason: UnusableCertificate,
    },
}

/// What became of an attempt to keep an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Now,
    ByAnother,
}

// === impl AuthorityStore ===

impl AuthorityStore {
    /// Reads the authority; makes and keeps one where there is none.
    ///
    /// Of two that try at once, both end up with what the first has kept.
    pub async fn open(
        &self,
        trust_domain: &TrustDomain,
        terms: Terms,
    ) -> Result<Authority, StoreFailed> {
        if let Some(kept) = self.read().await? {
            return self.load(trust_domain, &kept, terms);
        }
        let made = Authority::make(trust_domain, terms)?;
        if self.keep(&made.to_pem()).await? == Kept::Now {
            return Ok(made);
        }
        match self.read().await? {
            Some(kept) => self.load(trust_domain, &kept, terms),
            // Kept by another, and gone at once: the next attempt begins anew.
            None => Err(StoreFailed::Unusable {
                place: self.place(),
                reason: UnusableAuthority::Key("it was removed meanwhile".to_owned()),
            }),
        }
    }

    fn load(
        &self,
        trust_domain: &TrustDomain,
        kept: &AuthorityPem,
        terms: Terms,
    ) -> Result<Authority, StoreFailed> {
        Authority::load(trust_domain, kept, terms.now)
            .map_err(|reason| StoreFailed::Unusable { place: self.place(), reason })
    }

    async fn read(&self) -> Result<Option<AuthorityPem>, StoreFailed> {
        match self {
            Self::Secret(client, name) => {
                let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
                let secret = answered(api.get_opt(&name.name)).await?;
                Ok(secret.map(|secret| pem_of(&secret)))
            }
            Self::Directory(directory) => {
                let path = directory.join(AUTHORITY_FILE);
                Ok(read_file(&path)?.map(|text| split(&text)))
            }
        }
    }

    async fn keep(&self, pem: &AuthorityPem) -> Result<Kept, StoreFailed> {
        match self {
            Self::Secret(client, name) => {
                let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
                let secret = secret_of(name, pem);
                // Create, not apply: a Secret that stands is never overwritten.
                match answered(api.create(&PostParams::default(), &secret)).await {
                    Ok(_) => Ok(Kept::Now),
                    Err(StoreFailed::Api(error)) if is_conflict(&error) => Ok(Kept::ByAnother),
                    Err(error) => Err(error),
                }
            }
            Self::Directory(directory) => {
                let text = format!("{}{}", pem.certificate, pem.key);
                write_once(&directory.join(AUTHORITY_FILE), &text)
            }
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Secret(_, name) => format!("Secret {name}"),
            Self::Directory(directory) => directory.join(AUTHORITY_FILE).display().to_string(),
        }
    }
}

// === impl BundleStore ===

impl BundleStore {
    /// Publishes a bundle in place of the one before.
    pub async fn publish(&self, bundle: &[CertificateDer<'_>]) -> Result<(), StoreFailed> {
        let text: String = bundle.iter().map(to_pem).collect();
        match self {
            Self::ConfigMap(client, name) => {
                let api = Api::<ConfigMap>::namespaced(client.clone(), &name.namespace);
                let object = ConfigMap {
                    metadata: metadata(name),
                    data: Some(BTreeMap::from([(BUNDLE_KEY.to_owned(), text)])),
                    ..ConfigMap::default()
                };
                let params = PatchParams::apply(FIELD_MANAGER).force();
                answered(api.patch(&name.name, &params, &Patch::Apply(&object))).await.map(drop)
            }
            Self::Directory(directory) => replace(&directory.join(BUNDLE_KEY), &text),
        }
    }

    /// Reads the bundle.
    pub async fn read(&self) -> Result<Vec<CertificateDer<'static>>, StoreFailed> {
        let text = match self {
            Self::ConfigMap(client, name) => {
                let api = Api::<ConfigMap>::namespaced(client.clone(), &name.namespace);
                let object = answered(api.get_opt(&name.name)).await?;
                object.and_then(|object| object.data?.remove(BUNDLE_KEY))
            }
            Self::Directory(directory) => read_file(&directory.join(BUNDLE_KEY))?,
        };
        let text = text.ok_or_else(|| StoreFailed::NoBundle(self.place()))?;
        read_chain(text.as_bytes())
            .map_err(|reason| StoreFailed::BadBundle { place: self.place(), reason })
    }

    fn place(&self) -> String {
        match self {
            Self::ConfigMap(_, name) => format!("ConfigMap {name}"),
            Self::Directory(directory) => directory.join(BUNDLE_KEY).display().to_string(),
        }
    }
}

async fn answered<T>(work: impl Future<Output = Result<T, kube::Error>>) -> Result<T, StoreFailed> {
    match tokio::time::timeout(ANSWER_WITHIN, work).await {
        Ok(answer) => answer.map_err(|error| StoreFailed::Api(Box::new(error))),
        Err(_) => Err(StoreFailed::Timeout),
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn metadata(name: &Name) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.name.to_string()),
        namespace: Some(name.namespace.to_string()),
        labels: Some(BTreeMap::from([(
            "app.kubernetes.io/managed-by".to_owned(),
            "spanway".to_owned(),
        )])),
        ..ObjectMeta::default()
    }
}

fn secret_of(name: &Name, pem: &AuthorityPem) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: metadata(name),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            (CERTIFICATE_KEY.to_owned(), bytes(&pem.certificate)),
            (PRIVATE_KEY.to_owned(), bytes(&pem.key)),
        ])),
        ..Secret::default()
    }
}

fn pem_of(secret: &Secret) -> AuthorityPem {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
    };
    AuthorityPem { certificate: text(CERTIFICATE_KEY), key: text(PRIVATE_KEY) }
}

/// Parts certificate and key, which stand one after the other.
fn split(text: &str) -> AuthorityPem {
    let end = "-----END CERTIFICATE-----\n";
    let at = text.find(end).map_or(text.len(), |at| at + end.len());
    let (certificate, key) = text.split_at(at);
    AuthorityPem { certificate: certificate.to_owned(), key: key.to_owned() }
}

fn read_file(path: &Path) -> Result<Option<String>, StoreFailed> {
    use io::Read as _;
    let failed = |error| StoreFailed::File { path: path.to_owned(), error };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(MAX_PEM_BYTES as u64).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// The secret in a file by which gateways without an API server prove who they are to their
/// controller: whoever can read it can read all that they read. Made where there is none.
pub fn shared_secret(path: &Path) -> Result<String, StoreFailed> {
    loop {
        if let Some(text) = read_file(path)? {
            return Ok(text.trim().to_owned());
        }
        let secret = format!("{:032x}{:032x}\n", rand::random::<u128>(), rand::random::<u128>());
        write_once(path, &secret)?;
    }
}

/// Writes a file beside its place, for its owner only, as a temporary file is.
fn beside(path: &Path, text: &str) -> Result<tempfile::NamedTempFile, io::Error> {
    use io::Write as _;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn write_once(path: &Path, text: &str) -> Result<Kept, StoreFailed> {
    let failed = |error| StoreFailed::File { path: path.to_owned(), error };
    match beside(path, text).map_err(failed)?.persist_noclobber(path) {
        Ok(_) => Ok(Kept::Now),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Kept::ByAnother),
        Err(error) => Err(failed(error.error)),
    }
}

fn replace(path: &Path, text: &str) -> Result<(), StoreFailed> {
    let failed = |error| StoreFailed::File { path: path.to_owned(), error };
    let file = beside(path, text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}
