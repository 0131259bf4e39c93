//! The status in a terminal.

use super::*;
use crate::admin::view::{Certificate, Export, Link, Part};

fn status() -> Status {
    Status {
        version: "1.2.3".to_owned(),
        cluster: "east".to_owned(),
        trust_domain: "east.example".to_owned(),
        pod: "spanway-system/gateway-1".to_owned(),
        role: "gateway".to_owned(),
        ready: true,
        table_version: 7,
        links: vec![Link {
            name: "west".to_owned(),
            connected: true,
            age_seconds: Some(3),
            services: 2,
            endpoints: 5,
            refused: [("Expired".to_owned(), 4)].into(),
            ..Link::default()
        }],
        exports: vec![Export {
            service: "shop/web".to_owned(),
            ports: vec!["80/TCP".to_owned()],
            endpoints: 2,
            links: vec!["west".to_owned()],
            problem: None,
        }],
        certificates: vec![Certificate {
            kind: "svid".to_owned(),
            name: "spanway-system/gateway-1".to_owned(),
            expires: Some("2030-01-01T00:00:00Z".to_owned()),
            expires_at: Some(1_893_456_000),
            expires_in_seconds: Some(7_200),
            problem: None,
        }],
        ..Status::default()
    }
}

#[test]
fn links_exports_and_certificates_stand_in_columns() {
    let expected = "\
Cluster east, trust domain east.example
gateway spanway-system/gateway-1, version 1.2.3, table 7
Ready

LINK  CONNECTED  AGE  SERVICES  ENDPOINTS  REFUSED  PROBLEM
west  yes        3s   2         5          4

EXPORT    PORTS   ENDPOINTS  SEEN-BY  PROBLEM
shop/web  80/TCP  2          west

CERTIFICATE  NAME                      EXPIRES               IN  PROBLEM
svid         spanway-system/gateway-1  2030-01-01T00:00:00Z  2h
";
    assert_eq!(text(&status()), expected);
    assert!(status().is_well());
}

#[test]
fn a_gateway_that_is_not_ready_says_what_it_waits_for() {
    let part = |part: &str, done| Part { part: part.to_owned(), done };
    let readiness = vec![part("source listed", true), part("certificate held", false)];
    let status = Status { ready: false, readiness, ..status() };
    assert!(text(&status).contains("Not ready, not yet: certificate held\n"));
    assert!(!status.is_well());
}

#[test]
fn a_link_with_a_problem_is_not_well() {
    let mut status = status();
    let message = "nobody there".to_owned();
    status.links[0].problem = Some(Problem { reason: "Unreachable".to_owned(), message });
    assert!(!status.is_well());
    assert!(text(&status).contains("Unreachable: nobody there"));
}

#[tokio::test]
async fn who_cannot_be_reached_is_said_to_be_so() {
    // A listener that is closed again: its port is nobody's.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let asked = wait_for(&format!("http://127.0.0.1:{port}"), Duration::ZERO).await;
    assert!(matches!(asked, Err(AskError::Unreachable { .. })), "{asked:?}");
}
