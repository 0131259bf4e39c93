//! A lane carries one request at a time: a kept connection, a stream of one, or a new connection
//! for each request.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::task::spawn_local;

use super::drive::Plan;
use super::http2::{self, Heads};
use super::request::{Answer, Request, answer};
use super::wire::{Tls, Wire};

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// What is asked for.
    pub(crate) request: Request,
    /// When it was due: what it took counts from here.
    pub(crate) due: Instant,
    /// Whether it belongs to the measured time.
    pub(crate) counted: bool,
}

/// Carries requests, one at a time, and tells the plan how each went.
pub(crate) trait Lane {
    /// Begins; must not be called before the last one is done.
    fn start(&self, plan: &Rc<Plan>, job: Job);
}

/// Addresses that connections come from: one has not enough ports for all of them, nor may one
/// have too many connections at a gateway.
pub(crate) fn from(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(1 + number % 50).unwrap_or(1)).into()
}

/// An HTTP/1.1 connection that is kept.
pub(crate) struct Kept {
    index: usize,
    wire: Wire,
    job: Cell<Option<Job>>,
    out: RefCell<Vec<u8>>,
}

impl Kept {
    /// Connects, and listens from then on.
    pub(crate) async fn open(
        plan: &Rc<Plan>,
        index: usize,
        to: SocketAddr,
        tls: Option<&Tls>,
    ) -> io::Result<Rc<Self>> {
        let wire = Wire::open(from(index), to, tls).await?;
        let lane = Rc::new(Self { index, wire, job: Cell::new(None), out: RefCell::default() });
        spawn_local(Rc::clone(&lane).listen(Rc::clone(plan)));
        Ok(lane)
    }

    async fn listen(self: Rc<Self>, plan: Rc<Plan>) {
        let mut buffer = Vec::new();
        loop {
            let received = self.wire.receive(&mut buffer).await;
            let Some(job) = self.job.get() else {
                return plan.lost(format!("a connection ended while it was idle: {received:?}"));
            };
            if let Err(error) = received {
                return plan.done(None, job, Err(format!("the connection ended: {error}")));
            }
            match answer(job.request, &buffer, plan.raw()) {
                Answer::Partly => {}
                Answer::Wrong(reason) => return plan.done(None, job, Err(reason)),
                Answer::Right(endpoint) => {
                    buffer.clear();
                    self.job.set(None);
                    plan.done(Some(self.index), job, Ok(endpoint));
                }
            }
        }
    }
}

impl Lane for Kept {
    fn start(&self, plan: &Rc<Plan>, job: Job) {
        let mut out = self.out.borrow_mut();
        out.clear();
        plan.write(job.request, &mut out);
        let sent = self.wire.send(&out);
        drop(out);
        match sent {
            Ok(()) => self.job.set(Some(job)),
            Err(error) => plan.done(None, job, Err(format!("not sent: {error}"))),
        }
    }
}

/// A new connection for each request.
pub(crate) struct Fresh {
    /// Its place among the lanes.
    pub(crate) index: usize,
    /// Where it connects to.
    pub(crate) to: SocketAddr,
    /// What it speaks there.
    pub(crate) tls: Option<Tls>,
}

impl Lane for Fresh {
    fn start(&self, plan: &Rc<Plan>, job: Job) {
        let (plan, index, to, tls) = (Rc::clone(plan), self.index, self.to, self.tls.clone());
        spawn_local(async move {
            let mut out = Vec::new();
            plan.write(job.request, &mut out);
            let number = usize::try_from(job.request.number).unwrap_or_default();
            let result =
                once(from(number), to, tls.as_ref(), (job.request, plan.raw()), &out).await;
            plan.done(Some(index), job, result);
        });
    }
}

async fn once(
    from: IpAddr,
    to: SocketAddr,
    tls: Option<&Tls>,
    (request, raw): (Request, bool),
    out: &[u8],
) -> Result<usize, String> {
    let broken = |error: io::Error| format!("a new connection failed: {error}");
    let wire = Wire::open(from, to, tls).await.map_err(broken)?;
    wire.send(out).map_err(broken)?;
    let mut buffer = Vec::new();
    loop {
        wire.receive(&mut buffer).await.map_err(broken)?;
        match answer(request, &buffer, raw) {
            Answer::Partly => {}
            Answer::Wrong(reason) => return Err(reason),
            Answer::Right(endpoint) => {
                wire.close();
                return Ok(endpoint);
            }
        }
    }
}

/// One of the streams of an HTTP/2 connection.
pub(crate) struct Stream {
    /// Its place among the lanes.
    pub(crate) index: usize,
    /// The connection.
    pub(crate) connection: SendRequest<Bytes>,
    /// What its requests have in common.
    pub(crate) heads: Rc<Heads>,
}

impl Lane for Stream {
    fn start(&self, plan: &Rc<Plan>, job: Job) {
        let (plan, index, heads) = (Rc::clone(plan), self.index, Rc::clone(&self.heads));
        let connection = self.connection.clone();
        spawn_local(async move {
            let result = http2::call(connection, &heads, job.request).await;
            plan.done(Some(index), job, result);
        });
    }
}
