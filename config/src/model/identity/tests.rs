//! The rules of the SPIFFE-ID standard, one test each.

use super::*;

fn id(text: &str) -> Result<SpiffeId, InvalidSpiffeId> {
    text.parse()
}

fn domain(text: &str) -> Result<TrustDomain, InvalidTrustDomain> {
    text.parse()
}

#[test]
fn an_id_has_a_trust_domain_and_a_path() {
    let id = id("spiffe://east.example.org/ns/shop/sa/web").unwrap();
    assert_eq!(id.trust_domain(), domain("east.example.org").unwrap());
    assert_eq!(id.path(), "/ns/shop/sa/web");
    assert!(!id.is_root());
}

#[test]
fn an_id_reads_as_it_was_written() {
    for text in ["spiffe://a", "spiffe://a/b", "spiffe://a_b-c.d/E/f-G_h.i", "spiffe://1/..."] {
        assert_eq!(id(text).unwrap().to_string(), text);
        assert_eq!(id(&id(text).unwrap().to_string()), id(text));
    }
}

#[test]
fn an_id_without_a_path_names_the_trust_domain() {
    let root = id("spiffe://east").unwrap();
    assert!(root.is_root());
    assert_eq!(root, domain("east").unwrap().id());
    assert_eq!(root.trust_domain_str(), "east");
}

#[test]
fn the_scheme_is_spiffe_in_lower_case() {
    for text in ["", "spiffe", "spiffe:/a/b", "SPIFFE://a/b", "https://a/b", " spiffe://a/b"] {
        assert_eq!(id(text), Err(InvalidSpiffeId::Scheme(text.to_owned())));
    }
}

#[test]
fn a_trust_domain_is_not_empty() {
    assert_eq!(domain(""), Err(InvalidTrustDomain::Empty));
    assert_eq!(id("spiffe:///a"), Err(InvalidTrustDomain::Empty.into()));
    assert_eq!(id("spiffe://"), Err(InvalidTrustDomain::Empty.into()));
}

#[test]
fn a_trust_domain_has_no_upper_case_port_user_or_escape() {
    for (text, c) in [
        ("East", 'E'),
        ("east:443", ':'),
        ("user@east", '@'),
        ("ea%73t", '%'),
        ("east?", '?'),
        ("east#", '#'),
        ("ea st", ' '),
        ("eä", 'ä'),
        ("east\0", '\0'),
        ("[::1]", '['),
    ] {
        assert_eq!(domain(text), Err(InvalidTrustDomain::Character(text.to_owned(), c)));
        assert!(id(&format!("spiffe://{text}/a")).is_err(), "{text:?} must not be in an ID");
    }
}

#[test]
fn a_trust_domain_has_at_most_255_bytes() {
    assert!(domain(&"a".repeat(255)).is_ok());
    assert_eq!(domain(&"a".repeat(256)), Err(InvalidTrustDomain::TooLong(256)));
}

#[test]
fn a_path_has_no_empty_segment_and_no_trailing_slash() {
    for text in ["spiffe://a/", "spiffe://a//", "spiffe://a//b", "spiffe://a/b/", "spiffe://a/b//c"]
    {
        assert_eq!(id(text), Err(InvalidSpiffeId::EmptySegment(text.to_owned())));
    }
}

#[test]
fn a_path_has_no_relative_segment() {
    for text in ["spiffe://a/.", "spiffe://a/..", "spiffe://a/b/../c", "spiffe://a/./b"] {
        assert_eq!(id(text), Err(InvalidSpiffeId::DotSegment(text.to_owned())));
    }
}

#[test]
fn a_path_has_letters_digits_dots_dashes_and_underscores_only() {
    for c in ['%', '?', '#', '@', ':', '\\', ' ', '\0', '~', '+', 'ä', '*', ';'] {
        let text = format!("spiffe://a/b{c}");
        assert_eq!(id(&text), Err(InvalidSpiffeId::Character(text.clone(), c)));
    }
}

#[test]
fn an_id_has_at_most_2048_bytes() {
    let longest = format!("spiffe://a/{}", "b".repeat(2048 - "spiffe://a/".len()));
    assert_eq!(id(&longest).unwrap().as_str().len(), 2048);
    assert_eq!(id(&format!("{longest}b")), Err(InvalidSpiffeId::TooLong(2049)));
}

#[test]
fn the_name_of_a_service_account_reads_back() {
    let account = Name::new("spanway-system", "spanway-gateway");
    let id = SpiffeId::of(&domain("east").unwrap(), &account).unwrap();
    assert_eq!(id.as_str(), "spiffe://east/ns/spanway-system/sa/spanway-gateway");
    assert_eq!(id.service_account(), Some(account));
}

#[test]
fn a_service_account_cannot_add_segments_to_its_name() {
    let account = Name::new("a/../b", "c");
    assert!(SpiffeId::of(&domain("east").unwrap(), &account).is_err());
}

#[test]
fn other_paths_name_no_service_account() {
    for text in [
        "spiffe://a",
        "spiffe://a/ns/b",
        "spiffe://a/ns/b/sa",
        "spiffe://a/ns/b/sa/c/d",
        "spiffe://a/sa/b/ns/c",
        "spiffe://a/x/ns/b/sa/c",
    ] {
        assert_eq!(id(text).unwrap().service_account(), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_change_its_mind(text in "(spiffe://)?[a-zA-Z0-9./_%:-]{0,40}") {
        if let Ok(parsed) = id(&text) {
            proptest::prop_assert_eq!(parsed.as_str(), text.as_str());
            proptest::prop_assert_eq!(
                format!("spiffe://{}{}", parsed.trust_domain(), parsed.path()), text
            );
        }
    }
}
