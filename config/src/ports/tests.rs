//! What the records say, and what a broken one costs.

use super::*;

fn object(data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<&str, &str> = data.iter().copied().collect();
    serde_json::from_value(serde_json::json!({
        "metadata": { "name": "ports-0", "namespace": "spanway", "labels": { PORT_RECORD: "true" } },
        "data": data,
    }))
    .unwrap()
}

fn read(data: &[(&str, &str)]) -> PortRecords {
    PortRecords::read("spanway", [(&Name::new("spanway", "ports-0"), &object(data))])
}

fn owner(uid: &str, port: u16) -> PortOwner {
    PortOwner { uid: uid.into(), port }
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let record = PortRecord::new(&owner("u1", 80), &Name::new("shop", "web"));
    let records = read(&[("20001", &record.to_json())]);
    assert_eq!(records.by_port.get(&20001), Some(&record));
    assert_eq!(record.to_json(), r#"{"uid":"u1","port":80,"transport":"TCP","name":"shop/web"}"#);
}

#[test]
fn a_freed_port_has_no_owner() {
    let mut record = PortRecord::new(&owner("u1", 80), &Name::new("shop", "web"));
    record.freed_at = Some(Timestamp::UNIX_EPOCH);
    let records = read(&[("20001", &record.to_json())]);
    assert_eq!(records.by_port.len(), 1);
    assert!(records.by_owner().is_empty());
}

#[test]
fn a_broken_record_costs_itself_and_keeps_its_port() {
    let good = PortRecord::new(&owner("u1", 80), &Name::new("shop", "web")).to_json();
    let records = read(&[("20001", &good), ("20002", "{"), ("x", &good)]);
    assert_eq!(records.by_owner().get(&owner("u1", 80)), Some(&20001));
    assert_eq!(records.unreadable, [20002]);
    assert_eq!(records.invalid.len(), 2);
}

#[test]
fn objects_of_other_namespaces_record_nothing() {
    let good = PortRecord::new(&owner("u1", 80), &Name::new("shop", "web")).to_json();
    let object = object(&[("20001", &good)]);
    let records = PortRecords::read("spanway", [(&Name::new("tenant", "ports-0"), &object)]);
    assert_eq!(records, PortRecords::default());
}

#[test]
fn the_records_of_one_owner_share_its_texts() {
    let record = |uid: &str, port| PortRecord::new(&owner(uid, port), &Name::new("shop", "web"));
    let data = [
        ("20001", record("u1", 80).to_json()),
        ("20002", record("u1", 443).to_json()),
        ("20003", record("u2", 80).to_json()),
    ];
    let records = read(&data.each_ref().map(|(key, value)| (*key, value.as_str())));
    let [one, two, other] = [20_001, 20_002, 20_003].map(|port| &records.by_port[&port]);
    assert!(Arc::ptr_eq(&one.uid, &two.uid) && Arc::ptr_eq(&one.name, &two.name));
    assert_eq!((&*other.uid, &*other.name), ("u2", "shop/web"));
}
