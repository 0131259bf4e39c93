//! Filters of a rule or a backend; one that is not built is a rejection, never passed over.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use crate::api::gateway::httproute as http;
use crate::table::{Filter, HeaderChange, HeaderField};
use crate::verdict::Rejected;

/// Fields that say how a message is framed or where it goes: an operator who could change them
/// could make one request look like two.
const NOT_TO_BE_CHANGED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What the names of others begin with that end at this hop: nobody would see the change.
const OF_PROXIES: &str = "proxy-";

/// Reads the filters of a rule or of a backend, which are of different types but look the same.
pub(super) fn read<F: Serialize>(filters: Option<&Vec<F>>) -> Result<Arc<[Filter]>, Rejected> {
    filters.into_iter().flatten().map(one).collect()
}

fn one<F: Serialize>(filter: &F) -> Result<Filter, Rejected> {
    let value = serde_json::to_value(filter).unwrap_or(Value::Null);
    let read: Result<http::HttpRouteRulesFilters, _> = serde_json::from_value(value);
    let filter = read.map_err(|error| unsupported(error.to_string()))?;
    let name = match filter.r#type {
        http::HttpRouteRulesFiltersType::RequestHeaderModifier => {
            let modifier = filter.request_header_modifier;
            return Ok(Filter::RequestHeaders(change(modifier)?));
        }
        http::HttpRouteRulesFiltersType::ResponseHeaderModifier => {
            let modifier = filter.response_header_modifier;
            return Ok(Filter::ResponseHeaders(change(modifier)?));
        }
        http::HttpRouteRulesFiltersType::RequestMirror => "RequestMirror",
        http::HttpRouteRulesFiltersType::RequestRedirect => "RequestRedirect",
        http::HttpRouteRulesFiltersType::UrlRewrite => "URLRewrite",
        http::HttpRouteRulesFiltersType::ExtensionRef => "ExtensionRef",
        http::HttpRouteRulesFiltersType::Cors => "CORS",
    };
    Err(unsupported(format!("filter {name} is not supported")))
}

fn unsupported(message: String) -> Rejected {
    Rejected::new("UnsupportedValue", message)
}

/// The modifiers of requests and responses look the same too.
#[derive(serde::Deserialize)]
struct Modifier {
    #[serde(default)]
    set: Vec<Field>,
    #[serde(default)]
    add: Vec<Field>,
    #[serde(default)]
    remove: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Field {
    name: String,
    value: String,
}

fn change<M: Serialize>(modifier: Option<M>) -> Result<Arc<HeaderChange>, Rejected> {
    let value = serde_json::to_value(modifier).unwrap_or(Value::Null);
    let read: Result<Modifier, _> = serde_json::from_value(value);
    let modifier = read.map_err(|_| unsupported("a header filter says nothing".to_owned()))?;
    let remove = modifier.remove.iter().map(|one| name(one)).collect::<Result<_, _>>()?;
    Ok(Arc::new(HeaderChange::new(fields(&modifier.set)?, fields(&modifier.add)?, remove)))
}

/// Of several entries of one name the first counts (Gateway API).
fn fields(fields: &[Field]) -> Result<Vec<HeaderField>, Rejected> {
    let mut read: Vec<HeaderField> = Vec::with_capacity(fields.len());
    for field in fields {
        let name = name(&field.name)?;
        // RFC 9110 section 5.5.
        let text = field.value.trim_matches([' ', '\t']);
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            unsupported(format!(
                "the value for header `{name}` has a line break or another control character in it"
            ))
        })?;
        if !read.iter().any(|(known, _)| *known == name) {
            read.push((name, value));
        }
    }
    Ok(read)
}

fn name(text: &str) -> Result<HeaderName, Rejected> {
    let lower = text.to_ascii_lowercase();
    if NOT_TO_BE_CHANGED.contains(&lower.as_str()) || lower.starts_with(OF_PROXIES) {
        return Err(unsupported(format!("header `{text}` may not be changed")));
    }
    let read = HeaderName::from_bytes(lower.as_bytes());
    read.map_err(|_| unsupported(format!("`{text}` is no header name")))
}

/// Whether `text` may be the name of a field (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_sign = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}
