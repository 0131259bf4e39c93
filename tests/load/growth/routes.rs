//! Many routes: to load, to hold, to look up, and one of them changed.

use std::sync::Arc;

use anyhow::Context as _;
use config::compile::{Context, compile};
use config::resources::Resources;
use config::source::directory::{Contents, read_once};
use config::table::RoutingTable;
use granit_parser::Parser;
use rand::RngExt as _;

use super::Size;
use super::clock::{resident_bytes, timed};
use super::figure::Figure;
use super::gateway::{Gateway, Get, find};
use super::objects::{self, NAMESPACE, host};
use super::worker::Worker;

/// How many tables are built beside the first: what one needs is seen from the second on.
const TABLES: usize = 4;
/// Lookups for one figure.
const LOOKUPS: usize = 200_000;

/// The figures of a table with many routes.
pub(crate) fn measure(size: Size, say: &mut impl FnMut(Figure)) -> anyhow::Result<()> {
    let few = Size { routes: 10, files: 1, ..size };
    let small = load(few)?;
    let folder = folder(size)?;
    let before = resident_bytes()?;
    let mut gateway = Gateway::new()?;
    let (contents, cpu) = timed(|| -> anyhow::Result<Contents> {
        let contents = read_once(folder.path())?;
        gateway.take(&contents.resources, &contents.slices);
        Ok(contents)
    });
    let mut contents = contents?;
    let held = resident_bytes()? - before;
    anyhow::ensure!(contents.problems.is_empty(), "a file is broken: {:?}", contents.problems);
    let snapshot = gateway.published.load_full();
    let last = size.routes - 1;
    find(&snapshot.table, &Get(&host(last), "/")).context("the last route is not there")?;
    drop(snapshot);
    let texts = objects::texts(folder.path())?;
    let (read, events) = timed(|| {
        texts
            .iter()
            .flat_map(|text| Parser::new_from_str(text))
            .try_for_each(|event| event.map(drop))
    });
    read?;
    drop(texts);
    say(Figure::new("routes.load", cpu, "s").asked(3.0, 1.2));
    let without = Figure::new("routes.load.objects", cpu - events, "s").asked(1.5, 0.5);
    say(without.noted(format!("without {events:.3} s for the events of YAML")));
    say(Figure::new("routes.memory", per_route(held, size), "KB").asked(4.0, 1.5));
    say(Figure::new("routes.memory.table", table_bytes(&contents.resources, size)?, "KB")
        .asked(1.0, 0.3));
    lookups(size, &small, &gateway, say);
    change(size, (folder.path(), &mut contents, &mut gateway), say)
}

fn load(size: Size) -> anyhow::Result<Gateway> {
    let folder = folder(size)?;
    let contents = read_once(folder.path())?;
    let mut gateway = Gateway::new()?;
    gateway.take(&contents.resources, &contents.slices);
    Ok(gateway)
}

fn folder(size: Size) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    objects::write_base(folder.path(), size.services)?;
    for part in 0..size.files {
        objects::write_routes(folder.path(), size, part, None)?;
    }
    Ok(folder)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_route(bytes: f64, size: Size) -> f64 {
    bytes / 1024.0 / size.routes as f64
}

/// What one more table takes in memory, for each route.
fn table_bytes(resources: &Resources, size: Size) -> anyhow::Result<f64> {
    let context = Context::new(NAMESPACE);
    // The first one fills what the allocator had left over.
    let mut tables: Vec<RoutingTable> = vec![compile(resources, &context).table];
    let before = resident_bytes()?;
    tables.extend((1..TABLES).map(|_| compile(resources, &context).table));
    let grown = resident_bytes()? - before;
    let more = tables.len() - 1;
    #[expect(clippy::cast_precision_loss, reason = "four")]
    Ok(per_route(grown / more as f64, size))
}

fn lookups(size: Size, small: &Gateway, large: &Gateway, say: &mut impl FnMut(Figure)) {
    let few = lookup_nanos(small, 10);
    let many = lookup_nanos(large, size.routes);
    say(Figure::new("routes.lookup.few", few, "ns").noted("10 routes"));
    say(Figure::new("routes.lookup.many", many, "ns"));
    say(Figure::new("routes.lookup.more", many - few, "ns").aimed(300.0));
}

/// What it takes to find the rule for a host that is drawn at random.
fn lookup_nanos(gateway: &Gateway, routes: usize) -> f64 {
    let mut chance = rand::rng();
    let hosts: Vec<String> = (0..LOOKUPS).map(|_| host(chance.random_range(0..routes))).collect();
    let snapshot = gateway.published.load();
    let (found, seconds) = timed(|| {
        hosts.iter().filter(|host| find(&snapshot.table, &Get(host, "/a")).is_some()).count()
    });
    assert_eq!(found, LOOKUPS, "every host has a route");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let nanos = seconds * 1e9 / LOOKUPS as f64;
    nanos
}

/// One route of a file is changed again and again, while a worker reads what is published.
fn change(
    size: Size,
    (folder, contents, gateway): (&std::path::Path, &mut Contents, &mut Gateway),
    say: &mut impl FnMut(Figure),
) -> anyhow::Result<()> {
    let mut took = Vec::with_capacity(size.changes);
    let worker = Worker::start(&gateway.published, host(size.routes / 2));
    for round in 1..=size.changes {
        let route = (round * 7919) % size.routes;
        let part = route / size.routes.div_ceil(size.files);
        objects::write_routes(folder, size, part, Some((route, round)))?;
        contents.read_again();
        let ((), seconds) = timed(|| {
            contents.settle();
            gateway.take(&contents.resources, &contents.slices);
        });
        took.push(seconds * 1e3);
        let snapshot = gateway.published.load();
        let path = format!("/v{round}");
        anyhow::ensure!(find(&snapshot.table, &Get(&host(route), &path)).is_some(), "{route}");
        anyhow::ensure!(find(&snapshot.table, &Get(&host(route), "/x")).is_none(), "{route}");
    }
    say(Figure::of("routes.change", took, "ms").asked(1.0, 0.05));
    // All of the table goes at once: the most that a worker could be left with.
    gateway.take(&Resources::default(), &Arc::default());
    say(worker.longest("routes.worker.turn").asked(1.0, 0.2));
    Ok(())
}
