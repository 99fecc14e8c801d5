//! What a reload changes of a server that runs: sockets, certificates, limits, and how it stops. Everything that can fail is done
//! before anything changes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::clock::{SharedClock, UnixTime};
use crate::server::error::StartError;
use crate::server::permits::{ConnectionLimits, UncappedPeers};
use crate::server::settings::ServerSettings;
use crate::server::sockets::{NewSocket, Plan, Role, Sockets};
use crate::server::tls::Certificates;

/// A server that runs, to whoever changes it.
#[derive(Debug)]
pub struct ServerHandle {
    clock: SharedClock,
    current: Mutex<Current>,
    changes: mpsc::UnboundedSender<Change>,
    pub(super) uncapped: Arc<UncappedPeers>,
    pub(super) notes_capitals: Arc<AtomicBool>,
    pub(super) limits: Arc<ConnectionLimits>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    settings: Option<ServerSettings>,
    sockets: Sockets,
    certificates: Option<Arc<Certificates>>,
}

/// Settings that can be taken: nothing can fail any more.
#[derive(Debug)]
pub struct PreparedServer {
    settings: ServerSettings,
    sockets: Plan,
    certificates: Option<Arc<Certificates>>,
}

/// What the accepting side and the workers have to do.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) settings: ServerSettings,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// Sockets to accept from.
    pub(super) new: Vec<NewSocket>,
    /// Listeners whose connections are to end what they are at: they came by a socket that is gone, or under other TLS settings.
    pub(super) finish: Vec<u64>,
}

impl ServerHandle {
    /// Of a server that has nothing yet, and what is to be done to it.
    pub(super) fn of_none(clock: &SharedClock) -> (Arc<Self>, mpsc::UnboundedReceiver<Change>) {
        let (changes, changed) = mpsc::unbounded_channel();
        let uncapped = UncappedPeers::new(&[]);
        let handle = Self {
            clock: Arc::clone(clock),
            current: Mutex::new(Current { settings: None, sockets: Sockets::none(), certificates: None }),
            changes,
            limits: ConnectionLimits::new(1, Arc::clone(&uncapped)),
            uncapped,
            notes_capitals: Arc::default(),
        };
        (Arc::new(handle), changed)
    }

    /// Reads the certificates, and takes every socket that is not open yet, or none.
    ///
    /// # Errors
    /// [`StartError::Bind`] names the address, [`StartError::Tls`] the file; nothing has changed then.
    pub fn prepare(&self, settings: &ServerSettings) -> Result<PreparedServer, StartError> {
        let certificates = settings.tls.as_ref().map(|tls| Certificates::load(tls, &self.clock)).transpose()?;
        let sockets = self.current().sockets.plan(settings)?;
        Ok(PreparedServer { settings: settings.clone(), sockets, certificates })
    }

    /// Has it so: new sockets are accepted from, old ones no more, and new connections go by the new settings. How many workers there
    /// are stays as it is.
    pub fn take(&self, prepared: PreparedServer) {
        let PreparedServer { settings, sockets, certificates } = prepared;
        self.uncapped.become_these(&settings.trusted_proxies);
        self.notes_capitals.store(settings.notes_capitals, Ordering::Relaxed);
        let mut current = self.current();
        let other_tls = current.settings.as_ref().is_some_and(|before| before.tls != settings.tls);
        let before = if other_tls { current.sockets.numbers() } else { Vec::new() };
        let (new, mut finish) = current.sockets.become_planned(sockets);
        finish.extend(before);
        let workers = current.settings.as_ref().map_or(settings.workers, |before| before.workers);
        current.settings = Some(ServerSettings { workers, ..settings.clone() });
        current.certificates.clone_from(&certificates);
        // A server that has ended has nothing to change.
        _ = self.changes.send(Change { settings, certificates, new, finish });
    }

    /// The server stops: it is on it alone whether sockets are open.
    pub(super) fn let_go(&self) {
        self.current().sockets.let_go();
    }

    /// The key of a setting that differs from what is in force, and that no reload changes: the threads are there.
    pub fn needs_restart(&self, settings: &ServerSettings) -> Option<&'static str> {
        let current = self.current();
        let before = current.settings.as_ref()?;
        (before.workers != settings.workers).then_some("server.workers")
    }

    /// Where traffic is accepted over TCP, in the order of the configuration.
    pub fn traffic_addresses(&self) -> Vec<SocketAddr> {
        self.current().sockets.addresses(Role::Traffic)
    }

    /// Where the admin listener is, over TCP.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.current().sockets.addresses(Role::Admin)
    }

    /// The longest time that the stop takes.
    pub fn longest_stop(&self) -> std::time::Duration {
        let drain = self.current().settings.as_ref().map(|settings| settings.drain.clone()).unwrap_or_default();
        drain.delay.saturating_add(drain.grace)
    }

    /// The files of the certificates in use, and when each ends.
    pub fn certificates_end(&self) -> Vec<(String, UnixTime)> {
        let current = self.current();
        let ends = current.certificates.iter().flat_map(|certificates| certificates.not_after());
        ends.map(|(file, end)| (file.display().to_string(), *end)).collect()
    }

    /// How many connections there are, and how many there may be.
    pub fn connections(&self) -> (usize, usize) {
        self.limits.taken_of()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
