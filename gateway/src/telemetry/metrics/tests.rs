use std::time::Duration;

use super::{ConnectionKind, Metrics, RequestLabels};

fn request(method: &str, status: u16) -> RequestLabels<'_> {
    RequestLabels { route: "r", rule: "0", cluster: "local", method, status, flags: "-" }
}

#[test]
fn methods_of_a_clients_invention_share_a_label() {
    let metrics = Metrics::new().unwrap();
    for method in ["BREW", "GET", "PROPFIND"] {
        metrics.request(&request(method, 200), Duration::from_millis(1));
    }
    let text = metrics.text(0).unwrap();
    assert!(text.contains(r#"method="_OTHER",route="r",rule="0"} 2"#), "{text}");
    assert!(!text.contains("BREW"));
}

#[test]
fn a_connection_counts_until_it_is_dropped() {
    let metrics = Metrics::new().unwrap();
    let open = metrics.connection(ConnectionKind::Link);
    assert!(metrics.text(0).unwrap().contains(r#"spanway_connections{kind="link"} 1"#));
    drop(open);
    assert!(metrics.text(0).unwrap().contains(r#"spanway_connections{kind="link"} 0"#));
}

#[test]
fn swaps_of_every_cause_are_summed() {
    let metrics = Metrics::new().unwrap();
    metrics.swap("routes");
    metrics.swap("endpoints");
    metrics.swap("endpoints");
    assert_eq!(metrics.swaps(), 3);
}
