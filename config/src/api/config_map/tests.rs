//! Texts come back as they were, and take little.

use serde_json::json;

use super::*;

fn texts(count: u16) -> BTreeMap<String, String> {
    let text =
        |port: u16| format!("{{\"uid\":\"7d9f1c52-web\",\"port\":{port},\"name\":\"shop/web\"}}");
    (0..count).map(|port| (port.to_string(), text(port))).collect()
}

#[test]
fn texts_come_back_as_they_were() {
    let written = json!({"metadata": {"name": "m"}, "data": texts(300)});
    let read: ConfigMap = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(read.data.read(), texts(300));
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    assert_eq!(read.data, Texts::from(texts(300)));
    assert_ne!(read.data, Texts::from(texts(299)));
}

#[test]
fn what_repeats_itself_takes_a_fraction() {
    let bytes: usize = texts(1000).iter().map(|(key, text)| key.len() + text.len()).sum();
    let packed = Texts::from(texts(1000)).0.unwrap().len();
    assert!(packed * 4 < bytes, "{packed} of {bytes}");
}

#[test]
fn no_texts_are_none() {
    for written in [json!({}), json!({"data": null}), json!({"data": {}})] {
        let read: ConfigMap = serde_json::from_value(written).unwrap();
        assert!(read.data.is_empty());
        assert_eq!(serde_json::to_value(&read).unwrap(), json!({"metadata": {}}));
    }
}
