//! `vestibule health`: asks the admin listener of the gateway that runs here, for container images that have no other client.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::sources::ConfigSource;
use super::{Exit, HealthArguments, say};
use crate::server::settings::ListenAddress;

/// The first admin address that answers decides; a gateway without one cannot be asked.
pub(super) fn health(arguments: &HealthArguments) -> Exit {
    let path = if arguments.ready { "/readyz?verbose" } else { "/livez" };
    let mut causes = Vec::new();
    for address in ConfigSource::from(arguments.config.clone()).admin_addresses() {
        match ask(&address, path) {
            Ok(answer) => return verdict(&answer),
            Err(cause) => causes.push(format!("{address}: {cause}")),
        }
    }
    Exit::unhealthy(match causes.as_slice() {
        [] => "`admin.listen` is empty, so nobody can be asked".to_owned(),
        causes => format!("the admin listener does not answer at {}", causes.join(", nor at ")),
    })
}

/// Healthy is what answers 200.
fn verdict(answer: &str) -> Exit {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        say(body);
        Exit::Ok
    } else {
        Exit::unhealthy(format!("the gateway answered \"{}\"\n{}", status.escape_default(), body.trim_end()))
    }
}

/// Asks at an address; the answer as it came.
/// The answer of an admin listener to a GET, head and all.
///
/// # Errors
/// Nobody answers there.
pub(super) fn ask(address: &ListenAddress, path: &str) -> io::Result<String> {
    match address {
        // A connection to 0.0.0.0 or [::] is one to this machine.
        ListenAddress::Tcp(text) => {
            let mut last = io::Error::other("the name has no address");
            for at in text.to_socket_addrs()? {
                match TcpStream::connect_timeout(&at, TIMEOUT) {
                    Ok(socket) => {
                        socket.set_read_timeout(Some(TIMEOUT))?;
                        return exchange(socket, path);
                    }
                    Err(cause) => last = cause,
                }
            }
            Err(last)
        }
        ListenAddress::Unix(path_of_socket) => {
            let socket = UnixStream::connect(path_of_socket)?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            exchange(socket, path)
        }
        ListenAddress::Systemd(_) => Err(io::Error::other("only the service manager knows where that socket is")),
    }
}

/// Sends the request, and reads the answer.
fn exchange(mut socket: impl Read + Write, path: &str) -> io::Result<String> {
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// How long the gateway may take to accept, and to go on with its answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More is not read: nobody reads longer lists of checks.
const LONGEST_ANSWER: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_is_healthy() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\nok\n"), Exit::Ok);
        for bad in
            ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n200", "", "200", "x 2000 OK"]
        {
            assert_eq!(verdict(bad), Exit::Unhealthy, "{bad}");
        }
    }
}
