//! Only names of this machine are answered.

use super::*;

#[test]
fn a_host_means_this_machine_or_is_turned_away() {
    let at = "127.0.0.1".parse().unwrap();
    for ours in ["localhost", "LOCALHOST:15000", "127.0.0.1:15000", "127.8.0.1", "[::1]:15000"] {
        assert!(is_ours(ours, at), "{ours}");
    }
    for other in [
        "",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "10.0.0.1:15000",
        "[::2]",
        "localhost:15000:1",
        "a@b@localhost",
    ] {
        assert!(!is_ours(other, at), "{other}");
    }
}

#[test]
fn the_address_that_the_port_was_put_on_is_ours() {
    assert!(is_ours("10.0.0.1:15000", "10.0.0.1".parse().unwrap()));
}
