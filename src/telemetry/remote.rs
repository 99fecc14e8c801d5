//! A log that another program takes by a socket: a syslog daemon, near or far, or the journal.
//!
//! Such a program is restarted at times: what it did not take is kept, and offered again.

use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_user_timeout;

use crate::telemetry::journal;
use crate::telemetry::settings::{HostPort, SyslogAddress};

/// A sink at the other end of a socket, connected when the first line goes there.
#[derive(Debug)]
pub(super) struct Remote {
    /// Where it is.
    place: Place,
    /// The socket, once it is connected.
    open: Option<Socket>,
}

/// Who takes the lines, and where.
#[derive(Debug)]
enum Place {
    /// A syslog daemon.
    Syslog(SyslogAddress),
    /// The journal, at this socket.
    Journal(PathBuf),
}

/// A connected socket.
#[derive(Debug)]
enum Socket {
    /// One datagram a line.
    Udp(UdpSocket),
    /// Counted messages.
    Tcp(TcpStream),
    /// One datagram a line, on this machine.
    Unix(UnixDatagram),
}

/// Lines that were not taken: the first of them stand at `unwritten`, and can be offered again.
#[derive(Debug)]
pub(super) struct NotTaken<'a> {
    /// Why.
    pub(super) cause: io::Error,
    /// What was not taken.
    pub(super) unwritten: &'a [u8],
    /// Lines before those that are known to be lost.
    pub(super) lost: u64,
}

impl Remote {
    /// A syslog daemon.
    pub(super) fn syslog(address: SyslogAddress) -> Self {
        Self { place: Place::Syslog(address), open: None }
    }

    /// The journal.
    pub(super) fn journal() -> Self {
        Self { place: Place::Journal(journal::SOCKET.into()), open: None }
    }

    /// Sends whole lines, each a message.
    pub(super) fn send<'a>(&mut self, lines: &'a [u8]) -> Result<(), NotTaken<'a>> {
        if lines.is_empty() {
            return Ok(());
        }
        let is_journal = matches!(self.place, Place::Journal(_));
        let refused = |cause, unwritten| NotTaken { cause, unwritten, lost: 0 };
        let sent = match self.connected().map_err(|cause| refused(cause, lines))? {
            Socket::Tcp(stream) => send_counted(stream, lines),
            // The answer to an earlier datagram: that one reached nobody.
            Socket::Udp(socket) => send_each(lines, |message| send_shortened(message, |it| socket.send(it)))
                .map_err(|it| NotTaken { lost: u64::from(it.cause.kind() == ErrorKind::ConnectionRefused), ..it }),
            Socket::Unix(socket) if is_journal => send_each(lines, |it| socket.send(&journal::datagram(it))),
            Socket::Unix(socket) => send_each(lines, |message| send_shortened(message, |it| socket.send(it))),
        };
        if sent.is_err() {
            self.open = None;
        }
        sent
    }

    /// The socket, connected where it is not.
    fn connected(&mut self) -> io::Result<&mut Socket> {
        // What is written to a connection that the other side has closed is lost without a word.
        if let Some(Socket::Tcp(stream)) = &self.open
            && is_closed(stream)
        {
            self.open = None;
        }
        match &mut self.open {
            Some(socket) => Ok(socket),
            none => Ok(none.insert(self.place.connect()?)),
        }
    }
}

impl Place {
    /// Connects.
    fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Syslog(SyslogAddress::Udp(to)) => udp(to).map(Socket::Udp),
            Self::Syslog(SyslogAddress::Tcp(to)) => tcp(to).map(Socket::Tcp),
            Self::Syslog(SyslogAddress::Unix(path)) | Self::Journal(path) => unix(path).map(Socket::Unix),
        }
    }
}

/// A socket that sends datagrams there.
fn udp(to: &HostPort) -> io::Result<UdpSocket> {
    first_of(to, |address| {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        Ok(socket)
    })
}

/// A connection.
fn tcp(to: &HostPort) -> io::Result<TcpStream> {
    first_of(to, |address| {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nodelay(true)?;
        // A daemon whose machine is gone acknowledges nothing.
        set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis().try_into().unwrap_or(u32::MAX))?;
        Ok(stream)
    })
}

/// The first of the addresses that can be connected to.
fn first_of<T>(to: &HostPort, connect: impl Fn(std::net::SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (to.host.as_str(), to.port).to_socket_addrs()? {
        match connect(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(last.kind(), format!("{}:{}: {last}", to.host, to.port)))
}

/// A socket that sends datagrams to that of this path.
fn unix(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path).map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))?;
    Ok(socket)
}

/// Whether the other side has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    let look = || {
        stream.set_nonblocking(true)?;
        let looked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        looked
    };
    !look().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |bytes| bytes > 0)
}

/// One datagram a line.
fn send_each(lines: &[u8], send: impl Fn(&[u8]) -> io::Result<usize>) -> Result<(), NotTaken<'_>> {
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end);
        loop {
            match send(line) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(NotTaken { cause, unwritten: rest, lost: 0 }),
            }
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(())
}

/// A message that no datagram has room for is cut to what every receiver should take
/// ([RFC 5424 section 6.1](https://www.rfc-editor.org/rfc/rfc5424#section-6.1)): nobody can keep their line out of the log by making it long.
fn send_shortened(message: &[u8], send: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
    let too_long = |error: &io::Error| error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error());
    match send(message) {
        Err(error) if too_long(&error) => send(message.get(..EVERYWHERE).unwrap_or(message)),
        sent => sent,
    }
}

/// One `LENGTH MESSAGE` a line.
fn send_counted<'a>(stream: &mut TcpStream, lines: &'a [u8]) -> Result<(), NotTaken<'a>> {
    let mut rest = lines;
    while !rest.is_empty() {
        let (mut batch, mut taken) = (Vec::with_capacity(BATCH + 1024), 0);
        while let Some(line) = rest.get(taken..).filter(|line| !line.is_empty() && batch.len() < BATCH) {
            let length = memchr::memchr(b'\n', line).unwrap_or(line.len());
            batch.extend_from_slice(format!("{length} ").as_bytes());
            batch.extend_from_slice(line.get(..length).unwrap_or(line));
            taken += length + 1;
        }
        // A message of which only a part went out ends with its connection: all of the batch is offered again.
        stream.write_all(&batch).map_err(|cause| NotTaken { cause, unwritten: rest, lost: 0 })?;
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(())
}

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// After so much time without an acknowledgement a connection is broken.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// The longest message that every receiver should take.
const EVERYWHERE: usize = 2048;
/// Small, so that few lines come twice after a connection has broken.
const BATCH: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::net::TcpListener;

    use super::*;

    fn at(address: std::net::SocketAddr) -> HostPort {
        HostPort { host: address.ip().to_string(), port: address.port() }
    }

    fn counted(stream: &mut impl io::Read) -> String {
        let mut length = 0;
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            match byte {
                [b' '] => break,
                [digit] => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).unwrap();
        String::from_utf8(message).unwrap()
    }

    #[test]
    fn over_tcp_each_line_is_a_counted_message_also_after_the_daemon_was_restarted() {
        let daemon = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut remote = Remote::syslog(SyslogAddress::Tcp(at(daemon.local_addr().unwrap())));
        remote.send("<86>1 one\n<86>1 zwö\n".as_bytes()).unwrap();
        let (taken, _) = daemon.accept().unwrap();
        let mut taken = BufReader::new(taken);
        assert_eq!([counted(&mut taken), counted(&mut taken)], ["<86>1 one", "<86>1 zwö"]);
        drop(taken);
        remote.send(b"three\n").unwrap();
        assert_eq!(counted(&mut daemon.accept().unwrap().0), "three");
    }

    #[test]
    fn over_udp_each_line_is_a_datagram_and_one_that_is_too_long_is_cut() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut remote = Remote::syslog(SyslogAddress::Udp(at(daemon.local_addr().unwrap())));
        remote.send(format!("one\n{}\nthree\n", "x".repeat(70_000)).as_bytes()).unwrap();
        let took = || {
            let mut buffer = vec![0; 100_000];
            let length = daemon.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!([took(), took(), took()], ["one".to_owned(), "x".repeat(2048), "three".to_owned()]);
    }

    #[test]
    fn what_a_daemon_that_is_away_does_not_take_can_be_offered_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut remote = Remote::syslog(SyslogAddress::Unix(path.clone()));
        let refused = remote.send(b"one\ntwo\n").unwrap_err();
        assert_eq!((refused.unwritten, refused.lost), (b"one\ntwo\n".as_slice(), 0));
        let daemon = UnixDatagram::bind(&path).unwrap();
        remote.send(b"one\n").unwrap();
        drop(daemon);
        assert_eq!(remote.send(b"two\n").unwrap_err().unwritten, b"two\n");
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        remote.send(b"two\n").unwrap();
        let mut took = [0; 16];
        assert_eq!(daemon.recv(&mut took).unwrap(), 3);
    }

    #[test]
    fn the_journal_gets_a_datagram_of_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut remote = Remote { place: Place::Journal(path), open: None };
        remote.send(b"PRIORITY=6\x1fMESSAGE=one\nPRIORITY=5\n").unwrap();
        for wanted in ["PRIORITY=6\nMESSAGE=one\n", "PRIORITY=5\n"] {
            let mut took = [0; 64];
            let length = journal.recv(&mut took).unwrap();
            assert_eq!(&took[..length], wanted.as_bytes());
        }
    }
}
