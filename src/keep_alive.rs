//! TCP keep-alive: a peer that is gone without a word is noticed, also where nothing is ever sent to it, as on a WebSocket.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};

/// Has the system ask for a sign of life after a minute of silence, and end the connection a minute later if there is none. What
/// is set on a listening socket holds for every connection that it accepts. A connection works without it, too.
pub fn keep_alive(socket: impl AsFd) {
    let set = set_tcp_keepidle(&socket, SILENCE)
        .and_then(|()| set_tcp_keepintvl(&socket, SILENCE / PROBES))
        .and_then(|()| set_tcp_keepcnt(&socket, PROBES))
        .and_then(|()| set_socket_keepalive(&socket, true));
    if let Err(cause) = set {
        tracing::debug!(code = "keep_alive_not_set", %cause, "a socket has no TCP keep-alive");
    }
}

/// How long nothing may come before the system asks, and how long it then waits in all.
const SILENCE: Duration = Duration::from_secs(60);
/// How often it asks.
const PROBES: u32 = 4;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::sockopt::{socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl};

    use super::*;

    #[test]
    fn what_a_listening_socket_has_its_connections_have() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        keep_alive(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        assert!(socket_keepalive(&socket).unwrap());
        let seconds = Duration::from_secs;
        assert_eq!((tcp_keepidle(&socket).unwrap(), tcp_keepintvl(&socket).unwrap()), (seconds(60), seconds(15)));
        assert_eq!(tcp_keepcnt(&socket).unwrap(), 4);
    }
}
