//! What a connection has of the socket on which it was accepted.

use std::net::{Ipv4Addr, TcpStream};

use socket2::SockRef;

use super::*;

#[test]
fn a_connection_is_accepted_as_every_connection_of_ours_is_set() {
    let listener = bind_all(&[Ipv4Addr::LOCALHOST.into()], 0).unwrap().remove(0);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), tcp::KEEPALIVE_AFTER);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), tcp::KEEPALIVE_EVERY);
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(tcp::USER_TIMEOUT));
}
