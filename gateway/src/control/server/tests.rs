//! Who may speak with a controller, and what it answers.

use tonic::Code;

use super::*;
use crate::control::client::{self, Uncallable};
use crate::control::generated::control_client::ControlClient;
use crate::control::generated::{Standing, report_reply};
use crate::control::testing::{Controller, GATEWAY, TOKENS, gateway, request_of, terms};
use crate::identity::authority::Authority;
use crate::tls::testing::WITHIN;
use crate::tls::verifier::PeerRefused;

async fn issue(controller: &Controller, token: &str) -> Result<IssueReply, Status> {
    let mut client = controller.client(None).await.unwrap();
    let (request, _) = request_of(token);
    client.issue(request).await.map(Response::into_inner)
}

#[tokio::test]
async fn a_gateway_gets_a_certificate_for_its_token() {
    let controller = Controller::start().await;
    let reply = issue(&controller, TOKENS.gateway).await.unwrap();
    let Some(issue_reply::Outcome::Issued(issued)) = reply.outcome else {
        panic!("{reply:?}");
    };
    assert_eq!(Leaf::parse(&issued.chain[0]).unwrap().id.as_str(), GATEWAY);
    assert_eq!(issued.bundle, [controller.authority.bundle()[0].to_vec()]);
}

#[tokio::test]
async fn a_foreign_or_unknown_token_is_refused() {
    let controller = Controller::start().await;
    for token in [TOKENS.foreign, "guess", ""] {
        let refused = issue(&controller, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token:?}");
    }
    let counted = controller.metrics.text(0).unwrap();
    for (reason, count) in [("not_on_the_list", 1), ("not_authenticated", 2)] {
        let line =
            format!("spanway_certificates_not_issued_total{{reason=\"{reason}\"}} {count}\n");
        assert!(counted.contains(&line), "{reason}: {counted}");
    }
}

#[tokio::test]
async fn a_request_that_is_none_is_refused() {
    let controller = Controller::start().await;
    let mut client = controller.client(None).await.unwrap();
    let request = IssueRequest { csr_der: vec![1, 2, 3], token: TOKENS.gateway.to_owned() };
    assert_eq!(client.issue(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_follower_names_the_leader() {
    let controller = Controller::start().await;
    controller.leading.send_replace(Leading::Elsewhere("10.0.0.1:7443".into()));
    let reply = issue(&controller, TOKENS.gateway).await.unwrap();
    let expected = NotLeader { leader: "10.0.0.1:7443".to_owned() };
    assert_eq!(reply.outcome, Some(issue_reply::Outcome::NotLeader(expected)));
    let mut client = controller.client(Some(&gateway(&controller.authority))).await.unwrap();
    let mut words = client.report(tokio_stream::pending()).await.unwrap().into_inner();
    let word = words.message().await.unwrap().unwrap().word;
    assert!(matches!(word, Some(report_reply::Word::NotLeader(_))), "{word:?}");
}

#[tokio::test]
async fn a_report_reaches_the_leader_with_the_name_of_who_sent_it() {
    let controller = Controller::start().await;
    let mut client = controller.client(Some(&gateway(&controller.authority))).await.unwrap();
    let report = ReportRequest { instance: "uid-1".to_owned(), ..ReportRequest::default() };
    let stream = tokio_stream::once(report);
    let mut words = client.report(stream).await.unwrap().into_inner();
    let word = words.message().await.unwrap().unwrap().word;
    let expected = Standing { in_slices: true, removed: false, draining: Vec::new() };
    assert_eq!(word, Some(report_reply::Word::Standing(expected)));
    let heard = controller.heard.lock().unwrap().clone();
    assert_eq!(heard, [(GATEWAY.to_owned(), "uid-1".to_owned())]);
}

#[tokio::test]
async fn a_report_without_a_certificate_is_refused() {
    let controller = Controller::start().await;
    let mut client = controller.client(None).await.unwrap();
    let refused = client.report(tokio_stream::pending()).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_of_a_foreign_account_opens_no_connection() {
    let controller = Controller::start().await;
    let id = "spiffe://east/ns/shop/sa/web".parse().unwrap();
    let foreign = controller.authority.svid(&id, terms()).unwrap();
    // In TLS 1.3 the client is done first; the refusal comes with the first call.
    let refused = match controller.client(Some(&foreign)).await {
        Err(_) => true,
        Ok(mut client) => client.report(tokio_stream::pending()).await.is_err(),
    };
    assert!(refused);
    assert!(controller.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_one_who_is_no_controller() {
    let controller = Controller::start().await;
    // Of the right authority, but another account; and of another authority.
    let strange: SpiffeId = "spiffe://east/ns/shop/sa/web".parse().unwrap();
    let other = Authority::make(controller.authority.trust_domain(), terms());
    let own = controller.trust().gateways.first().unwrap().clone();
    let impostors = [
        controller.authority.svid(&strange, terms()).unwrap(),
        other.unwrap().svid(&own, terms()).unwrap(),
    ];
    let labels = ["not_a_gateway", "not_in_bundle"];
    for (impostor, label) in impostors.into_iter().zip(labels) {
        let shown = Shown { svid: Arc::new(impostor), known: controller.known() };
        controller.shown.send_replace(Some(shown));
        let refused = controller.client(None).await.map(drop).unwrap_err();
        let Uncallable::Handshake { error, .. } = refused else { panic!("{refused}") };
        assert_eq!(error.refusal().as_ref().map(PeerRefused::label), Some(label));
    }
}

#[tokio::test]
async fn a_controller_rotates_its_own_leaf_without_a_restart() {
    let controller = Controller::start().await;
    let standing = controller.client(None).await.unwrap();
    controller.shown.send_replace(Some(controller.shown_now()));
    let (request, _) = request_of(TOKENS.gateway);
    let again = |mut client: ControlClient<_>, request: IssueRequest| async move {
        client.issue(request).await.unwrap()
    };
    again(controller.client(None).await.unwrap(), request.clone()).await;
    again(standing, request).await;
}

#[tokio::test]
async fn a_controller_without_an_identity_answers_nobody() {
    let controller = Controller::start().await;
    controller.shown.send_replace(None);
    assert!(controller.client(None).await.is_err());
    controller.shown.send_replace(Some(controller.shown_now()));
    assert!(controller.client(None).await.is_ok());
}

#[tokio::test]
async fn a_dead_address_is_an_error_with_its_name() {
    let controller = Controller::start().await;
    let config = client::config(&controller.trust(), None).unwrap();
    let refused = client::connect("127.0.0.1:1", config, WITHIN).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
}
