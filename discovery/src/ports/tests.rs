//! Who gets a port, and when another may have it.

use super::*;

const SYSTEM: &str = "spanway-system";

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn owner(uid: &str, port: u16) -> PortOwner {
    PortOwner { uid: uid.into(), port }
}

/// A cluster whose leader allots ports and whose API server takes what it writes.
#[derive(Clone)]
struct World {
    objects: OrdMap<Name, Arc<ConfigMap>>,
    owners: BTreeMap<PortOwner, Name>,
    bound: BTreeSet<u16>,
    all_reported: bool,
    range: PortRange,
}

impl World {
    fn new(last: u16) -> Self {
        Self {
            objects: OrdMap::new(),
            owners: BTreeMap::new(),
            bound: BTreeSet::new(),
            all_reported: true,
            range: PortRange::new(20_000, last, FIRST_EPHEMERAL).unwrap(),
        }
    }

    fn wants(mut self, uids: &[&str]) -> Self {
        self.owners = uids.iter().map(|uid| (owner(uid, 80), Name::new("shop", uid))).collect();
        self
    }

    fn allot(&self, minutes: i64) -> Allotment {
        let needs = Needs {
            owners: &self.owners,
            bound: &self.bound,
            all_reported: self.all_reported,
            rest: REST,
            now: at(minutes),
        };
        allot(SYSTEM, &self.objects, self.range, &needs)
    }

    /// Writes as the API server does: only over the version that was read.
    fn write(&mut self, changes: &[Change]) -> bool {
        let mut all = true;
        for change in changes {
            let (Change::Create(object) | Change::Replace(object)) = change else { panic!() };
            let name = &object.reference.name;
            let mut new: ConfigMap = serde_json::from_value(object.value.clone()).unwrap();
            let stands = self.objects.get(name).and_then(|o| o.metadata.resource_version.clone());
            if new.metadata.resource_version != stands {
                all = false;
                continue;
            }
            let next = stands.map_or(1, |version| version.parse::<u64>().unwrap() + 1);
            new.metadata.resource_version = Some(next.to_string());
            self.objects.insert(name.clone(), Arc::new(new));
        }
        all
    }

    fn step(&mut self, minutes: i64) -> Allotment {
        let allotment = self.allot(minutes);
        assert!(self.write(&allotment.changes));
        allotment
    }

    fn port_of(&self, uid: &str) -> Option<u16> {
        let objects = self.objects.iter().map(|(name, object)| (name, &**object));
        PortRecords::read(SYSTEM, objects).by_owner().get(&owner(uid, 80)).copied()
    }
}

#[test]
fn an_owner_keeps_its_port() {
    let mut world = World::new(20_010).wants(&["a", "b"]);
    world.step(0);
    assert_eq!((world.port_of("a"), world.port_of("b")), (Some(20_000), Some(20_001)));
    assert_eq!(world.step(60).changes, []);
}

#[test]
fn a_freed_port_rests_before_another_owner_gets_it() {
    let mut world = World::new(20_000).wants(&["a"]);
    world.step(0);
    world = world.wants(&["b"]);
    let allotment = world.step(5);
    assert_eq!((allotment.exhausted, allotment.next), (vec![owner("b", 80)], Some(at(15))));
    assert_eq!(world.step(14).exhausted, [owner("b", 80)]);
    world.step(15);
    world.step(15);
    assert_eq!((world.port_of("a"), world.port_of("b")), (None, Some(20_000)));
}

#[test]
fn a_freed_port_rests_until_no_gateway_reports_it_bound() {
    let mut world = World::new(20_000).wants(&["a"]);
    world.step(0);
    world = world.wants(&[]);
    world.step(5);
    world.bound.insert(20_000);
    assert_eq!(world.step(60).changes, []);
    world.bound.clear();
    assert_eq!(world.step(60).changes.len(), 1);
}

#[test]
fn a_freed_port_rests_until_every_gateway_has_reported() {
    let mut world = World::new(20_000).wants(&["a"]);
    world.step(0);
    world = world.wants(&[]);
    world.step(5);
    world.all_reported = false;
    assert_eq!(world.step(60).changes, []);
}

#[test]
fn an_owner_that_comes_back_gets_its_port_again() {
    let mut world = World::new(20_010).wants(&["a"]);
    world.step(0);
    world = world.wants(&[]);
    world.step(5);
    assert_eq!(world.port_of("a"), None);
    world = world.wants(&["a"]);
    world.step(6);
    assert_eq!(world.port_of("a"), Some(20_000));
}

#[test]
fn two_leaders_cannot_give_one_port_twice() {
    let mut world = World::new(20_010).wants(&["a"]);
    world.step(0);
    let one = world.clone().wants(&["a", "b"]).allot(1);
    let other = world.clone().wants(&["a", "c"]).allot(1);
    assert!(world.write(&one.changes));
    assert!(!world.write(&other.changes));
    world = world.wants(&["a", "b", "c"]);
    world.step(2);
    assert_eq!((world.port_of("b"), world.port_of("c")), (Some(20_001), Some(20_002)));
}

#[test]
fn two_leaders_cannot_both_begin() {
    let mut world = World::new(20_010);
    let one = world.clone().wants(&["a"]).allot(0);
    let other = world.clone().wants(&["b"]).allot(0);
    assert!(world.write(&one.changes));
    assert!(!world.write(&other.changes));
}

#[test]
fn records_lie_in_several_objects() {
    let mut world = World::new(21_500);
    world.owners = (0..1_200)
        .map(|number| (owner(&format!("{number:04}"), 80), Name::new("shop", "web")))
        .collect();
    world.step(0);
    let sizes: Vec<usize> = world.objects.values().map(|object| object.data.read().len()).collect();
    assert_eq!(sizes, [1_000, 200]);
}

#[test]
fn exhaustion_names_who_gets_none() {
    let mut world = World::new(20_000).wants(&["a", "b"]);
    assert_eq!(world.step(0).exhausted, [owner("b", 80)]);
    assert_eq!(world.port_of("a"), Some(20_000));
}

#[test]
fn a_bound_port_is_given_to_nobody() {
    let mut world = World::new(20_010).wants(&["a"]);
    world.bound.insert(20_000);
    world.step(0);
    assert_eq!(world.port_of("a"), Some(20_001));
}

#[test]
fn what_cannot_be_read_is_neither_given_away_nor_lost() {
    let mut world = World::new(20_010).wants(&["a"]);
    world.step(0);
    let (name, object) = world.objects.get_min().cloned().unwrap();
    let mut odd = (*object).clone();
    let mut data = odd.data.read();
    data.insert("20001".into(), "{".into());
    odd.data = data.into();
    world.objects.insert(name.clone(), Arc::new(odd));
    world = world.wants(&["a", "b"]);
    world.step(1);
    assert_eq!(world.port_of("b"), Some(20_002));
    assert_eq!(world.objects[&name].data.get("20001").unwrap(), "{");
}

#[test]
fn an_owner_with_two_ports_keeps_the_lower() {
    let mut world = World::new(20_010).wants(&["a"]);
    world.step(0);
    let (name, object) = world.objects.get_min().cloned().unwrap();
    let mut twice = (*object).clone();
    let mut data = twice.data.read();
    data.insert("20005".into(), data["20000"].clone());
    twice.data = data.into();
    world.objects.insert(name, Arc::new(twice));
    world.step(1);
    assert_eq!(world.port_of("a"), Some(20_000));
    assert_eq!(world.allot(1).next, Some(at(11)));
}

#[test]
fn the_range_lies_below_the_local_ports() {
    assert_eq!(
        PortRange::new(20_000, 40_000, FIRST_EPHEMERAL).unwrap_err().to_string(),
        "port range `20000-40000` reaches into ip_local_port_range, which begins at 32768"
    );
    assert!(PortRange::new(80, 90, FIRST_EPHEMERAL).is_err());
    assert!(PortRange::new(21_000, 20_000, FIRST_EPHEMERAL).is_err());
}
