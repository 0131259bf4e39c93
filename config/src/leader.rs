//! Who of several controllers acts: the holder of a Lease.
//!
//! A leader that cannot renew stops before anybody else may take over: it counts from before it
//! asked, and gives up earlier than the others wait. Nobody compares clocks: the others wait from
//! when they themselves saw the Lease change last.

mod election;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::election::{Claim, Observed, Step, claimed, decide, released};

/// How long the others wait for a leader that says nothing: the pause in which nobody writes
/// conditions or slices after a leader was killed.
pub const LEASE: Duration = Duration::from_secs(15);
/// How long a leader that cannot renew goes on: shorter than the others wait, by more than a write
/// that is on its way may take.
pub const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often a leader renews and the others look.
const RETRY: Duration = Duration::from_secs(2);
/// How long one request for the Lease may take: two fit into the time to renew.
const REQUEST_DEADLINE: Duration = Duration::from_secs(4);

/// Who leads, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Until when this process leads; nothing where it does not.
    until: Option<Until>,
    /// The identity of the holder, this process or another, as last seen.
    pub holder: Option<Arc<str>>,
    /// How often the holder has changed: a later leader has a higher term.
    pub term: i32,
}

/// The end of a leadership that is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Then(Instant),
    Shutdown,
}

impl Leadership {
    /// Whether this process leads at that time. Ask before each write.
    pub fn leads(&self, now: Instant) -> bool {
        match self.until {
            None => false,
            Some(Until::Then(then)) => now < then,
            Some(Until::Shutdown) => true,
        }
    }
}

/// Takes part in the election while `run` runs.
pub struct Elector {
    leases: Option<Api<Lease>>,
    name: String,
    identity: Arc<str>,
    leadership: watch::Sender<Leadership>,
    seen: Option<Observed>,
}

impl Elector {
    /// Takes part for the Lease of that name under an identity that nobody else has.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
    ) -> (Self, watch::Receiver<Leadership>) {
        let leases = Some(Api::namespaced(client, namespace));
        let (leadership, watched) = watch::channel(Leadership::default());
        let identity = identity.into();
        (Self { leases, name: name.to_owned(), identity, leadership, seen: None }, watched)
    }

    /// Leads always: of a directory there is one controller.
    pub fn always(identity: &str) -> (Self, watch::Receiver<Leadership>) {
        let identity: Arc<str> = identity.into();
        let holder = Some(Arc::clone(&identity));
        let leading = Leadership { until: Some(Until::Shutdown), holder, term: 0 };
        let (leadership, watched) = watch::channel(leading);
        (Self { leases: None, name: String::new(), identity, leadership, seen: None }, watched)
    }

    /// Takes part until `shutdown`, then hands the Lease back. Who acts as the leader must have
    /// stopped by then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let Some(leases) = self.leases.take() else {
            return shutdown.cancelled().await;
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.round(&leases) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.expired() => self.lose(),
                () = sleep(RETRY.mul_f64(rand::random_range(0.8..=1.0))) => {}
            }
        }
        let leads = self.leadership.borrow().leads(Instant::now());
        self.lose();
        if leads && let Err(error) = self.release(&leases).await {
            tracing::warn!(%error, "lease not handed back, the others have to wait for it");
        }
    }

    /// One look at the Lease, and one claim where it can be had. A leader gives up in time, however
    /// long the answer takes.
    async fn round(&mut self, leases: &Api<Lease>) {
        let asked = Instant::now();
        let until = match self.leadership.borrow().until {
            Some(Until::Then(until)) => until.min(asked + REQUEST_DEADLINE),
            _ => asked + REQUEST_DEADLINE,
        };
        match timeout_at(until, self.attempt(leases, asked)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, lease = self.name, "lease not renewed"),
            Err(_) => tracing::debug!(lease = self.name, "lease not renewed in time"),
        }
        if !self.leadership.borrow().leads(Instant::now()) {
            self.lose();
        }
    }

    async fn attempt(&mut self, leases: &Api<Lease>, asked: Instant) -> kube::Result<()> {
        let lease = leases.get_opt(&self.name).await?;
        let step = decide(lease.as_ref(), &self.identity, &mut self.seen, asked);
        let Step::Claim(claim) = step else {
            self.follow(lease.as_ref());
            return Ok(());
        };
        let next = claimed(lease, &self.name, &self.identity, Timestamp::now());
        let params = PostParams::default();
        let written = match claim {
            Claim::Create => leases.create(&params, &next).await,
            Claim::Replace => leases.replace(&self.name, &params, &next).await,
        };
        match written {
            Ok(lease) => {
                let term = lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
                self.lead(asked + RENEW_WITHIN, term);
                Ok(())
            }
            // Somebody else was faster: the next look says who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn release(&self, leases: &Api<Lease>) -> kube::Result<()> {
        let release = async {
            let Some(lease) = leases.get_opt(&self.name).await? else { return Ok(()) };
            let Some(free) = released(lease, &self.identity, Timestamp::now()) else {
                return Ok(());
            };
            leases.replace(&self.name, &PostParams::default(), &free).await.map(drop)
        };
        timeout(REQUEST_DEADLINE, release).await.unwrap_or(Ok(()))
    }

    /// Ends when this process must stop to lead; never where it does not lead.
    async fn expired(&self) {
        let until = self.leadership.borrow().until;
        match until {
            Some(Until::Then(then)) => sleep_until(then).await,
            _ => std::future::pending().await,
        }
    }

    fn lead(&self, until: Instant, term: i32) {
        let holder = Some(Arc::clone(&self.identity));
        let next = Leadership { until: Some(Until::Then(until)), holder, term };
        let before = self.leadership.send_replace(next);
        if before.until.is_none() {
            tracing::info!(lease = self.name, identity = &*self.identity, term, "leading");
        }
    }

    fn follow(&self, lease: Option<&Lease>) {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
        let next = Leadership {
            until: None,
            holder: holder.filter(|holder| !holder.is_empty()).map(Into::into),
            term: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        };
        self.tell(next);
    }

    fn lose(&self) {
        let next = Leadership { until: None, ..self.leadership.borrow().clone() };
        self.tell(next);
    }

    fn tell(&self, next: Leadership) {
        self.leadership.send_if_modified(|known| {
            let changed = *known != next;
            if changed && known.until.is_some() && next.until.is_none() {
                tracing::info!(lease = self.name, "leading no more");
            }
            *known = next;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
