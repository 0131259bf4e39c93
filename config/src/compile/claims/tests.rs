//! Of those that claim a port the last has it, whatever comes and goes before.

use proptest::prelude::*;

use super::*;
use crate::model::{AppProtocol, BackendKey, Kind, Name, ServicePort};
use crate::table::{MirroredPort, PortOwner, PortServes};

const CLAIMANTS: [&str; 3] = ["a", "b", "c"];

fn port(claimant: &str, version: usize) -> Arc<Port> {
    let name = Name::new("shop", claimant);
    let backend = BackendKey::Mirror(ServicePort { service: name.clone(), port: 80 });
    let mirrored = MirroredPort { protocol: AppProtocol::Unset, backend, routes: None };
    Arc::new(Port {
        owner: PortOwner { uid: format!("{claimant}-{version}").into(), port: 80 },
        name,
        serves: PortServes::Mirrored(Arc::new(mirrored)),
    })
}

proptest! {
    #[test]
    fn the_last_claimant_has_the_port(
        steps in prop::collection::vec((0..CLAIMANTS.len(), prop::collection::btree_set(0..6_u16, 0..4)), 0..20),
    ) {
        let mut claims = Claims::default();
        let mut table = OrdMap::new();
        let mut expected: BTreeMap<usize, (usize, BTreeSet<u16>)> = BTreeMap::new();
        for (version, (claimant, numbers)) in steps.into_iter().enumerate() {
            let name = CLAIMANTS[claimant];
            let of = ObjectRef::new(Kind::Service, Name::new("shop", name));
            let ports = numbers.iter().map(|number| (*number, port(name, version))).collect();
            claims.put(&of, ports, &mut table);
            expected.insert(claimant, (version, numbers));
            for number in 0..6 {
                let last = expected.iter().rev().find(|(_, (_, numbers))| numbers.contains(&number));
                let last = last.map(|(claimant, (version, _))| format!("{}-{version}", CLAIMANTS[*claimant]));
                let has = table.get(&number).map(|port: &Arc<Port>| port.owner.uid.to_string());
                prop_assert_eq!(has, last);
            }
        }
    }
}
