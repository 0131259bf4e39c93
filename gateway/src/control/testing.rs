//! A controller on loopback for tests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use config::model::Name;
use config::model::identity::SpiffeId;
use futures::StreamExt;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Streaming;
use tonic::transport::Channel;

use super::client::{self, Uncallable};
use super::generated::control_client::ControlClient;
use super::generated::{IssueRequest, ReportReply, ReportRequest, Standing, report_reply};
use super::server::{Leading, Replies, Reports, Service, Shown, serve};
use crate::identity::authority::{Authority, SVID_LIFE, Terms};
use crate::identity::issue::{Allowed, Issuer, Reviewer, TokenTable};
use crate::telemetry::Metrics;
use crate::tls::svid::Svid;
use crate::tls::testing::{WITHIN, install};
use crate::tls::trust::LinkTrust;

pub(crate) const GATEWAY: &str = "spiffe://east/ns/spanway/sa/gateway";
pub(crate) const CONTROLLER: &str = "spiffe://east/ns/spanway/sa/controller";

pub(crate) struct Tokens {
    pub(crate) gateway: &'static str,
    pub(crate) foreign: &'static str,
}

pub(crate) const TOKENS: Tokens = Tokens { gateway: "s3cret", foreign: "other" };

/// Who sent a report, and for which instance.
pub(crate) type Heard = Arc<Mutex<Vec<(String, String)>>>;

pub(crate) struct Controller {
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: String,
    pub(crate) leading: watch::Sender<Leading>,
    pub(crate) shown: watch::Sender<Option<Shown>>,
    pub(crate) heard: Heard,
    pub(crate) metrics: Arc<Metrics>,
    serving: tokio::task::JoinHandle<()>,
}

struct Ears(Heard);

impl Reports for Ears {
    fn hear(&self, gateway: SpiffeId, reports: Streaming<ReportRequest>) -> Replies {
        let heard = Arc::clone(&self.0);
        Box::pin(reports.map(move |report| {
            heard.lock().unwrap().push((gateway.to_string(), report?.instance));
            let standing = Standing { in_slices: true, removed: false, draining: Vec::new() };
            Ok(ReportReply { word: Some(report_reply::Word::Standing(standing)) })
        }))
    }
}

pub(crate) fn terms() -> Terms {
    Terms { now: UnixTime::now(), life: SVID_LIFE, serial: rand::random() }
}

pub(crate) fn gateway(authority: &Authority) -> Svid {
    authority.svid(&GATEWAY.parse().unwrap(), terms()).unwrap()
}

/// A request with a key of its own.
pub(crate) fn request_of(token: &str) -> (IssueRequest, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    (IssueRequest { csr_der: request.der().to_vec(), token: token.to_owned() }, key)
}

fn allowed() -> Allowed {
    Allowed {
        trust_domain: "east".parse().unwrap(),
        accounts: [Name::new("spanway", "gateway"), Name::new("spanway", "controller")].into(),
    }
}

impl Controller {
    pub(crate) async fn start() -> Self {
        install();
        let authority = Authority::make(&"east".parse().unwrap(), terms()).unwrap();
        Self::start_with(Arc::new(authority), SVID_LIFE).await
    }

    pub(crate) async fn start_with(authority: Arc<Authority>, life: std::time::Duration) -> Self {
        let table = TokenTable::parse("spanway gateway s3cret\nshop web other");
        let issuer = Issuer::new(Arc::clone(&authority), allowed(), Reviewer::Table(table), life);
        let leading = watch::Sender::new(Leading::Here(Arc::new(issuer)));
        let shown = watch::Sender::new(None);
        let heard = Heard::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Arc::new(Metrics::new().unwrap());
        let ears = Ears(Arc::clone(&heard));
        let service = Service::new(leading.subscribe(), ears, Arc::clone(&metrics));
        let served = serve(listener, shown.subscribe(), service);
        let serving = tokio::spawn(async move { served.await.unwrap() });
        let controller = Self { authority, address, leading, shown, heard, metrics, serving };
        controller.shown.send_replace(Some(controller.shown_now()));
        controller
    }

    /// A new leaf, and whom it knows.
    pub(crate) fn shown_now(&self) -> Shown {
        let svid = self.authority.svid(&CONTROLLER.parse().unwrap(), terms()).unwrap();
        Shown { svid: Arc::new(svid), known: self.known() }
    }

    /// Whom the controller knows.
    pub(crate) fn known(&self) -> LinkTrust {
        self.trust_in(allowed().ids())
    }

    /// Whom gateways take for a controller.
    pub(crate) fn trust(&self) -> LinkTrust {
        self.trust_in([CONTROLLER.parse().unwrap()].into())
    }

    fn trust_in(&self, gateways: BTreeSet<SpiffeId>) -> LinkTrust {
        LinkTrust {
            link: "control".into(),
            trust_domain: self.authority.trust_domain().clone(),
            bundle: self.authority.bundle().into(),
            gateways,
        }
    }

    pub(crate) async fn client(
        &self,
        svid: Option<&Svid>,
    ) -> Result<ControlClient<Channel>, Uncallable> {
        let config = client::config(&self.trust(), svid).unwrap();
        client::connect(&self.address, config, WITHIN).await
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
