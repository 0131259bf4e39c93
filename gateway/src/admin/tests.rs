//! The admin port, asked over HTTP.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use config::model::Name;
use discovery::ports::{PortRange, REST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::app::{Derived, Readiness};
use crate::settings::{Control, DrainSettings, Pod, Role, SourceSettings};
use crate::telemetry::{AccessLog, Metrics};

/// The beginning of 2030.
const SVID_END: u64 = 1_893_456_000;
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn settings() -> Settings {
    let name = |name| Name::new("spanway-system", name);
    Settings {
        role: Role::All,
        source: SourceSettings::Directory(PathBuf::from("objects")),
        cluster: "east".into(),
        trust_domain: "east.example".parse().unwrap(),
        namespace: "spanway-system".into(),
        pod: Pod {
            name: name("pod"),
            uid: "pod-uid".into(),
            addresses: Vec::new(),
            gateway_account: name("gateway"),
            controller_account: name("controller"),
        },
        listen: Vec::new(),
        link_port: 0,
        admin: LOOPBACK,
        health: Some(LOOPBACK),
        control: Control {
            listen: LOOPBACK,
            addresses: Vec::new(),
            advertise: "".into(),
            token: None,
        },
        ports: PortRange::default(),
        port_rest: REST,
        workers: 1,
        ready: 0,
        first_slices: crate::settings::FIRST_SLICES_WAIT,
        drain: DrainSettings::default(),
        certificate_life: std::time::Duration::from_hours(1),
        access_log: false,
        external_traffic_policy: "Cluster".into(),
        gateway_labels: Vec::new(),
        secret_namespaces: Vec::new(),
    }
}

fn views(settings: Settings) -> Views {
    // Receivers keep the last value when the sender is gone.
    Views {
        settings: Arc::new(settings),
        published: Arc::default(),
        derived: watch::channel(Arc::new(Derived::default())).1,
        readiness: watch::channel(Readiness::default()).1,
        source: watch::channel(config::source::SourceState::default()).1,
        certificate: watch::channel(crate::identity::rotate::Status {
            until: Some(rustls_pki_types::UnixTime::since_unix_epoch(
                std::time::Duration::from_secs(SVID_END),
            )),
            ..Default::default()
        })
        .1,
        leading: watch::channel(false).1,
        metrics: Arc::new(Metrics::new().unwrap()),
        log: AccessLog::off(),
    }
}

struct Served {
    admin: SocketAddr,
    health: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn served() -> Served {
    let settings = settings();
    let bound = bind(&settings).await.unwrap();
    let admin = bound.address().unwrap();
    let health = bound.health.as_ref().unwrap().local_addr().unwrap();
    Served { admin, health, _tasks: bound.serve(views(settings)) }
}

async fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(at: SocketAddr, path: &str) -> String {
    ask(at, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn the_status_names_the_cluster_and_what_is_missing() {
    let answer = get(served().await.admin, "/api/v1/status").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: Status = serde_json::from_str(body).unwrap();
    assert_eq!((&*status.cluster, &*status.trust_domain), ("east", "east.example"));
    assert!(!status.ready);
    assert_eq!(status.readiness.len(), 5);
    assert_eq!(status.certificates[0].expires.as_deref(), Some("2030-01-01T00:00:00Z"));
}

#[tokio::test]
async fn table_endpoints_and_page_are_served() {
    let served = served().await;
    for path in ["/api/v1/table", "/api/v1/endpoints", "/", "/page.js", "/page.css"] {
        let answer = get(served.admin, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    assert!(get(served.admin, "/").await.contains("default-src 'none'"));
}

#[tokio::test]
async fn a_name_that_is_not_this_machine_gets_nothing() {
    let served = served().await;
    for host in ["host: evil.example\r\n", "host: localhost.evil.example\r\n"] {
        let request = format!("GET /api/v1/status HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let answer = ask(served.admin, &request).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        assert!(!answer.contains("east"), "{answer}");
    }
    let answer = ask(served.admin, "GET /api/v1/status HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 421 "), "{answer}");
}

#[tokio::test]
async fn nothing_but_get_is_answered() {
    let served = served().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!(
            "{method} /api/v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n"
        );
        let answer = ask(served.admin, &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert!(!answer.contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn a_question_that_is_none_is_a_400() {
    let served = served().await;
    for query in ["", "?url=nonsense", "?odd=1"] {
        let answer = get(served.admin, &format!("/api/v1/explain{query}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{query}: {answer}");
    }
    let answer = get(served.admin, "/api/v1/explain?url=http%3A%2F%2Fa%2F&header=x:%20y").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn the_health_port_shows_metrics_of_now_and_no_more() {
    let served = served().await;
    let metrics = get(served.health, "/metrics").await;
    let expiry = "spanway_certificate_expiry_timestamp_seconds{kind=\"svid\",\
                  name=\"spanway-system/pod\"} 1893456000";
    assert!(metrics.contains(expiry), "{metrics}");
    assert!(metrics.contains("spanway_source_age_seconds{source=\"directory\"} 0"), "{metrics}");
    let answer = get(served.health, "/api/v1/status").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
