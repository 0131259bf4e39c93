//! Heads and trailers to and from the header map of the `h2` crate.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::http::h1::{Block, Change, Malformed, RequestBuilder, RequestHead, ResponseHead};

/// A request that came over HTTP/2, judged by the same rules as one of HTTP/1.
pub(crate) fn request_head(
    request: &http::request::Parts,
    ended: bool,
) -> Result<RequestHead, Malformed> {
    let target = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .ok_or(Malformed::HostMissing)?,
    };
    let mut builder = RequestBuilder::new(request.method.as_str(), target, authority)?;
    for (name, value) in &request.headers {
        builder.field(name.as_str(), value.as_bytes())?;
    }
    builder.finish(ended)
}

/// The request for the next hop.
pub(crate) fn request(
    head: &RequestHead,
    changes: &[Change<'_>],
) -> Result<Request<()>, Malformed> {
    let mut headers = HeaderMap::with_capacity(24);
    let end_to_end = head.end_to_end().filter(|(name, _)| !is_own(name));
    apply(end_to_end, changes, &mut headers)?;
    if head.accepts_trailers() {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let mut host = head.host();
    for change in changes {
        if let Change::Set(name, value) = change
            && **name == http::header::HOST
        {
            host = value.to_str().map_err(|_| Malformed::Host)?;
        }
    }
    headers.remove(http::header::HOST);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(host.parse().map_err(|_| Malformed::Host)?);
    parts.path_and_query = Some(head.target().parse().map_err(|_| Malformed::Target)?);
    let uri = Uri::from_parts(parts).map_err(|_| Malformed::Target)?;
    let method = Method::from_bytes(head.method().as_bytes()).map_err(|_| Malformed::Method)?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The authority stands in the pseudo field; an expectation has no meaning behind a gateway that
/// has read the head.
fn is_own(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"expect")
}

/// The answer for a client.
pub(crate) fn response(
    head: &ResponseHead,
    changes: &[Change<'_>],
) -> Result<Response<()>, Malformed> {
    let mut headers = HeaderMap::with_capacity(24);
    apply(head.end_to_end(), changes, &mut headers)?;
    let status = StatusCode::from_u16(head.status()).map_err(|_| Malformed::Status)?;
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
    let mut headers = HeaderMap::new();
    let fields = block.fields().map(|(name, value)| (name.as_bytes(), value));
    apply(fields, &[], &mut headers)?;
    Ok(headers)
}

/// Copies fields, then makes the changes in order, as `write_request` does for HTTP/1.
fn apply<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    changes: &[Change<'_>],
    headers: &mut HeaderMap,
) -> Result<(), Malformed> {
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed::FieldName)?;
        append(headers, name, self::value(value)?)?;
    }
    for change in changes {
        match change {
            Change::Add(name, value) => append(headers, (*name).clone(), (*value).clone())?,
            Change::Remove(name) => drop(headers.remove(*name)),
            Change::Set(name, value) => set(headers, (*name).clone(), (*value).clone())?,
            Change::Own(name, value) => set(headers, (*name).clone(), self::value(value)?)?,
        }
    }
    Ok(())
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
