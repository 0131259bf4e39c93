//! One task that accepts on all listening sockets. A gateway may have ten thousand, and of most it
//! hears nothing: each costs its descriptor and an entry here, and no task and no watch of its own.
//!
//! ```text
//! sockets ─► the acceptor's own epoll ─► the runtime of its worker ─► the acceptor
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::accept::{Context, Handler, Place};
use crate::worker::Seats;

/// Sockets that one look learns of; it is looked again at once for the others.
const EVENTS_MAX: usize = 256;
/// Connections that are accepted before others of the same worker have their turn.
const ACCEPTED_AT_ONCE_MAX: usize = 32;
/// Between two tries when the system has no descriptors or memory: long enough for some to
/// come free, short enough to go unnoticed.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Where sockets are given to the task. With its drop the task ends, and closes all of them.
#[derive(Debug)]
pub(super) struct Acceptor {
    registry: Registry,
    /// One for each socket that is opened or closed: ports bound them.
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Open(Token, Listening),
    Close(Token),
}

/// A socket that listens.
#[derive(Debug)]
struct Listening {
    place: Place,
    listener: TcpListener,
    /// Whether it is among those that may have connections.
    in_turn: bool,
}

/// All sockets, in the order of their tokens: a hash map that has grown takes twice the memory.
#[derive(Debug, Default)]
struct Sockets(Vec<(Token, Listening)>);

impl Sockets {
    fn place(&self, token: Token) -> Result<usize, usize> {
        self.0.binary_search_by_key(&token, |(other, _)| *other)
    }

    /// Takes in a socket whose token no other has.
    fn insert(&mut self, token: Token, listening: Listening) {
        // Ports are bound in their order, so that nearly all come last.
        let at = self.place(token).unwrap_or_else(|at| at);
        self.0.insert(at, (token, listening));
    }

    fn get_mut(&mut self, token: Token) -> Option<&mut Listening> {
        let at = self.place(token).ok()?;
        self.0.get_mut(at).map(|(_, listening)| listening)
    }

    fn remove(&mut self, token: Token) -> Option<Listening> {
        self.place(token).ok().map(|at| self.0.remove(at).1)
    }
}

/// What the task has.
struct Task<H> {
    context: Context<H>,
    seats: Seats,
    poll: AsyncFd<Poll>,
    events: Events,
    listening: Sockets,
    /// Those that may have connections, in turn.
    turns: VecDeque<Token>,
}

impl Acceptor {
    /// Starts the task on `runtime`; its connections go to `seats`.
    pub(super) fn start<H: Handler>(
        context: Context<H>,
        seats: Seats,
        runtime: &tokio::runtime::Handle,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let (orders, waiting) = mpsc::unbounded_channel();
        runtime.spawn(run(context, seats, poll, waiting));
        Ok(Self { registry, orders })
    }

    /// Accepts what comes to a socket, for as long as the `token` is its alone.
    pub(super) fn open(
        &self,
        token: Token,
        place: Place,
        socket: std::net::TcpListener,
    ) -> io::Result<()> {
        let mut listener = TcpListener::from_std(socket);
        self.registry.register(&mut listener, token, Interest::READABLE)?;
        let listening = Listening { place, listener, in_turn: false };
        self.orders
            .send(Order::Open(token, listening))
            .map_err(|_| io::Error::other("the acceptor has ended"))
    }

    /// Accepts no more there. Connections that the kernel has taken by now still are, as their
    /// clients know nothing.
    pub(super) fn close(&self, token: Token) {
        // A task that has ended has closed it.
        drop(self.orders.send(Order::Close(token)));
    }
}

/// Accepts until nobody gives orders any more or the drain begins.
async fn run<H: Handler>(
    context: Context<H>,
    seats: Seats,
    poll: Poll,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let poll = match watched(poll) {
        Ok(poll) => poll,
        Err(error) => {
            tracing::error!(%error, "listening sockets cannot be watched");
            return;
        }
    };
    let mut drains = context.draining.begins();
    let (events, turns) = (Events::with_capacity(EVENTS_MAX), VecDeque::new());
    let listening = Sockets::default();
    let mut task = Task { context, seats, poll, events, listening, turns };
    loop {
        let done = tokio::select! {
            biased;
            () = drains.reached() => break,
            order = orders.recv() => match order {
                Some(order) => {
                    task.obey(order);
                    continue;
                }
                None => break,
            },
            looked = task.look() => looked.and_then(|()| task.accept()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "accepting pauses");
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
    }
    orders.close();
    while let Ok(order) = orders.try_recv() {
        task.obey(order);
    }
    for (_, listening) in std::mem::take(&mut task.listening).0 {
        task.close(listening);
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for it asks for an owner of its descriptor, as `Poll` is"
)]
fn watched(poll: Poll) -> io::Result<AsyncFd<Poll>> {
    AsyncFd::with_interest(poll, tokio::io::Interest::READABLE)
}

impl<H: Handler> Task<H> {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Open(token, listening) => {
                self.listening.insert(token, listening);
                // What came before it was known here is told of only once.
                self.note(token);
            }
            Order::Close(token) => {
                if let Some(listening) = self.listening.remove(token) {
                    self.close(listening);
                }
            }
        }
    }

    /// Learns which sockets may have connections; where none is known yet, waits for one.
    async fn look(&mut self) -> io::Result<()> {
        let looked = if self.turns.is_empty() {
            let mut ready = self.poll.readable_mut().await?;
            let looked = ready.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO));
            if self.events.iter().count() < EVENTS_MAX {
                ready.clear_ready();
            }
            looked
        } else {
            tokio::task::yield_now().await;
            self.poll.get_mut().poll(&mut self.events, Some(Duration::ZERO))
        };
        let tokens: Vec<Token> = self.events.iter().map(mio::event::Event::token).collect();
        for token in tokens {
            self.note(token);
        }
        looked
    }

    /// Takes note that a socket may have connections.
    fn note(&mut self, token: Token) {
        let Some(listening) = self.listening.get_mut(token) else { return };
        if !std::mem::replace(&mut listening.in_turn, true) {
            self.turns.push_back(token);
        }
    }

    /// Accepts one connection of each socket in turn.
    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTED_AT_ONCE_MAX {
            let Some(token) = self.turns.pop_front() else { return Ok(()) };
            let Some(listening) = self.listening.get_mut(token) else { continue };
            let failed = match listening.listener.accept() {
                Ok((stream, peer)) => {
                    self.context.hand_over(&self.seats, &listening.place, stream.into(), peer);
                    if !has_waiting(&listening.listener) {
                        listening.in_turn = false;
                        continue;
                    }
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listening.in_turn = false;
                    continue;
                }
                Err(error) => (!is_of_connection(&error)).then_some(error),
            };
            self.turns.push_back(token);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Closes a socket after a last look.
    fn close(&self, Listening { place, listener, .. }: Listening) {
        while let Ok((stream, peer)) = listener.accept() {
            self.context.hand_over(&self.seats, &place, stream.into(), peer);
        }
    }
}

/// Whether a connection waits to be accepted. To try costs several times as much where none does: the
/// system makes a socket for it first.
fn has_waiting(listener: &TcpListener) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    // Where the system does not say, it is tried.
    poll(&mut asked, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

/// Whether only the one connection is concerned, which its client gave up.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
