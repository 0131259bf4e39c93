//! Keeps web pages of others away from the admin port: a name that a page's owner points to
//! 127.0.0.1 (DNS rebinding) is not one of ours.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What a page may load: our own script and style, nothing from elsewhere, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// On every answer.
const FIELDS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Lets requests pass that read, and that mean this machine or the address `at` that the admin
/// port was put on.
pub(super) async fn check(State(at): State<IpAddr>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let mut answer = if request.method() != Method::GET {
        (StatusCode::METHOD_NOT_ALLOWED, "this port only shows\n").into_response()
    } else if !host.is_some_and(|host| is_ours(host, at)) {
        (StatusCode::MISDIRECTED_REQUEST, "call it localhost\n").into_response()
    } else {
        next.run(request).await
    };
    answer.headers_mut().extend(FIELDS);
    answer
}

/// Whether a `Host` means this machine.
fn is_ours(host: &str, at: IpAddr) -> bool {
    // A user's name has no place in a `Host`.
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == at)
}

#[cfg(test)]
mod tests;
