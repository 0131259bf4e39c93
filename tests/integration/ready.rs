//! When a gateway says that it is ready.

use support::cluster::{Cluster, HTTP, gateway};

#[tokio::test]
async fn ready_means_that_each_listener_of_a_fresh_directory_is_bound() {
    let yaml = gateway("one", HTTP) + &gateway("two", HTTP);
    // No port is recorded before the leader in the same process has seen the Gateways.
    let cluster = Cluster::start("east", &yaml).await;
    for owner in ["infra/one", "infra/two"] {
        assert!(cluster.listening(owner, 80).is_some(), "{owner} is not bound");
    }
    cluster.end().await;
}
