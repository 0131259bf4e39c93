//! Keeps a gateway certified: asks for a certificate, renews it, and fails closed at its end.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::model::identity::{SpiffeId, TrustDomain};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use tokio::sync::watch;

use super::authority::{Authority, NotSigned, Terms, after, private_key};
use super::store::{BundleStore, StoreFailed};
use crate::control::client::{self, Uncallable};
use crate::control::generated::{IssueRequest, Issued, issue_reply};
use crate::tls::svid::{Svid, UnusableSvid};
use crate::tls::trust::{InvalidTrust, LinkTrust, Peers, Side};
use crate::tls::verifier::PeerRefused;

#[cfg(test)]
mod tests;

/// How long one controller may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often one attempt follows a hint who leads: during a change of leaders one leads astray.
const MAX_HINTS: usize = 3;

/// The first wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The longest while no certificate is in use: until there is one, no link carries a call.
const BACKOFF_WITHOUT: Duration = Duration::from_secs(5);

/// While a certificate is in use, at most this part of what is left of it is waited: an authority
/// that comes back in time is asked in time, however short a life is.
const PART_OF_LEFT: u32 = 8;

/// How long to sleep at most, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The shortest sleep while waiting for a moment, as time is known to a second.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

/// Where certificates come from.
#[derive(Clone)]
pub enum Source {
    /// From the authority, which is at hand: a controller certifies itself.
    Authority {
        /// The authority.
        authority: Arc<Authority>,
        /// Our own name.
        id: SpiffeId,
        /// How long a certificate lasts.
        life: Duration,
    },
    /// From the controllers.
    Controllers(Controllers),
}

/// Controllers, and what it takes to ask them.
#[derive(Clone)]
pub struct Controllers {
    /// Where they listen: hosts with ports.
    pub addresses: Vec<String>,
    /// Who they are.
    pub ids: BTreeSet<SpiffeId>,
    /// The trust domain of this cluster.
    pub trust_domain: TrustDomain,
    /// By what they are recognised.
    pub bundle: BundleStore,
    /// Our token's file, read anew each time as the kubelet replaces it.
    pub token: PathBuf,
}

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When the certificate in use was had.
    pub since: Option<UnixTime>,
    /// When it ends.
    pub until: Option<UnixTime>,
    /// Failures since then.
    pub failures: u32,
    /// The last of them.
    pub error: Option<String>,
}

/// Where it is told.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The certificate in use; none before the first, and none after its end.
    pub svid: watch::Sender<Option<Arc<Svid>>>,
    /// How it stands.
    pub status: watch::Sender<Status>,
}

/// Why there is no new certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotRenewed {
    /// There is no bundle to recognise a controller by.
    #[error(transparent)]
    Bundle(#[from] StoreFailed),
    /// The token cannot be read.
    #[error("the token {path:?} cannot be read: {error}")]
    Token {
        /// Its file.
        path: PathBuf,
        /// What happened.
        #[source]
        error: std::io::Error,
    },
    /// A key or a request could not be made.
    #[error("no request could be made: {0}")]
    Request(#[from] rcgen::Error),
    /// No controller has an address.
    #[error("no controller is named")]
    NoController,
    /// A controller could not be called.
    #[error(transparent)]
    Call(#[from] Uncallable),
    /// The leader refused.
    #[error("the controller at {address:?} refused: {status}")]
    Refused {
        /// The controller.
        address: String,
        /// What it said.
        status: Box<tonic::Status>,
    },
    /// Nobody leads.
    #[error("no controller leads")]
    NoLeader,
    /// What came is no certificate of ours.
    #[error(transparent)]
    Svid(#[from] UnusableSvid),
    /// What came is not from our authority.
    #[error("the certificate is not one to use: {0}")]
    Unverified(#[from] PeerRefused),
    /// Nobody can be trusted by the bundle.
    #[error(transparent)]
    Trust(#[from] InvalidTrust),
    /// Our own authority did not sign.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// Runs until it is dropped. The certificate that is held stays in use until its end, whatever
/// happens meanwhile.
pub async fn run(source: Source, clock: fn() -> UnixTime, outputs: Outputs) -> Infallible {
    let mut renewal = None;
    loop {
        expire(&outputs, clock());
        let due = renewal.is_none_or(|at| clock() >= at);
        if !due {
            let pause = pause(clock(), renewal, &outputs.status.borrow());
            tokio::time::sleep(pause).await;
            continue;
        }
        match attempt(&source, clock, &outputs).await {
            Ok(svid) => {
                renewal = Some(renew_at(&svid, clock(), rand::random()));
                outputs.status.send_replace(Status {
                    since: Some(clock()),
                    until: Some(svid.not_after()),
                    ..Status::default()
                });
                outputs.svid.send_replace(Some(Arc::new(svid)));
            }
            Err(error) => {
                tracing::warn!(%error, "no new certificate");
                outputs.status.send_modify(|status| {
                    status.failures = status.failures.saturating_add(1);
                    status.error = Some(error.to_string());
                });
                let (failures, until) = {
                    let status = outputs.status.borrow();
                    (status.failures, status.until)
                };
                let left = until.and_then(|until| left(until, clock()));
                let rest = backoff(failures, left, rand::random());
                wait_out(rest, clock, &outputs).await;
            }
        }
    }
}

/// Tries to get a certificate; meanwhile the one in use may end.
async fn attempt(
    source: &Source,
    clock: fn() -> UnixTime,
    outputs: &Outputs,
) -> Result<Svid, NotRenewed> {
    let mut obtaining = std::pin::pin!(obtain(source, clock()));
    loop {
        expire(outputs, clock());
        let pause = pause(clock(), None, &outputs.status.borrow());
        tokio::select! {
            done = &mut obtaining => return done,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits for the next attempt, but not past the end of the certificate in use.
async fn wait_out(rest: Duration, clock: fn() -> UnixTime, outputs: &Outputs) {
    let until = tokio::time::Instant::now() + rest;
    loop {
        expire(outputs, clock());
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return;
        }
        let pause = pause(clock(), None, &outputs.status.borrow());
        tokio::time::sleep(pause.min(left)).await;
    }
}

fn expire(outputs: &Outputs, now: UnixTime) {
    outputs.svid.send_if_modified(|held| {
        let ended = held.as_ref().is_some_and(|svid| !svid.is_valid_at(now));
        if ended {
            tracing::error!("our certificate has ended and there is no new one");
            *held = None;
        }
        ended
    });
}

/// When to renew: between a half and two thirds of a life, so that gateways which began together
/// do not ask together, and an authority may be away for a third of it.
pub fn renew_at(svid: &Svid, now: UnixTime, chance: f64) -> UnixTime {
    let life = svid.not_after().as_secs().saturating_sub(now.as_secs());
    let part = 1.0 / 2.0 + chance.clamp(0.0, 1.0) / 6.0;
    let wait = Duration::from_secs(life).mul_f64(part);
    after(now, wait)
}

/// How much of a certificate is left; nothing after its end.
fn left(until: UnixTime, now: UnixTime) -> Option<Duration> {
    until.as_secs().checked_sub(now.as_secs()).map(Duration::from_secs)
}

/// How long to wait after so many failures, while so much is left of the certificate in use:
/// doubling, and half of it by chance.
pub fn backoff(failures: u32, left: Option<Duration>, chance: f64) -> Duration {
    let (first, longest) = BACKOFF;
    let longest = left.map_or(BACKOFF_WITHOUT, |left| (left / PART_OF_LEFT).clamp(first, longest));
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let full = first.saturating_mul(doubled).min(longest);
    full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// How long to sleep until something may be due.
fn pause(now: UnixTime, renewal: Option<UnixTime>, status: &Status) -> Duration {
    let ahead = |at: UnixTime| Duration::from_secs(at.as_secs().saturating_sub(now.as_secs()));
    // A certificate is good through its last second, so its end is the one after.
    let end = status.until.map(|until| after(until, Duration::from_secs(1)));
    let moments = [renewal, end.filter(|end| *end > now)];
    let next = moments.into_iter().flatten().map(ahead).min().unwrap_or(LONGEST_SLEEP);
    next.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
}

/// Gets one certificate.
pub async fn obtain(source: &Source, now: UnixTime) -> Result<Svid, NotRenewed> {
    match source {
        Source::Authority { authority, id, life } => {
            let terms = Terms { now, life: *life, serial: rand::random() };
            Ok(authority.svid(id, terms)?)
        }
        Source::Controllers(controllers) => controllers.obtain(now).await,
    }
}

// === impl Controllers ===

impl Controllers {
    async fn obtain(&self, now: UnixTime) -> Result<Svid, NotRenewed> {
        let bundle: Arc<[_]> = self.bundle.read().await?.into();
        let trust = self.trust(&bundle, self.ids.clone());
        let config = client::config(&trust, None)?;
        let token = self.read_token().await?;
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let request = IssueRequest { csr_der: request.der().to_vec(), token };
        let issued = self.ask(&config, &request).await?;
        let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
        let svid = Svid::new(chain, &private_key(&key))?;
        self.check(&svid, &bundle, now)?;
        Ok(svid)
    }

    /// Asks one after the other, and whom they name, until one answers as the leader.
    async fn ask(
        &self,
        config: &Arc<ClientConfig>,
        request: &IssueRequest,
    ) -> Result<Issued, NotRenewed> {
        let mut failed = NotRenewed::NoController;
        let mut hints = 0;
        let mut next: Vec<String> = self.addresses.iter().rev().cloned().collect();
        while let Some(address) = next.pop() {
            match ask_one(&address, config, request).await {
                Ok(Answer::Issued(issued)) => return Ok(issued),
                Ok(Answer::Leader(leader)) => {
                    failed = NotRenewed::NoLeader;
                    if !leader.is_empty() && leader != address && hints < MAX_HINTS {
                        hints += 1;
                        next.push(leader);
                    }
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// A certificate is used only if those who trust our bundle will take it.
    fn check(
        &self,
        svid: &Svid,
        bundle: &Arc<[CertificateDer<'static>]>,
        now: UnixTime,
    ) -> Result<(), NotRenewed> {
        let own = self.trust(bundle, BTreeSet::from([svid.id().clone()]));
        let chain: Vec<_> = svid.chain().iter().collect();
        let peers = Peers::only(&own)?;
        match peers.authenticate(&chain, Side::Server, now) {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused.reason.into()),
        }
    }

    fn trust(
        &self,
        bundle: &Arc<[CertificateDer<'static>]>,
        gateways: BTreeSet<SpiffeId>,
    ) -> LinkTrust {
        LinkTrust {
            link: "control".into(),
            trust_domain: self.trust_domain.clone(),
            bundle: Arc::clone(bundle),
            gateways,
        }
    }

    async fn read_token(&self) -> Result<String, NotRenewed> {
        match tokio::fs::read_to_string(&self.token).await {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(error) => Err(NotRenewed::Token { path: self.token.clone(), error }),
        }
    }
}

enum Answer {
    Issued(Issued),
    Leader(String),
}

async fn ask_one(
    address: &str,
    config: &Arc<ClientConfig>,
    request: &IssueRequest,
) -> Result<Answer, NotRenewed> {
    let refused =
        |status| NotRenewed::Refused { address: address.to_owned(), status: Box::new(status) };
    let mut client = client::connect(address, Arc::clone(config), ANSWER_WITHIN).await?;
    let mut request = tonic::Request::new(request.clone());
    request.set_timeout(ANSWER_WITHIN);
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.issue(request)).await;
    let reply = answer
        .map_err(|_| refused(tonic::Status::deadline_exceeded("it took too long")))?
        .map_err(refused)?;
    match reply.into_inner().outcome {
        Some(issue_reply::Outcome::Issued(issued)) => Ok(Answer::Issued(issued)),
        Some(issue_reply::Outcome::NotLeader(not)) => Ok(Answer::Leader(not.leader)),
        None => Err(refused(tonic::Status::unknown("an answer of an unknown kind"))),
    }
}
