//! Routes by number: how long a lookup takes, and how long one that changed takes to be in the
//! table. `cargo bench -p spanway-config`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot go on says so and ends"
)]

use config::compile::{Compiler, Context};
use config::explain::Asked;
use config::model::Kind;
use config::resources::Resources;
use config::table::{PortServes, RoutingTable};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use kube::core::DynamicObject;
use serde_json::{Value, json};

/// From what everybody has to what the largest cluster has.
const ROUTES: [usize; 2] = [10, 100_000];
/// The container port of the listener.
const PORT: u16 = 20080;
/// Hosts are asked for in a fixed order that no cache can foresee: each by a prime further on.
const STRIDE: usize = 7_919;

fn main() {
    divan::main();
}

fn host(number: usize) -> String {
    format!("host-{number}.example.com")
}

fn object(kind: &str, name: &str, rest: Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "any", "kind": kind,
        "metadata": {"name": name, "namespace": "bench", "uid": name, "generation": 1, "resourceVersion": "1"},
    });
    let Value::Object(rest) = rest else { panic!("{rest}") };
    object.as_object_mut().unwrap().extend(rest);
    serde_json::from_value(object).unwrap()
}

fn route(number: usize, generation: u64) -> DynamicObject {
    let mut route = object(
        "HTTPRoute",
        &format!("route-{number}"),
        json!({"spec": {
            "parentRefs": [{"name": "web"}],
            "hostnames": [host(number)],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "web", "port": 80, "weight": generation}],
            }],
        }}),
    );
    route.metadata.generation = Some(generation.try_into().unwrap());
    route.metadata.resource_version = Some(generation.to_string());
    route
}

/// A Gateway with one listener, and so many routes with a host each.
fn world(routes: usize) -> Resources {
    let mut resources = Resources::default();
    let record = r#"{"uid":"web","port":80,"transport":"TCP","name":"bench/web"}"#;
    let mut records = object("ConfigMap", "ports", json!({"data": {PORT.to_string(): record}}));
    records.metadata.labels = Some([("spanway.dev/port-record".into(), "true".into())].into());
    let controller = json!({"spec": {"controllerName": config::compile::CONTROLLER_NAME}});
    let listener = json!({"name": "http", "protocol": "HTTP", "port": 80});
    let gateway = json!({"spec": {"gatewayClassName": "spanway", "listeners": [listener]}});
    let mut class = object("GatewayClass", "spanway", controller);
    class.metadata.namespace = None;
    resources.apply(Kind::GatewayClass, class);
    resources.apply(Kind::ConfigMap, records);
    resources.apply(Kind::Gateway, object("Gateway", "web", gateway));
    let service = json!({"spec": {"ports": [{"port": 80}]}});
    resources.apply(Kind::Service, object("Service", "web", service));
    for number in 0..routes {
        resources.apply(Kind::HttpRoute, route(number, 1));
    }
    resources
}

fn asked(host: String) -> Asked {
    Asked { method: "GET".to_owned(), path: "/".to_owned(), host, ..Asked::default() }
}

fn takes(table: &RoutingTable, asked: &Asked) -> bool {
    let PortServes::Http(hosts) = &table.port(PORT).unwrap().serves else { panic!("no HTTP") };
    hosts.find(asked).is_some()
}

#[divan::bench(args = ROUTES)]
fn look_up(bencher: Bencher<'_, '_>, routes: usize) {
    let compiled = Compiler::new(Context::new("bench")).compile(&world(routes));
    let asked: Vec<_> = (0..1_000).map(|turn| asked(host(turn * STRIDE % routes))).collect();
    assert!(asked.iter().all(|asked| takes(&compiled.table, asked)), "a host without a route");
    bencher
        .counter(ItemsCount::of_iter(&asked))
        .bench(|| asked.iter().filter(|asked| takes(black_box(&compiled.table), asked)).count());
}

#[divan::bench(args = ROUTES, sample_count = 20)]
fn apply_one_change(bencher: Bencher<'_, '_>, routes: usize) {
    let compiler = Compiler::new(Context::new("bench"));
    let mut resources = world(routes);
    compiler.compile(&resources);
    let mut generation = 1;
    bencher.bench_local(|| {
        generation += 1;
        resources.apply(Kind::HttpRoute, route(routes / 2, generation));
        compiler.compile(&resources)
    });
}
