//! `HTTPRoute`s, each judged once, whoever its parents are.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::attach::Facts;
use super::backend::{Carries, resolve};
use super::filter;
use super::listener::host;
use super::reference::{BackendRef, created};
use super::world::World;
use crate::api::HttpRoute;
use crate::api::gateway::httproute as http;
use crate::model::{BackendKey, Kind, Name, ObjectRef};
use crate::table::{
    Age, Backend, Match, NamedMatch, PathMatch, Pattern, Rule, RuleId, Target, Timeouts, ValueMatch,
};
use crate::verdict::{Condition, Rejected};

/// What most rules ask of a request, nothing: they share it.
static EVERYTHING: LazyLock<Arc<Match>> = LazyLock::new(Arc::default);

/// A rule, and each of the matches that lead to it.
pub(super) type Matched = (Arc<Rule>, Vec<Arc<Match>>);

/// A route that was judged.
pub(super) struct Route {
    pub(super) facts: Facts,
    pub(super) age: Arc<Age>,
    /// What can be served; a rule that cannot answers 500 where its matches are known.
    pub(super) rules: Vec<Matched>,
    /// How many rules are to be served as they stand.
    sound: usize,
    /// The first thing that is not supported.
    unsupported: Option<Box<Rejected>>,
    unresolved: Option<Box<Rejected>>,
}

impl Route {
    /// Why no rule can be served, if that is so.
    pub(super) fn rejected(&self) -> Option<&Rejected> {
        self.unsupported.as_deref().filter(|_| self.sound == 0)
    }

    /// Everybody whom its rules name, as often as they do.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendKey> {
        self.rules.iter().flat_map(|(rule, _)| rule.backends.iter().filter_map(Backend::key))
    }

    /// The conditions beside Accepted.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let mut conditions =
            vec![Condition::of("ResolvedRefs", "ResolvedRefs", self.unresolved.as_deref())];
        if let Some(unsupported) = self.unsupported.as_deref().filter(|_| self.sound > 0) {
            let partial = Condition::no("PartiallyInvalid", unsupported);
            let message = format!("Dropped Rule: {}; its requests get 500", partial.message);
            conditions.push(Condition { holds: true, message, ..partial });
        }
        conditions
    }
}

/// Judges a route by itself.
pub(super) fn read(world: &World<'_>, name: &Name, route: &HttpRoute) -> Route {
    let object = ObjectRef::new(Kind::HttpRoute, name.clone());
    let spec = &route.spec;
    let hosts = spec.hostnames.iter().flatten().map(|name| host(Some(name))).collect();
    let mut read = Route {
        facts: Facts {
            object: object.clone(),
            generation: route.metadata.generation.unwrap_or_default(),
            hosts,
            parents: spec.parent_refs.iter().flatten().map(Into::into).collect(),
        },
        age: Age { created: created(&route.metadata), route: name.clone() }.into(),
        rules: Vec::new(),
        sound: 0,
        unsupported: None,
        unresolved: None,
    };
    let default = [empty_rule()];
    let rules = spec.rules.as_deref().unwrap_or(&default);
    read.rules.reserve_exact(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let id =
            RuleId { route: object.clone(), index, name: rule.name.as_deref().map(Into::into) };
        add_rule(world, rule, id, &mut read);
    }
    read
}

const fn empty_rule() -> http::HttpRouteRules {
    http::HttpRouteRules {
        backend_refs: None,
        filters: None,
        matches: None,
        name: None,
        retry: None,
        timeouts: None,
    }
}

fn add_rule(world: &World<'_>, spec: &http::HttpRouteRules, id: RuleId, route: &mut Route) {
    let (matches, match_problem) = matches(spec);
    let filters = filter::read(spec.filters.as_ref());
    let timeouts = timeouts(spec);
    let retry = spec.retry.as_ref().map(|_| unsupported("`retry` is not supported".to_owned()));
    let references = spec.backend_refs.as_deref().unwrap_or_default();
    let mut backends = Vec::with_capacity(references.len());
    let mut problem = match_problem.or(retry);
    for backend in references {
        let (backend, unresolved, unsupported) = read_backend(world, &id.route, backend);
        backends.push(backend);
        route.unresolved = route.unresolved.take().or_else(|| unresolved.map(Box::new));
        problem = problem.or(unsupported);
    }
    let (filters, timeouts) = match (filters, timeouts) {
        (Ok(filters), Ok(timeouts)) => (filters, timeouts),
        (Err(rejected), _) | (_, Err(rejected)) => {
            problem = problem.or(Some(rejected));
            Default::default()
        }
    };
    if let Some(rejected) = problem {
        let message = format!("rules[{}]: {}", id.index, rejected.message);
        backends = vec![Backend {
            weight: 1,
            target: Target::Invalid(message.as_str().into()),
            filters: Arc::default(),
        }];
        route.unsupported =
            route.unsupported.take().or_else(|| Some(Rejected { message, ..rejected }.into()));
    } else {
        route.sound += 1;
    }
    let rule = Rule { id, filters, backends: backends.into(), timeouts };
    route.rules.push((Arc::new(rule), matches));
}

fn read_backend(
    world: &World<'_>,
    route: &ObjectRef,
    spec: &http::HttpRouteRulesBackendRefs,
) -> (Backend, Option<Rejected>, Option<Rejected>) {
    let reference = BackendRef::from(spec);
    let weight = weight(&reference);
    let (target, unresolved) = match resolve(world, route, &reference, Carries::Requests) {
        Ok(key) => (Target::Endpoints(key), None),
        Err(rejected) => (Target::Invalid(rejected.message.as_str().into()), Some(rejected)),
    };
    match filter::read(spec.filters.as_ref()) {
        Ok(filters) => (Backend { weight, target, filters }, unresolved, None),
        Err(rejected) => {
            let target = Target::Invalid(rejected.message.as_str().into());
            (Backend { weight, target, filters: Arc::default() }, unresolved, Some(rejected))
        }
    }
}

/// The share of a backend: 1 where nothing is said.
pub(super) fn weight(reference: &BackendRef) -> u32 {
    reference.weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0))
}

fn unsupported(message: String) -> Rejected {
    Rejected::new("UnsupportedValue", message)
}

/// The matches that can be served, and the first one's problem that cannot.
fn matches(spec: &http::HttpRouteRules) -> (Vec<Arc<Match>>, Option<Rejected>) {
    let Some(specs) = spec.matches.as_ref().filter(|matches| !matches.is_empty()) else {
        return (vec![Arc::clone(&EVERYTHING)], None);
    };
    let mut read = Vec::with_capacity(specs.len());
    let mut problem = None;
    for spec in specs {
        match read_match(spec) {
            Ok(matched) if matched == **EVERYTHING => read.push(Arc::clone(&EVERYTHING)),
            Ok(matched) => read.push(Arc::new(matched)),
            Err(rejected) => problem = problem.or(Some(rejected)),
        }
    }
    (read, problem)
}

fn read_match(spec: &http::HttpRouteRulesMatches) -> Result<Match, Rejected> {
    let mut headers: Vec<NamedMatch> = Vec::new();
    for header in spec.headers.iter().flatten() {
        let is_regex =
            header.r#type == Some(http::HttpRouteRulesMatchesHeadersType::RegularExpression);
        if !filter::is_token(&header.name) {
            return Err(unsupported(format!("`{}` is no header name", header.name)));
        }
        add_named(&mut headers, &header.name.to_ascii_lowercase(), &header.value, is_regex)?;
    }
    let mut query: Vec<NamedMatch> = Vec::new();
    for one in spec.query_params.iter().flatten() {
        let is_regex =
            one.r#type == Some(http::HttpRouteRulesMatchesQueryParamsType::RegularExpression);
        add_named(&mut query, &one.name, &one.value, is_regex)?;
    }
    let method = spec.method.as_ref().and_then(|method| serde_json::to_value(method).ok());
    let method = method.as_ref().and_then(|method| method.as_str()).map(Into::into);
    Ok(Match { path: path(spec.path.as_ref())?, method, headers, query })
}

/// Of several entries of one name the first counts (Gateway API).
fn add_named(
    all: &mut Vec<NamedMatch>,
    name: &str,
    value: &str,
    is_regex: bool,
) -> Result<(), Rejected> {
    if all.iter().any(|known| &*known.name == name) {
        return Ok(());
    }
    let value =
        if is_regex { ValueMatch::Regex(pattern(value)?) } else { ValueMatch::Exact(value.into()) };
    all.push(NamedMatch { name: name.into(), value });
    Ok(())
}

fn pattern(source: &str) -> Result<Pattern, Rejected> {
    Pattern::new(source).map_err(|error| unsupported(error.to_string()))
}

fn path(spec: Option<&http::HttpRouteRulesMatchesPath>) -> Result<PathMatch, Rejected> {
    use http::HttpRouteRulesMatchesPathType as Type;
    let value = spec.and_then(|path| path.value.as_deref()).unwrap_or("/");
    let kind = spec.and_then(|path| path.r#type.as_ref()).unwrap_or(&Type::PathPrefix);
    if matches!(kind, Type::RegularExpression) {
        return Ok(PathMatch::Regex(pattern(value)?));
    }
    let dotted = value.split('/').any(|element| matches!(element, "." | ".."));
    if !value.starts_with('/') || value.contains("//") || value.contains('#') || dotted {
        return Err(unsupported(format!("`{value}` is no path that a request can have")));
    }
    Ok(match kind {
        Type::Exact => PathMatch::Exact(value.into()),
        Type::PathPrefix | Type::RegularExpression => PathMatch::prefix(value),
    })
}

fn timeouts(spec: &http::HttpRouteRules) -> Result<Timeouts, Rejected> {
    let Some(spec) = &spec.timeouts else {
        return Ok(Timeouts::default());
    };
    let read = |text: Option<&String>| {
        let parsed = text.map(|text| {
            duration(text).ok_or_else(|| unsupported(format!("`{text}` is no duration")))
        });
        parsed.transpose()
    };
    let timeouts = Timeouts {
        request: read(spec.request.as_ref())?,
        backend_request: read(spec.backend_request.as_ref())?,
    };
    match timeouts {
        Timeouts { request: Some(all), backend_request: Some(one) }
            if one > all && !all.is_zero() =>
        {
            Err(unsupported(
                "`timeouts.backendRequest` is longer than `timeouts.request`".to_owned(),
            ))
        }
        timeouts => Ok(timeouts),
    }
}

/// Reads a duration such as `1h30m` or `250ms` (GEP-2257).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits =
            rest.find(|one: char| !one.is_ascii_digit()).filter(|at| (1..=5).contains(at))?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|one: char| one.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let factor = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        millis += number.parse::<u64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}
