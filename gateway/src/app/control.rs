//! The part that writes: who leads, the authority, the leader's rounds, the port of the gateways.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use config::gateway_service::{RoleBindingSettings, ServiceSettings};
use config::leader::{Elector, Leadership};
use config::model::Name;
use config::model::identity::SpiffeId;
use discovery::controller::gateways::{Objects, Work};
use discovery::controller::round::{Settings as RoundSettings, World};
use discovery::controller::{self, Controller};
use jiff::Timestamp;
use kube::Client;
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Wires;
use super::desk::Desk;
use super::reporter::{report_here, report_to_leader};
use super::source::Open;
use crate::control::server::{self, Leading, Service, Shown};
use crate::identity::authority::{Authority, Terms};
use crate::identity::issue::{Allowed, Issuer, Reviewer, TokenTable};
use crate::identity::rotate::{self, Controllers, Outputs};
use crate::identity::store::{AuthorityStore, BundleStore, shared_secret};
use crate::settings::{Role, Settings, SourceSettings};
use crate::telemetry::Metrics;
use crate::tls::svid::Svid;
use crate::tls::trust::LinkTrust;

/// How long the authority lasts.
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// Between two tries to open the authority's store, while the API server is away.
const STORE_AGAIN: Duration = Duration::from_secs(2);
/// The Secret that holds the authority, the `ConfigMap` that publishes its bundle, the Lease.
const AUTHORITY_SECRET: &str = "spanway-ca";
const BUNDLE_CONFIG_MAP: &str = "spanway-bundle";
const LEASE: &str = "spanway-controller";
/// The folder of a directory source where the same lies, and the file in it by which gateways prove who
/// they are.
const STATE_FOLDER: &str = ".spanway";
const TOKEN_FILE: &str = "gateway-token";
/// Where the kubelet puts the token of a gateway.
const PROJECTED_TOKEN: &str = "/var/run/secrets/spanway/token";

/// For the Lease to be handed back: two requests to the API server.
const HAND_BACK_WAIT: Duration = Duration::from_secs(8);

/// The part in the election, which ends after everything that only a leader may do.
pub(super) struct Election {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Election {
    /// Hands the Lease back, so that nobody has to wait for its end.
    pub(super) async fn hand_back(self) {
        self.stop.cancel();
        if tokio::time::timeout(HAND_BACK_WAIT, self.task).await.is_err() {
            tracing::warn!("the lease was not handed back in time");
        }
    }
}

/// Starts identity and, where the role says so, the controller.
pub(super) async fn start(
    settings: &Arc<Settings>,
    source: &Open,
    (wires, metrics): (&Wires, &Arc<Metrics>),
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Option<Election>> {
    let outputs = Outputs { svid: wires.svid.clone(), status: wires.certificate.clone() };
    if settings.role == Role::Gateway {
        let controllers = controllers(settings, source.client.as_ref());
        let from = rotate::Source::Controllers(controllers.clone());
        tasks.spawn(async move { match rotate::run(from, UnixTime::now, outputs).await {} });
        let (svid, report) = (wires.svid.subscribe(), wires.report.subscribe());
        tasks.spawn(report_to_leader(
            controllers,
            svid,
            report,
            (wires.word.clone(), wires.draining.clone()),
        ));
        return Ok(None);
    }
    let authority = Arc::new(open_authority(settings, source.client.as_ref()).await?);
    let account = match settings.role {
        Role::Controller => &settings.pod.controller_account,
        Role::Gateway | Role::All => &settings.pod.gateway_account,
    };
    let id = SpiffeId::of(&settings.trust_domain, account).context("our own account")?;
    let life = settings.certificate_life;
    let from = rotate::Source::Authority { authority: Arc::clone(&authority), id, life };
    tasks.spawn(async move { match rotate::run(from, UnixTime::now, outputs).await {} });
    let words = watch::Sender::default();
    let desk = Desk::new(words.subscribe());
    if settings.role == Role::All {
        let report = wires.report.subscribe();
        tasks.spawn(report_here(desk.clone(), report, wires.word.clone()));
    }
    tasks.spawn(note_draining(desk.clone(), wires.draining.clone()));
    let election = lead(settings, source, wires, tasks);
    start_rounds(settings, source, wires, (&desk, words), tasks);
    if settings.role == Role::Controller {
        start_control_port(settings, source, (wires, metrics), (&desk, authority), tasks).await?;
    }
    Ok(Some(election))
}

fn state_folder(settings: &Settings) -> Option<PathBuf> {
    match &settings.source {
        SourceSettings::Directory(path) => Some(path.join(STATE_FOLDER)),
        SourceSettings::Kubernetes => None,
    }
}

/// Where the token of a gateway is, unless it is said: in the directory, or where the kubelet puts it.
fn token_file(settings: &Settings) -> PathBuf {
    let expected = || match state_folder(settings) {
        Some(folder) => folder.join(TOKEN_FILE),
        None => PROJECTED_TOKEN.into(),
    };
    settings.control.token.clone().unwrap_or_else(expected)
}

/// Without an API server whoever has the secret that they share is a gateway.
fn shared_table(settings: &Settings) -> anyhow::Result<TokenTable> {
    let Name { namespace, name } = &settings.pod.gateway_account;
    let secret = shared_secret(&token_file(settings))?;
    Ok(TokenTable::parse(&format!("{namespace} {name} {secret}")))
}

fn bundle_store(settings: &Settings, client: Option<&Client>) -> BundleStore {
    let name = Name::new(&settings.namespace, BUNDLE_CONFIG_MAP);
    match (client, state_folder(settings)) {
        (Some(client), _) => BundleStore::ConfigMap(client.clone(), name),
        (None, folder) => BundleStore::Directory(folder.unwrap_or_default()),
    }
}

/// Opens the authority, or makes it: as long as it takes, because nothing works without.
async fn open_authority(settings: &Settings, client: Option<&Client>) -> anyhow::Result<Authority> {
    let store = match (client, state_folder(settings)) {
        (Some(client), _) => {
            let name = Name::new(&settings.namespace, AUTHORITY_SECRET);
            AuthorityStore::Secret(client.clone(), name)
        }
        (None, folder) => {
            let folder = folder.unwrap_or_default();
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
            AuthorityStore::Directory(folder)
        }
    };
    let bundle = bundle_store(settings, client);
    loop {
        let terms = Terms { now: UnixTime::now(), life: AUTHORITY_LIFE, serial: rand::random() };
        let opened = match store.open(&settings.trust_domain, terms).await {
            Ok(authority) => bundle.publish(&authority.bundle()).await.map(|()| authority),
            Err(error) => Err(error),
        };
        match opened {
            Ok(authority) => return Ok(authority),
            Err(error) if client.is_some() => {
                tracing::warn!(%error, "the authority cannot be opened yet");
                tokio::time::sleep(STORE_AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn controllers(settings: &Settings, client: Option<&Client>) -> Controllers {
    let id = SpiffeId::of(&settings.trust_domain, &settings.pod.controller_account);
    Controllers {
        addresses: settings.control.addresses.clone(),
        ids: id.into_iter().collect(),
        trust_domain: settings.trust_domain.clone(),
        bundle: bundle_store(settings, client),
        token: token_file(settings),
    }
}

/// Keeps known whether this process leads: in a directory it is alone.
fn lead(
    settings: &Arc<Settings>,
    source: &Open,
    wires: &Wires,
    tasks: &mut JoinSet<()>,
) -> Election {
    let identity = &settings.control.advertise;
    let (elector, leadership) = match source.client.clone() {
        Some(client) => Elector::new(client, &settings.namespace, LEASE, identity),
        None => Elector::always(identity),
    };
    tasks.spawn(follow_leader(leadership, wires.leading.clone(), wires.leader.clone()));
    let stop = CancellationToken::new();
    Election { task: tokio::spawn(elector.run(stop.clone())), stop }
}

async fn follow_leader(
    mut leadership: watch::Receiver<Leadership>,
    leading: watch::Sender<bool>,
    leader: watch::Sender<Option<Arc<str>>>,
) {
    loop {
        let now = leadership.borrow_and_update().clone();
        let leads = now.leads(tokio::time::Instant::now());
        leader.send_replace(now.holder);
        leading.send_if_modified(|known| std::mem::replace(known, leads) != leads);
        if leadership.changed().await.is_err() {
            leading.send_replace(false);
            return;
        }
    }
}

/// Tells the model which gateways of this cluster drain.
async fn note_draining(desk: Desk, out: watch::Sender<imbl::OrdSet<Arc<str>>>) {
    let mut reports = desk.reports();
    loop {
        let now: imbl::OrdSet<Arc<str>> =
            super::desk::draining(&reports.borrow_and_update()).into_iter().collect();
        out.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        if reports.changed().await.is_err() {
            return;
        }
    }
}

fn start_rounds(
    settings: &Arc<Settings>,
    source: &Open,
    wires: &Wires,
    (desk, words): (&Desk, watch::Sender<Arc<controller::Words>>),
    tasks: &mut JoinSet<()>,
) {
    let accounts =
        vec![settings.pod.gateway_account.clone(), settings.pod.controller_account.clone()];
    let namespaces = Some(&settings.secret_namespaces).filter(|names| !names.is_empty());
    let objects = Objects {
        services: ServiceSettings {
            namespace: settings.namespace.to_string(),
            selector: settings.gateway_labels.iter().cloned().collect(),
            external_traffic_policy: settings.external_traffic_policy.to_string(),
        },
        bindings: RoleBindingSettings {
            service_accounts: accounts,
            namespaces: namespaces.map(|names| names.iter().cloned().collect()),
        },
    };
    // A directory has no load balancers and no roles.
    let objects = source.client.is_some().then_some(objects);
    let world = match settings.source {
        SourceSettings::Kubernetes => World::Kubernetes,
        SourceSettings::Directory(_) => World::Directory,
    };
    let controller = Controller {
        settings: RoundSettings {
            cluster: Arc::clone(&settings.cluster),
            trust_domain: settings.trust_domain.clone(),
            namespace: Arc::clone(&settings.namespace),
            world,
            range: settings.ports,
            rest: settings.port_rest,
        },
        store: source.writer.clone(),
        gateways: Work::new(source.compiler.clone(), objects),
        clock: Timestamp::now,
    };
    let inputs = controller::Inputs {
        watched: source.watched.clone(),
        states: source.states.subscribe(),
        reports: desk.reports(),
        leading: wires.leading.subscribe(),
    };
    tasks.spawn(controller::run(controller, inputs, words, std::future::pending()));
}

async fn start_control_port(
    settings: &Arc<Settings>,
    source: &Open,
    (wires, metrics): (&Wires, &Arc<Metrics>),
    (desk, authority): (&Desk, Arc<Authority>),
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.control.listen)
        .await
        .with_context(|| format!("the control port {} cannot be bound", settings.control.listen))?;
    let reviewer = match &source.client {
        Some(client) => Reviewer::Kubernetes(client.clone()),
        None => Reviewer::Table(shared_table(settings)?),
    };
    let accounts = [&settings.pod.gateway_account, &settings.pod.controller_account];
    let allowed = Allowed {
        trust_domain: settings.trust_domain.clone(),
        accounts: accounts.into_iter().cloned().collect(),
    };
    let known = LinkTrust {
        link: Arc::clone(&settings.cluster),
        trust_domain: settings.trust_domain.clone(),
        bundle: authority.bundle().into(),
        gateways: allowed.ids(),
    };
    let issuer = Arc::new(Issuer::new(authority, allowed, reviewer, settings.certificate_life));
    let (leading, leads) = watch::channel(Leading::Elsewhere("".into()));
    let (shown, seen) = watch::channel(None);
    tasks.spawn(follow_lead(wires.leading.subscribe(), wires.leader.subscribe(), issuer, leading));
    tasks.spawn(show(wires.svid.subscribe(), known, shown));
    let service = Service::new(leads, desk.clone(), Arc::clone(metrics));
    tasks.spawn(async move {
        if let Err(error) = server::serve(listener, seen, service).await {
            tracing::error!(%error, "the control port ended");
        }
    });
    Ok(())
}

async fn follow_lead(
    mut leading: watch::Receiver<bool>,
    mut leader: watch::Receiver<Option<Arc<str>>>,
    issuer: Arc<Issuer>,
    out: watch::Sender<Leading>,
) {
    loop {
        let leads = *leading.borrow_and_update();
        let holder = leader.borrow_and_update().clone();
        out.send_replace(if leads {
            Leading::Here(Arc::clone(&issuer))
        } else {
            Leading::Elsewhere(holder.unwrap_or_default())
        });
        tokio::select! {
            changed = leading.changed() => if changed.is_err() { return },
            changed = leader.changed() => if changed.is_err() { return },
        }
    }
}

async fn show(
    mut svid: watch::Receiver<Option<Arc<Svid>>>,
    known: LinkTrust,
    out: watch::Sender<Option<Shown>>,
) {
    loop {
        let svid_now = svid.borrow_and_update().clone();
        out.send_replace(svid_now.map(|svid| Shown { svid, known: known.clone() }));
        if svid.changed().await.is_err() {
            return;
        }
    }
}
