//! The listening side: accept, TLS, limits, workers, draining, and the admin listener.
//!
//! [`bind`] takes the sockets, [`Bound::serve`] runs until it is asked to stop. Each worker is one thread with one
//! current-thread runtime and shares nothing with the others; the accepting side hands every new connection to the worker
//! that has the fewest, so that TCP, unix and inherited sockets are one path and a few long-lived connections still spread.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::body::Body;
use crate::budget::Budget;
use crate::clock::SharedClock;
use crate::request::Downstream;

mod activity;
mod admin;
mod answer;
mod connection;
mod context;
mod descriptors;
mod dispatch;
mod drain;
mod http1;
mod http2;
mod listener;
mod pace;
mod parking;
mod permits;
mod phase;
mod refused;
mod request_body;
mod roster;
pub mod settings;
mod stream;
pub mod systemd;
mod tls;
mod unix_socket;
mod worker;
mod x509;

pub use admin::{AdminState, Health};
pub use drain::Shutdown;
pub use listener::BindError;
pub use permits::UncappedPeers;
pub use request_body::{form_body, request_body};
pub use tls::{Certificates, TlsError};

use activity::Order;
use context::WorkerContext;
use dispatch::{Dispatcher, LostConnections};
use listener::Listener;
use permits::ConnectionLimits;
use settings::{Drain, ListenAddress, ServerSettings};
use systemd::Inherited;
use worker::Worker;

/// Reads the certificates and takes every socket, or none.
///
/// # Errors
/// [`StartError::Bind`] names the address, [`StartError::Tls`] the file. The program ends with code 73 or 78.
pub fn bind(settings: &ServerSettings, clock: &SharedClock) -> Result<Bound, StartError> {
    let tls = settings.tls.as_ref().map(|tls| Certificates::load(tls, clock)).transpose()?;
    let mut inherited = Inherited::from_env();
    let mut bind = |address: &_| Listener::bind(address, settings.unix_mode, &mut inherited);
    let traffic = each(LISTEN, &settings.listen, &mut bind)?;
    let admin = each(ADMIN_LISTEN, &settings.admin_listen, &mut bind)?;
    let uncapped = UncappedPeers::new(&settings.trusted_proxies);
    let notes_capitals = Arc::new(AtomicBool::new(settings.notes_capitals));
    Ok(Bound { traffic, admin, tls, uncapped, budget: Budget::empty(), notes_capitals, settings: settings.clone() })
}

/// Looks for what [`bind`] would fail for, as far as that shows without taking a socket.
///
/// # Errors
/// As [`bind`].
pub fn look(settings: &ServerSettings, clock: &SharedClock) -> Result<(), StartError> {
    settings.tls.as_ref().map(|tls| Certificates::load(tls, clock)).transpose()?;
    each(LISTEN, &settings.listen, listener::look)?;
    each(ADMIN_LISTEN, &settings.admin_listen, listener::look)?;
    Ok(())
}

/// Does this with every address of a key.
fn each<T>(
    key: &'static str,
    addresses: &[ListenAddress],
    mut work: impl FnMut(&ListenAddress) -> Result<T, BindError>,
) -> Result<Vec<T>, StartError> {
    let addresses = addresses.iter().enumerate();
    addresses.map(|(index, at)| work(at).map_err(|cause| StartError::Bind { key, index, cause })).collect()
}

/// A server that has its sockets and has not accepted anything yet.
#[derive(Debug)]
pub struct Bound {
    traffic: Vec<Listener>,
    admin: Vec<Listener>,
    tls: Option<Arc<Certificates>>,
    uncapped: Arc<UncappedPeers>,
    budget: Arc<Budget>,
    notes_capitals: Arc<AtomicBool>,
    settings: ServerSettings,
}

impl Bound {
    /// Where traffic is accepted over TCP, in the order of the configuration.
    pub fn traffic_addresses(&self) -> Vec<SocketAddr> {
        self.traffic.iter().filter_map(Listener::tcp_address).collect()
    }

    /// Where the admin listener is, over TCP.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.admin.iter().filter_map(Listener::tcp_address).collect()
    }

    /// The certificates, to have them read again ([`Certificates::reload`]); none for plain text.
    pub fn tls(&self) -> Option<Arc<Certificates>> {
        self.tls.clone()
    }

    /// The peers that may have any number of connections, to be changed on reload.
    pub fn uncapped_peers(&self) -> Arc<UncappedPeers> {
        Arc::clone(&self.uncapped)
    }

    /// How many connections to applications there may be; the workers get room when they begin to serve.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Whether new connections note the capitals of fields' names, to be changed on reload.
    pub fn notes_capitals(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.notes_capitals)
    }

    /// Serves until `shutdown` asks to stop and the drain is over. To be awaited on the control runtime.
    ///
    /// `make` is called once on each worker's thread, within its runtime, with the worker's number; what it returns
    /// answers every request of that worker's connections.
    ///
    /// # Errors
    /// When a thread or a socket could not be set up, or a worker ended by itself.
    pub async fn serve<M, S, F>(self, make: M, admin: AdminState, shutdown: Shutdown) -> Result<(), ServeError>
    where
        M: Fn(usize) -> S + Send + Clone + 'static,
        S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
        F: Future<Output = Response<Body>> + 'static,
    {
        let readiness = admin.readiness().clone();
        let mut background = JoinSet::new();
        for listener in self.admin {
            background.spawn(admin::serve(listener.open()?, admin.clone()));
        }
        background.spawn(systemd::watchdog());
        if let Some(tls) = self.tls.clone() {
            background.spawn(look_for_new_certificates(tls, admin.clone()));
        }

        let (orders, ordered) = watch::channel(Order::Serve);
        let mut workers = Vec::new();
        let mut inboxes = Vec::new();
        for number in 0..self.settings.workers.max(1) {
            let (make, tls, limits) = (make.clone(), self.tls.clone(), self.settings.limits.clone());
            let (metrics, notes_capitals) = (Arc::clone(admin.metrics()), Arc::clone(&self.notes_capitals));
            let context = move || WorkerContext::new(make(number), tls, limits, metrics, notes_capitals);
            let (worker, inbox) = Worker::start(number, context, ordered.clone())?;
            workers.push(worker);
            inboxes.push(inbox);
        }
        let connections = descriptors::connections(self.settings.limits.connections);
        self.budget.grow(connections.applications);
        let metrics = admin.metrics();
        let lost = LostConnections {
            peer_cap: metrics.connections_ended("peer_cap"),
            made_room: metrics.connections_ended("made_room"),
        };
        let dispatcher = Dispatcher::new(inboxes, ConnectionLimits::new(connections.clients, self.uncapped), lost);
        let mut accepting = JoinSet::new();
        for listener in self.traffic {
            accepting.spawn(dispatcher.clone().accept_all(listener.open()?));
        }
        drop(dispatcher);

        readiness.listening();
        tokio::select! {
            () = shutdown.asked() => {}
            _ = select_all(workers.iter_mut().map(|worker| Box::pin(worker.ended()))) => {
                return Err(ServeError::WorkerEnded);
            }
        }
        readiness.draining();
        drain(&self.settings.drain, &shutdown, accepting, &orders, &mut workers).await;
        background.shutdown().await;
        let whole = workers.into_iter().map(Worker::join).fold(true, |all, one| all & one);
        if whole { Ok(()) } else { Err(ServeError::WorkerEnded) }
    }
}

/// Has the workers end what is open: gently, then at once.
async fn drain(
    settings: &Drain,
    shutdown: &Shutdown,
    mut accepting: JoinSet<()>,
    orders: &watch::Sender<Order>,
    workers: &mut [Worker],
) {
    systemd::stopping(settings.delay.saturating_add(settings.grace));
    tokio::select! {
        () = sleep(settings.delay) => {}
        () = shutdown.asked_at_once() => {}
    }
    // Dropping the listeners makes new connections fail at once, instead of waiting in vain.
    accepting.shutdown().await;
    orders.send_replace(Order::Finish);
    tokio::select! {
        _ = join_all(workers.iter_mut().map(Worker::ended)) => {}
        () = sleep(settings.grace) => tracing::warn!(code = "drain_grace_over", "ending what is still open"),
        () = shutdown.asked_at_once() => {}
    }
    orders.send_replace(Order::Drop);
    join_all(workers.iter_mut().map(Worker::ended)).await;
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be had.
    #[error("`{key}`: {cause}")]
    Bind {
        /// The key that names it.
        key: &'static str,
        /// Which of the addresses there.
        index: usize,
        /// Why.
        cause: BindError,
    },
    /// A certificate could not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why the server stopped without having been asked.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The operating system gave no thread, or did not take a socket.
    #[error("the server could not be set up: {0}")]
    System(#[from] io::Error),
    /// A worker's thread is gone: a bug.
    #[error("a worker ended by itself")]
    WorkerEnded,
}

/// Reads changed certificates again, and has the metrics say when each ends.
async fn look_for_new_certificates(tls: Arc<Certificates>, admin: AdminState) {
    let mut tick = interval(CERTIFICATE_CHECK);
    tick.tick().await;
    loop {
        for (file, end) in tls.not_after() {
            admin.metrics().certificate_ends(&file.to_string_lossy(), end);
        }
        tick.tick().await;
        let tls = Arc::clone(&tls);
        // Files may be on a slow disk.
        _ = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
    }
}

const LISTEN: &str = "server.listen";
const ADMIN_LISTEN: &str = "admin.listen";
const CERTIFICATE_CHECK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
