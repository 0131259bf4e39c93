use super::{ConnectionKind, Metrics};

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
