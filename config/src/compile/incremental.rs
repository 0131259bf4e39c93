//! Compiles what has changed, and what depends on it.
//!
//! There is one way to compile: everything is due at first, and less later. What is due is judged
//! as if nothing had been known of it, and put in the place of what was compiled before.
//!
//! ```text
//! objects ─► what differs ─► Gateways ─► routes ─► ports
//!                  └── who looked at it (Uses) ──┘
//! ```

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use super::alike::Alike;
use super::attach::{Places, Route};
use super::changes::{between, touch_records};
use super::claims::Claims;
use super::gateway::Read;
use super::uses::Uses;
use super::world::{Used, World};
use super::{Compiled, Context, gateway, http_route, mirrored, ports, stream_route};
use crate::model::{Kind, Name, ObjectRef};
use crate::ports::{Allotted, PortRecords};
use crate::resources::{Broken, Resources, Revision};

/// What was compiled last, and what it takes to bring it up to date.
pub(super) struct Incremental {
    context: Context,
    resources: Resources,
    /// Each Gateway, route, derived and mirrored Service that was compiled.
    known: HashMap<ObjectRef, Known, ahash::RandomState>,
    uses: Uses,
    places: Places,
    alike: Alike,
    allotted: Allotted,
    claims: Claims,
    compiled: Compiled,
}

/// Something that was compiled.
struct Known {
    /// What it depends on.
    used: Box<[Arc<Used>]>,
    /// The route, if it is one that could be read.
    route: Option<Route>,
    /// Whether anybody took the route.
    attached: bool,
}

/// What is to be compiled.
#[derive(Default)]
struct Due {
    gateways: BTreeSet<Name>,
    routes: BTreeSet<ObjectRef>,
    services: BTreeSet<Name>,
    /// Gateways whose ports serve something else.
    ports: BTreeSet<Name>,
}

impl Due {
    /// Notes one of those that are compiled; others are no matter.
    fn add(&mut self, object: &ObjectRef) {
        match object.kind {
            Kind::Gateway => drop(self.gateways.insert(object.name.clone())),
            Kind::HttpRoute | Kind::TlsRoute => drop(self.routes.insert(object.clone())),
            Kind::Service => drop(self.services.insert(object.name.clone())),
            _ => {}
        }
    }
}

impl Incremental {
    /// Nothing is compiled yet.
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            resources: Resources::default(),
            known: HashMap::default(),
            uses: Uses::default(),
            places: Places::default(),
            alike: Alike::default(),
            allotted: Allotted::default(),
            claims: Claims::default(),
            compiled: Compiled::default(),
        }
    }

    /// What was compiled last.
    pub(super) fn into_compiled(self) -> Compiled {
        self.compiled
    }

    /// Brings everything into line with `resources`.
    pub(super) fn update(&mut self, resources: &Resources) -> &Compiled {
        let before = mem::replace(&mut self.resources, resources.clone());
        let changed = between(&before, resources);
        let mut due = Due::default();
        for used in &changed {
            if let Used::Object(object) = used {
                due.add(object);
            }
            self.uses.of(used).for_each(|user| due.add(user));
        }
        if touch_records(&changed, &before, resources) {
            self.allot(&mut due);
        }
        if !before.gateway_classes.valid.ptr_eq(&resources.gateway_classes.valid) {
            self.compiled.verdicts.classes = gateway::classes(resources, &self.context);
        }
        self.read_gateways(&mut due);
        self.judge_routes(&mut due);
        self.serve_gateways(&due.ports);
        self.serve_services(&due.services);
        &self.compiled
    }

    /// Reads which container port belongs to whom.
    fn allot(&mut self, due: &mut Due) {
        let objects = self.resources.config_maps.valid.iter();
        let objects = objects.map(|(name, object)| (name, &**object));
        let allotted = PortRecords::read(&self.context.namespace, objects).by_owner();
        let before = mem::replace(&mut self.allotted, allotted.into());
        let owners = before.owners().chain(self.allotted.owners());
        let others = owners.filter(|owner| before.get(owner) != self.allotted.get(owner));
        let uids: BTreeSet<_> = others.map(|owner| &owner.uid).collect();
        for uid in uids {
            for user in self.uses.of(&Used::Ports(Arc::clone(uid))) {
                if user.kind == Kind::Gateway {
                    due.ports.insert(user.name.clone());
                    self.compiled.table.terminations = Revision::default();
                } else {
                    due.add(user);
                }
            }
        }
    }

    fn read_gateways(&mut self, due: &mut Due) {
        if due.gateways.is_empty() {
            return;
        }
        for name in mem::take(&mut due.gateways) {
            self.read_gateway(&name, due);
            due.ports.insert(name);
        }
        let gateways = &self.places.gateways;
        let needs = || gateways.values().map(|gateway| &gateway.needs);
        let certificates = needs().flat_map(|needs| needs.certificates.clone());
        self.compiled.certificates = Arc::new(certificates.collect());
        self.compiled.wanted = Arc::new(needs().flat_map(|needs| needs.wanted.clone()).collect());
        let owners = gateways
            .values()
            .flat_map(|gateway| gateway.owners().map(|owner| (owner, gateway.name.clone())));
        self.compiled.wanted_ports = owners.collect();
        self.compiled.table.terminations = Revision::default();
    }

    fn read_gateway(&mut self, name: &Name, due: &mut Due) {
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        self.forget(&object);
        let world = World::new(&self.resources);
        let gateways = &self.resources.gateways;
        let read = match (gateways.get(name), gateways.broken.get(name)) {
            (Some(gateway), _) => gateway::read(&world, &self.context, name, gateway),
            (None, Some(broken)) => gateway::broken(&world, &self.context, broken),
            (None, None) => Read::Foreign,
        };
        let used = world.into_used();
        self.compiled.verdicts.gateways.remove(name);
        let before = self.places.gateways.remove(name);
        let same = match (read, before) {
            (Read::Ours(mut now), before) => {
                let same = before.is_some_and(|before| now.take_over(before));
                self.places.gateways.insert(name.clone(), now);
                same
            }
            (Read::Broken(verdict), before) => {
                self.compiled.verdicts.gateways.insert(name.clone(), Arc::new(verdict));
                before.is_none()
            }
            (Read::Foreign, before) => before.is_none(),
        };
        if !same {
            self.uses.of(&Used::Object(object.clone())).for_each(|user| due.add(user));
        }
        self.know(object, used, (None, false));
    }

    fn judge_routes(&mut self, due: &mut Due) {
        for object in mem::take(&mut due.routes) {
            if let Some(Known { route: Some(route), attached, .. }) = self.forget(&object) {
                self.places.detach(&route);
                if attached {
                    route.backends().into_iter().for_each(|key| self.compiled.named.remove(key));
                }
            }
            self.judge_route(object);
        }
        for touched in mem::take(&mut self.places.touched) {
            if touched.kind == Kind::Gateway {
                due.ports.insert(touched.name);
            } else {
                self.uses.of(&Used::Routes(touched)).for_each(|user| due.add(user));
            }
        }
    }

    fn serve_gateways(&mut self, names: &BTreeSet<Name>) {
        for name in names {
            let object = ObjectRef::new(Kind::Gateway, name.clone());
            let gateway = self.places.gateways.get(name);
            let served = gateway.map(|gateway| ports::serve(gateway, &self.allotted));
            self.claims.put(&object, served.unwrap_or_default(), &mut self.compiled.table.ports);
            if let Some(gateway) = gateway {
                let verdict = ports::verdict(gateway, &self.allotted);
                self.compiled.verdicts.gateways.insert(name.clone(), Arc::new(verdict));
            }
        }
    }

    fn judge_route(&mut self, object: ObjectRef) {
        let world = World::new(&self.resources);
        let (route, (verdict, attached)) = match read(&world, &self.resources, &object) {
            Some(Ok(mut route)) => {
                self.alike.share_parents(&mut route);
                let judged = self.places.attach(&world, &route);
                (Some(route), judged)
            }
            Some(Err(broken)) => {
                (None, (self.places.judge_broken(&world, object.clone(), broken), false))
            }
            None => {
                self.compiled.verdicts.routes.remove(&object);
                return;
            }
        };
        if let Some(route) = route.as_ref().filter(|_| attached) {
            route.backends().into_iter().for_each(|key| self.compiled.named.add(key));
        }
        let used = world.into_used();
        let verdict = self.alike.share_verdict(verdict);
        self.compiled.verdicts.routes.insert(object.clone(), verdict);
        self.know(object, used, (route, attached));
    }

    fn serve_services(&mut self, names: &BTreeSet<Name>) {
        for name in names {
            let object = ObjectRef::new(Kind::Service, name.clone());
            self.forget(&object);
            let world = World::new(&self.resources);
            let served = self.resources.services.get(name).map(|service| {
                mirrored::serve(&world, (name, service), &self.places.parents, &self.allotted)
            });
            let served = served.unwrap_or_default();
            self.claims.put(&object, served, &mut self.compiled.table.ports);
            let used = world.into_used();
            // Most Services are nobody's port.
            if !used.is_empty() {
                self.know(object, used, (None, false));
            }
        }
    }

    /// Keeps what something depends on; and of a route itself and whether anybody took it.
    fn know(&mut self, object: ObjectRef, used: BTreeSet<Used>, judged: (Option<Route>, bool)) {
        let used = self.uses.add(&object, used);
        let (route, attached) = judged;
        self.known.insert(object, Known { used, route, attached });
    }

    fn forget(&mut self, object: &ObjectRef) -> Option<Known> {
        let known = self.known.remove(object)?;
        self.uses.remove(object, &known.used);
        Some(known)
    }
}

/// Reads a route, of either kind; `None`: there is none.
fn read<'r>(
    world: &World<'_>,
    resources: &'r Resources,
    object: &ObjectRef,
) -> Option<Result<Route, &'r Broken>> {
    let ObjectRef { kind, name } = object;
    if *kind == Kind::HttpRoute {
        let all = &resources.http_routes;
        let route = all.get(name).map(|route| http_route::read(world, name, route));
        let broken = || all.broken.get(name).map(|broken| Err(&**broken));
        return route.map(|route| Ok(Route::Http(Arc::new(route)))).or_else(broken);
    }
    let all = &resources.tls_routes;
    let route = all.get(name).map(|route| stream_route::read(world, name, route));
    let broken = || all.broken.get(name).map(|broken| Err(&**broken));
    route.map(|route| Ok(Route::Stream(Arc::new(route)))).or_else(broken)
}
