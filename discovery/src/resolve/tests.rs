//! Names become addresses, for as long as they may.

use super::*;

#[derive(Clone)]
struct Names;

impl Resolve for Names {
    async fn lookup(&self, host: &str) -> Result<Answer, String> {
        let ips = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        match host {
            "west" => Ok(Answer { ips, ttl: Duration::from_secs(30) }),
            "eager" => Ok(Answer { ips, ttl: Duration::ZERO }),
            "empty" => Ok(Answer { ips: Vec::new(), ttl: Duration::ZERO }),
            "silent" => std::future::pending().await,
            _ => Err("no such name".to_owned()),
        }
    }
}

async fn check(texts: &[&str]) -> (Resolved, Option<Duration>) {
    let addresses: Vec<_> = texts.iter().map(|text| Address::parse(text).unwrap()).collect();
    let now = Instant::now();
    let found = resolve(&Names, &addresses, now).await;
    let hold = found.until.map(|until| until - now);
    (found, hold)
}

#[tokio::test]
async fn an_ip_is_an_address_for_ever() {
    let (found, hold) = check(&["192.0.2.9:1"]).await;
    assert_eq!(*found.addresses, ["192.0.2.9:1".parse().unwrap()]);
    assert_eq!(hold, None);
}

#[tokio::test]
async fn a_name_holds_for_its_ttl_within_limits() {
    assert_eq!(check(&["west"]).await.1, Some(Duration::from_secs(30)));
    assert_eq!(check(&["west", "eager"]).await.1, Some(TTL_MIN));
}

#[tokio::test]
async fn an_address_that_two_names_have_is_one() {
    assert_eq!(check(&["west:1", "eager:1"]).await.0.addresses.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_resolved_costs_itself() {
    for name in ["unknown", "empty", "silent"] {
        let (found, _) = check(&["192.0.2.9", name]).await;
        assert_eq!(found.addresses.len(), 1);
        assert!(found.problem.unwrap().contains(name));
    }
}
