//! The rules of writing into a directory, read back by its source.

use tempfile::TempDir;

use super::super::{Conflicts, Writer};
use super::*;
use crate::model::Name;
use crate::source::directory::read_once;

struct World {
    folder: TempDir,
    writer: Writer,
}

fn world() -> World {
    let folder = TempDir::new().expect("a temporary directory");
    let writer = Writer::directory(folder.path());
    World { folder, writer }
}

fn reference(kind: Kind) -> ObjectRef {
    ObjectRef::new(kind, Name::new("shop", "web"))
}

fn config_map(value: &str) -> DynamicObject {
    let map = json!({"metadata": {"namespace": "shop", "name": "web"}, "data": {"k": value}});
    serde_json::from_value(map).expect("it has the shape of an object")
}

impl World {
    fn value(&self) -> Option<String> {
        let contents = read_once(self.folder.path()).expect("it is there");
        assert_eq!(contents.problems, []);
        let map = contents.resources.config_maps.get(&Name::new("shop", "web"))?;
        map.data.get("k")
    }

    async fn apply(&self, value: &str) -> DynamicObject {
        let object = config_map(value);
        self.writer.apply(Kind::ConfigMap, object, Conflicts::Fail).await.expect("it is applied")
    }
}

fn version(object: &DynamicObject) -> Option<String> {
    object.metadata.resource_version.clone()
}

#[tokio::test]
async fn what_is_applied_is_read_by_the_source_as_it_was_given() {
    let world = world();
    for value in ["true", "1.5", "~", "a: b # c", "two\nlines\n", " space ", "", "-----BEGIN\nx\n"]
    {
        world.apply(value).await;
        assert_eq!(world.value().as_deref(), Some(value));
    }
}

#[tokio::test]
async fn what_is_applied_again_keeps_its_version_and_a_change_raises_it() {
    let world = world();
    let first = world.apply("a").await;
    assert_eq!(version(&first), version(&world.apply("a").await));
    let second = world.apply("b").await;
    assert!(version(&second) > version(&first));
    assert_eq!(second.metadata.uid, first.metadata.uid);
    assert_eq!(second.metadata.creation_timestamp, first.metadata.creation_timestamp);
}

#[tokio::test]
async fn the_source_gives_the_version_that_was_written() {
    let world = world();
    let written = world.apply("a").await;
    let contents = read_once(world.folder.path()).expect("it is there");
    let read = contents.resources.config_maps.get(&Name::new("shop", "web")).cloned();
    let read = read.expect("it is there").metadata.clone();
    assert_eq!((read.resource_version, read.uid), (version(&written), written.metadata.uid));
}

#[tokio::test]
async fn an_object_is_created_once_and_not_over_that_of_the_user() {
    let world = world();
    world.writer.create(Kind::ConfigMap, config_map("a")).await.expect("it is created");
    let again = world.writer.create(Kind::ConfigMap, config_map("b")).await;
    assert_eq!(again.map_err(|e| e.reason).err(), Some(WriteFailure::AlreadyExists));
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shop}\n";
    fs::write(world.folder.path().join("mine.yaml"), text).expect("it is written");
    let over = world.writer.create(Kind::Secret, config_map("c")).await;
    assert_eq!(over.map_err(|e| e.reason).err(), Some(WriteFailure::AlreadyExists));
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: \"w\\x65b\", namespace: shop}\n";
    fs::write(world.folder.path().join("escaped.yaml"), text).expect("it is written");
    let over = world.writer.create(Kind::Service, config_map("d")).await;
    assert_eq!(over.map_err(|e| e.reason).err(), Some(WriteFailure::AlreadyExists));
}

#[tokio::test]
async fn what_an_earlier_version_wrote_as_yaml_is_known() {
    let world = world();
    let first = world.apply("a").await;
    let folder = world.folder.path().join(OWN_FOLDER).join(OBJECTS_FOLDER);
    let file = fs::read_dir(folder).expect("is there").next().expect("one").expect("read").path();
    let json: Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("it is there")).expect("it is JSON");
    fs::write(&file, serde_saphyr::to_string(&json).expect("YAML")).expect("it is written");
    assert_eq!(world.value().as_deref(), Some("a"));
    assert_eq!(version(&world.apply("a").await), version(&first));
}

#[tokio::test]
async fn a_replacement_counts_only_for_the_version_that_it_names() {
    let world = world();
    let first = world.apply("a").await;
    let mut next = config_map("b");
    next.metadata.resource_version = version(&first);
    world.writer.replace(Kind::ConfigMap, next.clone()).await.expect("it is replaced");
    let late = world.writer.replace(Kind::ConfigMap, next).await;
    assert_eq!(late.map_err(|e| e.reason).err(), Some(WriteFailure::Conflict));
    let absent = world.writer.replace(Kind::Service, config_map("b")).await;
    assert_eq!(absent.map_err(|e| e.reason).err(), Some(WriteFailure::NotFound));
}

#[tokio::test]
async fn a_merge_changes_what_it_names_and_removes_what_it_names_as_null() {
    let world = world();
    world.apply("a").await;
    let patch = json!({"metadata": {"finalizers": ["x/y"]}, "data": {"k": "b"}});
    world.writer.merge(&reference(Kind::ConfigMap), patch).await.expect("it is merged");
    assert_eq!(world.value().as_deref(), Some("b"));
    let patch = json!({"data": {"k": null}});
    world.writer.merge(&reference(Kind::ConfigMap), patch).await.expect("it is merged");
    assert_eq!(world.value(), None);
    let read = world.writer.get(&reference(Kind::ConfigMap)).await.expect("it is read");
    let finalizers = read.expect("it is there").metadata.finalizers;
    assert_eq!(finalizers, Some(vec!["x/y".to_owned()]));
}

#[tokio::test]
async fn a_deletion_counts_only_for_the_object_that_is_meant() {
    let world = world();
    world.apply("a").await;
    let reference = reference(Kind::ConfigMap);
    let other = Precondition { uid: Some("other".to_owned()), resource_version: None };
    let refused = world.writer.delete(&reference, other).await;
    assert_eq!(refused.map_err(|e| e.reason), Err(WriteFailure::Conflict));
    world.writer.delete(&reference, Precondition::default()).await.expect("it is deleted");
    assert_eq!(world.value(), None);
    let gone = world.writer.delete(&reference, Precondition::default()).await;
    assert_eq!(gone.map_err(|e| e.reason), Err(WriteFailure::NotFound));
}

#[tokio::test]
async fn the_status_of_the_users_object_is_said_without_touching_its_file() {
    let world = world();
    let text = "apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: web, namespace: shop}\n";
    let file = world.folder.path().join("mine.yaml");
    fs::write(&file, text).expect("it is written");
    let status = json!({"conditions": [{
        "type": "Valid", "status": "True", "reason": "Valid", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    let object = reference(Kind::ServiceExport);
    world.writer.patch_status(&object, status, None).await.expect("it is said");
    let contents = read_once(world.folder.path()).expect("it is there");
    let export = contents.resources.service_exports.get(&object.name).cloned();
    let conditions = export.and_then(|e| e.status.clone()).map(|status| status.conditions);
    assert_eq!(conditions.map(|conditions| conditions.len()), Some(1));
    assert_eq!(fs::read_to_string(file).expect("it is there"), text);
}

#[tokio::test]
async fn a_name_that_is_no_objects_name_never_becomes_a_path() {
    let world = world();
    let mut object = config_map("a");
    object.metadata.name = Some("../../x".to_owned());
    let refused = world.writer.apply(Kind::ConfigMap, object, Conflicts::Fail).await;
    assert_eq!(refused.map_err(|e| e.reason).err(), Some(WriteFailure::Invalid));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt;
    let world = world();
    world.apply("a").await;
    let folder = world.folder.path().join(OWN_FOLDER).join(OBJECTS_FOLDER);
    let file = fs::read_dir(folder).expect("is there").next().expect("one").expect("read");
    assert_eq!(file.metadata().expect("read").permissions().mode() & 0o777, 0o600);
}
