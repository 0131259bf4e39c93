//! The precedence of the Gateway API, rule by rule, and that `explain` says what `find` does.

use proptest::prelude::*;

use super::*;
use crate::model::{Kind, Name, ObjectRef};
use crate::table::{Age, NamedMatch, PathMatch, Pattern, Timeouts, ValueMatch};

#[derive(Debug, Default)]
struct Asked {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Request for Asked {
    fn method(&self) -> &str {
        &self.method
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let named = self.headers.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_bytes())
    }
}

fn get(url: &str) -> Asked {
    let (host, rest) = url.split_once('/').unwrap_or((url, ""));
    let (path, query) =
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Asked {
        method: "GET".into(),
        host: host.into(),
        path: format!("/{path}"),
        query: query.map(str::to_owned),
        headers: vec![],
    }
}

fn with(mut asked: Asked, name: &str, value: &str) -> Asked {
    asked.headers.push((name.into(), value.into()));
    asked
}

struct World {
    hosts: VirtualHosts,
    count: usize,
}

fn world() -> World {
    World { hosts: VirtualHosts::default(), count: 0 }
}

impl World {
    /// A rule of a route `name`; routes that are added later are younger.
    fn rule(mut self, name: &str, place: (&str, &str), matched: Match) -> Self {
        self.count += 1;
        let age = Age { created: i64::try_from(self.count).unwrap(), route: Name::new("a", name) };
        self.aged(age, place, matched)
    }

    fn aged(mut self, age: Age, (listener, host): (&str, &str), matched: Match) -> Self {
        let route = ObjectRef::new(Kind::HttpRoute, age.route.clone());
        let rule = Rule {
            id: RuleId { route, index: 0, name: None },
            filters: [].into(),
            backends: [].into(),
            timeouts: Timeouts::default(),
        };
        let rank = Rank::new(age, 0, 0, &matched);
        self.hosts.add_rule(Place { listener, host }, rank, matched.into(), rule.into());
        self
    }

    fn takes(&self, asked: &Asked) -> Option<String> {
        let found = self.hosts.find(asked).map(|rule| rule.id.route.name.name.to_string());
        let explained = self.hosts.explain(asked).into_iter();
        let mut explained = explained.filter(|tried| tried.outcome == Outcome::Matched);
        let said = explained.next().map(|tried| tried.rule.route.name.name.to_string());
        assert_eq!(found, said, "explain differs from find");
        found
    }

    fn check(&self, asked: &Asked, wanted: &str) {
        assert_eq!(self.takes(asked).as_deref().unwrap_or("404"), wanted, "{asked:?}");
    }
}

fn prefix(path: &str) -> Match {
    Match { path: PathMatch::prefix(path), ..Match::default() }
}

fn exact(path: &str) -> Match {
    Match { path: PathMatch::Exact(path.into()), ..Match::default() }
}

fn named(name: &str, value: &str) -> NamedMatch {
    NamedMatch { name: name.into(), value: ValueMatch::Exact(value.into()) }
}

fn header(name: &str, value: &str) -> Match {
    Match { headers: vec![named(name, value)], ..Match::default() }
}

fn query(name: &str, value: &str) -> Match {
    Match { query: vec![named(name, value)], ..Match::default() }
}

#[test]
fn exact_host_outranks_wildcard() {
    let world = world().rule("wild", ("*", "*.a.io"), exact("/x")).rule(
        "exact",
        ("*", "x.a.io"),
        prefix("/"),
    );
    world.check(&get("x.a.io/x"), "exact");
    world.check(&get("y.a.io/x"), "wild");
}

#[test]
fn longer_wildcard_outranks_shorter() {
    let world = world().rule("short", ("*", "*.io"), prefix("/")).rule(
        "long",
        ("*", "*.a.io"),
        prefix("/"),
    );
    world.check(&get("x.y.a.io/"), "long");
    world.check(&get("b.io/"), "short");
}

#[test]
fn wildcard_does_not_cover_the_bare_domain() {
    let world = world().rule("wild", ("*", "*.a.io"), prefix("/"));
    world.check(&get("a.io/"), "404");
    world.check(&get("xa.io/"), "404");
}

#[test]
fn a_route_with_a_less_specific_host_takes_what_the_other_does_not_match() {
    let world = world().rule("exact", ("*", "x.a.io"), prefix("/only")).rule(
        "wild",
        ("*", "*.a.io"),
        prefix("/"),
    );
    world.check(&get("x.a.io/only"), "exact");
    world.check(&get("x.a.io/other"), "wild");
}

#[test]
fn a_listener_with_a_more_specific_host_keeps_requests_from_the_others() {
    let mut world =
        world().rule("all", ("*", "*"), prefix("/")).rule("wild", ("*.a.io", "*"), prefix("/wild"));
    world.hosts.add_listener("x.a.io", Hosts::default());
    world.check(&get("b.io/"), "all");
    world.check(&get("y.a.io/wild"), "wild");
    world.check(&get("y.a.io/"), "404");
    world.check(&get("x.a.io/wild"), "404");
}

#[test]
fn exact_path_outranks_regex_outranks_prefix() {
    let regex = Match { path: PathMatch::Regex(Pattern::new("/a.*").unwrap()), ..Match::default() };
    let world = world()
        .rule("prefix", ("*", "*"), prefix("/a"))
        .rule("regex", ("*", "*"), regex)
        .rule("exact", ("*", "*"), exact("/a"));
    world.check(&get("h/a"), "exact");
    world.check(&get("h/a/b"), "regex");
}

#[test]
fn longer_prefix_outranks_shorter() {
    let world = world()
        .rule("root", ("*", "*"), prefix("/"))
        .rule("a", ("*", "*"), prefix("/a"))
        .rule("ab", ("*", "*"), prefix("/a/b"));
    world.check(&get("h/a/b/c"), "ab");
    world.check(&get("h/a/c"), "a");
    world.check(&get("h/c"), "root");
}

#[test]
fn prefixes_match_by_element_and_ignore_a_slash_at_the_end() {
    let world = world().rule("foo", ("*", "*"), prefix("/foo/"));
    for path in ["h/foo", "h/foo/", "h/foo/bar", "h/foo?x=1"] {
        world.check(&get(path), "foo");
    }
    world.check(&get("h/foobar"), "404");
    world.check(&get("h/"), "404");
}

#[test]
fn method_outranks_headers_outrank_query() {
    let method = Match { method: Some("GET".into()), ..Match::default() };
    let world = world()
        .rule("query", ("*", "*"), query("q", "1"))
        .rule("header", ("*", "*"), header("h", "1"))
        .rule("method", ("*", "*"), method);
    world.check(&with(get("h/?q=1"), "h", "1"), "method");
    let mut post = with(get("h/?q=1"), "h", "1");
    post.method = "POST".into();
    world.check(&post, "header");
    post.headers.clear();
    world.check(&post, "query");
}

#[test]
fn more_headers_outrank_fewer() {
    let two = Match { headers: vec![named("a", "1"), named("b", "1")], ..Match::default() };
    let world = world().rule("one", ("*", "*"), header("a", "1")).rule("two", ("*", "*"), two);
    world.check(&with(with(get("h/"), "a", "1"), "b", "1"), "two");
    world.check(&with(get("h/"), "a", "1"), "one");
}

#[test]
fn the_older_route_outranks_the_younger_then_the_name_decides() {
    let age = |created, name| Age { created, route: Name::new("a", name) };
    let world = world()
        .aged(age(2, "a"), ("*", "*"), prefix("/"))
        .aged(age(1, "c"), ("*", "*"), prefix("/"))
        .aged(age(1, "b"), ("*", "*"), prefix("/"));
    world.check(&get("h/"), "b");
}

#[test]
fn a_repeated_header_matches_by_any_value_and_by_all_joined() {
    let asked = with(with(get("h/"), "v", "one"), "v", "two");
    for value in ["one", "two", "one,two", "one, two"] {
        world().rule("it", ("*", "*"), header("v", value)).check(&asked, "it");
    }
    for value in ["one,", "on", "two,one", "onetwo"] {
        world().rule("it", ("*", "*"), header("v", value)).check(&asked, "404");
    }
}

#[test]
fn a_header_that_is_absent_matches_nothing() {
    world().rule("it", ("*", "*"), header("v", "")).check(&get("h/"), "404");
}

#[test]
fn a_query_parameter_matches_by_its_first_decoded_value() {
    let world = world().rule("it", ("*", "*"), query("na me", "a/b"));
    world.check(&get("h/?x=1&na+me=a%2Fb&na+me=c"), "it");
    world.check(&get("h/?na%20me=c&na+me=a%2Fb"), "404");
}

#[test]
fn a_regular_expression_covers_the_whole_value_and_has_a_limit() {
    let value = ValueMatch::Regex(Pattern::new("v[12]|x").unwrap());
    let headers = vec![NamedMatch { name: "v".into(), value }];
    let world = world().rule("it", ("*", "*"), Match { headers, ..Match::default() });
    world.check(&with(get("h/"), "v", "v2"), "it");
    world.check(&with(get("h/"), "v", "v23"), "404");
    assert!(Pattern::new("(?:a{1000}){1000}").is_err());
    assert!(Pattern::new("(").is_err());
}

#[test]
fn explain_says_why_a_rule_does_not_take_the_request() {
    let world = world()
        .rule("post", ("*", "a.io"), Match { method: Some("POST".into()), ..Match::default() })
        .rule("get", ("*", "a.io"), prefix("/"))
        .rule("late", ("*", "*"), prefix("/"));
    let tried = world.hosts.explain(&get("a.io/"));
    let outcomes: Vec<_> = tried.into_iter().map(|one| one.outcome).collect();
    let reason = Outcome::NotMatched("the method is not POST".into());
    assert_eq!(outcomes, [reason, Outcome::Matched, Outcome::Shadowed]);
}

proptest! {
    #[test]
    fn explain_agrees_with_find(
        rules in prop::collection::vec(
            ("[ab]|\\*", "(\\*\\.)?[ab]\\.io|\\*", "(/[ab]){0,3}/?", any::<bool>(), 0_i64..3), 0..12),
        host in "([ab]\\.)?[ab]\\.io|[ab]",
        path in "(/[ab]){0,4}/?",
    ) {
        let mut world = world();
        for (at, (listener, host, path, is_exact, created)) in rules.iter().enumerate() {
            let path = if path.is_empty() { "/" } else { path };
            let matched = if *is_exact { exact(path) } else { prefix(path) };
            let age = Age { created: *created, route: Name::new("a", &format!("r{at}")) };
            world = world.aged(age, (listener, host), matched);
        }
        let asked = Asked { method: "GET".into(), host, path: format!("/{}", path.trim_start_matches('/')), ..Asked::default() };
        world.takes(&asked);
    }
}
