//! The service manager: sockets that it hands in (`LISTEN_FDS`), and what it likes to be told (`NOTIFY_SOCKET`).
//!
//! Every notification is a no-op where no service manager asked for it.

use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::server::listener::Listener;

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
        // Sockets without a name are called "unknown" there; a unit without FileDescriptorName= uses the unit's name.
        let mut names: Vec<_> = names.split(':').map(str::to_owned).collect();
        names.resize(sockets.len(), "unknown".to_owned());
        Self { sockets, names }
    }

    /// No sockets at all.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { sockets: ListenFd::empty(), names: Vec::new() }
    }

    /// The first socket of that name that was not taken yet: of several with one name, each mention takes one.
    pub(super) fn take(&mut self, name: &str) -> io::Result<Option<Listener>> {
        for (index, _) in self.names.iter().enumerate().filter(|(_, known)| *known == name) {
            // The kind of the socket is found by asking: a TCP listener refuses to be made of a unix socket.
            match self.sockets.take_tcp_listener(index) {
                Ok(Some(socket)) => return Ok(Some(Listener::Tcp(socket))),
                Ok(None) => {}
                Err(_) => {
                    if let Some(socket) = self.sockets.take_unix_listener(index)? {
                        return Ok(Some(Listener::Unix(socket, None)));
                    }
                }
            }
        }
        Ok(None)
    }

    pub(super) fn names(&self) -> String {
        if self.names.is_empty() { "none".to_owned() } else { self.names.join(", ") }
    }
}

/// Start or reload is over and requests are served; `status` is the line that `systemctl status` shows.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
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
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
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

fn notify(state: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(state) {
        tracing::warn!(code = "sd_notify_failed", %cause, "the service manager could not be told");
    }
}
