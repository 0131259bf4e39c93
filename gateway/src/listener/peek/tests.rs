//! First messages, whole and in pieces, and what becomes of connections after them.

use rustls::sign::SingleCertAndKey;
use tokio::sync::oneshot;

use super::*;
use crate::tls::provider;
use crate::tls::testing::{Root, WITHIN, install, leaf_params, tcp_pair};

/// The first message of a client that asks for `name`.
fn hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
    install();
    let mut config = rustls::ClientConfig::builder_with_provider(provider::link())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// What is made of `bytes` from a client that then waits, or closes.
async fn peeked(bytes: &[u8], closes: bool) -> Result<Peeked<TcpStream>, PeekFailed> {
    let (mut near, far) = tcp_pair().await;
    near.write_all(bytes).await.unwrap();
    let (done, until) = oneshot::channel::<()>();
    let waiting = tokio::spawn(async move {
        if !closes {
            until.await.ok();
        }
        drop(near);
    });
    let outcome = peek(far, WITHIN).await;
    done.send(()).ok();
    waiting.await.unwrap();
    outcome
}

#[tokio::test]
async fn a_first_message_names_host_and_protocols() {
    let peeked = peeked(&hello("WEB.Example", &[b"h2", b"http/1.1"]), false).await.unwrap();
    assert_eq!(peeked.sni.as_deref(), Some("web.example"));
    assert_eq!(peeked.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[tokio::test]
async fn a_first_message_may_name_neither() {
    let peeked = peeked(&hello("192.0.2.1", &[]), false).await.unwrap();
    assert_eq!((peeked.sni, peeked.alpn.len()), (None, 0));
}

#[tokio::test]
async fn a_first_message_may_come_byte_by_byte() {
    let bytes = hello("web.example", &[b"h2"]);
    let (mut near, far) = tcp_pair().await;
    near.set_nodelay(true).unwrap();
    let sending = tokio::spawn(async move {
        for byte in bytes {
            near.write_all(&[byte]).await.unwrap();
            near.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        near
    });
    let peeked = peek(far, WITHIN).await.unwrap();
    assert_eq!(peeked.sni.as_deref(), Some("web.example"));
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn what_was_read_ahead_is_replayed_byte_for_byte() {
    let mut bytes = hello("web.example", &[b"h2"]);
    bytes.extend_from_slice(b"and what followed it at once");
    let (mut near, far) = tcp_pair().await;
    near.write_all(&bytes).await.unwrap();
    let mut replay = peek(far, WITHIN).await.unwrap().replay();
    near.write_all(b", and later").await.unwrap();
    near.shutdown().await.unwrap();
    // A small buffer, so that what is ahead is yielded in pieces.
    let mut all = Vec::new();
    let mut piece = [0; 7];
    loop {
        match replay.read(&mut piece).await.unwrap() {
            0 => break,
            count => all.extend_from_slice(&piece[..count]),
        }
    }
    bytes.extend_from_slice(b", and later");
    assert_eq!(all, bytes);
}

#[tokio::test]
async fn a_replay_writes_to_the_connection() {
    let (mut near, far) = tcp_pair().await;
    let mut replay = Replay::new(far, b"ahead".to_vec());
    replay.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    assert_eq!(replay.ahead(), b"ahead");
}

#[tokio::test]
async fn a_peeked_connection_can_be_answered_here() {
    install();
    let root = Root::new("root");
    let mut params = leaf_params("spiffe://west/a");
    params.subject_alt_names = vec![rcgen::SanType::DnsName("web.example".try_into().unwrap())];
    let key = root.sign(&params).certified();
    let server = ServerConfig::builder_with_provider(provider::public())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der.clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider::public())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tcp_pair().await;
    let name = "web.example".try_into().unwrap();
    let (near, far) =
        tokio::join!(stream::connect(Arc::new(client), name, near, b"early", WITHIN), async {
            peek(far, WITHIN).await.unwrap().terminate(Arc::new(server), WITHIN).await
        });
    let (near, mut far) = (near.unwrap(), far.unwrap());
    let mut early = [0; 5];
    far.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    assert_eq!(far.sni(), Some("web.example"));
    drop(near);
}

#[tokio::test]
async fn a_client_without_tls_is_told_so() {
    let (mut near, far) = tcp_pair().await;
    near.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await.unwrap();
    let failed = peek(far, WITHIN).await.map(drop).unwrap_err();
    assert!(matches!(failed, PeekFailed::NotTls(_)), "{failed}");
    let mut record = [0; 7];
    near.read_exact(&mut record).await.unwrap();
    assert_eq!((record[0], record[5]), (0x15, 2), "a fatal alert");
}

#[tokio::test]
async fn a_first_message_has_a_limit() {
    // A handshake message that says it has 60 KB, in records of a thousand bytes.
    let mut bytes = Vec::new();
    let mut body = vec![1, 0, 0xea, 0x60];
    body.resize(60_000, 0);
    for part in body.chunks(1000) {
        bytes.extend_from_slice(&[22, 3, 1, 3, 0xe8]);
        bytes.extend_from_slice(part);
    }
    let (mut near, far) = tcp_pair().await;
    let sending = tokio::spawn(async move { near.write_all(&bytes).await });
    let failed = peek(far, WITHIN).await.map(drop).unwrap_err();
    assert!(matches!(failed, PeekFailed::TooLong), "{failed}");
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_client_that_closes_early_is_no_error_of_tls() {
    let bytes = hello("web.example", &[]);
    for end in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let failed = peeked(&bytes[..end], true).await.map(drop).unwrap_err();
        assert!(matches!(failed, PeekFailed::Closed), "after {end} bytes: {failed}");
    }
}

#[tokio::test]
async fn a_first_message_has_a_deadline() {
    let (mut near, far) = tcp_pair().await;
    near.write_all(&hello("web.example", &[])[..20]).await.unwrap();
    let failed = peek(far, Duration::from_millis(20)).await.map(drop).unwrap_err();
    assert!(matches!(failed, PeekFailed::Timeout(_)), "{failed}");
}

#[tokio::test]
async fn no_first_bytes_make_it_panic() {
    let bytes = hello("web.example", &[b"h2"]);
    for at in 0..bytes.len().min(160) {
        let mut broken = bytes.clone();
        broken[at] ^= 0xff;
        // Whatever it is taken for: it comes back.
        drop(peeked(&broken, true).await);
    }
}
