//! Copies over loopback connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn one_side_may_end_while_the_other_goes_on() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let peers = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = Vec::new();
        endpoint.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        endpoint.write_all(b"answer").await.unwrap();
        endpoint.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    };
    let (done, ()) =
        tokio::join!(splice(client_end, endpoint_end, Splice::default(), &copied), peers);
    done.unwrap();
    assert_eq!((copied.up(), copied.down()), (8, 6));
}

#[tokio::test]
async fn a_reset_of_the_endpoint_never_looks_like_an_end() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let peers = async {
        endpoint.write_all(b"half of an ans").await.unwrap();
        let mut half = [0; 14];
        client.read_exact(&mut half).await.unwrap();
        endpoint.abort();
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    };
    let (done, ()) =
        tokio::join!(splice(client_end, endpoint_end, Splice::default(), &copied), peers);
    assert!(matches!(done, Err(Broken::Endpoint(_))), "{done:?}");
}

#[tokio::test]
async fn a_copy_that_is_given_up_aborts_both_sides() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let copy = splice(client_end, endpoint_end, Splice::default(), &copied);
    let given_up = async {
        client.write_all(b"x").await.unwrap();
        endpoint.read_exact(&mut [0]).await.unwrap();
    };
    tokio::select! {
        _ = copy => panic!("neither side has ended"),
        () = given_up => {}
    }
    assert!(client.read_to_end(&mut Vec::new()).await.is_err());
    assert!(endpoint.read_to_end(&mut Vec::new()).await.is_err());
}
