//! The service manager: sockets that it hands in (`LISTEN_FDS`), and notifications to it (`NOTIFY_SOCKET`).
//!
//! Every notification is a no-op where no service manager asked for it.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The sockets that were handed in, by name.
pub(super) struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    /// Takes them over. Only the first call in a process gets them.
    #[expect(
        clippy::disallowed_methods,
        reason = "the service manager's protocol is the environment, sd_listen_fds(3)"
    )]
    pub(super) fn from_env() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let sockets = ListenFd::from_env();
        let names = names_of(&names, sockets.len());
        Self { sockets, names }
    }

    /// No sockets at all.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { sockets: ListenFd::empty(), names: Vec::new() }
    }

    /// The first socket of that name that was not taken yet: of several with one name, each mention takes one. Where none has
    /// the name and it is a number, the socket of that number, from 0 on: not every starter gives names.
    pub(super) fn take(&mut self, name: &str) -> io::Result<Option<InheritedSocket>> {
        for index in places_of(name, &self.names) {
            // The kind of the socket is found by asking: a TCP listener refuses to be made of a unix socket.
            match self.sockets.take_tcp_listener(index) {
                Ok(Some(socket)) => return Ok(Some(InheritedSocket::Tcp(socket))),
                Ok(None) => {}
                Err(_) => {
                    if let Some(socket) = self.sockets.take_unix_listener(index)? {
                        return Ok(Some(InheritedSocket::Unix(socket)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The names, for a message.
    pub(super) fn names(&self) -> String {
        if self.names.is_empty() { NONE_INHERITED.to_owned() } else { self.names.join(", ") }
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inherited").field(&self.names).finish()
    }
}

/// A listening socket of the service manager.
pub(super) enum InheritedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket without a name is called "unknown" there; a unit without `FileDescriptorName=` uses the unit's name.
fn names_of(listed: &str, sockets: usize) -> Vec<String> {
    let named = |name: &str| if name.is_empty() { "unknown" } else { name }.to_owned();
    let mut names: Vec<_> = listed.split(':').map(named).collect();
    names.resize(sockets, named(""));
    names
}

/// The sockets that a name may mean, in the order in which they are tried.
fn places_of(name: &str, names: &[String]) -> Vec<usize> {
    let named: Vec<usize> = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(at, _)| at).collect();
    let numbered = name.parse().ok().filter(|at| named.is_empty() && *at < names.len());
    named.into_iter().chain(numbered).collect()
}

/// What stands for the names where there are none.
pub(super) const NONE_INHERITED: &str = "none";

/// Start or reload is over and requests are served; `status` is the line that `systemctl status` shows.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The line that `systemctl status` shows.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// A reload began. The time must be in the same message (`Type=notify-reload`), and [`ready`] must follow, also after a
/// reload that failed.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(cause) => tracing::warn!(code = "sd_notify_failed", %cause, "no monotonic time for the service manager"),
    }
}

/// The drain began; it may take that long.
pub fn stopping(longest: Duration) {
    let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::Stopping, NotifyState::Status("draining"), NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Tells the service manager that the process lives, twice per watchdog period; ends at once where there is no watchdog.
pub(super) async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((period / 2).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

/// Notifies the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(state) {
        tracing::warn!(code = "sd_notify_failed", %cause, "the service manager could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_without_names_are_known_by_number_and_names_win() {
        assert_eq!(names_of("", 2), ["unknown", "unknown"]);
        assert_eq!(names_of("web:", 2), ["web", "unknown"]);
        assert_eq!(names_of("", 0), Vec::<String>::new());
        let names = |list: &str| names_of(list, list.split(':').count());
        assert_eq!(places_of("0", &names(":")), [0]);
        assert_eq!(places_of("1", &names(":")), [1]);
        assert_eq!(places_of("2", &names(":")), Vec::<usize>::new());
        assert_eq!(places_of("unknown", &names(":")), [0, 1]);
        assert_eq!(places_of("0", &names("web:0")), [1], "a name that is a number is a name");
        assert_eq!(places_of("0", &names("web:admin")), [0]);
        assert_eq!(places_of("-1", &names("web")), Vec::<usize>::new());
    }
}
