//! Who has which container port in the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::model::{Kind, Name, ObjectRef};
use crate::table::Port;

/// The ports of each Gateway, derived and mirrored Service. Of two that claim one port, which takes
/// two objects with one UID, the last has it: Services come after Gateways.
#[derive(Debug, Default)]
pub(super) struct Claims {
    ports: BTreeMap<(u16, ObjectRef), Arc<Port>>,
    of: BTreeMap<ObjectRef, Vec<u16>>,
}

impl Claims {
    /// Puts the ports of `claimant` in the place of those that it had, here and in `table`.
    pub(super) fn put(
        &mut self,
        claimant: &ObjectRef,
        ports: Vec<(u16, Arc<Port>)>,
        table: &mut OrdMap<u16, Arc<Port>>,
    ) {
        let mut touched = self.of.remove(claimant).unwrap_or_default();
        for number in &touched {
            self.ports.remove(&(*number, claimant.clone()));
        }
        if !ports.is_empty() {
            let numbers: Vec<u16> = ports.iter().map(|(number, _)| *number).collect();
            touched.extend(&numbers);
            self.of.insert(claimant.clone(), numbers);
        }
        for (number, port) in ports {
            self.ports.insert((number, claimant.clone()), port);
        }
        for number in touched {
            match self.last(number) {
                Some(port) => drop(table.insert(number, port)),
                None => drop(table.remove(&number)),
            }
        }
    }

    fn last(&self, number: u16) -> Option<Arc<Port>> {
        // No object stands before a Gateway without a name.
        let first = ObjectRef::new(Kind::Gateway, Name::new("", ""));
        let from = self.ports.range((number, first)..);
        from.take_while(|((other, _), _)| *other == number).last().map(|(_, port)| Arc::clone(port))
    }
}
