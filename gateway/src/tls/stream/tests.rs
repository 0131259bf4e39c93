//! Ends and aborts of connections, and pingora's sessions on them.

use pingora_core::protocols::http::v2::server::{H2Accept, HttpSession, handshake as h2_handshake};
use pingora_core::protocols::{Digest, IO};
use rustls::sign::SingleCertAndKey;
use tokio::io::AsyncReadExt;

use super::*;
use crate::tls::provider;
use crate::tls::testing::{Root, WITHIN, install, leaf_params, tcp_pair, trust};
use crate::tls::trust::Peers;
use crate::tls::verifier::{PeerVerifier, Presence, Refusals};

const WEST: &str = "spiffe://west/ns/spanway/sa/gateway";

/// Both ends of a TLS connection, the client's first.
async fn tls_pair(alpn: &[u8]) -> (TlsStream, TlsStream) {
    install();
    let root = Root::new("west");
    let peers = Peers::only(&trust("west", "west", &root, &[WEST])).unwrap();
    let verifier = PeerVerifier::new(peers, Refusals::ignored(), Presence::Required);
    let mut client = ClientConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let key = root.sign(&leaf_params(WEST)).certified();
    let mut server = ServerConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    client.alpn_protocols = vec![alpn.to_vec()];
    server.alpn_protocols = vec![alpn.to_vec()];
    let (near, far) = tcp_pair().await;
    let name = "web.example".try_into().unwrap();
    let (near, far) = tokio::join!(
        connect(Arc::new(client), name, near, b"", WITHIN),
        accept(Arc::new(server), far, WITHIN)
    );
    (near.unwrap(), far.unwrap())
}

/// All that comes until the end, and how it ends.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).await.err();
    (all, end.map(|error| error.kind()))
}

#[tokio::test]
async fn an_announced_end_is_clean() {
    let (mut near, mut far) = tls_pair(b"h2").await;
    far.write_all(b"answer").await.unwrap();
    AsyncWriteExt::shutdown(&mut far).await.unwrap();
    assert_eq!(read_all(&mut near).await, (b"answer".to_vec(), None));
}

#[tokio::test]
async fn a_tls_connection_that_is_cut_is_an_error_also_between_two_records() {
    let (mut near, mut far) = tls_pair(b"h2").await;
    far.write_all(b"answ").await.unwrap();
    far.flush().await.unwrap();
    // The TCP connection ends well, and no close_notify was sent: somebody on the way cut it.
    drop(far);
    let (answer, end) = read_all(&mut near).await;
    assert_eq!((answer.as_slice(), end), (&b"answ"[..], Some(io::ErrorKind::UnexpectedEof)));
}

#[tokio::test]
async fn an_abort_is_never_a_clean_end() {
    let (mut near, mut far) = tls_pair(b"h2").await;
    far.write_all(b"answ").await.unwrap();
    far.flush().await.unwrap();
    let mut start = [0; 4];
    near.read_exact(&mut start).await.unwrap();
    far.abort();
    assert_eq!(read_all(&mut near).await.1, Some(io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn an_abort_without_tls_is_a_reset() {
    let (mut near, far) = tcp_pair().await;
    let mut far = PlainStream::new(far);
    far.write_all(b"answ").await.unwrap();
    let mut start = [0; 4];
    near.read_exact(&mut start).await.unwrap();
    far.abort();
    assert_eq!(read_all(&mut near).await.1, Some(io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reset_can_be_armed_while_halves_are_in_use() {
    let (mut near, far) = tls_pair(b"h2").await;
    far.arm_reset().unwrap();
    let (reading, writing) = tokio::io::split(far);
    drop((reading, writing));
    assert_eq!(read_all(&mut near).await.1, Some(io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    install();
    let root = Root::new("west");
    let key = root.sign(&leaf_params(WEST)).certified();
    let server = ServerConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    let (_silent, far) = tcp_pair().await;
    let within = Duration::from_millis(20);
    let failed = accept(Arc::new(server), far, within).await.unwrap_err();
    assert!(matches!(failed, HandshakeFailed::Timeout(_)), "{failed}");
}

#[tokio::test]
async fn pingora_knows_the_socket_and_the_protocol() {
    let (near, far) = tls_pair(b"h2").await;
    let address = near.tcp().local_addr().unwrap();
    let far: Box<dyn IO> = Box::new(far);
    assert_eq!(far.selected_alpn_proto(), Some(ALPN::H2));
    let digest = far.get_socket_digest().unwrap();
    assert_eq!(digest.peer_addr().and_then(|peer| peer.as_inet()), Some(&address));
}

#[tokio::test]
async fn pingora_serves_http_2_on_it() {
    let (near, far) = tls_pair(b"h2").await;
    let serving = tokio::spawn(async move {
        let mut connection = h2_handshake(Box::new(far), None).await.unwrap();
        let digest = Arc::new(Digest::default());
        let session = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)).await;
        let Some(H2Accept::Session(mut session)) = session.unwrap() else {
            panic!("no request");
        };
        assert_eq!(session.req_header().uri.path(), "/path");
        let mut answer = pingora_http::ResponseHeader::build(200, None).unwrap();
        answer.insert_header("a", "b").unwrap();
        session.write_response_header(Box::new(answer), false).unwrap();
        session.write_body("body".into(), true).await.unwrap();
        // Polls the connection until the client is done with it.
        HttpSession::from_h2_conn(&mut connection, digest).await.unwrap().is_none()
    });
    let (client, connection) = h2::client::handshake(near).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = http::Request::get("https://web.example/path").body(()).unwrap();
    let (answer, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.headers()["a"], "b");
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap().as_ref(), b"body");
    drop(answer);
    driving.await.unwrap().unwrap();
    assert!(serving.await.unwrap());
}
