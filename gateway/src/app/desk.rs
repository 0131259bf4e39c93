//! Where the leader hears the gateways, and answers them.

use std::sync::Arc;
use std::time::Duration;

use config::model::identity::SpiffeId;
use discovery::controller::{Received, ReceivedReports, Words};
use discovery::report::GatewayReport;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::control::generated as pb;
use crate::control::report::{from_wire, word_to_wire};
use crate::control::server::{Replies, Reports};

/// Answers that wait for one gateway: each replaces the one before.
const WAITING_MAX: usize = 4;
/// Gateways that are heard at once: far above what one cluster runs.
const GATEWAYS_MAX: usize = 1_000;
/// A gateway that was silent for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// The reports of all gateways, and the leader's words to them.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    reports: watch::Sender<Arc<ReceivedReports>>,
    words: watch::Receiver<Arc<Words>>,
}

impl Desk {
    /// A desk where the words of `words` are given out.
    pub(super) fn new(words: watch::Receiver<Arc<Words>>) -> Self {
        Self { reports: watch::Sender::new(Arc::default()), words }
    }

    /// The newest report of each gateway.
    pub(super) fn reports(&self) -> watch::Receiver<Arc<ReceivedReports>> {
        self.reports.subscribe()
    }

    /// Takes in a report. One that says what is known only shows that its gateway is alive: nobody
    /// is woken by it.
    pub(super) fn file(&self, report: GatewayReport) {
        let at = Instant::now();
        self.reports.send_if_modified(|reports| {
            let next = Arc::make_mut(reports);
            let known = next.len();
            next.retain(|_, known| at.duration_since(known.at) < FORGET_AFTER);
            let mut is_new = next.len() != known;
            if next.len() < GATEWAYS_MAX || next.contains_key(&report.instance) {
                let received = Received { report: Arc::new(report), at };
                let before = next.insert(Arc::clone(&received.report.instance), received.clone());
                is_new |= !before.is_some_and(|before| before.says_as_much(&received));
            }
            is_new
        });
    }

    /// What the leader says, as it changes.
    pub(super) fn words(&self) -> watch::Receiver<Arc<Words>> {
        self.words.clone()
    }
}

impl Reports for Desk {
    fn hear(&self, gateway: SpiffeId, reports: Streaming<pb::ReportRequest>) -> Replies {
        let (answers, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(converse(self.clone(), gateway, reports, answers));
        Box::pin(ReceiverStream::new(waiting))
    }
}

/// The gateways that said that they drain.
pub(super) fn draining(reports: &ReceivedReports) -> Vec<Arc<str>> {
    let drain = reports.values().filter(|known| known.report.draining);
    drain.map(|known| Arc::clone(&known.report.instance)).collect()
}

/// Hears one gateway to the end of its stream.
async fn converse(
    desk: Desk,
    gateway: SpiffeId,
    mut reports: Streaming<pb::ReportRequest>,
    answers: mpsc::Sender<Result<pb::ReportReply, Status>>,
) {
    let mut words = desk.words();
    let mut instance: Option<Arc<str>> = None;
    let mut all = desk.reports();
    let mut told = None;
    loop {
        tokio::select! {
            message = reports.message() => match message {
                Ok(Some(message)) => {
                    match from_wire(&message) {
                        Ok(report) => {
                            instance = Some(Arc::clone(&report.instance));
                            desk.file(report);
                        }
                        Err(bad) => tracing::warn!(%gateway, %bad, "a report was left out"),
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(%gateway, %status, "a gateway stopped reporting");
                    return;
                }
            },
            changed = words.changed() => if changed.is_err() { return },
            changed = all.changed() => if changed.is_err() { return },
        }
        let word = instance.as_ref().and_then(|it| words.borrow_and_update().get(it).copied());
        let draining = draining(&all.borrow_and_update());
        let Some(word) = word else { continue };
        let now = Some((word, draining));
        if now != told {
            told = now;
            let draining = told.as_ref().map(|(_, draining)| &**draining).unwrap_or_default();
            if answers.send(Ok(word_to_wire(word, draining))).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use config::model::Name;
    use discovery::controller::REPORT_AGE_MAX;

    use super::*;

    fn report(serving: bool, table_version: u64) -> GatewayReport {
        GatewayReport {
            instance: "one".into(),
            pod: Name::new("spanway-system", "one"),
            addresses: vec![],
            serving,
            draining: false,
            table_version,
            bound: discovery::report::BoundPorts::default(),
            bind_failures: vec![],
            links: vec![],
            strangers: vec![],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_report_that_says_something_new_wakes_the_leader() {
        let desk = Desk::new(watch::Sender::default().subscribe());
        let mut reports = desk.reports();
        let mut woken = |report| {
            desk.file(report);
            let woken = reports.has_changed().unwrap();
            reports.mark_unchanged();
            woken
        };
        assert!(woken(report(true, 1)), "the first");
        assert!(!woken(report(true, 2)), "nothing to decide on");
        assert!(woken(report(false, 2)), "it serves no more");
        tokio::time::advance(REPORT_AGE_MAX + Duration::from_secs(1)).await;
        assert!(woken(report(false, 2)), "it counted as missing");
        assert_eq!(desk.reports().borrow()["one"].at, Instant::now());
    }
}
