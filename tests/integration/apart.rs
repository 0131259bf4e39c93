//! A gateway and its controller over one directory, as two processes.

use gateway::settings::{Role, Settings};
use support::client::get;
use support::cluster::{Cluster, HTTP, export, gateway, route, service};
use support::endpoint::Echo;

fn apart(settings: &mut Settings) {
    settings.role = Role::Gateway;
}

/// A directory has no `ServiceAccount`s: the controller makes a token for its gateways.
#[tokio::test]
async fn a_gateway_serves_what_its_controller_has_made_over_a_link_too() {
    let (here, there) = (Echo::start("here").await, Echo::start("there").await);
    let yaml = service("web", ", appProtocol: http", &[there.address]) + &export("web");
    let west = Cluster::start_with("west", &yaml, apart).await;
    let yaml = gateway("gw", HTTP)
        + &route("own", "gw", "rules: [{backendRefs: [{name: own, port: 80}]}]")
        + &service("own", "", &[here.address]);
    let east = Cluster::start_with("east", &yaml, apart).await;
    let ingress = east.port("infra/gw", 80).await;
    assert_eq!(get(ingress, "a.example", "/").await.body, "here");
    east.write("link.yaml", &west.link("  import: {rules: [{name: '{service}'}]}\n"));
    west.write("link.yaml", &east.link(""));
    east.linked("west").await;
    let mirrored = east.port("shop/web", 80).await;
    assert_eq!(get(mirrored, "web", "/").await.body, "there");
    east.end().await;
    west.end().await;
}
