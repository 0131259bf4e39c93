//! Compiles each state of the objects once, however many ask for it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::incremental::Incremental;
use super::{Compiled, Context};
use crate::resources::{Resources, Revision};

/// Remembers what was compiled last. Clones share it: of those who follow the same source, the
/// first compiles and the others take what it has.
#[derive(Clone)]
pub struct Compiler {
    context: Context,
    last: Arc<Mutex<Last>>,
}

struct Last {
    revision: Revision,
    incremental: Incremental,
    compiled: Arc<Compiled>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Compiler {
    /// Nothing is compiled yet.
    pub fn new(context: Context) -> Self {
        let last = Last {
            revision: Revision::default(),
            incremental: Incremental::new(context.clone()),
            compiled: Arc::default(),
        };
        Self { context, last: Arc::new(Mutex::new(last)) }
    }

    /// Who compiles.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// What `resources` compile to. The table's version rises with everything that is compiled.
    pub fn compile(&self, resources: &Resources) -> Arc<Compiled> {
        // Who waits here would have compiled the same itself.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.revision != *resources.revision() {
            let mut compiled = last.incremental.update(resources).clone();
            compiled.table.version = last.compiled.table.version + 1;
            last.revision = resources.revision().clone();
            last.compiled = Arc::new(compiled);
        }
        Arc::clone(&last.compiled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Kind;

    fn class(version: &str, controller: &str, status: &Value) -> kube::core::DynamicObject {
        let class = json!({
            "metadata": {"name": "spanway", "uid": "class", "resourceVersion": version},
            "spec": {"controllerName": controller},
            "status": status,
        });
        serde_json::from_value(class).expect("it has the shape of an object")
    }

    #[test]
    fn a_status_is_not_compiled_again_and_a_spec_is_once_for_all() {
        let (one, mut resources) = (Compiler::new(Context::new("system")), Resources::default());
        let other = one.clone();
        resources.apply(Kind::GatewayClass, class("1", "else", &Value::Null));
        let first = one.compile(&resources);
        assert!(first.verdicts.classes.is_empty());
        assert!(Arc::ptr_eq(&first, &other.compile(&resources)), "compiled once for both");
        resources.apply(Kind::GatewayClass, class("2", "else", &json!({"conditions": []})));
        assert!(Arc::ptr_eq(&first, &one.compile(&resources)), "a status is no reason");
        resources
            .apply(Kind::GatewayClass, class("3", super::super::CONTROLLER_NAME, &Value::Null));
        let second = other.compile(&resources);
        assert_eq!(second.verdicts.classes.len(), 1);
        assert!(second.table.version > first.table.version);
    }
}
