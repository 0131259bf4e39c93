//! Which mirrored Services the links' import rules ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::api::cluster_link::{Import as ImportRules, MirrorRule};
use config::model::{LinkName, Name};
use imbl::OrdMap;

use crate::catalog::CatalogService;
use crate::merge::{Exporter, Import, merge_service};

use super::{NamespaceView, Namespaces, Problem, marks};

/// Namespaces that nobody else's services enter unless a link names them: a foreign service there
/// could pass for a part of the cluster itself.
const GUARDED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Stands for the cluster in a name's template: such a name is for that cluster alone.
const CLUSTER: &str = "{cluster}";
/// The longest name of a Service: a DNS label.
const NAME_LENGTH_MAX: usize = 63;

/// A linked cluster: what it exports to us, and what we make of it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The link.
    pub link: LinkName,
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Its exports.
    pub services: OrdMap<Name, Arc<CatalogService>>,
    /// The link's import rules.
    pub rules: Arc<ImportRules>,
}

/// A mirrored Service that a rule asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The exported service that it stands for.
    pub service: Name,
    /// The one link that it stands for, or none for all.
    pub from: Option<LinkName>,
    /// The exports that it stands for, merged.
    pub import: Import,
}

/// Who wants a name: a service, of one cluster or of all.
type Rivals<'a> = BTreeMap<&'a Name, Option<&'a Remote>>;

/// The exports of a remote cluster that its link imports into namespaces that exist here.
pub fn imported(remote: &Remote, namespaces: &Namespaces) -> OrdMap<Name, Arc<CatalogService>> {
    let enters = |name: &Name| {
        namespaces.get(&*name.namespace).is_some_and(|view| enters(&remote.rules, name, view))
    };
    remote
        .services
        .iter()
        .filter(|(name, service)| enters(name) && is_sound(name, service))
        .map(|(name, service)| (name.clone(), Arc::clone(service)))
        .collect()
}

fn enters(rules: &ImportRules, name: &Name, view: &NamespaceView) -> bool {
    let namespace = &*name.namespace;
    let named = rules.namespaces.names.iter().any(|known| known == namespace);
    let guarded = view.guarded || GUARDED.contains(&namespace);
    (named || !guarded) && rules.namespaces.contains(namespace, view.label())
}

/// Whether objects can be made of an export: an API server would refuse what is not sound in it,
/// again and again.
fn is_sound(name: &Name, service: &CatalogService) -> bool {
    is_service_name(&name.name)
        && service.ports.iter().all(|port| {
            let protocol = port.app_protocol.as_deref().unwrap_or_default();
            port.number > 0
                && (port.name.is_empty() || is_label(&port.name))
                && (protocol.is_empty() || marks::is_key(protocol))
        })
}

/// The mirrored Services that the rules of all links ask for, by name. `remotes` holds only what
/// is imported. Where two services want one name, the older export has it.
pub fn mirrors(
    remotes: &[Remote],
    namespaces: &Namespaces,
) -> (BTreeMap<Name, Mirror>, Vec<Problem>) {
    let mut wanted: BTreeMap<Name, Rivals<'_>> = BTreeMap::new();
    let mut problems = Vec::new();
    for remote in remotes {
        for (service, export) in &remote.services {
            let Some(view) = namespaces.get(&*service.namespace) else { continue };
            let Some(rule) = first_rule(remote, service, export, view) else { continue };
            let name = expand(&rule.name, &service.name, &remote.cluster);
            if !is_service_name(&name) {
                let message = format!("`{name}`, as link `{}` asks, names no Service", remote.link);
                problems.push(Problem::new(service, "InvalidName", message));
                continue;
            }
            let target = Name { namespace: Arc::clone(&service.namespace), name: name.into() };
            let one = rule.name.contains(CLUSTER).then_some(remote);
            let rivals = wanted.entry(target).or_default();
            // Of two rules with the same name, one for all clusters holds both.
            rivals.entry(service).and_modify(|known| *known = None).or_insert(one);
        }
    }
    let mirrors = wanted
        .into_iter()
        .filter_map(|(name, rivals)| {
            let mirror = settle(&name, &rivals, remotes, &mut problems)?;
            Some((name, mirror))
        })
        .collect();
    (mirrors, problems)
}

/// Gives a name to the oldest of those that want it.
fn settle(
    target: &Name,
    rivals: &Rivals<'_>,
    remotes: &[Remote],
    problems: &mut Vec<Problem>,
) -> Option<Mirror> {
    let candidates = rivals.iter().filter_map(|(service, from)| {
        let remotes =
            remotes.iter().filter(|remote| from.is_none_or(|one| one.link == remote.link));
        let mut exports: Vec<_> = remotes
            .filter_map(|remote| {
                let export = remote.services.get(*service)?;
                let cluster = Arc::clone(&remote.cluster);
                Some((Exporter { exported_at: export.exported_at, cluster }, &**export))
            })
            .collect();
        exports.sort_by(|(one, _), (other, _)| one.cmp(other));
        let from = from.map(|one| Arc::clone(&one.link));
        Some(Mirror { service: (*service).clone(), from, import: merge_service(&exports)? })
    });
    let mut candidates: Vec<Mirror> = candidates.collect();
    candidates.sort_by_key(|mirror| mirror.import.exporters.first().cloned());
    let mut candidates = candidates.into_iter();
    let winner = candidates.next()?;
    for loser in candidates {
        let message =
            format!("`{}` already mirrors the older `{}`", target.name, winner.service.name);
        problems.push(Problem::new(&loser.service, "NameTaken", message));
    }
    Some(winner)
}

/// The first rule of a link that fits a service.
fn first_rule<'a>(
    remote: &'a Remote,
    service: &Name,
    export: &CatalogService,
    view: &NamespaceView,
) -> Option<&'a MirrorRule> {
    let label = |key: &str| export.labels.get(key).map(|value| &**value);
    remote.rules.rules.iter().find(|rule| {
        rule.namespaces.contains(&service.namespace, view.label())
            && rule.selector.as_ref().is_none_or(|selector| selector.matches(label))
    })
}

/// Fills a name's template.
fn expand(template: &str, service: &str, cluster: &str) -> String {
    template.replace("{service}", service).replace(CLUSTER, cluster)
}

/// Whether a Service may be called so: a DNS label that begins with a letter.
fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Whether it is a DNS label.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= NAME_LENGTH_MAX
        && name.bytes().all(inner)
        && !name.is_empty()
        && !name.starts_with('-')
        && !name.ends_with('-')
}
