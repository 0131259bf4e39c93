//! The generated code is what the description says, and a version what decides a catalog.

use std::path::Path;

use super::*;

#[test]
fn a_version_counts_the_kinds_that_decide_a_catalog() {
    let seen: Versions = Kind::ALL.into_iter().map(|kind| (kind, 7_u64)).collect();
    let kinds: Vec<_> = version(&seen).keys().map(ToString::to_string).collect();
    let expected = ["ClusterLink", "EndpointSlice", "Namespace", "Service", "ServiceExport"];
    assert_eq!(kinds, expected);
}

/// How `generated.rs` came to be. `SPANWAY_BLESS=1` writes it anew.
#[test]
fn the_generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto");
    let descriptors = protox::compile(["catalog.proto"], [&proto]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .unwrap();
    let made = std::fs::read_to_string(out.path().join("spanway.catalog.v1.rs")).unwrap();
    let made = format!("//! The messages of `catalog.proto`.\n{made}");
    let committed = root.join("src/catalog/generated.rs");
    if std::env::var_os("SPANWAY_BLESS").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    let committed = std::fs::read_to_string(committed).unwrap_or_default();
    assert!(committed == made, "catalog.proto and generated.rs differ: see catalog.rs");
}
