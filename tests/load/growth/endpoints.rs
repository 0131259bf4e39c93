//! Many endpoints, and one of them changed.

use config::resources::{Resources, Slices};
use config::source::directory::read_once;
use kube::core::DynamicObject;

use super::Size;
use super::clock::timed;
use super::figure::Figure;
use super::gateway::Gateway;
use super::objects::{self, host};
use super::worker::Worker;

/// The figures of a table with many endpoints.
pub(crate) fn measure(size: Size, say: &mut impl FnMut(Figure)) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    objects::write_base(folder.path(), size.services)?;
    let resources: Resources = read_once(folder.path())?.resources;
    let mut slices = Slices::default();
    for service in 0..size.services {
        slices.apply(slice(size, service, 0)?);
    }
    let mut gateway = Gateway::new()?;
    gateway.take(&resources, &slices);
    let known = gateway.published.load().endpoints.sets.iter().count();
    anyhow::ensure!(known == size.services, "{known} sets of endpoints");
    let worker = Worker::start(&gateway.published, host(0));
    let mut took = Vec::with_capacity(size.changes);
    for round in 1..=size.changes {
        let changed = slice(size, (round * 7919) % size.services, round)?;
        let before = gateway.published.load_full();
        let ((), seconds) = timed(|| {
            slices.apply(changed);
            gateway.take(&resources, &slices);
        });
        took.push(seconds * 1e3);
        let now = gateway.published.load();
        anyhow::ensure!(!before.endpoints.sets.ptr_eq(&now.endpoints.sets), "nothing changed");
    }
    say(Figure::of("endpoints.change", took, "ms").asked(5.0, 0.1));
    gateway.take(&Resources::default(), &Slices::default());
    say(worker.longest("endpoints.worker.turn").asked(1.0, 0.2));
    Ok(())
}

fn slice(size: Size, service: usize, round: usize) -> anyhow::Result<DynamicObject> {
    Ok(serde_json::from_value(objects::slice(size, service, round))?)
}
