//! Heads and trailers to and from the header map of the `h2` crate.

use config::table::HeaderChange;
use http::header::{EXPECT, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::http::h1::{
    Asked, Block, Change, Malformed, OwnField, RequestBuilder, RequestHead, ResponseHead, trim,
};

/// Fields for which a map has room at once: those of a browser and our own.
const USUAL_FIELDS: usize = 24;

/// A request that came over HTTP/2, judged by the same rules as one of HTTP/1.
pub(crate) fn request_head(
    parts: http::request::Parts,
    ended: bool,
) -> Result<RequestHead, Malformed> {
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .ok_or(Malformed::HostMissing)?,
    };
    let mut builder = RequestBuilder::new(parts.method.as_str(), target, authority)?;
    for (name, value) in &parts.headers {
        builder.field(name.as_str(), value.as_bytes())?;
    }
    let mut head = builder.finish(ended)?;
    head.parts = is_trimmed(&parts.headers).then(|| Box::new(parts));
    Ok(head)
}

/// The answer to `asked` that came over HTTP/2, judged like one of HTTP/1.
pub(crate) fn response_head(
    parts: http::response::Parts,
    asked: Asked,
    ended: bool,
) -> Result<ResponseHead, Malformed> {
    let status = parts.status.as_u16();
    let mut head = ResponseHead::of_fields(status, pairs(&parts.headers), asked, ended)?;
    head.map = is_trimmed(&parts.headers).then(|| Box::new(parts.headers));
    Ok(head)
}

/// Whether no value has spaces around it (RFC 9113 section 8.2.1), so that all can go on as they
/// are.
fn is_trimmed(headers: &HeaderMap) -> bool {
    headers.values().map(HeaderValue::as_bytes).all(|value| trim(value).len() == value.len())
}

/// The request for the next hop.
pub(crate) fn request(
    head: &RequestHead,
    changes: &[Change<'_>],
) -> Result<Request<()>, Malformed> {
    let (method, mut uri, mut headers) = match &head.parts {
        Some(parts) => {
            (parts.method.clone(), parts.uri.clone().into_parts(), parts.headers.clone())
        }
        None => (method(head)?, target(head)?, lines(head.end_to_end())?),
    };
    // An expectation has no meaning behind a gateway that has read the head.
    headers.remove(EXPECT);
    change(changes, &mut headers)?;
    // The authority stands in the pseudo field.
    headers.remove(HOST);
    if head.accepts_trailers() {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    uri.scheme = Some(http::uri::Scheme::HTTP);
    if uri.authority.is_none() {
        uri.authority = Some(head.host().parse().map_err(|_| Malformed::Host)?);
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Malformed::Target)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn target(head: &RequestHead) -> Result<http::uri::Parts, Malformed> {
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(head.target().parse().map_err(|_| Malformed::Target)?);
    Ok(uri)
}

fn method(head: &RequestHead) -> Result<Method, Malformed> {
    Method::from_bytes(head.method_bytes()).map_err(|_| Malformed::Method)
}

/// The answer for a client.
pub(crate) fn response(
    mut head: ResponseHead,
    changes: &[Change<'_>],
) -> Result<Response<()>, Malformed> {
    let status = StatusCode::from_u16(head.status()).map_err(|_| Malformed::Status)?;
    let mut headers = match head.map.take() {
        Some(map) => *map,
        None => lines(head.end_to_end())?,
    };
    change(changes, &mut headers)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Names and values of a header map, for the rules.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// Trailers for the peer.
pub(crate) fn trailers(block: &Block) -> Result<HeaderMap, Malformed> {
    lines(block.fields().map(|(name, value)| (name.as_bytes(), value)))
}

/// Fields that came as lines.
fn lines<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed::FieldName)?;
        append(&mut headers, name, self::value(value)?)?;
    }
    Ok(headers)
}

/// Makes the changes in order, as `write_request` does for HTTP/1.
fn change(changes: &[Change<'_>], headers: &mut HeaderMap) -> Result<(), Malformed> {
    for change in changes {
        match change {
            Change::Filter(change) => filter(change, headers)?,
            Change::Remove(name) => drop(headers.remove(*name)),
            Change::Own(field, value) => own(field, value, headers)?,
            Change::OwnLines(lines) => {
                lines.fields().try_for_each(|(field, value)| own(field, value, headers))?;
            }
        }
    }
    Ok(())
}

fn filter(change: &HeaderChange, headers: &mut HeaderMap) -> Result<(), Malformed> {
    for name in change.dropped() {
        headers.remove(name);
    }
    change.added().try_for_each(|(name, value)| append(headers, name.clone(), value.clone()))
}

fn own(field: &OwnField, value: &[u8], headers: &mut HeaderMap) -> Result<(), Malformed> {
    let mut value = self::value(value)?;
    // What never comes again would take the place of what does in the peer's table (RFC 7541
    // section 6.2.3).
    value.set_sensitive(field.is_unique());
    set(headers, field.name().clone(), value)
}

fn value(bytes: &[u8]) -> Result<HeaderValue, Malformed> {
    HeaderValue::from_bytes(bytes).map_err(|_| Malformed::FieldValue)
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Malformed> {
    headers.try_append(name, value).map(drop).map_err(|_| Malformed::TooManyFields)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Malformed> {
    headers.try_insert(name, value).map(drop).map_err(|_| Malformed::TooManyFields)
}

#[cfg(test)]
mod tests;
