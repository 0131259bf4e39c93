//! The leader's loop against an API server in memory.

use std::sync::Mutex;

use config::model::{Kind, Name, ObjectRef};
use config::resources::{Resources, Slices};
use config::source::SourceState;
use imbl::OrdMap;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::round::World;
use super::*;
use crate::apply::StoreError;
use crate::catalog::client::LinkState;
use crate::catalog::{Catalog, CatalogPort, CatalogService, Transport};
use crate::plan::{Change, derived_name};
use crate::ports::{PortRange, REST};
use crate::slices::standing;
use crate::status::StatusPatch;

mod directory;

/// What stands, and who watches it.
struct Held {
    resources: Resources,
    slices: Slices,
    objects: OrdMap<ObjectRef, Value>,
    version: u64,
}

/// An API server in memory.
#[derive(Clone)]
struct Server {
    held: Arc<Mutex<Held>>,
    resources: watch::Sender<Arc<Resources>>,
    slices: watch::Sender<Arc<Slices>>,
}

impl Server {
    fn put(&self, reference: &ObjectRef, mut value: Value) {
        let mut held = self.held.lock().unwrap();
        held.version += 1;
        let version = held.version.to_string();
        let old = held.objects.get(reference);
        let uid = old
            .map_or_else(|| json!(format!("uid-{version}")), |old| old["metadata"]["uid"].clone());
        value["metadata"]["uid"] = uid;
        value["metadata"]["resourceVersion"] = version.into();
        if reference.kind == Kind::Service && value["spec"]["clusterIP"].is_null() {
            value["spec"]["clusterIP"] = "10.96.0.7".into();
        }
        held.objects.insert(reference.clone(), value.clone());
        let object: DynamicObject = serde_json::from_value(value).unwrap();
        match reference.kind {
            Kind::EndpointSlice => held.slices.apply(object),
            kind => held.resources.apply(kind, object),
        }
        self.publish(&held);
    }

    fn remove(&self, reference: &ObjectRef) {
        let mut held = self.held.lock().unwrap();
        held.objects.remove(reference);
        match reference.kind {
            Kind::EndpointSlice => held.slices.remove(&reference.name),
            _ => held.resources.remove(reference),
        }
        self.publish(&held);
    }

    fn publish(&self, held: &Held) {
        self.slices.send_replace(Arc::new(held.slices.clone()));
        self.resources.send_replace(Arc::new(held.resources.clone()));
    }

    fn get(&self, kind: Kind, name: &Name) -> Option<Value> {
        let held = self.held.lock().unwrap();
        held.objects.get(&ObjectRef::new(kind, name.clone())).cloned()
    }

    fn kinds(&self) -> Vec<Kind> {
        self.held.lock().unwrap().objects.keys().map(|reference| reference.kind).collect()
    }
}

impl Store for Server {
    async fn carry_out(&self, change: &Change) -> Result<(), StoreError> {
        let reference = change.reference();
        let stands = self.get(reference.kind, &reference.name);
        let meant = match change {
            Change::Create(_) => stands.is_none(),
            Change::Delete(doomed) => {
                let version = stands.map(|stands| stands["metadata"]["resourceVersion"].clone());
                version == Some(json!(doomed.resource_version))
            }
            Change::Apply(object) | Change::Replace(object) | Change::Release(object) => {
                let version = object.value["metadata"].get("resourceVersion");
                version.is_none_or(|version| {
                    stands.is_some_and(|stands| stands["metadata"]["resourceVersion"] == *version)
                })
            }
        };
        match change {
            _ if !meant => return Err(StoreError::Conflict(reference.to_string())),
            Change::Delete(_) => self.remove(reference),
            Change::Create(object)
            | Change::Apply(object)
            | Change::Replace(object)
            | Change::Release(object) => self.put(reference, object.value.clone()),
        }
        Ok(())
    }

    async fn patch_status(&self, patch: &StatusPatch) -> Result<(), StoreError> {
        let Some(mut object) = self.get(patch.object.kind, &patch.object.name) else {
            return Err(StoreError::Conflict(patch.object.to_string()));
        };
        object["status"] = patch.status.clone();
        self.put(&patch.object, object);
        Ok(())
    }
}

/// A running loop and all that it follows.
struct Cluster {
    server: Server,
    states: watch::Sender<LinkStates>,
    reports: watch::Sender<Arc<ReceivedReports>>,
    leading: watch::Sender<bool>,
    words: watch::Receiver<Arc<Words>>,
    resources: watch::Receiver<Arc<Resources>>,
    slices: watch::Receiver<Arc<Slices>>,
    _state: watch::Sender<SourceState>,
    task: tokio::task::JoinHandle<()>,
}

const WAIT: Duration = Duration::from_secs(20);

fn web() -> Name {
    Name::new("shop", "web")
}

fn link_state(exports: bool) -> LinkStates {
    let port = CatalogPort {
        name: "http".into(),
        number: 80,
        transport: Transport::Tcp,
        protocol: config::model::AppProtocol::Unset,
        app_protocol: None,
    };
    let service = CatalogService {
        exported_at: 1,
        headless: false,
        ports: vec![port],
        endpoints: OrdMap::new(),
        session_affinity_seconds: None,
        internal_traffic_policy: None,
        traffic_distribution: None,
        labels: OrdMap::new(),
        annotations: OrdMap::new(),
        ip_families: Vec::new(),
    };
    let services = exports.then(|| (web(), Arc::new(service))).into_iter().collect();
    let catalog = Arc::new(Catalog { services, ..Catalog::default() });
    let state = LinkState { catalog, received: true, connected: true, ..LinkState::default() };
    [(Arc::from("west"), Arc::new(state))].into_iter().collect()
}

fn settings() -> Settings {
    Settings {
        cluster: "east".into(),
        trust_domain: "east.example".parse().unwrap(),
        namespace: "spanway-system".into(),
        world: World::Directory,
        range: PortRange::default(),
        rest: REST,
    }
}

/// How many ports are recorded.
fn recorded(resources: &Resources) -> usize {
    let maps = resources.config_maps.valid.values();
    maps.map(|map| map.data.read().len()).sum()
}

/// The report of a gateway that has every recorded port bound.
fn report_of(resources: &Resources, draining: bool) -> Arc<ReceivedReports> {
    let maps = resources.config_maps.valid.iter().map(|(name, map)| (name, &**map));
    let records = config::ports::PortRecords::read("spanway-system", maps);
    let bound = records.by_owner().into_iter().map(|(owner, port)| (port, owner)).collect();
    let report = GatewayReport {
        instance: "gw".into(),
        pod: Name::new("spanway-system", "gw-0"),
        addresses: vec!["10.0.0.1".parse().unwrap()],
        serving: true,
        draining,
        table_version: 1,
        bound,
        bind_failures: Vec::new(),
        strangers: Vec::new(),
        links: Vec::new(),
    };
    let received = Received { report: Arc::new(report), at: Instant::now() };
    Arc::new([("gw".into(), received)].into())
}

impl Cluster {
    /// A directory with a link to `west` that mirrors each service under its own name.
    fn start(leading: bool) -> Self {
        let (resources, watched_resources) = watch::channel(Arc::default());
        let (slices, watched_slices) = watch::channel(Arc::default());
        let (state, watched_state) =
            watch::channel(SourceState { synced: true, statuses: true, ..SourceState::default() });
        let held = Held {
            resources: Resources::default(),
            slices: Slices::default(),
            objects: OrdMap::new(),
            version: 0,
        };
        let server = Server { held: Arc::new(Mutex::new(held)), resources, slices };
        server.put(
            &ObjectRef::new(Kind::ClusterLink, Name::new("", "west")),
            json!({
                "apiVersion": "spanway.dev/v1alpha1", "kind": "ClusterLink",
                "metadata": {"name": "west"},
                "spec": {
                    "addresses": ["192.0.2.1"],
                    "trustDomain": "west.example",
                    "bundle": "-----BEGIN CERTIFICATE-----",
                    "import": {"rules": [{"name": "{service}"}]},
                },
            }),
        );
        let (states, watched_states) = watch::channel(LinkStates::default());
        let (reports, watched_reports) = watch::channel(Arc::default());
        let (leading, watched_leading) = watch::channel(leading);
        let (words, watched_words) = watch::channel(Arc::default());
        let inputs = Inputs {
            watched: Watched {
                resources: watched_resources.clone(),
                slices: watched_slices.clone(),
                state: watched_state,
            },
            states: watched_states,
            reports: watched_reports,
            leading: watched_leading,
        };
        let controller = Controller {
            settings: settings(),
            store: server.clone(),
            gateways: (),
            clock: || Timestamp::UNIX_EPOCH,
        };
        let task = tokio::spawn(run(controller, inputs, words, std::future::pending()));
        Self {
            server,
            states,
            reports,
            leading,
            words: watched_words,
            resources: watched_resources,
            slices: watched_slices,
            _state: state,
            task,
        }
    }

    /// Waits until the objects are so.
    async fn until(&mut self, holds: impl Fn(&Resources) -> bool) {
        let waiting = self.resources.wait_for(|resources| holds(resources));
        tokio::time::timeout(WAIT, waiting).await.expect("in time").unwrap();
    }

    async fn until_slices(&mut self, holds: impl Fn(&Slices) -> bool) {
        let waiting = self.slices.wait_for(|slices| holds(slices));
        tokio::time::timeout(WAIT, waiting).await.expect("in time").unwrap();
    }

    async fn until_word(&mut self, holds: impl Fn(LeaderWord) -> bool) {
        let waiting = self.words.wait_for(|words| words.get("gw").is_some_and(|word| holds(*word)));
        tokio::time::timeout(WAIT, waiting).await.expect("in time").unwrap();
    }

    /// Everything is mirrored and the ports are recorded.
    async fn mirrored(&mut self) {
        self.states.send_replace(link_state(true));
        self.until(|resources| resources.services.get(&web()).is_some()).await;
        self.until(|resources| recorded(resources) == 2).await;
    }

    /// A gateway reports every recorded port bound.
    fn report(&self, draining: bool) {
        self.reports.send_replace(report_of(&self.resources.borrow(), draining));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_led_into_the_slices_and_out_of_them() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    cluster.report(false);
    cluster.until_word(|word| word.in_slices).await;
    assert_eq!(standing(&cluster.slices.borrow()).services().count(), 2);
    cluster.report(true);
    cluster.until_word(|word| word.removed).await;
    assert_eq!(standing(&cluster.slices.borrow()).services().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_import_gets_its_ip_and_its_status() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    cluster
        .until(|resources| {
            let import = resources.service_imports.get(&web());
            import.is_some_and(|import| {
                let status = import.status.as_ref();
                import.spec.ips == ["10.96.0.7"]
                    && status.is_some_and(|status| status.clusters[0].cluster == "west")
            })
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn all_goes_with_the_export_and_nothing_with_a_link_that_is_silent() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    cluster.report(false);
    cluster.until_word(|word| word.in_slices).await;
    // As a new leader finds it that has heard nobody yet.
    cluster.states.send_replace(LinkStates::default());
    cluster.report(true);
    cluster.until_word(|word| word.removed).await;
    assert!(cluster.server.get(Kind::Service, &web()).is_some());
    assert!(cluster.server.get(Kind::Service, &derived_name(&web())).is_some());
    cluster.states.send_replace(link_state(false));
    cluster.until(|resources| resources.services.valid.is_empty()).await;
    cluster.until(|resources| resources.service_imports.valid.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_gone_withdraws_what_came_over_it() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    cluster.server.remove(&ObjectRef::new(Kind::ClusterLink, Name::new("", "west")));
    cluster.until(|resources| resources.services.valid.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_not_sound_any_more_withdraws_nothing() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    let west = Name::new("", "west");
    let mut link = cluster.server.get(Kind::ClusterLink, &west).unwrap();
    link["spec"]["bundle"] = "".into();
    cluster.server.put(&ObjectRef::new(Kind::ClusterLink, west.clone()), link);
    cluster
        .until(|resources| {
            let status = resources.cluster_links.get(&west).and_then(|link| link.status.clone());
            status.is_some_and(|status| {
                status.conditions.iter().any(|condition| condition.reason == "InvalidBundle")
            })
        })
        .await;
    assert!(cluster.server.get(Kind::Service, &web()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_link_to_our_own_cluster_is_told_so_and_keeps_nothing() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    let api = Name::new("shop", "api");
    let (spec, own) = (json!({"ports": [{"port": 80}]}), Name::new("", "home"));
    let put = |kind, name: &Name, spec| {
        let metadata = json!({"namespace": &*name.namespace, "name": &*name.name});
        let object = json!({"metadata": metadata, "spec": spec});
        cluster.server.put(&ObjectRef::new(kind, name.clone()), object);
    };
    put(Kind::Service, &api, spec);
    put(Kind::ServiceExport, &api, json!({}));
    let link = json!({
        "cluster": "east", "addresses": ["192.0.2.2"], "trustDomain": "home.example",
        "bundle": "-----BEGIN CERTIFICATE-----",
    });
    put(Kind::ClusterLink, &own, link);
    cluster
        .until(|resources| {
            let status = resources.cluster_links.get(&own).and_then(|link| link.status.clone());
            status.is_some_and(|status| {
                status.conditions.iter().any(|condition| condition.reason == "OwnCluster")
            })
        })
        .await;
    cluster.until(|resources| resources.service_imports.get(&api).is_some()).await;
    cluster.server.remove(&ObjectRef::new(Kind::ServiceExport, api.clone()));
    cluster.until(|resources| resources.service_imports.get(&api).is_none()).await;
    assert!(cluster.server.get(Kind::Service, &web()).is_some(), "what west exports stays");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_a_user_took_over_stays() {
    let mut cluster = Cluster::start(true);
    cluster.mirrored().await;
    cluster.report(false);
    cluster.until_word(|word| word.in_slices).await;
    let mut service = cluster.server.get(Kind::Service, &web()).unwrap();
    service["spec"]["selector"] = json!({"app": "web"});
    cluster.server.put(&ObjectRef::new(Kind::Service, web()), service);
    // As Kubernetes does wherever there is a selector; then ours go.
    let own = Name::new("shop", "web-own");
    let slice = json!({
        "metadata": {
            "name": own.name,
            "namespace": own.namespace,
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [],
    });
    cluster.server.put(&ObjectRef::new(Kind::EndpointSlice, own), slice);
    cluster.until_slices(|slices| standing(slices).services().count() == 1).await;
    cluster.states.send_replace(link_state(false));
    cluster.until(|resources| resources.services.valid.len() == 1).await;
    let left = cluster.server.get(Kind::Service, &web()).unwrap();
    assert_eq!(left["spec"]["selector"], json!({"app": "web"}));
    assert_eq!(left["metadata"]["labels"].get("spanway.dev/managed-by"), None);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_writes_nothing() {
    let mut cluster = Cluster::start(false);
    cluster.states.send_replace(link_state(true));
    cluster.report(false);
    tokio::time::advance(PERIOD * 2).await;
    assert_eq!(cluster.server.kinds(), [Kind::ClusterLink]);
    assert!(cluster.words.borrow().is_empty());
    cluster.leading.send_replace(true);
    cluster.mirrored().await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_reports_no_more_is_told_nothing_more() {
    let mut cluster = Cluster::start(true);
    cluster.report(false);
    let told = |words: &Arc<Words>| words.contains_key("gw");
    cluster.words.wait_for(told).await.unwrap();
    let silent = Instant::now();
    cluster.words.wait_for(|words| !told(words)).await.unwrap();
    let after = silent.elapsed();
    assert!(after > REPORT_AGE_MAX && after < REPORT_AGE_MAX + 2 * REPORT_AGE_CHECK, "{after:?}");
}

#[test]
fn waits_between_failing_rounds_grow_to_a_limit() {
    let failing = Outcome { failed: 1, ..Outcome::default() };
    let mut waits = vec![];
    let mut wait = None;
    for _ in 0..12 {
        wait = next_retry(&failing, wait);
        waits.extend(wait);
    }
    assert_eq!((waits[0], waits[1], waits[11]), (RETRY_MIN, RETRY_MIN * 2, RETRY_MAX));
    assert_eq!(next_retry(&Outcome::default(), wait), None);
}
