//! The admin port, and the port for the kubelet and Prometheus.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

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
        tasks.spawn(serve(self.admin, health(views.clone())));
        if let Some(listener) = self.health {
            tasks.spawn(serve(listener, health(views)));
        }
        tasks
    }
}

async fn serve(listener: TcpListener, routes: Router) {
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "an admin port ended");
    }
}

fn health(views: Views) -> Router {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(views)
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
    match views.metrics.text(views.log.dropped()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
