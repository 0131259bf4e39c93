//! A gateway that is killed: what it carried never looks whole.

use std::net::SocketAddr;

use support::client::connect;
use support::cluster::{self, Cluster, eventually, export, service};
use support::endpoint::Endpoint;
use support::process::Process;
use support::wire::Ending;
use tempfile::TempDir;

/// `west` as a process of its own, `east` here; `east` mirrors `shop/web` of `west`.
struct Pair {
    west: Process,
    east: Cluster,
    /// The mirrored port.
    address: SocketAddr,
    _folder: TempDir,
}

impl Pair {
    async fn start(port: &str, endpoint: &Endpoint) -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = cluster::next_address();
        let yaml = service("web", port, &[endpoint.address]) + &export("web");
        cluster::prepare(folder.path(), &yaml);
        let west = Process::cluster("west", address, folder.path());
        let east = Cluster::start("east", "").await;
        eventually("west is ready", || Process::is_ready(address)).await;
        cluster::write(folder.path(), "link.yaml", &east.link(""));
        let bundle = cluster::bundle(folder.path()).expect("who is ready has an authority");
        let import = "  import: {rules: [{name: '{service}'}]}\n";
        east.write("link.yaml", &cluster::link("west", &address.to_string(), &bundle, import));
        east.linked("west").await;
        let address = east.port("shop/web", 80).await;
        Self { west, east, address, _folder: folder }
    }
}

#[tokio::test]
async fn a_close_delimited_answer_breaks_off_when_its_far_gateway_is_killed() {
    for version in ["1.0", "1.1"] {
        let endpoint = Endpoint::start().await;
        let pair = Pair::start("", &endpoint).await;
        let mut client = connect(pair.address).await;
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
        let mut server = endpoint.accept().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf").await;
        client.head().await;
        client.until("half").await;
        pair.west.kill().await;
        let (_, ending) = client.rest().await;
        assert_eq!(ending, Ending::Abort, "HTTP/{version}");
        pair.east.end().await;
    }
}

#[tokio::test]
async fn copied_bytes_break_off_when_their_far_gateway_is_killed() {
    let endpoint = Endpoint::start().await;
    let pair = Pair::start(", appProtocol: example.com/mail", &endpoint).await;
    let mut client = connect(pair.address).await;
    client.send("HELO a\r\n").await;
    let mut server = endpoint.accept().await;
    server.until("\r\n").await;
    server.send("half").await;
    assert_eq!(client.exactly(4).await, "half");
    pair.west.kill().await;
    assert_eq!(client.rest().await, (String::new(), Ending::Abort));
    pair.east.end().await;
}
