//! Large bodies: a mebibyte down or up, and what a passthrough carries behind a ClientHello.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::drive::Plan;
use super::lane::{Job, Lane, from};
use super::request::SMALL;
use super::wire::{Tls, dial};

/// Length of a large body.
pub(crate) const LARGE: usize = 1024 * 1024;
/// Bodies repeat so many bytes.
const BLOCK: usize = 64 * 1024;
/// Bytes that are read at once: as many as a socket holds, so that the load costs little.
const READ: usize = 256 * 1024;

/// Asks the endpoint behind a passthrough for a large body.
const WISH_LARGE: u8 = b'+';
/// Asks it for a small one.
const WISH_SMALL: u8 = b'.';

/// A large body; no part of it looks like the next.
pub(crate) static BODY: LazyLock<Arc<[u8]>> = LazyLock::new(|| {
    let mut chance = 0x2545_F491_4F6C_DD1D_u64;
    let block: Vec<u8> = (0..BLOCK)
        .map(|_| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance.to_le_bytes()[0]
        })
        .collect();
    block.repeat(LARGE / BLOCK).into()
});

/// What is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer.
    Down,
    /// The request.
    Up,
    /// Everything behind a ClientHello, which is all that a passthrough reads.
    Through,
}

/// A kept connection that carries large bodies one after another.
pub(crate) struct Bulk {
    index: usize,
    kind: Kind,
    stream: Rc<RefCell<Option<TcpStream>>>,
}

impl Bulk {
    /// Connects; a passthrough gets a ClientHello.
    pub(crate) async fn open(
        index: usize,
        to: SocketAddr,
        kind: Kind,
        tls: Option<&Tls>,
    ) -> io::Result<Self> {
        let mut stream = dial(from(index), to).await?;
        if let Some(tls) = tls {
            stream.write_all(&hello(tls)?).await?;
        }
        Ok(Self { index, kind, stream: Rc::new(RefCell::new(Some(stream))) })
    }
}

/// A ClientHello, which is all that a passthrough reads.
fn hello(tls: &Tls) -> io::Result<Vec<u8>> {
    let mut hello = Vec::new();
    let (config, name) = tls.parts();
    let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    session.write_tls(&mut hello)?;
    Ok(hello)
}

/// A new connection through a passthrough for each request: a ClientHello, and a small answer.
pub(crate) struct Hello {
    /// Its place among the lanes.
    pub(crate) index: usize,
    /// Where it connects to.
    pub(crate) to: SocketAddr,
    /// What it asks for.
    pub(crate) tls: Tls,
}

impl Lane for Hello {
    fn start(&self, plan: &Rc<Plan>, job: Job) {
        let (plan, index, to, tls) = (Rc::clone(plan), self.index, self.to, self.tls.clone());
        spawn_local(async move {
            let number = usize::try_from(job.request.number).unwrap_or_default();
            let result = greet(number, to, &tls).await;
            plan.done(
                Some(index),
                job,
                result.map_err(|error| format!("a new connection: {error}")),
            );
        });
    }
}

async fn greet(number: usize, to: SocketAddr, tls: &Tls) -> io::Result<usize> {
    let mut stream = dial(from(number), to).await?;
    let mut wish = hello(tls)?;
    wish.push(WISH_SMALL);
    stream.write_all(&wish).await?;
    let mut got = [0; SMALL];
    stream.read_exact(&mut got).await?;
    if BODY.starts_with(&got) { Ok(0) } else { Err(io::Error::other("not the right answer")) }
}

impl Lane for Bulk {
    fn start(&self, plan: &Rc<Plan>, job: Job) {
        let (plan, index, kind) = (Rc::clone(plan), self.index, self.kind);
        let kept = Rc::clone(&self.stream);
        spawn_local(async move {
            let Some(mut stream) = kept.borrow_mut().take() else {
                return plan.done(None, job, Err("a lane was started twice".to_owned()));
            };
            let result = exchange(&mut stream, kind, &plan, job).await;
            *kept.borrow_mut() = Some(stream);
            let lane = result.is_ok().then_some(index);
            plan.done(lane, job, result);
        });
    }
}

async fn exchange(
    stream: &mut TcpStream,
    kind: Kind,
    plan: &Plan,
    job: Job,
) -> Result<usize, String> {
    let broken = |error: io::Error| format!("a large body: {error}");
    if kind == Kind::Through {
        stream.write_all(&[WISH_LARGE]).await.map_err(broken)?;
        return body(stream, plan, Vec::new(), LARGE).await;
    }
    let head = plan.large_head(job.request, kind == Kind::Up);
    stream.write_all(&head).await.map_err(broken)?;
    if kind == Kind::Up {
        for part in BODY.chunks(BLOCK) {
            stream.write_all(part).await.map_err(broken)?;
            plan.carried(part.len());
        }
    }
    let mut got = Vec::with_capacity(BLOCK);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&got, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut got).await.map_err(broken)? == 0 {
            return Err("the connection ended before a head".to_owned());
        }
    };
    let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
    let wanted = if kind == Kind::Up { 0 } else { LARGE };
    if !head.starts_with("http/1.1 200") || !head.contains(&format!("content-length: {wanted}\r\n"))
    {
        return Err(String::from_utf8_lossy(&got[..got.len().min(2000)]).into_owned());
    }
    body(stream, plan, got.split_off(end), wanted).await
}

/// Reads so much and compares all of it.
async fn body(
    stream: &mut TcpStream,
    plan: &Plan,
    first: Vec<u8>,
    length: usize,
) -> Result<usize, String> {
    let mut at = check(&first, 0)?;
    let mut buffer = vec![0; READ];
    while at < length {
        let read = stream.read(&mut buffer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err(format!("the connection ended after {at} bytes"));
        }
        at = check(&buffer[..read], at)?;
        plan.carried(read);
    }
    if at > length { Err(format!("{at} bytes are too many")) } else { Ok(0) }
}

fn check(bytes: &[u8], at: usize) -> Result<usize, String> {
    let end = at + bytes.len();
    match BODY.get(at..end) {
        Some(wanted) if wanted == bytes => Ok(end),
        _ => Err(format!("not the body that was sent, from {at} to {end}")),
    }
}

/// The endpoint behind a passthrough: reads a ClientHello, then answers each byte with the body that it asks for.
pub(crate) async fn answer_through(mut stream: TcpStream) -> io::Result<()> {
    let mut record = [0; 5];
    stream.read_exact(&mut record).await?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    stream.read_exact(&mut rest).await?;
    let mut wish = [0];
    while stream.read(&mut wish).await? == 1 {
        let length = if wish[0] == WISH_LARGE { LARGE } else { SMALL };
        stream.write_all(&BODY[..length]).await?;
    }
    Ok(())
}
