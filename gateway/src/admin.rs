//! The admin port, and the port for the kubelet and Prometheus.
//!
//! The admin port is for people on this machine: it shows, and changes nothing.

mod guard;
mod page;
pub mod view;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::view::{Endpoints, Moment, Question, Status, Table};
use crate::app::Views;
use crate::settings::Settings;

/// The ports, bound before anything else begins.
#[derive(Debug)]
pub struct Bound {
    admin: TcpListener,
    health: Option<TcpListener>,
}

/// Binds the fixed ports: one that is taken ends the start with a clear error.
pub async fn bind(settings: &Settings) -> anyhow::Result<Bound> {
    let admin = listen(settings.admin, "--admin").await?;
    let health = match settings.health {
        Some(address) => Some(listen(address, "--health").await?),
        None => None,
    };
    Ok(Bound { admin, health })
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be bound; choose another with {flag}"))
}

impl Bound {
    /// Where the admin pages are.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until the returned tasks are dropped.
    pub fn serve(self, views: Views) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let pages = pages(views.clone(), views.settings.admin);
        tasks.spawn(serve(self.admin, pages));
        if let Some(listener) = self.health {
            tasks.spawn(serve(listener, health().with_state(views)));
        }
        tasks
    }
}

async fn serve(listener: TcpListener, routes: Router) {
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "an admin port ended");
    }
}

fn health() -> Router<Views> {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
}

fn pages(views: Views, at: SocketAddr) -> Router {
    health()
        .merge(page::routes())
        .route("/api/v1/status", get(status))
        .route("/api/v1/table", get(table))
        .route("/api/v1/endpoints", get(endpoints))
        .route("/api/v1/explain", get(explain))
        .with_state(views)
        .layer(middleware::from_fn_with_state(at.ip(), guard::check))
}

/// The state of `views` now.
fn status_of(views: &Views) -> Status {
    Status::of(views, Moment { instant: Instant::now(), wall: Timestamp::now() })
}

async fn ready(State(views): State<Views>) -> (StatusCode, String) {
    let readiness = views.readiness.borrow().clone();
    let ready = if views.settings.role.carries() {
        readiness.is_ready()
    } else {
        views.source.borrow().synced
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = serde_json::to_string_pretty(&readiness).unwrap_or_default();
    (code, text + "\n")
}

async fn metrics(State(views): State<Views>) -> (StatusCode, String) {
    status_of(&views).measure(&views.metrics);
    match views.metrics.text(views.log.dropped()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn status(State(views): State<Views>) -> Json<Status> {
    Json(status_of(&views))
}

async fn table(State(views): State<Views>) -> Json<Table> {
    let snapshot = views.published.load_full();
    Json(Table::of(&snapshot.table, &snapshot.endpoints))
}

async fn endpoints(State(views): State<Views>) -> Json<Endpoints> {
    Json(Endpoints::of(&views.published.load_full().endpoints))
}

async fn explain(
    State(views): State<Views>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let question = match question(parameters) {
        Ok(question) => question,
        Err(name) => {
            let why = format!("`{name}` is none of method, url, header, gateway\n");
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
    };
    let snapshot = views.published.load_full();
    match question.answer(&snapshot.table, &snapshot.endpoints) {
        Ok(explained) => Json(explained).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// The question in a query, or the parameter that nobody knows.
fn question(parameters: Vec<(String, String)>) -> Result<Question, String> {
    let mut question = Question { method: "GET".to_owned(), ..Question::default() };
    for (name, value) in parameters {
        match name.as_str() {
            "method" => question.method = value,
            "url" => question.url = value,
            "header" => question.headers.push(value),
            "gateway" => question.gateway = Some(value),
            _ => return Err(name),
        }
    }
    Ok(question)
}

#[cfg(test)]
mod tests;
