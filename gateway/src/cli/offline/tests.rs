//! Where nobody has run yet, ports are stood in for.

use super::*;
use crate::cli::samples;

#[test]
fn a_listener_without_an_allotted_port_is_compiled_all_the_same() {
    let directory = samples::directory();
    let read = read(directory.path(), "spanway-system").unwrap();
    assert_eq!(read.compiled.table.ports.len(), 1);
    assert_eq!(read.stand_ins.len(), 1);
}

#[test]
fn a_port_that_a_leader_allotted_stays() {
    let directory = samples::directory();
    let compiled = read(directory.path(), "spanway-system").unwrap().compiled;
    let (owner, name) = compiled.wanted_ports.first().unwrap();
    let record = PortRecord::new(owner, name).to_json();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ports\n  namespace: spanway-system\n  \
         labels: {{ {PORT_RECORD}: 'true' }}\ndata:\n  '20007': '{record}'\n"
    );
    samples::add(&directory, "ports.yaml", &map);
    let read = read(directory.path(), "spanway-system").unwrap();
    assert!(read.compiled.table.port(20_007).is_some());
    assert!(read.stand_ins.is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let error = read(Path::new("/nowhere/at/all"), "spanway-system").unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
