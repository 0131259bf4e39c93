//! A directory as the production code sees it, without running anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use config::api::ConfigMap;
use config::compile::{Compiled, Context, compile};
use config::marks::{PORT_RECORD, Standing};
use config::model::Name;
use config::ports::{PortRecord, PortRecords};
use config::resources::Resources;
use config::source::directory::{Contents, OpenError, read_once};
use discovery::catalog::{Exports, NamespaceLabels};
use discovery::endpoint::EndpointTable;
use discovery::endpoint::build::{Built, Inputs, Links, Mirrored};
use imbl::OrdMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The name of the record of ports that only stand in for those that a leader would allot.
const STAND_IN: &str = "spanway-stand-in";

/// What became of a directory.
#[derive(Debug)]
pub(super) struct Offline {
    /// What the files say.
    pub(super) contents: Contents,
    /// What was compiled of it.
    pub(super) compiled: Compiled,
    /// What is exported.
    pub(super) exports: Exports,
    /// The endpoints of this cluster: of others nobody knows without running.
    pub(super) endpoints: EndpointTable,
    /// Container ports that no leader has allotted.
    pub(super) stand_ins: BTreeSet<u16>,
}

/// Reads and compiles `directory` as a process in `namespace` would.
pub(super) fn read(directory: &Path, namespace: &str) -> Result<Offline, OpenError> {
    let contents = read_once(directory)?;
    let context = Context::new(namespace);
    let mut resources = contents.resources.clone();
    let stand_ins = stand_in(&mut resources, &context);
    let compiled = compile(&resources, &context);
    let (exports, endpoints) = endpoints(&contents);
    Ok(Offline { contents, compiled, exports, endpoints, stand_ins })
}

/// Gives each owner a container port that has none yet, for a port without one is not compiled.
fn stand_in(resources: &mut Resources, context: &Context) -> BTreeSet<u16> {
    let maps = resources.config_maps.valid.iter().map(|(name, map)| (name, &**map));
    let records = PortRecords::read(&context.namespace, maps);
    let held = records.by_owner();
    let mut owners: BTreeMap<_, _> =
        compile(resources, context).wanted_ports.iter().cloned().collect();
    owners.extend(discovery::plan::Owners::of(&resources.services.valid).ports());
    let missing = owners.into_iter().filter(|(owner, _)| !held.contains_key(owner));
    let free = (1..=u16::MAX)
        .filter(|port| !records.by_port.contains_key(port) && !records.unreadable.contains(port));
    let given: BTreeMap<u16, String> = free
        .zip(missing)
        .map(|(port, (owner, name))| (port, PortRecord::new(&owner, &name).to_json()))
        .collect();
    let ports = given.keys().copied().collect();
    let metadata = ObjectMeta {
        labels: Some([(PORT_RECORD.to_owned(), "true".to_owned())].into()),
        ..ObjectMeta::default()
    };
    let data = given.into_iter().map(|(port, record)| (port.to_string(), record));
    let map = ConfigMap { metadata, data: data.collect::<BTreeMap<_, _>>().into() };
    resources.config_maps.valid.insert(Name::new(&context.namespace, STAND_IN), Arc::new(map));
    ports
}

fn endpoints(contents: &Contents) -> (Exports, EndpointTable) {
    let Contents { resources, slices, .. } = contents;
    let mut exports = Exports::default();
    for (name, export) in &resources.service_exports.valid {
        let service = resources.services.get(name).map(AsRef::as_ref);
        exports.update(name, Some(export), service, slices.by_service.get(name));
    }
    let mirrors: OrdMap<_, _> = resources
        .services
        .valid
        .iter()
        .filter_map(|(name, service)| {
            let standing = Standing::read(&name.namespace, service.metadata.labels.as_ref())?;
            let Standing::Mirrored { import, from } = standing else { return None };
            Some((name.clone(), Mirrored { import, link: from.map(Into::into) }))
        })
        .collect();
    let inputs = Inputs {
        services: &resources.services.valid,
        slices,
        exports: &exports,
        links: &Links::new(),
        mirrors: &mirrors,
        namespaces: &NamespaceLabels::default(),
    };
    let table = Built::new(&inputs).table;
    (exports, table)
}

#[cfg(test)]
mod tests;
