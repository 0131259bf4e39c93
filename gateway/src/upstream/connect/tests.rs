//! Who is blamed for a connection that did not come about.

use config::model::Name;
use discovery::endpoint::{EndpointId, LinkTarget};

use super::*;
use crate::link::hello::Refusal;

fn via() -> Reach {
    Reach::Via(LinkTarget {
        link: "west".into(),
        service: Name::new("shop", "web"),
        port: 80,
        endpoint: Some(EndpointId("e1".into())),
    })
}

fn refused(code: RefusedCode) -> ConnectFailed {
    let refusal = Refusal { code, sentence: "no".into() };
    CallFailed::Refused { address: ([192, 0, 2, 1], 1).into(), refusal }.into()
}

/// Whether the endpoint, and whether the link, is left alone after this.
fn blamed(error: &ConnectFailed) -> (bool, bool) {
    let (shared, now) = (Shared::default(), Instant::now());
    remember(&shared, &via(), Some(error), now);
    (shared.endpoints.is_out(&via(), now), shared.links.is_out(&"west".into(), now))
}

#[test]
fn a_link_without_gateways_or_credentials_is_blamed_and_no_endpoint() {
    for error in [
        CallFailed::NoGateway("west".into()),
        CallFailed::NoCredentials("west".into()),
        CallFailed::AnswerTooSlow(([192, 0, 2, 1], 1).into()),
    ] {
        assert_eq!(blamed(&error.into()), (false, true));
    }
    assert_eq!(blamed(&refused(RefusedCode::Draining)), (false, true));
}

#[test]
fn an_endpoint_that_the_gateway_cannot_reach_is_blamed_and_no_link() {
    for code in [RefusedCode::EndpointUnreachable, RefusedCode::UnknownEndpoint] {
        assert_eq!(blamed(&refused(code)), (true, false));
    }
}

#[test]
fn a_gateway_that_answers_clears_its_link() {
    let (shared, now) = (Shared::default(), Instant::now());
    shared.links.failed(&"west".into(), now, 0);
    shared.endpoints.failed(&via(), now, 0);
    remember(&shared, &via(), Some(&refused(RefusedCode::EndpointUnreachable)), now);
    assert!(!shared.links.is_out(&"west".into(), now));
    remember(&shared, &via(), None, now);
    assert!(!shared.is_out(&via(), now));
}
