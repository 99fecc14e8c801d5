//! Unix sockets with a mode of their own, which is there before anybody can connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

/// Binds a socket file and listens. Without a mode the file gets what the umask leaves.
pub(super) fn listen_at(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    let Some(mode) = mode else { return UnixListener::bind(path) };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Linux makes the file with the mode of the socket, less the umask: never wider than it is to be.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // No client can connect before listen(2).
    let ready = with_mode(path, mode).and_then(|()| Ok(listen(&socket, BACKLOG)?));
    if let Err(cause) = ready {
        _ = fs::remove_file(path);
        return Err(cause);
    }
    Ok(UnixListener::from(socket))
}

/// What the umask took off is given back.
fn with_mode(path: &Path, mode: u32) -> io::Result<()> {
    if path.symlink_metadata()?.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// As many as the kernel allows (net.core.somaxconn).
pub(super) const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_has_the_mode_that_is_asked_for_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666, 0o777, 0o620] {
            let path = folder.path().join(format!("{mode:o}"));
            let listener = listen_at(&path, Some(mode)).unwrap();
            assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o777, mode, "{mode:o}");
            UnixStream::connect(&path).unwrap();
            listener.accept().unwrap();
        }
    }

    #[test]
    fn a_socket_that_cannot_be_made_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(listen_at(&folder.path().join("nowhere/s"), Some(0o660)).is_err());
        assert!(listen_at(&folder.path().join("x".repeat(200)), Some(0o660)).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
