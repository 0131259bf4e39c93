//! In which order changes are carried out, and what a failure costs.

use std::sync::Mutex;

use config::model::{Kind, Name};
use serde_json::json;

use super::*;
use crate::plan::{Doomed, Object};

/// Notes what it is asked, and answers as it is told.
#[derive(Default)]
struct Notes {
    asked: Mutex<Vec<String>>,
    fails: Option<&'static str>,
    hangs: Option<&'static str>,
}

impl Store for Notes {
    async fn carry_out(&self, change: &Change) -> Result<(), StoreError> {
        let name = change.reference().name.name.to_string();
        self.asked.lock().unwrap().push(name.clone());
        if self.hangs == Some(&name) {
            std::future::pending::<()>().await;
        }
        match self.fails {
            Some("conflict") => Err(StoreError::Conflict(name)),
            Some(fails) if fails == name => Err(StoreError::Failed("no".into())),
            _ => Ok(()),
        }
    }

    async fn patch_status(&self, _: &StatusPatch) -> Result<(), StoreError> {
        Ok(())
    }
}

fn create(kind: Kind, name: &str) -> Change {
    let reference = ObjectRef::new(kind, Name::new("shop", name));
    Change::Create(Object { reference, value: json!({}) })
}

fn delete(kind: Kind, name: &str) -> Change {
    let reference = ObjectRef::new(kind, Name::new("shop", name));
    Change::Delete(Doomed { reference, uid: None, resource_version: None })
}

#[tokio::test]
async fn a_service_comes_before_its_slices_and_goes_after_them() {
    let store = Notes::default();
    let mut changes = vec![
        delete(Kind::Service, "old"),
        create(Kind::EndpointSlice, "slice"),
        delete(Kind::EndpointSlice, "old-slice"),
        create(Kind::Service, "web"),
    ];
    changes.sort_by_key(Change::phase);
    assert_eq!(apply(&store, &changes).await.done, 4);
    assert_eq!(*store.asked.lock().unwrap(), ["web", "slice", "old-slice", "old"]);
}

#[tokio::test]
async fn a_failure_stops_no_other_change() {
    let store = Notes { fails: Some("web"), ..Notes::default() };
    let changes = [create(Kind::Service, "web"), create(Kind::EndpointSlice, "slice")];
    let outcome = apply(&store, &changes).await;
    assert_eq!((outcome.done, outcome.failed, outcome.is_complete()), (1, 1, false));
    assert_eq!(outcome.to_string(), "1 done, 0 met a change, 1 failed; Service shop/web: no");
}

#[tokio::test]
async fn a_conflict_asks_for_another_round() {
    let store = Notes { fails: Some("conflict"), ..Notes::default() };
    let outcome = apply(&store, &[create(Kind::Service, "web")]).await;
    assert_eq!((outcome.conflicts, outcome.failed, outcome.is_complete()), (1, 0, false));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_answers_fails_in_time() {
    let store = Notes { hangs: Some("web"), ..Notes::default() };
    let changes = [create(Kind::Service, "web"), create(Kind::EndpointSlice, "slice")];
    let outcome = apply(&store, &changes).await;
    assert_eq!((outcome.done, outcome.failed), (1, 1));
}
