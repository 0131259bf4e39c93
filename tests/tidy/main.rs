//! The invariants of the layout, as tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests, above which a reader is lost.
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no Rust file");
    found.sort();
    found
}

fn is_generated(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("/api/gateway/") || text.ends_with("/generated.rs")
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with("/tests.rs") || text.contains("/tests/")
}

#[test]
fn only_the_gateway_knows_pingora() {
    for member in ["config", "discovery"] {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("pingora"), "{member} depends on pingora");
    }
}

#[test]
fn data_flows_one_way() {
    let config = fs::read_to_string(root().join("config/Cargo.toml")).unwrap();
    assert!(!config.contains("discovery.workspace") && !config.contains("gateway.workspace"));
    let discovery = fs::read_to_string(root().join("discovery/Cargo.toml")).unwrap();
    assert!(!discovery.contains("gateway.workspace"));
}

#[test]
fn no_openssl_and_one_copy_of_each_wire_library() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let count = |name: &str| lock.matches(&format!("\nname = \"{name}\"\n")).count();
    for banned in ["openssl-sys", "native-tls", "boring-sys"] {
        assert_eq!(count(banned), 0, "{banned} is in the tree");
    }
    for single in ["rustls", "hyper", "h2", "tonic", "prost", "tokio", "kube"] {
        assert_eq!(count(single), 1, "{single} is not there once");
    }
}

#[test]
fn modules_are_named_after_their_file() {
    for member in ["config/src", "discovery/src", "gateway/src"] {
        for path in sources(member) {
            assert_ne!(path.file_name().unwrap(), "mod.rs", "{}", path.display());
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let vague = ["common", "util", "utils", "core", "types", "helpers", "manager"];
            assert!(!vague.contains(&stem.as_str()), "{} says nothing", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for member in ["config/src", "discovery/src", "gateway/src"] {
        for path in sources(member) {
            if is_test(&path) || is_generated(&path) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!") || text.starts_with("/*!"), "{}", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_holds() {
    for member in ["config/src", "discovery/src", "gateway/src"] {
        for path in sources(member) {
            if is_test(&path) || is_generated(&path) {
                continue;
            }
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    // Put together here, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["#[ign", "ore"], ["unimpl", "emented!"]];
    for member in ["config", "discovery", "gateway", "tests"] {
        for path in sources(member) {
            let text = fs::read_to_string(&path).unwrap();
            for word in words.map(|parts| parts.concat()) {
                assert!(!text.contains(&word), "{} has {word}", path.display());
            }
        }
    }
}
