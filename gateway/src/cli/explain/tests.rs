//! The answer names the rule, why the others do not take the request, and who answers.

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::samples;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn asked(directory: &TempDir, question: &[&str]) -> Explained {
    let path = directory.path().to_str().unwrap();
    let mut line = vec!["explain", "-f", path];
    line.extend(question);
    let Line { arguments } = Line::parse_from(line);
    let question = Question {
        method: arguments.method,
        url: arguments.url,
        headers: arguments.headers,
        gateway: arguments.gateway,
    };
    offline(&question, &arguments.dir.unwrap(), &arguments.namespace).unwrap()
}

const CART: &str = "http://shop.example.com:8080/cart/1";

#[test]
fn weights_are_told_as_chances_and_endpoints_by_address() {
    let explained = asked(&samples::directory(), &["GET", CART]);
    let expected = "GET http://shop.example.com:8080/cart/1

shop/edge port 8080: HTTP
  - HTTPRoute shop/cart rule 0: the header `x-beta` is not `yes`
  ✓ HTTPRoute shop/cart rule 1: takes it, for host `shop.example.com`
   90.0 %  Service shop/cart:80
           local  10.1.2.3:9090
   10.0 %  Service shop/cart-next:80: 503: it has no endpoint
";
    assert_eq!(text(&explained), expected);
    assert!(explained.is_answered());
}

#[test]
fn a_header_leads_to_the_rule_that_asks_for_it() {
    let explained = asked(&samples::directory(), &["GET", CART, "-H", "X-Beta: yes"]);
    let taken: Vec<_> = explained.ports[0].rules.iter().map(|rule| rule.takes).collect();
    assert_eq!(taken, [true, false]);
    assert_eq!(
        explained.ports[0].rules[1].why.as_deref(),
        Some("it matches, but a rule before it does too")
    );
    assert!(!explained.is_answered(), "its only backend has no endpoint");
}

#[test]
fn no_rule_is_a_404_with_the_reason_of_each() {
    let explained = asked(&samples::directory(), &["GET", "http://shop.example.com:8080/other"]);
    assert_eq!(explained.ports[0].answer, Answer::NoRule);
    assert!(explained.ports[0].rules.iter().all(|rule| rule.why.is_some()));
    assert!(!explained.is_answered());
}

#[test]
fn a_port_that_nobody_listens_on_is_said_to_be_one() {
    let explained = asked(&samples::directory(), &["GET", "http://shop.example.com/cart"]);
    assert_eq!(explained.ports, []);
    assert!(text(&explained).contains("nobody listens on that port"));
}

#[test]
fn only_the_gateway_that_is_asked_for_answers() {
    let directory = samples::directory();
    let of = |gateway| asked(&directory, &["GET", CART, "--gateway", gateway]).ports.len();
    assert_eq!(of("shop/edge"), 1);
    assert_eq!(of("shop/other"), 0);
}

#[test]
fn json_and_back_is_the_same_answer() {
    let explained = asked(&samples::directory(), &["GET", CART]);
    let json = output::json(&explained).unwrap();
    assert_eq!(serde_json::from_str::<Explained>(&json).unwrap(), explained);
}
