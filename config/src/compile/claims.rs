//! Who has which container port in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use crate::model::ObjectRef;
use crate::table::Port;

/// The ports of each Gateway, derived and mirrored Service. Of two that claim one port, which takes
/// two objects with one UID, the last has it: Services come after Gateways.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// By number.
    of: BTreeMap<ObjectRef, Box<[Claim]>>,
    /// Ports that several have claimed: only of these anybody is asked who else does.
    contested: BTreeSet<u16>,
}

type Claim = (u16, Arc<Port>);

impl Claims {
    /// Puts the ports of `claimant` in the place of those that it had, here and in `table`.
    pub(super) fn put(
        &mut self,
        claimant: &ObjectRef,
        ports: Vec<Claim>,
        table: &mut OrdMap<u16, Arc<Port>>,
    ) {
        // The last of a number has it.
        let ports: Box<[Claim]> =
            ports.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        let had = self.of.remove(claimant).unwrap_or_default();
        let numbers = ports.iter().map(|(number, _)| *number);
        let is_others = |number: &u16| find(&had, *number).is_none() && table.contains_key(number);
        self.contested.extend(numbers.filter(is_others));
        let numbers: BTreeSet<u16> = had.iter().chain(&ports).map(|(number, _)| *number).collect();
        if !ports.is_empty() {
            self.of.insert(claimant.clone(), ports);
        }
        for number in numbers {
            let owner = if self.contested.contains(&number) {
                self.last(number)
            } else {
                self.of.get(claimant).and_then(|ports| find(ports, number))
            };
            match owner {
                Some(port) => drop(table.insert(number, Arc::clone(port))),
                None => drop(table.remove(&number)),
            }
        }
    }

    fn last(&self, number: u16) -> Option<&Arc<Port>> {
        self.of.values().rev().find_map(|ports| find(ports, number))
    }
}

fn find(ports: &[Claim], number: u16) -> Option<&Arc<Port>> {
    let at = ports.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    ports.get(at).map(|(_, port)| port)
}

#[cfg(test)]
mod tests;
