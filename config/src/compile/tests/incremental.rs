//! A change after the other comes to the same as everything at once.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::incremental::Incremental;
use super::super::*;
use super::world::{KEY, secret_of};
use crate::model::Kind;
use crate::table::{PortServes, SniAction, VirtualHosts};

/// Some change of an object: its kind, and what else there is to choose.
type Change = (usize, [u8; 5]);

const KINDS: [Kind; 10] = [
    Kind::ConfigMap,
    Kind::Gateway,
    Kind::GatewayClass,
    Kind::HttpRoute,
    Kind::Namespace,
    Kind::ReferenceGrant,
    Kind::Secret,
    Kind::Service,
    Kind::ServiceImport,
    Kind::TlsRoute,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_change_after_the_other_comes_to_the_same_as_all_at_once(
        changes in prop::collection::vec((0..KINDS.len(), any::<[u8; 5]>()), 1..40)
    ) {
        let context = Context::new("spanway");
        let mut resources = Resources::default();
        let mut incremental = Incremental::new(context.clone());
        start(&mut resources);
        for change in changes {
            apply(&mut resources, change);
            let changed = picture(incremental.update(&resources));
            prop_assert_eq!(changed, picture(&compile(&resources, &context)));
        }
    }
}

/// Some of everything, so that each change meets much.
fn start(resources: &mut Resources) {
    for (kind, _) in KINDS.iter().enumerate() {
        for at in 0..6_u8 {
            let [one, two, three] = [37, 53, 29].map(|step| at.wrapping_mul(step));
            apply(resources, (kind, [at, 1, one, two, three.wrapping_add(1)]));
        }
    }
}

fn apply(resources: &mut Resources, (kind, choice): Change) {
    let kind = KINDS[kind];
    let namespaced = kind.namespaced() && kind != Kind::ConfigMap;
    let name = match kind {
        Kind::GatewayClass => "spanway".to_owned(),
        Kind::Namespace => pick(choice[0], &["a", "b"]).to_owned(),
        Kind::Secret => "n0".to_owned(),
        _ => format!("n{}", choice[0] % 3),
    };
    let namespace = if namespaced { pick(choice[0] / 3, &["a", "b"]) } else { "spanway" };
    // One time of eight it goes.
    if choice[1] % 8 == 0 {
        let namespace = if kind.namespaced() { namespace } else { "" };
        return resources.remove(&ObjectRef::new(kind, Name::new(namespace, &name)));
    }
    let mut object = content(kind, choice);
    object["metadata"]["name"] = name.as_str().into();
    object["metadata"]["namespace"] = namespace.into();
    let of_kind = kind.label().chars().next().unwrap();
    // Now and then two have one UID.
    let uid =
        if choice[4] % 6 == 0 { "one".to_owned() } else { format!("{of_kind}-{namespace}-{name}") };
    object["metadata"]["uid"] = uid.into();
    object["metadata"]["generation"] = (choice[4] % 3).into();
    resources.apply(kind, serde_json::from_value(object).unwrap());
}

fn pick<T: Copy>(choice: u8, from: &[T]) -> T {
    from[usize::from(choice) % from.len()]
}

fn content(kind: Kind, choice: [u8; 5]) -> Value {
    let [_, _, one, two, three] = choice;
    match kind {
        Kind::ConfigMap => records(choice),
        Kind::Gateway => {
            let listeners: Vec<_> = [one, two, three]
                .map(listener)
                .into_iter()
                .enumerate()
                .map(|(at, mut it)| {
                    it["name"] = format!("l{at}").into();
                    it
                })
                .collect();
            let frontend = json!({"default": {"validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "n0", "namespace": "spanway"}]}}});
            let tls = if three % 4 == 0 { json!({ "frontend": frontend }) } else { Value::Null };
            json!({"metadata": {}, "spec": {"gatewayClassName": pick(two, &["spanway", "spanway", "other"]), "listeners": listeners, "tls": tls}})
        }
        Kind::GatewayClass => {
            json!({"metadata": {}, "spec": {"controllerName": pick(one, &["spanway.dev/gateway-controller", "spanway.dev/gateway-controller", "other.dev/x"])}})
        }
        Kind::HttpRoute => http_route(choice),
        Kind::Namespace => json!({"metadata": {"labels": {"team": pick(one, &["a", "b"])}}}),
        Kind::ReferenceGrant => json!({"metadata": {}, "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": pick(one, &["HTTPRoute", "TLSRoute", "Gateway"]), "namespace": pick(two, &["a", "b"])}],
            "to": [{"group": "", "kind": pick(one / 3, &["Service", "Secret"])}],
        }}),
        Kind::Secret => serde_json::to_value(secret_of(
            pick(one, &[include_bytes!("certificate.pem"), &[]]),
            KEY,
        ))
        .unwrap(),
        Kind::Service => {
            let labels = match one % 4 {
                0 => json!({"app.kubernetes.io/managed-by": "spanway"}),
                1 => standing(crate::marks::DERIVED_FOR, two),
                2 => standing(crate::marks::MIRRORED_FOR, two),
                _ => json!({}),
            };
            json!({"metadata": {"labels": labels}, "spec": {"ports": [{"port": pick(three, &[80, 81])}, {"port": 90, "protocol": "UDP"}, {"port": 91, "appProtocol": "https"}]}})
        }
        Kind::ServiceImport => {
            json!({"metadata": {}, "spec": {"type": "ClusterSetIP", "ports": [{"port": pick(one, &[80, 81]), "protocol": "TCP"}]}})
        }
        _ => tls_route(choice),
    }
}

fn standing(label: &str, import: u8) -> Value {
    json!({crate::marks::MANAGED_BY: crate::marks::MANAGER, label: pick(import, &["n0", "n1"])})
}

fn records([_, _, one, two, three]: [u8; 5]) -> Value {
    let owners = ["G-a-n0", "G-b-n1", "G-a-n1", "S-a-n0", "S-b-n0", "S-a-n1", "one"];
    let mut data = serde_json::Map::new();
    for (at, choice) in [one, two, three, one / 7, two / 7].into_iter().enumerate() {
        let record = json!({"uid": pick(choice, &owners), "port": pick(choice, &[80, 80, 443, 81]), "transport": "TCP", "name": "x"});
        data.insert((20_000 + at).to_string(), record.to_string().into());
    }
    data.insert(
        "ca.crt".to_owned(),
        String::from_utf8_lossy(include_bytes!("certificate.pem")).into(),
    );
    json!({"metadata": {"labels": {crate::marks::PORT_RECORD: "true"}}, "data": data})
}

fn listener(choice: u8) -> Value {
    let from = match choice / 8 % 3 {
        0 => json!({"from": "All"}),
        1 => json!({"from": "Same"}),
        _ => json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}),
    };
    let host = pick(choice / 24, &["", "x.io", "*.io"]);
    let more = match choice % 4 {
        0 | 1 => json!({"protocol": "HTTP", "port": 80}),
        2 => {
            json!({"protocol": "HTTPS", "port": 443, "tls": {"certificateRefs": [{"name": "n0", "namespace": pick(choice / 4, &["a", "b"])}]}})
        }
        _ => json!({"protocol": "TLS", "port": 443, "tls": {"mode": "Passthrough"}}),
    };
    let mut listener = more;
    listener["allowedRoutes"] = json!({ "namespaces": from });
    if !host.is_empty() {
        listener["hostname"] = host.into();
    }
    listener
}

fn parents(one: u8) -> Value {
    let gateway = |choice: u8| json!({"name": pick(choice, &["n0", "n1"]), "namespace": pick(choice / 2, &["a", "b"])});
    match one % 6 {
        0 => {
            json!([{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": pick(one / 6, &["n0", "n1"])}])
        }
        1 => {
            json!([{"group": "", "kind": "Service", "name": pick(one / 6, &["n0", "n1"]), "port": pick(one / 12, &[80, 81])}, gateway(one / 6)])
        }
        2 => json!([gateway(one / 6), gateway(one / 24)]),
        3 => json!([{"name": "n0", "namespace": "a", "sectionName": pick(one / 6, &["l0", "l1"])}]),
        _ => json!([gateway(one / 6)]),
    }
}

fn backend(choice: u8) -> Value {
    let namespace = pick(choice / 3, &["a", "b"]);
    match choice % 8 {
        0 => {
            json!({"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "n0", "port": 80})
        }
        1 => json!({"name": "n2", "port": 91}),
        _ => {
            json!({"name": pick(choice, &["n0", "n1"]), "namespace": namespace, "port": pick(choice / 6, &[80, 81])})
        }
    }
}

fn http_route([_, _, one, two, three]: [u8; 5]) -> Value {
    let hosts: &[&str] = pick(three, &[&[], &["x.io"], &["*.io", "y.io"], &["x.io", "x.io"]]);
    // The last one cannot be read.
    let path =
        pick(two / 16, &["PathPrefix", "Exact", "RegularExpression", "PathPrefix", "Unheard"]);
    let asked = json!({"path": {"type": path, "value": pick(two, &["/", "/a", "/a/b"])}});
    let matches: Vec<_> = std::iter::repeat_n(asked, pick(three / 4, &[1, 1, 2, 10])).collect();
    let retry = if two % 16 == 15 { json!({"attempts": 2}) } else { Value::Null };
    json!({"metadata": {"creationTimestamp": pick(one, &["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])}, "spec": {
        "parentRefs": parents(one), "hostnames": hosts,
        "rules": [{"matches": matches, "backendRefs": [backend(two), backend(three)], "retry": retry}],
    }})
}

fn tls_route([_, _, one, two, three]: [u8; 5]) -> Value {
    let hosts: &[&str] = pick(three, &[&["x.io"], &["*.io"], &["y.io", "x.io"]]);
    json!({"metadata": {"creationTimestamp": pick(one, &["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])}, "spec": {
        "parentRefs": parents(one), "hostnames": hosts,
        "rules": std::iter::repeat_n(json!({"backendRefs": [backend(two)]}), pick(three / 4, &[1, 1, 1, 2])).collect::<Vec<_>>(),
    }})
}

/// All that was compiled, in an order of its own.
fn picture(compiled: &Compiled) -> String {
    let mut text = String::new();
    let mut ports: Vec<_> = compiled.table.ports.iter().collect();
    ports.sort_by_key(|(number, _)| **number);
    for (number, port) in ports {
        writeln!(text, "{number} {} {:?}", port.name, port.owner).unwrap();
        match &port.serves {
            PortServes::Http(hosts) => text += &rules(hosts),
            PortServes::Mirrored(mirrored) => {
                writeln!(text, "{:?} {}", mirrored.protocol, mirrored.backend).unwrap();
                text += &mirrored.routes.as_ref().map_or_else(String::new, |hosts| rules(hosts));
            }
            PortServes::Tls(table) => {
                let mut actions: Vec<_> = table.actions.iter().collect();
                actions.sort_by(|(one, _), (other, _)| one.cmp(other));
                for (host, action) in actions {
                    match &**action {
                        SniAction::Passthrough(rule) => writeln!(text, "{host} {rule:?}").unwrap(),
                        SniAction::Terminate(by) => {
                            let (certificates, auth) = (&by.certificates, &by.client_auth);
                            writeln!(text, "{host} {certificates:?} {auth:?}").unwrap();
                            text += &rules(&by.hosts);
                        }
                    }
                }
            }
        }
    }
    let Compiled { verdicts, certificates, wanted, wanted_ports, named, .. } = compiled;
    writeln!(text, "{verdicts:#?}\n{:?}\n{wanted:?}", certificates.keys()).unwrap();
    writeln!(text, "{wanted_ports:?}\n{named:?}").unwrap();
    text
}

fn rules(hosts: &VirtualHosts) -> String {
    let mut text = String::new();
    for host in ["x.io", "y.io", "z.other"] {
        writeln!(text, "  {host}: {}", hosts.covers(host)).unwrap();
    }
    for one in hosts.standing() {
        writeln!(text, "  {one:?}").unwrap();
    }
    text
}
