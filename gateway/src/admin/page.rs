//! The page at `/`: status, links and routes as tables that load themselves again.

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;

use crate::app::Views;

const HTML: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

/// A file of the page, with its type.
type File = ([(HeaderName, &'static str); 1], &'static str);

/// The page and what it loads; all of it is in the binary.
pub(super) fn routes() -> Router<Views> {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", HTML) }))
        .route("/page.js", get(|| async { file("text/javascript", SCRIPT) }))
        .route("/page.css", get(|| async { file("text/css", STYLE) }))
}

const fn file(kind: &'static str, text: &'static str) -> File {
    ([(CONTENT_TYPE, kind)], text)
}
