//! Offers requests to lanes: open loop at a rate, or closed loop.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::bulk::{Bulk, Hello, Kind};
use super::http2;
use super::lane::{Fresh, Job, Kept, Lane, Stream};
use super::request::{Fields, Request, Requests};
use super::sample::{Sample, Spent};
use super::tally::Tally;
use super::ticks::{TICK, Ticks};
use super::wire::Tls;

/// How long answers may take behind the last request. What is not there by then never comes.
const LATE_MAX: Duration = Duration::from_secs(20);
/// The last requests are in time if they are answered so soon: else the backlog has grown.
const IN_TIME: Duration = Duration::from_millis(50);

/// What carries the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Carrier {
    /// HTTP/1.1 connections that are kept.
    Kept,
    /// A new connection for each request.
    Fresh,
    /// HTTP/2 streams.
    Http2,
    /// HTTP/2 streams with gRPC calls.
    Grpc,
    /// Kept connections with a mebibyte in each answer.
    Down,
    /// The same in each request.
    Up,
    /// The same behind a ClientHello that nobody answers.
    Through,
    /// New connections with a ClientHello that nobody answers, and a small answer.
    Hello,
}

/// What to send, where, how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to.
    #[arg(long)]
    to: SocketAddr,
    /// What carries the requests.
    #[arg(long, value_enum, default_value = "kept")]
    carrier: Carrier,
    /// Connections; with new ones, how many may be open at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Streams of each HTTP/2 connection.
    #[arg(long, default_value_t = 50)]
    streams: usize,
    /// Requests a second; as fast as they are answered if absent.
    #[arg(long)]
    rate: Option<u32>,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before.
    #[arg(long, default_value_t = 0.3)]
    warm: f64,
    /// Hosts that requests go to.
    #[arg(long, default_value_t = 1000)]
    hosts: u64,
    /// Fields of the requests.
    #[arg(long, value_enum, default_value = "program")]
    fields: Fields,
    /// Nobody between here and the endpoint reads or changes heads.
    #[arg(long)]
    raw: bool,
    /// Waits for the answers to all that was due, however slow the machine is.
    #[arg(long)]
    patient: bool,
    /// Ends after so many requests in a closed loop, in place of the seconds.
    #[arg(long)]
    requests: Option<u64>,
    /// Certificates for TLS; plain if absent.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The name that is asked for in TLS.
    #[arg(long, default_value = "gw.bench.example")]
    name: String,
    /// Processes whose CPU time is measured.
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
    /// The core that the load and the upstream have for themselves.
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Who may start, what waits, and what came of it.
pub(crate) struct Plan {
    lanes: RefCell<Vec<Rc<dyn Lane>>>,
    requests: RefCell<Requests>,
    tally: RefCell<Tally>,
    free: RefCell<VecDeque<usize>>,
    waiting: RefCell<VecDeque<(Instant, bool)>>,
    under_way: Cell<usize>,
    closed: bool,
    patient: bool,
    phase: Cell<Phase>,
    limit: Cell<Option<u64>>,
    over: Notify,
    idle: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Warm,
    Measured,
    Over,
}

impl Plan {
    fn new(options: &Options) -> Rc<Self> {
        Rc::new(Self {
            lanes: RefCell::default(),
            requests: RefCell::new(Requests::new(options.fields, options.raw, options.hosts)),
            tally: RefCell::default(),
            free: RefCell::default(),
            waiting: RefCell::default(),
            under_way: Cell::new(0),
            closed: options.rate.is_none(),
            patient: options.patient,
            phase: Cell::new(Phase::Warm),
            limit: Cell::new(None),
            over: Notify::new(),
            idle: Notify::new(),
        })
    }

    /// Writes a request as HTTP/1.1.
    pub(crate) fn write(&self, request: Request, into: &mut Vec<u8>) {
        self.requests.borrow().write(request, into);
    }

    /// The head of a request with a large body, or for one.
    pub(crate) fn large_head(&self, request: Request, up: bool) -> Vec<u8> {
        self.requests.borrow().large(request, up)
    }

    /// Whether heads go through unread.
    pub(crate) fn raw(&self) -> bool {
        self.requests.borrow().raw()
    }

    /// A request is due: it begins now if a lane is free, else as soon as one is.
    fn offer(self: &Rc<Self>, due: Instant) {
        let counted = self.phase.get() == Phase::Measured;
        self.tally.borrow_mut().offered += u64::from(counted);
        let lane = self.free.borrow_mut().pop_front();
        match lane {
            Some(lane) => self.start(lane, due, counted),
            None => self.waiting.borrow_mut().push_back((due, counted)),
        }
    }

    fn start(self: &Rc<Self>, lane: usize, due: Instant, counted: bool) {
        let request = self.requests.borrow_mut().next();
        let lane = Rc::clone(&self.lanes.borrow()[lane]);
        self.under_way.set(self.under_way.get() + 1);
        lane.start(self, Job { request, due, counted });
    }

    /// Tells how a request went, and which lane is free for the next.
    pub(crate) fn done(
        self: &Rc<Self>,
        lane: Option<usize>,
        job: Job,
        result: Result<usize, String>,
    ) {
        self.under_way.set(self.under_way.get() - 1);
        let mut tally = self.tally.borrow_mut();
        tally.ever += u64::from(result.is_ok());
        match result {
            Err(reason) => tally.wrong(reason),
            Ok(endpoint) if self.counts(job) => {
                let took = u64::try_from(job.due.elapsed().as_nanos()).unwrap_or(u64::MAX);
                tally.right(took, endpoint);
                tally.in_time += u64::from(self.phase.get() == Phase::Measured);
            }
            Ok(_) => {}
        }
        drop(tally);
        if let Some(lane) = lane {
            self.next(lane);
        }
        if self.under_way.get() == 0 {
            self.idle.notify_one();
        }
    }

    /// Open loop: what was due in the measured time; closed loop: what was answered in it.
    fn counts(&self, job: Job) -> bool {
        match self.phase.get() {
            _ if !self.closed => job.counted,
            Phase::Over => self.patient,
            phase => phase == Phase::Measured,
        }
    }

    /// Notes bytes of a large body, where they are carried in the measured time.
    pub(crate) fn carried(&self, bytes: usize) {
        let late = self.patient && self.phase.get() == Phase::Over;
        if late || self.phase.get() == Phase::Measured {
            self.tally.borrow_mut().bytes += bytes as u64;
        }
    }

    fn next(self: &Rc<Self>, lane: usize) {
        if self.limit.get().is_some_and(|limit| self.tally.borrow().offered >= limit) {
            return self.over.notify_one();
        }
        if self.closed && self.phase.get() != Phase::Over {
            self.free.borrow_mut().push_back(lane);
            return self.offer(Instant::now());
        }
        let waits = self.waiting.borrow_mut().pop_front();
        match waits {
            Some((due, counted)) => self.start(lane, due, counted),
            None => self.free.borrow_mut().push_back(lane),
        }
    }

    /// Tells that a connection has ended that carried nothing.
    pub(crate) fn lost(&self, reason: String) {
        if self.phase.get() != Phase::Over {
            self.tally.borrow_mut().wrong(reason);
        }
    }
}

/// Runs one measurement and prints what came of it.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let plan = Plan::new(&options);
    open(&plan, &options).await?;
    let before = match options.rate {
        Some(rate) => paced(&plan, &options, rate).await?,
        None => unpaced(&plan, &options).await?,
    };
    plan.phase.set(Phase::Over);
    if !options.patient {
        // What has not begun by now is not answered: the rate was too much.
        plan.waiting.borrow_mut().clear();
    }
    let late = options.rate.map_or(Duration::ZERO, |_| IN_TIME);
    let measured = before.0.elapsed().saturating_sub(late);
    // In a closed loop what follows is not counted; in an open one it is.
    let over = Sample::take(&options.watch, options.core)?;
    let unfinished = timeout(LATE_MAX, settled(&plan)).await.is_err();
    let end = if plan.closed { over } else { Sample::take(&options.watch, options.core)? };
    let spent = end.since(&before.1, &options.watch);
    if unfinished {
        let text = format!("{} requests have no answer after {LATE_MAX:?}", plan.under_way.get());
        plan.tally.borrow_mut().wrong(text);
    }
    print(&plan.tally.borrow(), &spent, measured)
}

fn print(tally: &Tally, spent: &Spent, measured: Duration) -> anyhow::Result<()> {
    let mut object = serde_json::to_value(tally)?;
    let fields = object.as_object_mut().context("a tally is an object")?;
    fields.insert("seconds".to_owned(), measured.as_secs_f64().into());
    fields.insert("spent".to_owned(), serde_json::to_value(spent)?);
    println!("{object}");
    Ok(())
}

async fn settled(plan: &Plan) {
    while plan.under_way.get() > 0 {
        plan.idle.notified().await;
    }
}

/// Opens all connections.
async fn open(plan: &Rc<Plan>, options: &Options) -> anyhow::Result<()> {
    let alpn = match options.carrier {
        Carrier::Http2 | Carrier::Grpc => "h2",
        _ => "http/1.1",
    };
    let tls = options.tls.as_deref().map(|dir| Tls::new(dir, &options.name, alpn)).transpose()?;
    let mut lanes: Vec<Rc<dyn Lane>> = Vec::new();
    let grpc = options.carrier == Carrier::Grpc;
    let heads = Rc::new(http2::Heads::new(options.fields, grpc, options.hosts)?);
    for number in 0..options.connections {
        let failed = || format!("connection {number} to {}", options.to);
        match options.carrier {
            Carrier::Kept => {
                let lane = Kept::open(plan, number, options.to, tls.as_ref()).await;
                lanes.push(lane.with_context(failed)?);
            }
            Carrier::Down | Carrier::Up | Carrier::Through => {
                let kind = match options.carrier {
                    Carrier::Down => Kind::Down,
                    Carrier::Up => Kind::Up,
                    _ => Kind::Through,
                };
                let lane = Bulk::open(number, options.to, kind, tls.as_ref()).await;
                lanes.push(Rc::new(lane.with_context(failed)?));
            }
            Carrier::Hello => {
                let tls = tls.clone().context("a ClientHello wants --tls")?;
                lanes.push(Rc::new(Hello { index: number, to: options.to, tls }));
            }
            Carrier::Fresh => {
                lanes.push(Rc::new(Fresh { index: number, to: options.to, tls: tls.clone() }));
            }
            Carrier::Http2 | Carrier::Grpc => {
                let opened = http2::open(number, options.to, tls.as_ref()).await;
                let connection = opened.with_context(failed)?;
                for stream in 0..options.streams {
                    let index = number * options.streams + stream;
                    let (connection, heads) = (connection.clone(), Rc::clone(&heads));
                    lanes.push(Rc::new(Stream { index, connection, heads }));
                }
            }
        }
    }
    plan.free.borrow_mut().extend(0..lanes.len());
    *plan.lanes.borrow_mut() = lanes;
    Ok(())
}

/// Offers requests at a rate; returns when the measured time is over, with how it began.
async fn paced(plan: &Rc<Plan>, options: &Options, rate: u32) -> anyhow::Result<(Instant, Sample)> {
    let ticks_of = |seconds: f64| Duration::from_secs_f64(seconds).as_micros() / TICK.as_micros();
    let (warm, measured) = (ticks_of(options.warm), ticks_of(options.seconds));
    let due_at = |tick: u128| tick * u128::from(rate) * TICK.as_micros() / 1_000_000;
    let mut ticks = Ticks::start()?;
    let mut began = None;
    for tick in 0..warm + measured {
        let due = ticks.next().await?;
        if tick == warm {
            began = Some((due, Sample::take(&options.watch, options.core)?));
            plan.phase.set(Phase::Measured);
        }
        for _ in due_at(tick)..due_at(tick + 1) {
            plan.offer(due);
        }
    }
    for _ in 0..IN_TIME.as_micros() / TICK.as_micros() {
        ticks.next().await?;
    }
    began.context("nothing to measure")
}

/// Keeps all lanes busy.
async fn unpaced(plan: &Rc<Plan>, options: &Options) -> anyhow::Result<(Instant, Sample)> {
    let lanes = plan.lanes.borrow().len();
    for _ in 0..lanes {
        plan.offer(Instant::now());
    }
    sleep(Duration::from_secs_f64(options.warm)).await;
    let began = (Instant::now(), Sample::take(&options.watch, options.core)?);
    plan.phase.set(Phase::Measured);
    plan.limit.set(options.requests);
    match options.requests {
        Some(_) => plan.over.notified().await,
        None => sleep(Duration::from_secs_f64(options.seconds)).await,
    }
    Ok(began)
}
