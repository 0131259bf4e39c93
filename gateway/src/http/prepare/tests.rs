//! What a client says of its origin is not believed at an ingress, and not touched inside.

use std::net::Ipv4Addr;
use std::sync::Arc;

use config::model::Name;
use config::table::{HeaderChange, Port, PortOwner};

use super::super::h1::{RequestBuilder, edit};
use super::*;
use crate::connection::first::Version;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// All that a client may say to look like somebody else.
const CLAIMS: [(&str, &str); 12] = [
    ("x-forwarded-for", "10.0.0.1"),
    ("X-Forwarded-For", "10.0.0.2"),
    ("X-FORWARDED-PROTO", "claimed"),
    ("x-forwarded-host", "claimed"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-client-cert", "claimed"),
    ("X-Forwarded-Prefix", "claimed"),
    ("Forwarded", "for=10.0.0.1"),
    ("X-Real-IP", "10.0.0.1"),
    ("Via", "1.1 claimed"),
    ("x-spanway-src", "claimed"),
    ("X-Spanway-Anything", "claimed"),
];

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let mut builder = RequestBuilder::new("GET", "/", "shop.example.com").unwrap();
    for (name, value) in fields {
        builder.field(name, value.as_bytes()).unwrap();
    }
    builder.finish(true).unwrap()
}

fn outside(tls: bool) -> Origin {
    Origin::outside(CLIENT, tls, 443)
}

/// The lines that the next hop gets, lower case.
fn sent(head: &RequestHead, origin: &Origin) -> Vec<String> {
    sent_through(head, origin, &[])
}

/// The same behind filters.
fn sent_through(head: &RequestHead, origin: &Origin, filters: &[&[Filter]]) -> Vec<String> {
    let ids = Ids::of(head, &mut || 7);
    let mut prepared = Prepared::new(head, origin, &ids);
    for filters in filters {
        prepared.filter(filters);
    }
    let mut out = Vec::new();
    edit::write_request(head, None, prepared.changes(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap().to_ascii_lowercase();
    text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn values<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}: ");
    lines.iter().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

fn change(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Arc<HeaderChange> {
    let pairs = |pairs: &[(&str, &str)]| {
        let read = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        pairs.iter().map(read).collect()
    };
    let remove = remove.iter().map(|name| name.parse().unwrap()).collect();
    Arc::new(HeaderChange::new(pairs(set), pairs(add), remove))
}

#[test]
fn no_claim_of_a_client_survives_an_ingress() {
    for claim in CLAIMS {
        let head = head(&[claim]);
        let lines = sent(&head, &outside(true));
        let claimed = claim.1.to_ascii_lowercase();
        assert!(!lines.iter().any(|line| line.ends_with(&format!(": {claimed}"))), "{claim:?}");
    }
}

#[test]
fn at_an_ingress_the_origin_is_the_gateways_own_word_and_stands_once() {
    let head = head(&CLAIMS);
    let lines = sent(&head, &outside(true));
    assert_eq!(values(&lines, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["shop.example.com"]);
    assert_eq!(values(&lines, "x-forwarded-port"), ["443"]);
    let families = ["x-forwarded-", "x-spanway-", "forwarded:", "x-real-ip:", "via:"];
    let of_origin = lines.iter().filter(|line| families.iter().any(|it| line.starts_with(it)));
    assert_eq!(of_origin.count(), 4, "{lines:?}");
}

#[test]
fn without_tls_the_origin_says_http() {
    let head = head(&[]);
    let lines = sent(&head, &outside(false));
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
}

#[test]
fn a_client_with_a_mapped_address_is_named_by_its_own() {
    let owner = PortOwner { uid: "u".into(), port: 80 };
    let serves = PortServes::Http(Arc::default());
    let call = HttpConnection {
        worker: Arc::default(),
        peer: (Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped(), 50_000).into(),
        container_port: 20_000,
        port: Arc::new(Port { owner, name: Name::new("shop", "edge"), serves }),
        tls: None,
        version: Version::Http1,
    };
    let (head, origin) = (head(&[]), Origin::of(&call));
    let lines = sent(&head, &origin);
    assert_eq!(values(&lines, "x-forwarded-for"), ["192.0.2.7"]);
}

#[test]
fn inside_every_claim_stays_as_it_is() {
    let head = head(&CLAIMS);
    let lines = sent(&head, &Origin::Inside);
    for (name, value) in CLAIMS {
        let line = format!("{name}: {value}").to_ascii_lowercase();
        assert!(lines.contains(&line), "{line}");
    }
    let claims = lines.iter().filter(|line| {
        !["host:", "x-request-id:", "traceparent:"].iter().any(|own| line.starts_with(own))
    });
    assert_eq!(claims.count(), CLAIMS.len(), "{lines:?}");
}

#[test]
fn a_request_has_one_id_and_one_trace_whatever_came() {
    for origin in [outside(true), Origin::Inside] {
        let head = head(&[("x-request-id", "abc"), ("x-request-id", "def"), ("traceparent", "?")]);
        let lines = sent(&head, &origin);
        assert_eq!(values(&lines, "x-request-id").len(), 1, "{lines:?}");
        assert_eq!(values(&lines, "traceparent").len(), 1, "{lines:?}");
        assert_ne!(values(&lines, "traceparent"), ["?"]);
    }
}

#[test]
fn filters_have_the_last_word_in_their_order() {
    let head = head(&[("x-a", "1"), ("x-gone", "1")]);
    let origin = outside(true);
    let set = change(&[("x-a", "2"), ("x-forwarded-proto", "told")], &[], &["x-gone"]);
    let of_rule = [Filter::RequestHeaders(set)];
    let of_backend = [
        Filter::RequestHeaders(change(&[], &[("x-b", "3")], &[])),
        Filter::ResponseHeaders(change(&[("x-a", "never")], &[], &[])),
    ];
    let lines = sent_through(&head, &origin, &[&of_rule, &of_backend]);
    assert_eq!(values(&lines, "x-a"), ["2"]);
    assert_eq!(values(&lines, "x-b"), ["3"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["told"]);
    assert_eq!(values(&lines, "x-gone"), [""; 0]);
}

#[test]
fn answers_are_changed_by_the_rule_and_then_by_its_backend() {
    let (first, second) =
        (change(&[("x-a", "rule")], &[], &[]), change(&[("x-a", "backend")], &[], &["x-b"]));
    let rule = [Filter::ResponseHeaders(Arc::clone(&first))];
    let backend = [
        Filter::RequestHeaders(change(&[("x-a", "never")], &[], &[])),
        Filter::ResponseHeaders(Arc::clone(&second)),
    ];
    let changes = response_changes(&rule, &backend);
    assert_eq!(changes[..], [Change::Filter(&first), Change::Filter(&second)]);
}
