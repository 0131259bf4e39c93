//! The page at `/`: status, links and routes as tables that load themselves again.

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;

use crate::app::Views;

/// The page and what it loads; all of it is in the binary.
pub(super) fn routes() -> Router<Views> {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/page.js", get(|| file("text/javascript", include_str!("page/page.js"))))
        .route("/page.css", get(|| file("text/css", include_str!("page/page.css"))))
}

async fn file(
    kind: &'static str,
    text: &'static str,
) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, kind)], text)
}
