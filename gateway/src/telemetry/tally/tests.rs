use config::model::{Kind, Name, ObjectRef};
use prometheus::{Encoder as _, TextEncoder};

use super::*;

fn rule(route: &str) -> RuleId {
    let route = ObjectRef::new(Kind::HttpRoute, Name::new("shop", route));
    RuleId { route, index: 0, name: None }
}

fn labels<'a>(rule: &'a RuleId, method: &str, status: u16) -> RequestLabels<'a> {
    let method = known_method(method.as_bytes());
    let answerer = Answerer::Rule(rule);
    RequestLabels { answerer, cluster: "local", method, status, flags: "-" }
}

fn text(tallies: &[Arc<Tally>]) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&families(tallies), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The count on the only line that contains all of these.
fn value(text: &str, parts: &[&str]) -> u64 {
    line(text, parts).parse().unwrap()
}

fn line<'a>(text: &'a str, parts: &[&str]) -> &'a str {
    let lines: Vec<_> =
        text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).collect();
    let [line] = lines[..] else { panic!("{parts:?} in {lines:?} of {text}") };
    line.rsplit(' ').next().unwrap()
}

#[test]
fn methods_of_a_clients_invention_share_a_label() {
    let (tally, web) = (Arc::new(Tally::default()), rule("web"));
    for method in ["BREW", "GET", "PROPFIND"] {
        tally.count(&labels(&web, method, 200), Duration::from_millis(1));
    }
    let text = text(&[tally]);
    assert_eq!(value(&text, &[REQUESTS, r#"method="_OTHER""#]), 2);
    assert!(!text.contains("BREW"));
}

#[test]
fn a_scrape_adds_up_what_all_workers_counted() {
    let tallies = [Arc::new(Tally::default()), Arc::default()];
    let (web, other) = (rule("web"), rule("other"));
    for tally in &tallies {
        tally.count(&labels(&web, "GET", 200), Duration::from_millis(30));
        tally.count(&labels(&web, "GET", 204), Duration::from_millis(2));
    }
    tallies[0].count(&labels(&other, "GET", 200), Duration::from_mins(1));
    let text = text(&tallies);
    assert_eq!(value(&text, &[REQUESTS, "shop/web", r#"code="200""#]), 2);
    assert_eq!(value(&text, &[REQUESTS, "shop/other", r#"code="200""#]), 1);
    // Codes of one class share a histogram.
    assert_eq!(value(&text, &["seconds_count", "shop/web"]), 4);
    assert_eq!(value(&text, &["seconds_bucket", "shop/web", r#"le="0.001""#]), 0);
    assert_eq!(value(&text, &["seconds_bucket", "shop/web", r#"le="0.0025""#]), 2);
    assert_eq!(value(&text, &["seconds_bucket", "shop/web", r#"le="0.05""#]), 4);
    assert_eq!(value(&text, &["seconds_bucket", "shop/other", r#"le="10""#]), 0);
    assert_eq!(value(&text, &["seconds_bucket", "shop/other", r#"le="+Inf""#]), 1);
    let seconds: f64 = line(&text, &["seconds_sum", "shop/web"]).parse().unwrap();
    assert!((seconds - 0.064).abs() < 1e-9);
}

#[test]
fn a_request_that_took_as_long_as_a_bucket_says_is_in_it() {
    let (tally, web) = (Arc::new(Tally::default()), rule("web"));
    tally.count(&labels(&web, "GET", 200), Duration::from_millis(5));
    let text = text(&[tally]);
    assert_eq!(value(&text, &["seconds_bucket", r#"le="0.0025""#]), 0);
    assert_eq!(value(&text, &["seconds_bucket", r#"le="0.005""#]), 1);
}

#[test]
fn cells_have_a_limit_and_every_request_is_counted_still() {
    let tally = Arc::new(Tally::default());
    for number in 0..CELLS_MAX + 10 {
        tally.count(&labels(&rule(&format!("r{number}")), "GET", 200), Duration::ZERO);
    }
    assert_eq!(tally.0.lock().unwrap().len(), CELLS_MAX + 1);
    assert_eq!(value(&text(&[tally]), &[REQUESTS, r#"route="none""#]), 10);
}
