//! The same loop over a directory: its source reads what its writer writes.

use std::fs;

use config::source::directory::Directory;
use config::writer::Writer;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;

const LINK: &str = "\
apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: {name: west}
spec:
  addresses: [192.0.2.1]
  trustDomain: west.example
  bundle: '-----BEGIN CERTIFICATE-----'
  import: {rules: [{name: '{service}'}]}
";

async fn until<T>(watched: &mut watch::Receiver<Arc<T>>, holds: impl Fn(&T) -> bool) {
    let waiting = watched.wait_for(|value| holds(value));
    tokio::time::timeout(WAIT, waiting).await.expect("in time").unwrap();
}

#[tokio::test]
async fn what_is_mirrored_comes_and_goes_in_a_directory_too() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("link.yaml"), LINK).unwrap();
    let (directory, watched) = Directory::open(folder.path()).unwrap();
    let stop = CancellationToken::new();
    let source = tokio::spawn(directory.run(stop.clone()));
    let (states, watched_states) = watch::channel(link_state(true));
    let (reports, watched_reports) = watch::channel(Arc::default());
    let (_leading, leading) = watch::channel(true);
    let (words, mut told) = watch::channel(Arc::default());
    let (mut resources, mut slices) = (watched.resources.clone(), watched.slices.clone());
    let inputs = Inputs { watched, states: watched_states, reports: watched_reports, leading };
    let controller = Controller {
        settings: settings(),
        store: Writer::directory(folder.path()),
        gateways: (),
        clock: Timestamp::now,
    };
    let leader = tokio::spawn(run(controller, inputs, words, stop.clone().cancelled_owned()));

    until(&mut resources, |resources| recorded(resources) == 2).await;
    let report = report_of(&resources.borrow(), false);
    reports.send_replace(report);
    until(&mut told, |words| words.get("gw").is_some_and(|word| word.in_slices)).await;
    until(&mut slices, |slices| standing(slices).services().count() == 2).await;
    states.send_replace(link_state(false));
    until(&mut resources, |resources| resources.services.valid.is_empty()).await;
    until(&mut resources, |resources| resources.service_imports.valid.is_empty()).await;
    until(&mut slices, |slices| standing(slices).services().count() == 0).await;
    stop.cancel();
    leader.await.unwrap();
    source.await.unwrap();
}
