//! A gateway that leaves: nothing that is under way breaks.

use support::client::connect;
use support::cluster::{Cluster, HTTP, eventually, gateway, route, service};
use support::endpoint::{Echo, Endpoint};
use support::wire::Ending;

use gateway::drain::Phase;

fn front(endpoint: std::net::SocketAddr) -> String {
    gateway("gw", HTTP)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + &service("web", "", &[endpoint])
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_request_under_way_finishes() {
    let endpoint = Endpoint::start().await;
    let cluster = Cluster::start("east", &front(endpoint.address)).await;
    let address = cluster.port("infra/gw", 80).await;
    let mut busy = connect(address).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    let mut idle = connect(address).await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut other = endpoint.accept().await;
    other.head().await;
    other.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(idle.answer().await.body, "ok");
    let mut readiness = cluster.views().readiness.clone();
    let leaving = tokio::spawn(cluster.app.leave());
    readiness.wait_for(|now| now.leaving && !now.is_ready()).await.expect("it says so");
    assert_eq!(idle.rest().await, (String::new(), Ending::Clean));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
    let answer = busy.answer().await;
    assert_eq!(answer.body, "slow");
    assert_eq!(leaving.await.expect("no panic"), 0, "nothing was broken off");
}

#[tokio::test]
async fn a_gateway_that_leaves_still_accepts_and_tells_clients_to_come_back_elsewhere() {
    let echo = Echo::start("ok").await;
    let cluster = Cluster::start("east", &front(echo.address)).await;
    let address = cluster.port("infra/gw", 80).await;
    let mut readiness = cluster.views().readiness.clone();
    let (settled, asked) = tokio::sync::oneshot::channel();
    let leaving = tokio::spawn(cluster.app.leave_once(async { drop(asked.await) }));
    readiness.wait_for(|now| now.leaving).await.expect("it says so");
    let mut late = connect(address).await;
    late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = late.answer().await;
    assert_eq!((answer.body.as_str(), answer.field("connection")), ("ok", Some("close")));
    assert_eq!(late.rest().await, (String::new(), Ending::Clean));
    settled.send(()).expect("it waits for it");
    assert_eq!(leaving.await.expect("no panic"), 0);
    let refused = || std::net::TcpStream::connect(address).is_err();
    eventually("nobody listens", refused).await;
}

#[tokio::test]
async fn an_answer_that_outlives_the_drain_is_broken_off_and_never_ends_clean() {
    let endpoint = Endpoint::start().await;
    let cluster = Cluster::start_with("east", &front(endpoint.address), |settings| {
        settings.drain.drain = std::time::Duration::from_millis(300);
    })
    .await;
    let mut client = connect(cluster.port("infra/gw", 80).await).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    client.head().await;
    assert_eq!(client.exactly(4).await, "half");
    let left = cluster.app.leave().await;
    assert_eq!(left, 1);
    assert_eq!(client.rest().await, (String::new(), Ending::Abort));
    assert!(Phase::Ended > Phase::Draining);
}
