//! What leads to a new snapshot, and what does not.

use config::compile::Context;
use serde_json::{Value, json};

use super::*;
use crate::settings::FIRST_SLICES_WAIT;

/// How long a withdrawn port accepts.
const SETTLE: Duration = Duration::from_secs(3);

/// A model, and what it publishes.
struct World {
    model: Model,
    published: Arc<Published>,
    resources: Resources,
    slices: Slices,
}

impl World {
    fn new() -> Self {
        let published = Arc::new(Published::default());
        let metrics = Arc::new(Metrics::new().expect("no name is used twice"));
        let model = Model::new(
            Compiler::new(Context::new("spanway-system")),
            Identity {
                cluster: "east".into(),
                trust_domain: "east.example".parse().expect("it is one"),
            },
            (Arc::clone(&published), metrics, Refusals::ignored()),
            (Withdrawals::new(SETTLE), FIRST_SLICES_WAIT),
        );
        Self { model, published, resources: Resources::default(), slices: Slices::default() }
    }

    fn apply(&mut self, kind: Kind, object: Value) {
        let object = serde_json::from_value(object).expect("it has the shape of an object");
        if kind == Kind::EndpointSlice {
            self.slices.apply(object);
        } else {
            self.resources.apply(kind, object);
        }
    }

    /// Takes in what there is and publishes; whether a new snapshot stands.
    fn publish(&mut self) -> bool {
        let before = self.published.load_full();
        self.model.take_slices(&Arc::new(self.slices.clone()));
        let now = Instant::now();
        self.model.take_resources(&Arc::new(self.resources.clone()), now);
        let is_new = self.model.publish(now);
        assert_eq!(is_new, !Arc::ptr_eq(&before, &self.published.load_full()));
        is_new
    }

    fn export(&mut self, version: &str, status: &Value) {
        self.apply(
            Kind::ServiceExport,
            json!({
                "metadata": {
                    "namespace": "shop", "name": "web", "uid": "e", "resourceVersion": version,
                },
                "status": status,
            }),
        );
    }
}

fn service(version: &str, port: u16, status: &Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "s", "resourceVersion": version},
        "spec": {"ports": [{"port": port}]},
        "status": status,
    })
}

fn link() -> Value {
    json!({
        "metadata": {"name": "west", "uid": "w", "resourceVersion": "1"},
        "spec": {
            "addresses": ["192.0.2.1"],
            "trustDomain": "west.example",
            "bundle": "-----BEGIN CERTIFICATE-----",
        },
    })
}

#[tokio::test]
async fn a_status_alone_neither_compiles_nor_swaps() {
    let mut world = World::new();
    world.apply(Kind::Service, service("1", 80, &Value::Null));
    world.apply(Kind::ClusterLink, link());
    world.export("2", &Value::Null);
    assert!(world.publish(), "the first is new");
    let compiled = Arc::clone(&world.model.derived().compiled);
    let balancer = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}});
    world.apply(Kind::Service, service("3", 80, &balancer));
    world.export("4", &json!({"conditions": []}));
    assert!(!world.publish());
    assert!(Arc::ptr_eq(&compiled, &world.model.derived().compiled));
    let offer = &world.model.offers()["west"];
    assert_eq!(offer.catalog.version.get("ServiceExport"), Some(&4), "others are told how far");
    assert!(offer.catalog.services.contains_key(&Name::new("shop", "web")));
}

#[tokio::test]
async fn what_is_asked_for_swaps() {
    let mut world = World::new();
    world.apply(Kind::Service, service("1", 80, &Value::Null));
    world.apply(Kind::ClusterLink, link());
    world.export("2", &Value::Null);
    world.publish();
    let compiled = Arc::clone(&world.model.derived().compiled);
    world.apply(Kind::Service, service("3", 81, &Value::Null));
    assert!(world.publish());
    assert!(!Arc::ptr_eq(&compiled, &world.model.derived().compiled));
}

#[tokio::test]
async fn an_endpoint_swaps_and_compiles_nothing() {
    let mut world = World::new();
    world.apply(Kind::Service, service("1", 80, &Value::Null));
    world.publish();
    let compiled = Arc::clone(&world.model.derived().compiled);
    world.apply(
        Kind::EndpointSlice,
        json!({
            "metadata": {
                "namespace": "shop", "name": "web-1", "resourceVersion": "2",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"port": 8080}],
        }),
    );
    assert!(world.publish());
    assert!(Arc::ptr_eq(&compiled, &world.model.derived().compiled));
}

fn route(version: &str, host: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "r", "uid": "r", "resourceVersion": version},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [host]},
    })
}

#[tokio::test]
async fn a_route_makes_neither_credentials_nor_offers_new_and_leaves_the_last_to_be_dropped() {
    let mut world = World::new();
    world.apply(Kind::Service, service("1", 80, &Value::Null));
    world.apply(Kind::ClusterLink, link());
    world.export("2", &Value::Null);
    world.apply(Kind::HttpRoute, route("3", "a.io"));
    world.publish();
    let before = world.published.load_full();
    world.apply(Kind::HttpRoute, route("4", "b.io"));
    assert!(world.publish());
    let after = world.published.load_full();
    assert!(!Arc::ptr_eq(&before.table, &after.table));
    assert!(Arc::ptr_eq(&before.credentials, &after.credentials));
    assert!(before.offers["west"].reaches_what(&after.offers["west"]));
    assert!(world.model.unread(Instant::now()).iter().all(|one| !Arc::ptr_eq(one, &before)));
    let kept = Arc::downgrade(&before);
    drop(before);
    let unread = world.model.unread(Instant::now());
    assert!(unread.iter().any(|one| kept.upgrade().is_some_and(|kept| Arc::ptr_eq(one, &kept))));
}

#[tokio::test]
async fn ports_are_wanted_for_as_long_as_their_service_stands() {
    let mut world = World::new();
    let mut derived = service("1", 80, &Value::Null);
    derived["metadata"]["labels"] = json!({
        config::marks::MANAGED_BY: config::marks::MANAGER,
        config::marks::DERIVED_FOR: "web",
    });
    world.apply(Kind::Service, derived);
    world.publish();
    let owners = |world: &World| world.model.derived().owners().collect::<Vec<_>>();
    assert_eq!(owners(&world), [PortOwner { uid: "s".into(), port: 80 }]);
    world.resources.remove(&ObjectRef::new(Kind::Service, Name::new("shop", "web")));
    world.publish();
    assert_eq!(owners(&world), []);
}
