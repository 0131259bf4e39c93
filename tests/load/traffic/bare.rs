//! What the system alone takes of a proxy: passes whole messages on, with the edits that endpoints and
//! load want to see, at places that it knows. It routes, balances, limits, counts and checks nothing.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Context as _;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Bytes of a message: those of the load are small.
const READ: usize = 16 * 1024;
/// Events that are taken at once.
const EVENTS: usize = 256;
const LISTENER: Token = Token(usize::MAX);

/// What is left out of a request, from its name to its line end.
const REMOVED: &[u8] = b"x-bench-remove: ";
/// What is left out of an answer.
const SECRET: &[u8] = b"x-bench-secret: ";
const HOST: &[u8] = b"host: ";
const SERVED: &[u8] = b"x-bench-served: yes\r\n";
/// What is added to a request, but for the host.
const ADDED: &[u8] = b"x-request-id: 0123456789abcdef\r\n\
traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n\
x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-port: 80\r\n\
x-bench-route: r0000\r\nx-forwarded-host: ";

/// Where it listens and where the endpoints are.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// The endpoints.
    #[arg(long, value_delimiter = ',')]
    to: Vec<SocketAddr>,
}

/// One end of a connection.
struct End {
    stream: TcpStream,
    peer: Peer,
}

#[derive(Clone, Copy)]
enum Peer {
    Client,
    /// An endpoint, whose next message is for the client at this place.
    Endpoint(usize),
}

/// All connections; an endpoint's wait for the next request in `idle`.
struct Bare {
    poll: Poll,
    options: Options,
    ends: Vec<Option<End>>,
    idle: Vec<usize>,
    opened: usize,
    out: Vec<u8>,
}

/// Passes messages on until it is ended.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(options.listen)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (ends, idle, out) = (Vec::new(), Vec::new(), Vec::with_capacity(READ));
    let mut bare = Bare { poll, options, ends, idle, opened: 0, out };
    let (mut events, mut buffer) = (Events::with_capacity(EVENTS), vec![0; READ]);
    loop {
        match bare.poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    bare.add(stream, Peer::Client)?;
                }
            } else {
                bare.pass_on(event, &mut buffer)?;
            }
        }
    }
}

impl Bare {
    fn add(&mut self, mut stream: TcpStream, peer: Peer) -> anyhow::Result<usize> {
        let place = self.ends.len();
        self.poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
        stream.set_nodelay(true)?;
        self.ends.push(Some(End { stream, peer }));
        Ok(place)
    }

    /// A connection to an endpoint that nobody uses, for a request of the client at this place.
    fn endpoint(&mut self, client: usize) -> anyhow::Result<usize> {
        if let Some(place) = self.idle.pop() {
            if let Some(end) = &mut self.ends[place] {
                end.peer = Peer::Endpoint(client);
            }
            return Ok(place);
        }
        let to = self.options.to[self.opened % self.options.to.len()];
        self.opened += 1;
        // Only while connections are opened, which is before anything is measured.
        let stream = std::net::TcpStream::connect(to)?;
        stream.set_nonblocking(true)?;
        self.add(TcpStream::from_std(stream), Peer::Endpoint(client))
    }

    /// Reads one message, which came as a whole, and writes it to the other side.
    fn pass_on(&mut self, event: &Event, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Token(place) = event.token();
        let Some(end) = self.ends.get_mut(place).and_then(Option::as_mut) else { return Ok(()) };
        let peer = end.peer;
        let read = match end.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(read) if read > 0 => read,
            _ => {
                self.ends[place] = None;
                self.idle.retain(|idle| *idle != place);
                return Ok(());
            }
        };
        self.out.clear();
        let other = match peer {
            Peer::Client => {
                edit_request(&buffer[..read], &mut self.out).context("no request of the load")?;
                self.endpoint(place)?
            }
            Peer::Endpoint(client) => {
                edit_answer(&buffer[..read], &mut self.out).context("no answer of an endpoint")?;
                self.idle.push(place);
                client
            }
        };
        // A client that is gone wants no answer.
        if let Some(end) = &mut self.ends[other] {
            end.stream.write_all(&self.out)?;
        }
        Ok(())
    }
}

fn edit_request(message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let end = message.strip_suffix(b"\r\n")?;
    let (before, behind) = without(end, REMOVED)?;
    let host = memchr::memmem::find(message, HOST)? + HOST.len();
    let host = line(&message[host..])?;
    for part in [before, behind, ADDED, host, b"\r\n"] {
        out.extend_from_slice(part);
    }
    Some(())
}

fn edit_answer(message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (before, behind) = without(message, SECRET)?;
    for part in [before, SERVED, behind] {
        out.extend_from_slice(part);
    }
    Some(())
}

/// What is before and behind the line that begins so.
fn without<'a>(message: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, rest) = message.split_at(memchr::memmem::find(message, name)?);
    Some((before, &rest[line(rest)?.len()..]))
}

/// The first line with its end.
fn line(text: &[u8]) -> Option<&[u8]> {
    text.get(..=memchr::memchr(b'\n', text)?)
}
