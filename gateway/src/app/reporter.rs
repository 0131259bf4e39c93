//! A gateway's side of the desk: tells the leader how it stands, and hears what follows.

use std::sync::Arc;
use std::time::Duration;

use discovery::report::{GatewayReport, LeaderWord};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::desk::Desk;
use crate::control::client::{self, connect};
use crate::control::generated::ReportRequest;
use crate::control::generated::report_reply::Word;
use crate::control::report::to_wire;
use crate::identity::rotate::Controllers;
use crate::tls::svid::Svid;
use crate::tls::trust::LinkTrust;

/// How often the state is told while nothing changes: what was lost is made up for.
const REPORT_EVERY: Duration = Duration::from_secs(3);
/// For a connection to a controller.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Between two tries to find the leader.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Reports that wait to be sent: each replaces the one before.
const WAITING_MAX: usize = 2;

/// Reports to the leader in this process.
pub(super) async fn report_here(
    desk: Desk,
    mut state: watch::Receiver<GatewayReport>,
    word: watch::Sender<LeaderWord>,
) {
    let mut words = desk.words();
    loop {
        let report = state.borrow_and_update().clone();
        let instance = Arc::clone(&report.instance);
        desk.file(report);
        let told = words.borrow_and_update().get(&instance).copied();
        word.send_if_modified(|known| {
            let told = told.unwrap_or(*known);
            std::mem::replace(known, told) != told
        });
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            changed = words.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
    }
}

/// Where the leader's words go: what it says of us, and which gateways of this cluster drain.
pub(super) type Told = (watch::Sender<LeaderWord>, watch::Sender<imbl::OrdSet<Arc<str>>>);

/// Takes in which siblings drain. Whether we do ourselves is known here first.
fn note_draining(own: &Arc<str>, said: &[String], out: &watch::Sender<imbl::OrdSet<Arc<str>>>) {
    out.send_if_modified(|known| {
        let said = said.iter().map(String::as_str);
        let mut now: imbl::OrdSet<Arc<str>> = said.map(Arc::from).collect();
        if known.contains(own) {
            now.insert(Arc::clone(own));
        }
        let changed = *known != now;
        *known = now;
        changed
    });
}

/// Reports to whichever controller leads, for as long as there is something to report.
pub(super) async fn report_to_leader(
    controllers: Controllers,
    svid: watch::Receiver<Option<Arc<Svid>>>,
    state: watch::Receiver<GatewayReport>,
    told: Told,
) {
    let mut hint: Option<String> = None;
    let mut next = 0_usize;
    loop {
        let address = match hint.take() {
            Some(leader) => Some(leader),
            None => controllers.addresses.iter().cycle().nth(next).cloned(),
        };
        next = next.wrapping_add(1) % controllers.addresses.len().max(1);
        if let (Some(address), Some(config)) = (address, trusted(&controllers, &svid).await) {
            hint = converse(&address, config, state.clone(), &told).await;
        }
        if hint.is_none() {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

async fn trusted(
    controllers: &Controllers,
    svid: &watch::Receiver<Option<Arc<Svid>>>,
) -> Option<Arc<ClientConfig>> {
    let own = svid.borrow().clone()?;
    let bundle = match controllers.bundle.read().await {
        Ok(bundle) => bundle,
        Err(error) => {
            tracing::warn!(%error, "the bundle of this cluster cannot be read");
            return None;
        }
    };
    let trust = LinkTrust {
        link: "controllers".into(),
        trust_domain: controllers.trust_domain.clone(),
        bundle: bundle.into(),
        gateways: controllers.ids.clone(),
    };
    client::config(&trust, Some(&own)).inspect_err(|error| tracing::warn!(%error)).ok()
}

/// Reports to one controller until the stream ends; the leader's address if it is another.
async fn converse(
    address: &str,
    config: Arc<ClientConfig>,
    mut state: watch::Receiver<GatewayReport>,
    (word, draining): &Told,
) -> Option<String> {
    let mut client = match connect(address, config, CONNECT_WAIT).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%error, address, "no controller");
            return None;
        }
    };
    let (reports, waiting) = mpsc::channel(WAITING_MAX);
    reports.send(newest(&mut state)).await.ok()?;
    let replies = client.report(ReceiverStream::new(waiting)).await;
    let mut replies = replies
        .inspect_err(|status| tracing::debug!(%status, address, "a report was not taken"))
        .ok()?
        .into_inner();
    loop {
        tokio::select! {
            reply = replies.message() => match reply.ok()??.word? {
                Word::NotLeader(other) => {
                    return Some(other.leader).filter(|leader| !leader.is_empty() && leader != address);
                }
                Word::Standing(standing) => {
                    let told = LeaderWord { in_slices: standing.in_slices, removed: standing.removed };
                    word.send_replace(told);
                    note_draining(&state.borrow().instance, &standing.draining, draining);
                }
            },
            changed = state.changed() => {
                changed.ok()?;
                reports.send(newest(&mut state)).await.ok()?;
            }
            () = tokio::time::sleep(REPORT_EVERY) => {
                reports.send(newest(&mut state)).await.ok()?;
            }
        }
    }
}

fn newest(state: &mut watch::Receiver<GatewayReport>) -> ReportRequest {
    to_wire(&state.borrow_and_update())
}
