//! Where the leader hears the gateways, and answers them.

use std::sync::Arc;
use std::time::Duration;

use config::model::Name;
use config::model::identity::SpiffeId;
use config::table::PortOwner;
use discovery::controller::{Received, ReceivedReports, Words};
use discovery::report::{GatewayReport, LeaderWord, LinkReport};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::control::generated as pb;
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

    /// Takes in a report.
    pub(super) fn file(&self, report: GatewayReport) {
        let at = Instant::now();
        self.reports.send_modify(|reports| {
            let mut next = ReceivedReports::clone(reports);
            next.retain(|_, known| at.duration_since(known.at) < FORGET_AFTER);
            if next.len() < GATEWAYS_MAX || next.contains_key(&report.instance) {
                let instance = Arc::clone(&report.instance);
                next.insert(instance, Received { report: Arc::new(report), at });
            }
            *reports = Arc::new(next);
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

/// Hears one gateway to the end of its stream.
async fn converse(
    desk: Desk,
    gateway: SpiffeId,
    mut reports: Streaming<pb::ReportRequest>,
    answers: mpsc::Sender<Result<pb::ReportReply, Status>>,
) {
    let mut words = desk.words();
    let mut instance: Option<Arc<str>> = None;
    let mut told = None;
    loop {
        tokio::select! {
            message = reports.message() => match message {
                Ok(Some(message)) => {
                    let report = read(message);
                    instance = Some(Arc::clone(&report.instance));
                    desk.file(report);
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(%gateway, %status, "a gateway stopped reporting");
                    return;
                }
            },
            changed = words.changed() => if changed.is_err() { return },
        }
        let word = instance.as_ref().and_then(|it| words.borrow_and_update().get(it).copied());
        if word != told
            && let Some(word) = word
        {
            told = Some(word);
            let LeaderWord { in_slices, removed } = word;
            let standing = pb::report_reply::Word::Standing(pb::Standing { in_slices, removed });
            if answers.send(Ok(pb::ReportReply { word: Some(standing) })).await.is_err() {
                return;
            }
        }
    }
}

/// A report as it came. Numbers that are no ports are 0, which nobody owns.
fn read(message: pb::ReportRequest) -> GatewayReport {
    let failure = |it: pb::BindFailure| (port(it.container_port), owner(it.owner), it.error);
    GatewayReport {
        instance: message.instance.into(),
        pod: Name::new(&message.pod_namespace, &message.pod_name),
        addresses: message.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        serving: message.serving,
        draining: message.draining,
        table_version: message.table_version,
        bound: message
            .bound
            .into_iter()
            .map(|it| (port(it.container_port), owner(it.owner)))
            .collect(),
        bind_failures: message.bind_failures.into_iter().map(failure).collect(),
        links: message.links.into_iter().map(link).collect(),
    }
}

fn link(state: pb::LinkState) -> LinkReport {
    let problem = (!state.reason.is_empty()).then(|| (state.reason.into(), state.message));
    LinkReport {
        link: state.link.into(),
        connected: state.connected,
        problem,
        age_seconds: state.synced_age_ms.unwrap_or_default() / 1000,
        refused: state.refused.into_iter().map(|it| (it.reason.into(), it.count)).collect(),
        services: state.services,
    }
}

fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

fn owner(owner: Option<pb::PortOwner>) -> PortOwner {
    let owner = owner.unwrap_or_default();
    PortOwner { uid: owner.uid.into(), port: port(owner.port) }
}

/// A report as it is sent.
pub(super) fn write(report: &GatewayReport) -> pb::ReportRequest {
    let owner = |it: &PortOwner| {
        Some(pb::PortOwner { uid: it.uid.to_string(), transport: 0, port: it.port.into() })
    };
    pb::ReportRequest {
        instance: report.instance.to_string(),
        pod_namespace: report.pod.namespace.to_string(),
        pod_name: report.pod.name.to_string(),
        addresses: report.addresses.iter().map(ToString::to_string).collect(),
        serving: report.serving,
        draining: report.draining,
        table_version: report.table_version,
        bound: report
            .bound
            .iter()
            .map(|(at, it)| pb::BoundPort { container_port: (*at).into(), owner: owner(it) })
            .collect(),
        bind_failures: report
            .bind_failures
            .iter()
            .map(|(at, it, error)| pb::BindFailure {
                container_port: (*at).into(),
                owner: owner(it),
                error: error.clone(),
            })
            .collect(),
        links: report.links.iter().map(write_link).collect(),
        refused: Vec::new(),
    }
}

fn write_link(link: &LinkReport) -> pb::LinkState {
    let (reason, message) = match &link.problem {
        Some((reason, message)) => (reason.to_string(), message.clone()),
        None => (String::new(), String::new()),
    };
    let refused = link.refused.iter().map(|(reason, count)| pb::RefusedPeers {
        reason: reason.to_string(),
        spiffe_id: String::new(),
        count: *count,
    });
    pb::LinkState {
        link: link.link.to_string(),
        connected: link.connected,
        reason,
        message,
        trusted: link.connected,
        synced_age_ms: Some(link.age_seconds * 1000),
        services: link.services,
        refused: refused.collect(),
        ..pb::LinkState::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use config::model::Name;
    use config::table::PortOwner;
    use discovery::report::{GatewayReport, LinkReport};

    use super::{read, write};

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let owner = PortOwner { uid: "u".into(), port: 80 };
        let report = GatewayReport {
            instance: "i".into(),
            pod: Name::new("ns", "gateway-1"),
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            serving: true,
            draining: false,
            table_version: 7,
            bound: vec![(20_001, owner.clone())],
            bind_failures: vec![(20_002, owner, "in use".into())],
            links: vec![LinkReport {
                link: Arc::from("west"),
                connected: false,
                problem: Some(("Unreachable".into(), "nobody answers".into())),
                age_seconds: 12,
                refused: vec![("NotInBundle".into(), 3)],
                services: 4,
            }],
        };
        assert_eq!(read(write(&report)), report);
    }
}
