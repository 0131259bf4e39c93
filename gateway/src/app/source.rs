//! Opens the source and what is written to, of either kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use config::compile::{Compiler, Context};
use config::model::ObjectRef;
use config::source::Watched;
use config::source::directory::Directory;
use config::source::kubernetes::{Kubernetes, Options};
use config::writer::Writer;
use discovery::catalog::client::LinkStates;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::settings::{Settings, SourceSettings};

/// An open source.
pub(super) struct Open {
    /// What is watched.
    pub(super) watched: Watched,
    /// What follows from what is watched, for the model and the leader.
    pub(super) compiler: Compiler,
    /// Where objects are written.
    pub(super) writer: Writer,
    /// The API server, if there is one.
    pub(super) client: Option<Client>,
    /// The Secrets and `ConfigMap`s that are to be watched.
    pub(super) wanted: watch::Sender<BTreeSet<ObjectRef>>,
    /// What each link knows.
    pub(super) states: watch::Sender<LinkStates>,
}

/// Opens the source that the settings name and keeps it watched.
pub(super) async fn open(
    settings: &Settings,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<Open> {
    let wanted = watch::Sender::default();
    let states = watch::Sender::default();
    let compiler = Compiler::new(Context::new(&settings.namespace));
    match &settings.source {
        SourceSettings::Directory(path) => {
            let (directory, watched) = Directory::open(path)
                .with_context(|| format!("the directory {} cannot be read", path.display()))?;
            let controls = settings.role.controls();
            let directory = if controls { directory } else { directory.without_statuses() };
            tasks.spawn(directory.run(stop.clone()));
            let writer = Writer::directory(path);
            Ok(Open { watched, compiler, writer, client: None, wanted, states })
        }
        SourceSettings::Kubernetes => {
            let client =
                Client::try_default().await.context("there is no cluster to connect to")?;
            let options = Options {
                namespace: Arc::clone(&settings.namespace),
                controls: settings.role.controls(),
            };
            let (source, watched) = Kubernetes::new(client.clone(), options, wanted.subscribe());
            tasks.spawn(source.run(stop.clone()));
            let writer = Writer::kubernetes(client.clone());
            Ok(Open { watched, compiler, writer, client: Some(client), wanted, states })
        }
    }
}
