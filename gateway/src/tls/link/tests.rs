//! Who gets through a handshake, in either direction, and what becomes of it afterwards.

mod matrix;

use std::sync::{Arc, Mutex};

use config::model::identity::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, NamedGroup, ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::tls::credentials::{Credentials, Inputs};
use crate::tls::stream::{accept, connect};
use crate::tls::testing::{Root, WITHIN, install, leaf_params, tcp_pair, trust, valid};
use crate::tls::trust::{LinkTrust, Peers};
use crate::tls::verifier::{Presence, Refusals, signatures};

const EAST: &str = "spiffe://east/ns/spanway/sa/gateway";
const WEST: &str = "spiffe://west/ns/spanway/sa/gateway";
const NORTH: &str = "spiffe://north/ns/spanway/sa/gateway";

/// Believes everybody, to find out what the other side does.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

/// A caller that presents anything.
fn caller(key: Option<Arc<CertifiedKey>>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// A server that presents anything.
fn server(key: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![ALPN_CALLS.to_vec()];
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    "80.web.shop.svc.clusterset.local".try_into().unwrap()
}

fn dial(first: &[u8]) -> Dial<'_> {
    Dial { first, within: WITHIN }
}

type Outcome = Result<LinkStream<TcpStream>, LinkFailed>;

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(_) => "accepted",
        Err(LinkFailed::Refused(refused)) => refused.label(),
        Err(LinkFailed::Protocol) => "protocol",
        Err(LinkFailed::Handshake(failed)) => {
            failed.refusal().map_or("handshake", |refused| refused.label())
        }
    }
}

/// The accepting end of east, which is linked to west and north.
struct East {
    listener: LinkListener,
    told: Arc<Mutex<Vec<Refused>>>,
}

impl East {
    fn new(links: &[LinkTrust]) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let refusals = Refusals::to(move |refused| sink.lock().unwrap().push(refused));
        let (peers, rejected) = Peers::new(&"east".parse().unwrap(), links);
        assert_eq!(rejected, []);
        let verifier = PeerVerifier::new(peers, refusals, Presence::Required);
        let svid = Root::new("east").svid(EAST);
        Self { listener: LinkListener::new(&svid, Arc::new(verifier)).unwrap(), told }
    }

    /// What the listener makes of a caller.
    async fn meets(&self, caller: Arc<ClientConfig>) -> Outcome {
        let (near, far) = tcp_pair().await;
        let accepting = self.listener.accept(far, WITHIN);
        let calling = async {
            // In TLS 1.3 a client is done before it is judged; the verdict comes with a read.
            if let Ok(mut stream) = connect(caller, name(), near, b"", WITHIN).await {
                drop(stream.read(&mut [0]).await);
            }
        };
        tokio::select! {
            outcome = accepting => outcome,
            outcome = async { calling.await; std::future::pending().await } => outcome,
        }
    }
}

/// What the dialling end of a link makes of a server.
async fn dialled(link: &LinkTrust, server: Arc<ServerConfig>) -> Outcome {
    let verifier = Arc::new(PeerVerifier::new(
        Peers::only(link).unwrap(),
        Refusals::ignored(),
        Presence::Required,
    ));
    let svid = Root::new("east").svid(EAST);
    let dialler = LinkDialler::new("west".into(), &svid, verifier).unwrap();
    let (near, far) = tcp_pair().await;
    let (outcome, _) = tokio::join!(
        dialler.connect(LinkProtocol::Calls, name(), near, dial(b"")),
        accept(server, far, WITHIN)
    );
    outcome
}

/// Two clusters that are linked.
struct Pair {
    roots: [Root; 2],
}

impl Pair {
    fn new() -> Self {
        install();
        Self { roots: [Root::new("east"), Root::new("west")] }
    }

    fn east(&self, previous: &Credentials, svid: &Arc<Svid>) -> Credentials {
        build("east", trust("west", "west", &self.roots[1], &[WEST]), previous, svid)
    }

    fn west(&self, previous: &Credentials, svid: &Arc<Svid>) -> Credentials {
        build("west", trust("east", "east", &self.roots[0], &[EAST]), previous, svid)
    }
}

fn build(own: &str, link: LinkTrust, previous: &Credentials, svid: &Arc<Svid>) -> Credentials {
    let inputs = Inputs {
        own: own.parse().unwrap(),
        svid: Some(Arc::clone(svid)),
        links: vec![link],
        certificates: [].into(),
        terminations: [].into(),
    };
    let (built, faults) =
        Credentials::build(&inputs, previous, &Refusals::ignored(), UnixTime::now());
    assert_eq!(faults, []);
    built
}

/// East dials west.
async fn join(east: &Credentials, west: &Credentials) -> (Outcome, Outcome) {
    let (near, far) = tcp_pair().await;
    let dialler = east.link("west").unwrap();
    tokio::join!(
        dialler.connect(LinkProtocol::Calls, name(), near, dial(b"hello")),
        west.link_listener().unwrap().accept(far, WITHIN)
    )
}

/// One byte each way, which also brings the session tickets across.
async fn talk(near: &mut LinkStream<TcpStream>, far: &mut LinkStream<TcpStream>) {
    near.stream.write_all(b"?").await.unwrap();
    near.stream.flush().await.unwrap();
    assert_eq!(far.stream.read_u8().await.unwrap(), b'?');
    far.stream.write_all(b"!").await.unwrap();
    far.stream.flush().await.unwrap();
    assert_eq!(near.stream.read_u8().await.unwrap(), b'!');
}

async fn greeted(far: &mut LinkStream<TcpStream>) {
    let mut hello = [0; 5];
    far.stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
}

#[tokio::test]
async fn each_end_learns_who_the_other_is_and_the_hello_comes_with_the_handshake() {
    let pair = Pair::new();
    let east = pair.east(&Credentials::default(), &Arc::new(pair.roots[0].svid(EAST)));
    let west = pair.west(&Credentials::default(), &Arc::new(pair.roots[1].svid(WEST)));
    let (near, far) = join(&east, &west).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!((near.peer.link.as_ref(), near.peer.id.as_str()), ("west", WEST));
    assert_eq!((far.peer.link.as_ref(), far.peer.id.as_str()), ("east", EAST));
    assert_eq!(far.protocol, LinkProtocol::Calls);
    assert_eq!(far.stream.sni(), Some("80.web.shop.svc.clusterset.local"));
    greeted(&mut far).await;
    talk(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_link_speaks_tls_1_3_with_a_post_quantum_exchange() {
    let pair = Pair::new();
    let east = pair.east(&Credentials::default(), &Arc::new(pair.roots[0].svid(EAST)));
    let west = pair.west(&Credentials::default(), &Arc::new(pair.roots[1].svid(WEST)));
    let near = join(&east, &west).await.0.unwrap();
    let expected = (Some(ProtocolVersion::TLSv1_3), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(near.stream.agreed(), expected);
}

#[tokio::test]
async fn a_second_connection_takes_up_the_session_and_still_knows_the_peer() {
    let pair = Pair::new();
    let east = pair.east(&Credentials::default(), &Arc::new(pair.roots[0].svid(EAST)));
    let west = pair.west(&Credentials::default(), &Arc::new(pair.roots[1].svid(WEST)));
    for resumed in [false, true] {
        let (near, far) = join(&east, &west).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!((near.stream.resumed(), far.stream.resumed()), (resumed, resumed));
        assert_eq!((near.peer.id.as_str(), far.peer.id.as_str()), (WEST, EAST));
        greeted(&mut far).await;
        talk(&mut near, &mut far).await;
    }
}

#[tokio::test]
async fn a_leaf_rotates_under_a_standing_connection_and_ends_its_sessions() {
    let pair = Pair::new();
    let first = Arc::new(pair.roots[0].svid(EAST));
    let east = pair.east(&Credentials::default(), &first);
    let west_svid = Arc::new(pair.roots[1].svid(WEST));
    let west = pair.west(&Credentials::default(), &west_svid);
    let (near, far) = join(&east, &west).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    greeted(&mut far).await;
    talk(&mut near, &mut far).await;

    let east = pair.east(&east, &Arc::new(pair.roots[0].svid(EAST)));
    let west = pair.west(&west, &Arc::new(pair.roots[1].svid(WEST)));
    let (near_after, far_after) = join(&east, &west).await;
    let (mut near_after, mut far_after) = (near_after.unwrap(), far_after.unwrap());
    assert!(!near_after.stream.resumed(), "a session must not outlive the leaf it began with");
    assert_ne!(far_after.stream.peer_chain(), first.chain());
    greeted(&mut far_after).await;
    talk(&mut near_after, &mut far_after).await;
    talk(&mut near, &mut far).await;
}

#[tokio::test]
async fn an_expired_peer_is_refused_also_where_its_session_is_taken_up() {
    let pair = Pair::new();
    let mut params = leaf_params(EAST);
    valid(&mut params, -60, 3);
    let short = Arc::new(pair.roots[0].sign(&params).svid());
    let east = pair.east(&Credentials::default(), &short);
    let west = pair.west(&Credentials::default(), &Arc::new(pair.roots[1].svid(WEST)));
    let mut taken_up = false;
    let refused = loop {
        let (near, far) = join(&east, &west).await;
        match far {
            Err(error) => break error,
            Ok(mut far) => {
                taken_up |= far.stream.resumed();
                greeted(&mut far).await;
                talk(&mut near.unwrap(), &mut far).await;
            }
        }
        assert!(UnixTime::now().as_secs() < short.not_after().as_secs() + 5, "never refused");
    };
    assert!(taken_up, "no session was taken up before the end");
    // Not by the handshake: that had nothing to look at.
    assert!(matches!(refused, LinkFailed::Refused(PeerRefused::Expired)), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_refused_gets_no_byte_of_the_hello() {
    install();
    let west = trust("west", "west", &Root::new("west"), &[WEST]);
    let impostor = Root::new("west").svid(WEST);
    let verifier =
        PeerVerifier::new(Peers::only(&west).unwrap(), Refusals::ignored(), Presence::Required);
    let svid = Root::new("east").svid(EAST);
    let dialler = LinkDialler::new("west".into(), &svid, Arc::new(verifier)).unwrap();
    let (near, far) = tcp_pair().await;
    let (outcome, heard) = tokio::join!(
        dialler.connect(LinkProtocol::Calls, name(), near, dial(b"hello")),
        accept(server(impostor.certified_key()), far, WITHIN)
    );
    assert_eq!(label(&outcome), "not_in_bundle");
    assert!(heard.is_err(), "the handshake must not have come to its end");
}

#[tokio::test]
async fn a_caller_without_a_protocol_of_links_is_refused() {
    install();
    let root = Root::new("west");
    let east = East::new(&[trust("west", "west", &root, &[WEST])]);
    let key = || Some(root.svid(WEST).certified_key());
    assert_eq!(label(&east.meets(caller(key(), &[])).await), "protocol");
    assert_eq!(label(&east.meets(caller(key(), &[b"spanway/2"])).await), "handshake");
    assert_eq!(label(&east.meets(caller(key(), &[ALPN_CATALOG])).await), "accepted");
}

#[tokio::test]
async fn a_peer_of_another_version_of_the_protocol_is_called_so() {
    install();
    let root = Root::new("west");
    let links = [trust("west", "west", &root, &[WEST])];
    let key = || root.svid(WEST).certified_key();
    let east = East::new(&links);
    let met = east.meets(caller(Some(key()), &[b"spanway/2"])).await.unwrap_err();
    assert_eq!(met.reason(), "ProtocolMismatch");
    let mut later = Arc::unwrap_or_clone(server(key()));
    later.alpn_protocols = vec![b"spanway/2".to_vec()];
    let reached = dialled(&links[0], Arc::new(later)).await.unwrap_err();
    assert_eq!(reached.reason(), "ProtocolMismatch");
}

#[tokio::test]
async fn a_caller_of_tls_1_2_is_refused() {
    install();
    let root = Root::new("west");
    let east = East::new(&[trust("west", "west", &root, &[WEST])]);
    let mut old = ClientConfig::builder_with_provider(provider::public())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
            root.svid(WEST).certified_key(),
        )));
    old.alpn_protocols = vec![ALPN_CALLS.to_vec()];
    assert_eq!(label(&east.meets(Arc::new(old)).await), "handshake");
}

#[tokio::test]
async fn each_refusal_is_told_with_link_name_and_reason() {
    install();
    let root = Root::new("west");
    let east = East::new(&[trust("west", "west", &root, &[WEST])]);
    let other = "spiffe://west/ns/shop/sa/web";
    let callers = [None, Some(root.svid(other)), Some(Root::new("x").svid(NORTH))];
    for svid in callers {
        let key = svid.map(|svid| svid.certified_key());
        assert!(east.meets(caller(key, &[ALPN_CALLS])).await.is_err());
    }
    let told = east.told.lock().unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|refused| {
            let claimed = refused.claimed.as_ref().map(SpiffeId::as_str);
            (refused.link.as_deref(), claimed, refused.reason.label())
        })
        .collect();
    assert_eq!(
        told,
        [
            (None, None, "no_certificate"),
            (Some("west"), Some(other), "not_a_gateway"),
            (None, Some(NORTH), "unknown_trust_domain"),
        ]
    );
}

#[tokio::test]
async fn a_peer_of_one_link_is_none_of_another() {
    install();
    let (west, north) = (Root::new("west"), Root::new("north"));
    let links = [trust("west", "west", &west, &[WEST]), trust("north", "north", &north, &[NORTH])];
    let east = East::new(&links);
    let peer = east.meets(caller(Some(north.svid(NORTH).certified_key()), &[ALPN_CALLS])).await;
    assert_eq!(peer.unwrap().peer.link.as_ref(), "north");
    let claimed = east.meets(caller(Some(north.svid(WEST).certified_key()), &[ALPN_CALLS])).await;
    assert_eq!(label(&claimed), "not_in_bundle");
    let reached = dialled(&links[0], server(north.svid(NORTH).certified_key())).await;
    assert_eq!(label(&reached), "unknown_trust_domain");
    let reached = dialled(&links[0], server(north.svid(WEST).certified_key())).await;
    assert_eq!(label(&reached), "not_in_bundle");
}
