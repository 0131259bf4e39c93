//! Connections that go from one thread's runtime to another's.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A connection that `runtime` watches, and its peer's end.
fn connection(runtime: &Runtime) -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap());
    (runtime.block_on(stream).unwrap(), listener.accept().unwrap().0)
}

fn rewatched(by: &Runtime, stream: &mut TcpStream) -> io::Result<()> {
    let _here = by.enter();
    rewatch(stream)
}

#[test]
fn a_connection_works_on_another_runtime_when_its_first_is_gone() {
    let (first, second) = (runtime(), runtime());
    let (mut ours, mut theirs) = connection(&first);
    rewatched(&second, &mut ours).unwrap();
    drop(first);
    second.block_on(ours.write_all(b"ask")).unwrap();
    let (mut asked, mut answer) = ([0; 3], [0; 6]);
    theirs.read_exact(&mut asked).unwrap();
    theirs.write_all(b"answer").unwrap();
    second.block_on(ours.read_exact(&mut answer)).unwrap();
    assert_eq!((&asked, &answer), (b"ask", b"answer"));
}

#[test]
fn a_connection_on_which_the_peer_stirred_is_not_taken_over() {
    let (first, second) = (runtime(), runtime());
    // Loopback: what was sent has come when the call that sent it returns.
    let (mut ended, theirs) = connection(&first);
    theirs.shutdown(Shutdown::Write).unwrap();
    assert!(rewatched(&second, &mut ended).is_err());
    let (mut used, mut theirs) = connection(&first);
    theirs.write_all(b"x").unwrap();
    assert!(rewatched(&second, &mut used).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_takes_little_for_a_peer_that_does_not_read_unless_much_flows() {
    let runtime = runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    prepare(&SockRef::from(&listener)).unwrap();
    let dialled = runtime.block_on(dial(listener.local_addr().unwrap(), Duration::from_secs(10)));
    let (dialled, accepted) = (dialled.unwrap(), listener.accept().unwrap().0);
    let lowat = |socket: SockRef<'_>| socket.tcp_notsent_lowat().unwrap();
    assert_eq!(lowat(SockRef::from(&accepted)), NOT_SENT_MAX, "it has it of the listening socket");
    assert_eq!(lowat(SockRef::from(&dialled)), NOT_SENT_MAX);
    carry_much(&dialled);
    assert_eq!(lowat(SockRef::from(&dialled)), NOT_SENT_MUCH);
}
