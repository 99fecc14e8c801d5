//! Sockets: bind what the configuration names, and accept.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::byte_stream::ByteStream;
use crate::keep_alive::keep_alive;
use crate::request::Peer;
use crate::server::permits::ConnectionPermit;
use crate::server::settings::ListenAddress;
use crate::server::systemd::{Inherited, InheritedSocket, NONE_INHERITED};
use crate::server::unix_socket::{BACKLOG, listen_at};

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {fault}")]
pub struct BindError {
    /// As configured.
    address: String,
    fault: BindFault,
}

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
enum BindFault {
    /// The operating system refused.
    #[error("{0}")]
    Refused(io::Error),
    #[error("another program is listening there")]
    InUse,
    /// It is left alone.
    #[error("a file of that name exists and is not a socket")]
    NotASocket,
    /// The names that there are.
    #[error("the service manager handed in no such socket (it handed in: {0})")]
    NotInherited(String),
}

impl BindError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match &self.fault {
            BindFault::Refused(cause) => match cause.kind() {
                io::ErrorKind::AddrInUse => "stop the program that has it (`ss -ltnp` names it), or write another port",
                io::ErrorKind::AddrNotAvailable => {
                    "write an address of this machine, or 0.0.0.0 or [::] for all of them"
                }
                io::ErrorKind::PermissionDenied => {
                    "write a port from 1024 on or a folder that this user may write to, or let the service manager open the socket: \"systemd:NAME\""
                }
                io::ErrorKind::NotFound => "make the folder (for systemd: RuntimeDirectory=), or write another path",
                _ => "write \"0.0.0.0:4180\", \"[::]:4180\", \"unix:/run/vestibule.sock\" or \"systemd:NAME\"",
            },
            BindFault::InUse => "stop the program that listens there, or write another path",
            BindFault::NotASocket => "remove the file, or write another path",
            BindFault::NotInherited(known) if known == NONE_INHERITED => {
                "start vestibule by a socket unit of the service manager, or write \"host:port\""
            }
            BindFault::NotInherited(_) => {
                "write one of the names that were handed in, or the number of a socket, from 0 on"
            }
        }
    }

    /// The stable reason.
    pub fn code(&self) -> &'static str {
        match &self.fault {
            BindFault::Refused(_) => "bind_refused",
            BindFault::InUse => "bind_in_use",
            BindFault::NotASocket => "bind_not_a_socket",
            BindFault::NotInherited(_) => "bind_not_inherited",
        }
    }
}

impl From<io::Error> for BindFault {
    fn from(cause: io::Error) -> Self {
        Self::Refused(cause)
    }
}

/// A socket that is bound and listening, and accepts nothing yet.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Takes an address.
    pub(super) fn bind(
        address: &ListenAddress,
        unix_mode: Option<u32>,
        inherited: &mut Inherited,
        leaving: &[&TcpListener],
    ) -> Result<Self, BindError> {
        let bound = Self::try_bind(address, unix_mode, inherited, leaving);
        bound.map_err(|fault| BindError { address: address.to_string(), fault })
    }

    /// The same, without its name in the error.
    fn try_bind(
        address: &ListenAddress,
        unix_mode: Option<u32>,
        inherited: &mut Inherited,
        leaving: &[&TcpListener],
    ) -> Result<Self, BindFault> {
        let listener = match address {
            ListenAddress::Tcp(at) => Self::Tcp(bind_tcp(at, leaving)?),
            ListenAddress::Unix(path) => {
                make_way(path)?;
                let listener = listen_at(path, unix_mode)?;
                Self::Unix(listener, SocketFile::at(path))
            }
            ListenAddress::Systemd(name) => match inherited.take(name)? {
                Some(InheritedSocket::Tcp(socket)) => Self::Tcp(socket),
                Some(InheritedSocket::Unix(socket)) => Self::Unix(socket, None),
                None => return Err(BindFault::NotInherited(inherited.names())),
            },
        };
        match &listener {
            Self::Tcp(socket) => {
                // The WebSocket of a browser that is gone without a FIN must not keep its connection.
                keep_alive(socket);
                socket.set_nonblocking(true)?;
            }
            Self::Unix(socket, _) => socket.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    /// The same socket once more, if it is one of TCP.
    pub(super) fn same_tcp(&self) -> Option<TcpListener> {
        match self {
            Self::Tcp(socket) => socket.try_clone().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Registers the socket with the runtime that this is called on.
    pub(super) fn open(self) -> io::Result<OpenListener> {
        Ok(match self {
            Self::Tcp(socket) => {
                let port = socket.local_addr()?.port();
                OpenListener::Tcp(tokio::net::TcpListener::from_std(socket)?, port)
            }
            Self::Unix(socket, file) => OpenListener::Unix(tokio::net::UnixListener::from_std(socket)?, file),
        })
    }
}

/// A socket that accepts.
#[derive(Debug)]
pub(super) enum OpenListener {
    Tcp(tokio::net::TcpListener, u16),
    Unix(tokio::net::UnixListener, #[expect(dead_code, reason = "removes the file when dropped")] Option<SocketFile>),
}

impl OpenListener {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(AcceptedStream, Peer, Option<u16>)> {
        match self {
            Self::Tcp(socket, port) => {
                let (stream, peer) = socket.accept().await?;
                // An answer is never held back to be sent together with the next one.
                stream.set_nodelay(true)?;
                Ok((AcceptedStream::Tcp(stream.into_std()?), Peer::Ip(peer), Some(*port)))
            }
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok((AcceptedStream::Unix(stream.into_std()?), Peer::Unix, None))
            }
        }
    }
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: AcceptedStream,
    pub(super) peer: Peer,
    pub(super) local_port: Option<u16>,
    /// The number of the listener that it came by.
    pub(super) listener: u64,
    pub(super) permit: ConnectionPermit,
}

/// A stream that belongs to no runtime.
#[derive(Debug)]
pub(super) enum AcceptedStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AcceptedStream {
    /// The stream in the runtime that this is called on.
    pub(super) fn adopt(self) -> io::Result<Box<dyn ByteStream>> {
        Ok(match self {
            Self::Tcp(stream) => Box::new(tokio::net::TcpStream::from_std(stream)?),
            Self::Unix(stream) => Box::new(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

/// The file of a unix socket that we made: removed at the end, unless it is not ours any more.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// The file that is there now.
    fn at(path: &Path) -> Option<Self> {
        let inode = path.symlink_metadata().ok()?.ino();
        Some(Self { path: path.to_owned(), inode })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|file| file.ino() == self.inode)
            && let Err(cause) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(code = "socket_file_left", path = %self.path.display(), %cause, "could not remove a socket file");
        }
    }
}

/// Binds an address, also one whose port sockets of ours have that are about to go: `0.0.0.0:443` in place of `127.0.0.1:443`.
fn bind_tcp(at: &str, leaving: &[&TcpListener]) -> io::Result<TcpListener> {
    let cause = match TcpListener::bind(at) {
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && !leaving.is_empty() => cause,
        bound => return bound,
    };
    // The kernel lets sockets of one user share a port that all have this option, socket(7). It is taken off again, and a second
    // gateway that is started by mistake does not ask for it.
    let share = |yes| leaving.iter().try_for_each(|socket| set_socket_reuseport(socket, yes));
    let bound = share(true).map_err(io::Error::from).and_then(|()| {
        let mut addresses = at.to_socket_addrs()?;
        addresses.find_map(|address| bind_sharing(address).ok()).ok_or(cause)
    });
    share(false)?;
    bound
}

fn bind_sharing(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    set_socket_reuseport(&socket, false)?;
    Ok(TcpListener::from(socket))
}

/// What shows of an address without taking it.
pub(super) fn look(address: &ListenAddress) -> Result<(), BindError> {
    let ListenAddress::Unix(path) = address else { return Ok(()) };
    look_at(path).map_err(|fault| BindError { address: address.to_string(), fault })
}

/// What shows of a path without binding it.
fn look_at(path: &Path) -> Result<(), BindFault> {
    if path.symlink_metadata().is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(BindFault::NotASocket);
    }
    std::os::unix::net::SocketAddr::from_pathname(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    if !folder.metadata()?.is_dir() {
        return Err(BindFault::Refused(io::ErrorKind::NotADirectory.into()));
    }
    Ok(accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(io::Error::from)?)
}

/// Removes the socket file of a listener that is gone.
fn make_way(path: &Path) -> Result<(), BindFault> {
    let Ok(file) = path.symlink_metadata() else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(BindFault::NotASocket);
    }
    match UnixStream::connect(path) {
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => Ok(std::fs::remove_file(path)?),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause.into()),
        Ok(_) => Err(BindFault::InUse),
    }
}

/// accept(2) also reports what went wrong with the connection that it would have returned.
pub(super) fn is_about_one_connection(cause: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    matches!(
        cause.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput | NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: &ListenAddress) -> Result<Listener, BindError> {
        Listener::bind(address, None, &mut Inherited::none(), &[])
    }

    #[test]
    fn a_bind_error_names_the_address_and_the_reason() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = bind(&ListenAddress::Tcp(address.clone())).unwrap_err();
        assert_eq!(error.code(), "bind_refused");
        let text = error.to_string();
        assert!(text.contains(&address) && text.to_lowercase().contains("in use"), "{text}");
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file");
        let listener = bind(&ListenAddress::Unix(path.clone())).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_somebody_listens_on_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _other = UnixListener::bind(&path).unwrap();
        assert_eq!(bind(&ListenAddress::Unix(path.clone())).unwrap_err().code(), "bind_in_use");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&ListenAddress::Unix(path.clone())).unwrap_err().code(), "bind_not_a_socket");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_socket_file_that_another_program_took_over_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = bind(&ListenAddress::Unix(path.clone())).unwrap();
        // Bound first under another name, so that it cannot get the same inode.
        let other = folder.path().join("t");
        let _other = UnixListener::bind(&other).unwrap();
        std::fs::rename(&other, &path).unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[test]
    fn what_shows_without_taking_a_socket_is_what_binding_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| ListenAddress::Unix(folder.path().join(name));
        std::fs::write(folder.path().join("notes.txt"), "precious").unwrap();
        let long = "x".repeat(120);
        for bad in ["notes.txt", "nowhere/s", "notes.txt/s", &long] {
            let (looked, bound) = (look(&at(bad)).unwrap_err(), bind(&at(bad)).unwrap_err());
            assert_eq!(looked.code(), bound.code(), "{bad}: {looked}, {bound}");
        }
        look(&at("s")).unwrap();
        assert!(!folder.path().join("s").exists());
        let _listener = bind(&at("s")).unwrap();
        look(&at("s")).unwrap();
        look(&ListenAddress::Tcp("127.0.0.1:1".to_owned())).unwrap();
    }

    #[test]
    fn a_port_is_taken_over_from_a_socket_that_goes_and_from_no_other() {
        let narrow = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = narrow.local_addr().unwrap().port();
        let wide = ListenAddress::Tcp(format!("0.0.0.0:{port}"));
        let take = |leaving: &[&TcpListener]| Listener::bind(&wide, None, &mut Inherited::none(), leaving);
        assert_eq!(take(&[]).unwrap_err().code(), "bind_refused");
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(take(&[&other]).unwrap_err().code(), "bind_refused");
        let _wide = take(&[&other, &narrow]).unwrap();
        drop(narrow);
        assert_eq!(take(&[]).unwrap_err().code(), "bind_refused", "by accident, nobody else joins");
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn a_missing_inherited_socket_is_named() {
        let error = bind(&ListenAddress::Systemd("http".to_owned())).unwrap_err();
        assert!(error.to_string().contains("systemd:http"), "{error}");
    }
}
