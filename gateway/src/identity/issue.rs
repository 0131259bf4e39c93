//! Who gets a certificate: the name follows from a `ServiceAccount` token alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::model::Name;
use config::model::identity::{InvalidSpiffeId, SpiffeId, TrustDomain};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use rustls::pki_types::UnixTime;
use thiserror::Error;

use super::authority::{Authority, NotSigned, Signed, Terms};

#[cfg(test)]
mod tests;

/// The audience of tokens for the authority; a token for anybody else is none for us.
pub const AUDIENCE: &str = "spanway.dev/ca";

/// The longest token; those of Kubernetes have some 1 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How long the API server may take over a token: a gateway that waits asks again soon.
const REVIEW_WITHIN: Duration = Duration::from_secs(5);

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// What is known of a token's holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Whether the token is good.
    pub authenticated: bool,
    /// Whose it is, as Kubernetes names users.
    pub user: String,
    /// For whom it was made, of those we asked about.
    pub audiences: Vec<String>,
    /// Why it is not good.
    pub error: String,
}

/// Those who get certificates, and within which trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The trust domain of this cluster.
    pub trust_domain: TrustDomain,
    /// The `ServiceAccounts`: those of gateways and controllers.
    pub accounts: BTreeSet<Name>,
}

/// Why a token's holder gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not good.
    #[error("the token is not valid: {0}")]
    NotAuthenticated(String),
    /// The token was made for somebody else.
    #[error("the token is for {0:?}, not for \"{AUDIENCE}\"")]
    Audience(Vec<String>),
    /// The token is that of a user who is no `ServiceAccount`.
    #[error("{0:?} is no ServiceAccount")]
    NotAServiceAccount(String),
    /// The `ServiceAccount` is not on the list.
    #[error("the ServiceAccount {0} is not on the list")]
    NotOnTheList(Name),
    /// Its name makes no SPIFFE ID.
    #[error(transparent)]
    Id(#[from] InvalidSpiffeId),
}

/// Why no certificate was issued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotIssued {
    /// Whoever asks does not get one.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request is at fault.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Nobody could be asked whose the token is.
    #[error("the token could not be reviewed: {0}")]
    Unreviewed(String),
}

/// Says whose a token is.
#[derive(Clone)]
pub enum Reviewer {
    /// The API server does.
    Kubernetes(kube::Client),
    /// A table does, where there is no API server.
    Table(TokenTable),
}

/// Tokens and whose they are.
#[derive(Clone, Default)]
pub struct TokenTable(Arc<BTreeMap<String, Name>>);

/// Issues certificates.
#[derive(Debug)]
pub struct Issuer {
    authority: Arc<Authority>,
    allowed: Allowed,
    reviewer: Reviewer,
    life: Duration,
}

// === impl Allowed ===

impl Allowed {
    /// Decides who a token's holder is.
    pub fn authorize(&self, review: &Review) -> Result<SpiffeId, Refusal> {
        if !review.authenticated {
            return Err(Refusal::NotAuthenticated(review.error.clone()));
        }
        if !review.audiences.iter().any(|audience| audience == AUDIENCE) {
            return Err(Refusal::Audience(review.audiences.clone()));
        }
        let account = service_account(&review.user)
            .ok_or_else(|| Refusal::NotAServiceAccount(review.user.clone()))?;
        if !self.accounts.contains(&account) {
            return Err(Refusal::NotOnTheList(account));
        }
        Ok(SpiffeId::of(&self.trust_domain, &account)?)
    }

    /// The SPIFFE IDs of all who may get certificates.
    pub fn ids(&self) -> BTreeSet<SpiffeId> {
        let id = |account| SpiffeId::of(&self.trust_domain, account).ok();
        self.accounts.iter().filter_map(id).collect()
    }
}

fn service_account(user: &str) -> Option<Name> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    let complete = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    complete.then(|| Name::new(namespace, name))
}

// === impl Refusal ===

impl Refusal {
    /// The reason in one word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotAuthenticated(_) => "not_authenticated",
            Self::Audience(_) => "audience",
            Self::NotAServiceAccount(_) => "not_a_service_account",
            Self::NotOnTheList(_) => "not_on_the_list",
            Self::Id(_) => "id",
        }
    }
}

// === impl NotIssued ===

impl NotIssued {
    /// The reason in one word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.label(),
            Self::NotSigned(_) => "request",
            Self::Unreviewed(_) => "unreviewed",
        }
    }
}

// === impl Reviewer ===

impl Reviewer {
    /// Asks whose a token is.
    async fn review(&self, token: &str) -> Result<Review, NotIssued> {
        if token.len() > MAX_TOKEN_BYTES {
            let error = format!("{} bytes are more than {MAX_TOKEN_BYTES}", token.len());
            return Ok(Review { error, ..Review::default() });
        }
        match self {
            Self::Table(table) => Ok(table.review(token)),
            Self::Kubernetes(client) => {
                match tokio::time::timeout(REVIEW_WITHIN, ask(client.clone(), token)).await {
                    Ok(reviewed) => {
                        reviewed.map_err(|error| NotIssued::Unreviewed(error.to_string()))
                    }
                    Err(_) => Err(NotIssued::Unreviewed(format!(
                        "the API server took longer than {REVIEW_WITHIN:?}"
                    ))),
                }
            }
        }
    }
}

async fn ask(client: kube::Client, token: &str) -> Result<Review, kube::Error> {
    let question = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: Some(vec![AUDIENCE.to_owned()]),
        },
        status: None,
    };
    let answer = Api::<TokenReview>::all(client).create(&PostParams::default(), &question).await?;
    let status = answer.status.unwrap_or_default();
    Ok(Review {
        authenticated: status.authenticated.unwrap_or_default(),
        user: status.user.and_then(|user| user.username).unwrap_or_default(),
        audiences: status.audiences.unwrap_or_default(),
        error: status.error.unwrap_or_default(),
    })
}

impl fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes(_) => "Kubernetes",
            Self::Table(_) => "Table",
        })
    }
}

// === impl TokenTable ===

impl TokenTable {
    /// Reads lines of a namespace, a name and a token, with blanks between them.
    ///
    /// A line of another form grants nothing.
    pub fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            match [(); 4].map(|()| words.next()) {
                [Some(namespace), Some(name), Some(token), None] => {
                    Some((token.to_owned(), Name::new(namespace, name)))
                }
                _ => None,
            }
        };
        Self(Arc::new(text.lines().filter_map(entry).collect()))
    }

    fn review(&self, token: &str) -> Review {
        // All are compared in full, so that time tells nothing about any of them.
        let same = |known: &str| {
            aws_lc_rs::constant_time::verify_slices_are_equal(known.as_bytes(), token.as_bytes())
                .is_ok()
        };
        let found = self
            .0
            .iter()
            .fold(None, |found, entry| if same(entry.0) { Some(entry) } else { found });
        match found {
            Some((_, account)) => Review {
                authenticated: true,
                user: format!("{SERVICE_ACCOUNT}{}:{}", account.namespace, account.name),
                audiences: vec![AUDIENCE.to_owned()],
                error: String::new(),
            },
            None => Review { error: "nobody has this token".to_owned(), ..Review::default() },
        }
    }
}

impl fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenTable of {}", self.0.len())
    }
}

// === impl Issuer ===

impl Issuer {
    /// Lets `authority` sign for those whom `allowed` names and `reviewer` knows.
    pub fn new(
        authority: Arc<Authority>,
        allowed: Allowed,
        reviewer: Reviewer,
        life: Duration,
    ) -> Self {
        Self { authority, allowed, reviewer, life }
    }

    /// The authority that signs.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Signs for the holder of `token`, who holds the key of `request`.
    pub async fn issue(
        &self,
        request: &[u8],
        token: &str,
        chance: Chance,
    ) -> Result<(SpiffeId, Signed), NotIssued> {
        let review = self.reviewer.review(token).await?;
        let id = self.allowed.authorize(&review)?;
        let terms = Terms { now: chance.now, life: self.life, serial: chance.serial };
        let signed = self.authority.sign(request, &id, terms)?;
        Ok((id, signed))
    }
}

/// Time and chance of one signature.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// When it is made.
    pub now: UnixTime,
    /// A random number.
    pub serial: [u8; 16],
}
