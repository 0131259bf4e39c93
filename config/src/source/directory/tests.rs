//! The rules of a directory as the source, on real directories.

use std::fs;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::model::Name;

const DEADLINE: Duration = Duration::from_secs(10);

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
  namespace: shop
spec:
  hostnames: [web.example]
";

const BROKEN_ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
  namespace: shop
spec:
  rules:
    - matches:
        - path:
            type: Fuzzy
";

const EXPORTS: &str = "\
# two documents
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: a, namespace: shop}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: b, namespace: shop}
";

const EXPORTS_OF: &str = "\
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: NAME, namespace: shop}
";

struct World {
    folder: TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = Self { folder: TempDir::new().expect("a temporary directory") };
        for (name, text) in files {
            world.write(name, text);
        }
        world
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("the folder is made");
        fs::write(path, text).expect("the file is written");
    }

    fn read(&self) -> Contents {
        read_once(self.folder.path()).expect("the directory is there")
    }

    /// Runs the source, lets `act` happen after the first listing, waits for `until`.
    async fn watch(&self, act: impl FnOnce(&Self), until: impl Fn(&Watched) -> bool) -> Watched {
        let (directory, mut watched) = Directory::open(self.folder.path()).expect("it is there");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(directory.run(shutdown.clone()));
        watched.state.wait_for(|state| state.synced).await.expect("it runs");
        act(self);
        let wait = async {
            while !until(&watched) {
                watched.state.changed().await.expect("it runs");
            }
        };
        timeout(DEADLINE, wait).await.expect("the change is seen in time");
        shutdown.cancel();
        task.await.expect("it ends");
        watched
    }
}

fn route(watched: &Watched) -> Option<Arc<crate::api::HttpRoute>> {
    watched.resources.borrow().http_routes.get(&Name::new("shop", "web")).cloned()
}

fn exports(contents: &Contents) -> Vec<String> {
    contents.resources.service_exports.valid.keys().map(ToString::to_string).collect()
}

#[test]
fn every_document_of_every_file_is_read_one_folder_deep() {
    let world = World::new(&[
        ("a.yaml", EXPORTS),
        ("folder/route.yml", ROUTE),
        (".hidden/route.yaml", BROKEN_ROUTE),
        ("notes.txt", "none of ours: ["),
        ("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"),
    ]);
    let contents = world.read();
    assert_eq!(exports(&contents), ["shop/a", "shop/b"]);
    assert_eq!(contents.resources.http_routes.valid.len(), 1);
    assert_eq!(contents.problems, []);
}

#[test]
fn an_object_gets_what_the_api_server_would_add() {
    let contents = World::new(&[("route.yaml", ROUTE)]).read();
    let route = contents.resources.http_routes.get(&Name::new("shop", "web")).expect("is there");
    let metadata = &route.metadata;
    assert_eq!(metadata.generation, Some(1));
    assert_eq!(metadata.uid.as_ref().map(String::len), Some(36));
    assert!(metadata.creation_timestamp.is_some());
    let version = contents.resources.versions.get(&Kind::HttpRoute).map(ToString::to_string);
    assert_eq!(metadata.resource_version, version);
    let namespace = contents.resources.namespaces.get(&Name::new("", "shop")).expect("it exists");
    let label =
        namespace.metadata.labels.as_ref().and_then(|l| l.get("kubernetes.io/metadata.name"));
    assert_eq!(label.map(String::as_str), Some("shop"));
}

#[test]
fn the_uid_of_an_object_is_the_same_after_a_restart() {
    let world = World::new(&[("a.yaml", EXPORTS)]);
    let uids = |contents: &Contents| -> Vec<_> {
        contents.resources.service_exports.valid.values().map(|e| e.metadata.uid.clone()).collect()
    };
    let first = uids(&world.read());
    assert_eq!(first, uids(&world.read()));
    assert_ne!(first.first(), first.last());
}

#[test]
fn the_uid_of_an_object_is_the_same_in_every_version_of_ours() {
    let check = |kind, name, expected| assert_eq!(uid(&ObjectRef::new(kind, name)), expected);
    check(Kind::HttpRoute, Name::new("shop", "web"), "2f31461f-4b69-08b0-a6a5-003c2e0c3f5b");
    check(Kind::ClusterLink, Name::new("", "west"), "e18a7837-05d5-ba91-b12f-6af2ac613c24");
}

#[test]
fn a_broken_field_is_told_with_file_line_and_field_and_costs_only_its_object() {
    let text = format!("{EXPORTS}---\n{BROKEN_ROUTE}");
    let contents = World::new(&[("all.yaml", &text)]).read();
    assert_eq!(exports(&contents), ["shop/a", "shop/b"]);
    let problem = contents.problems.first().expect("there is a problem");
    assert!(problem.file.ends_with("all.yaml"), "{problem}");
    assert_eq!(problem.field, "spec.rules[0].matches[0].path.type");
    let line = text.lines().position(|line| line.contains("Fuzzy")).expect("it is there") + 1;
    assert_eq!(usize::try_from(problem.line).ok(), Some(line), "{problem}");
    assert!(problem.message.contains("Fuzzy"), "{problem}");
    let broken = contents.resources.http_routes.broken.get(&Name::new("shop", "web"));
    assert_eq!(broken.and_then(|broken| broken.generation), Some(1), "it never was good");
}

#[test]
fn a_duplicate_key_is_a_problem_with_its_line() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  type: x\n  type: y\n";
    let contents = World::new(&[("a.yaml", text)]).read();
    assert!(contents.resources.services.valid.is_empty());
    let problem = contents.problems.first().expect("there is a problem");
    assert_eq!(problem.line, 6, "{problem}");
}

#[test]
fn a_duplicate_key_of_the_users_json_is_a_problem_too() {
    let json = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "name": "b"}}"#;
    let contents = World::new(&[("a.yaml", json)]).read();
    let problem = contents.problems.first().expect("there is a problem");
    assert_eq!(problem.line, 1);
    assert!(problem.message.contains("duplicate"), "{problem:?}");
}

#[test]
fn an_object_in_two_files_counts_as_the_first_says() {
    let other = ROUTE.replace("web.example", "other.example");
    let contents = World::new(&[("a.yaml", ROUTE), ("b.yaml", &other)]).read();
    let route = contents.resources.http_routes.get(&Name::new("shop", "web")).expect("is there");
    assert_eq!(route.spec.hostnames.as_deref(), Some(&["web.example".to_owned()][..]));
    let problem = contents.problems.first().expect("there is a problem");
    assert!(problem.file.ends_with("b.yaml") && problem.message.contains("a.yaml"), "{problem}");
}

#[test]
fn a_kind_of_ours_that_is_not_read_is_told() {
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HttpRoute\nmetadata: {name: a}\n";
    let contents = World::new(&[("a.yaml", text)]).read();
    let problem = contents.problems.first().expect("there is a problem");
    assert_eq!((problem.line, problem.field.as_str()), (2, "kind"), "{problem}");
}

#[test]
fn string_data_of_a_secret_is_its_data() {
    let text =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\nstringData: {k: v}\n";
    let contents = World::new(&[("a.yaml", text)]).read();
    let secret = contents.resources.secrets.get(&Name::new("shop", "s")).expect("is there");
    let value = secret.data.as_ref().and_then(|data| data.get("k"));
    assert_eq!(value.map(|value| value.0.as_slice()), Some(&b"v"[..]));
}

#[test]
fn what_the_user_wrote_counts_before_what_was_made() {
    let made = ROUTE.replace("web.example", "made.example");
    let contents =
        World::new(&[(".spanway/objects/x.yaml", made.as_str()), ("z.yaml", ROUTE)]).read();
    let route = contents.resources.http_routes.get(&Name::new("shop", "web")).expect("is there");
    assert_eq!(route.spec.hostnames.as_deref(), Some(&["web.example".to_owned()][..]));
    assert_eq!(contents.problems, []);
}

#[test]
fn what_we_say_about_an_object_is_its_status() {
    let status = format!("{}status: {{parents: []}}\n", ROUTE.split("spec").next().expect("head"));
    let contents =
        World::new(&[(".spanway/status/x.yaml", status.as_str()), ("z.yaml", ROUTE)]).read();
    let route = contents.resources.http_routes.get(&Name::new("shop", "web")).expect("is there");
    assert!(route.status.is_some());
}

#[test]
fn what_is_said_later_about_an_object_is_no_new_generation() {
    let world = World::new(&[("route.yaml", ROUTE)]);
    let mut contents = world.read();
    let route = |contents: &Contents| {
        contents.resources.http_routes.get(&Name::new("shop", "web")).cloned().expect("is there")
    };
    let before = route(&contents);
    let status = format!("{}status: {{parents: []}}\n", ROUTE.split("spec").next().expect("head"));
    world.write(".spanway/status/x.yaml", &status);
    contents.read_again();
    contents.settle();
    let after = route(&contents);
    assert!(before.status.is_none() && after.status.is_some());
    assert_eq!(
        (&before.spec, before.metadata.generation),
        (&after.spec, after.metadata.generation)
    );
    assert_ne!(before.metadata.resource_version, after.metadata.resource_version);
    fs::remove_file(world.folder.path().join(".spanway/status/x.yaml")).expect("it is removed");
    contents.read_again();
    contents.settle();
    assert!(route(&contents).status.is_none(), "nothing is said any more");
    assert_eq!(before.spec, route(&contents).spec);
}

#[test]
fn an_object_comes_back_when_the_file_that_counted_before_it_goes() {
    let other = ROUTE.replace("web.example", "other.example");
    let world = World::new(&[("b.yaml", ROUTE)]);
    let mut contents = world.read();
    let hosts = |contents: &Contents| {
        let route = contents.resources.http_routes.get(&Name::new("shop", "web"));
        route.and_then(|route| route.spec.hostnames.clone())
    };
    world.write("a.yaml", &other);
    contents.read_again();
    contents.settle();
    assert_eq!(hosts(&contents), Some(vec!["other.example".to_owned()]));
    fs::remove_file(world.folder.path().join("a.yaml")).expect("it is removed");
    contents.read_again();
    contents.settle();
    assert_eq!(hosts(&contents), Some(vec!["web.example".to_owned()]));
}

#[test]
fn a_file_may_hold_thousands_of_objects() {
    let export = |number| format!("---\n{}", EXPORTS_OF.replace("NAME", &format!("e{number}")));
    let text: Vec<_> = (0..3000).map(export).collect();
    let contents = World::new(&[("all.yaml", &text.concat())]).read();
    assert_eq!((contents.problems, contents.resources.service_exports.valid.len()), (vec![], 3000));
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let world = World::new(&[]);
    assert!(read_once(&world.folder.path().join("absent")).is_err());
    assert!(Directory::open(&world.folder.path().join("absent")).is_err());
}

#[tokio::test]
async fn what_objects_ask_for_comes_before_their_statuses() {
    let status = format!("{}status: {{parents: []}}\n", ROUTE.split("spec").next().expect("head"));
    let world = World::new(&[(".spanway/status/x.yaml", status.as_str()), ("route.yaml", ROUTE)]);
    let (directory, mut watched) = Directory::open(world.folder.path()).expect("it is there");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(directory.run(shutdown.clone()));
    let state = watched.state.wait_for(|state| state.synced).await.expect("it runs").clone();
    assert!(!state.statuses);
    assert!(route(&watched).is_some_and(|route| route.status.is_none()));
    let told = timeout(DEADLINE, watched.state.wait_for(|state| state.statuses)).await;
    assert!(told.is_ok_and(|state| state.is_ok()), "they come without a change");
    assert!(route(&watched).is_some_and(|route| route.status.is_some()));
    shutdown.cancel();
    task.await.expect("it ends");
}

#[tokio::test]
async fn an_edit_takes_effect_and_raises_generation_and_version() {
    let world = World::new(&[("route.yaml", ROUTE)]);
    let edited = ROUTE.replace("web.example", "new.example");
    let seen = world
        .watch(
            |world| world.write("route.yaml", &edited),
            |watched| route(watched).is_some_and(|r| r.metadata.generation == Some(2)),
        )
        .await;
    let route = route(&seen).expect("it is there");
    assert_eq!(route.spec.hostnames.as_deref(), Some(&["new.example".to_owned()][..]));
    assert!(seen.state.borrow().has_reached(&seen.resources.borrow().versions));
}

#[tokio::test]
async fn a_half_written_file_keeps_the_last_good_state_of_its_objects() {
    for half in ["", "apiVersion: v1\nmetadata: {na", "apiVersion: gateway.networking.k8s.io/v1\n"]
    {
        let world = World::new(&[("route.yaml", ROUTE)]);
        let seen = world
            .watch(
                |world| world.write("route.yaml", half),
                |watched| !watched.state.borrow().problems.is_empty(),
            )
            .await;
        assert!(route(&seen).is_some(), "after {half:?}");
    }
}

#[tokio::test]
async fn a_broken_object_keeps_its_last_good_state() {
    let world = World::new(&[("route.yaml", ROUTE)]);
    let seen = world
        .watch(
            |world| world.write("route.yaml", BROKEN_ROUTE),
            |watched| !watched.state.borrow().problems.is_empty(),
        )
        .await;
    assert!(route(&seen).is_some_and(|route| route.spec.hostnames.is_some()));
    assert!(seen.resources.borrow().http_routes.broken.is_empty());
}

#[tokio::test]
async fn the_objects_of_a_removed_file_go() {
    let world = World::new(&[("route.yaml", ROUTE)]);
    let before = world.read().resources.versions.get(&Kind::HttpRoute).copied();
    let remove = |world: &World| {
        fs::remove_file(world.folder.path().join("route.yaml")).expect("the file is removed");
    };
    let seen = world.watch(remove, |watched| route(watched).is_none()).await;
    let after = seen.resources.borrow().versions.get(&Kind::HttpRoute).copied();
    assert!(after > before, "a deletion has a version too");
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_config_map_is_followed_when_its_links_are_swapped() {
    use std::os::unix::fs::symlink;
    let world = World::new(&[("..1/route.yaml", ROUTE)]);
    let edited = ROUTE.replace("web.example", "new.example");
    let at = |name: &str| world.folder.path().join(name);
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/route.yaml", at("route.yaml")).expect("linked");
    let swap = |world: &World| {
        world.write("..2/route.yaml", &edited);
        symlink("..2", at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
    };
    let new = Some(vec!["new.example".to_owned()]);
    let seen =
        world.watch(swap, |watched| route(watched).is_some_and(|r| r.spec.hostnames == new)).await;
    assert!(seen.state.borrow().problems.is_empty());
}

#[tokio::test]
async fn slices_are_kept_apart() {
    let world = World::new(&[("route.yaml", ROUTE)]);
    let slice = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  namespace: shop
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: 8080}]
";
    let web = Name::new("shop", "web");
    let seen = world
        .watch(
            |world| world.write("slice.yaml", slice),
            |watched| watched.slices.borrow().by_service.contains_key(&web),
        )
        .await;
    assert!(seen.slices.borrow().version > 0);
    assert!(!seen.resources.borrow().versions.contains_key(&Kind::EndpointSlice));
}

#[tokio::test]
async fn who_only_reads_objects_learns_nothing_of_their_statuses() {
    let status = format!("{}status: {{parents: []}}\n", ROUTE.split("spec").next().expect("head"));
    let world = World::new(&[(".spanway/status/x.yaml", status.as_str()), ("route.yaml", ROUTE)]);
    let (directory, mut watched) = Directory::open(world.folder.path()).expect("it is there");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(directory.without_statuses().run(shutdown.clone()));
    watched.state.wait_for(|state| state.statuses).await.expect("it runs");
    world.write(".spanway/status/x.yaml", &format!("{status}# once more\n"));
    world.write("exports.yaml", EXPORTS);
    let exports = watched.resources.wait_for(|it| it.service_exports.valid.len() == 2);
    timeout(DEADLINE, exports).await.expect("in time").expect("it runs");
    assert!(route(&watched).is_some_and(|route| route.status.is_none()));
    shutdown.cancel();
    task.await.expect("it ends");
}
