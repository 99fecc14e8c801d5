//! The listening side: accept, TLS, limits, workers, draining, and the admin listener.
//!
//! [`bind`] takes the sockets, [`Bound::serve`] runs until it is asked to stop. Each worker is one thread with one
//! current-thread runtime and shares nothing with the others; the accepting side hands every new connection to the worker
//! that has the fewest, so that TCP, unix and inherited sockets are one path and a few long-lived connections still spread.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{join_all, select_all};
use http::{Request, Response};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

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
mod error;
mod handle;
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
mod serving;
pub mod settings;
mod sockets;
mod stream;
pub mod systemd;
mod tls;
mod unix_socket;
mod worker;
mod x509;

pub use admin::{AdminState, Health};
pub use drain::Shutdown;
pub use error::{ServeError, StartError};
pub use handle::{PreparedServer, ServerHandle};
pub use listener::BindError;
pub use request_body::{form_body, request_body};
pub use tls::TlsError;

use activity::Order;
use context::WorkerContext;
use handle::Change;
use serving::Serving;
use settings::{Drain, ListenAddress, ServerSettings};
use tls::Certificates;
use worker::Worker;

/// Reads the certificates and takes every socket, or none.
///
/// # Errors
/// [`StartError::Bind`] names the address, [`StartError::Tls`] the file. The program ends with code 73 or 78.
pub fn bind(settings: &ServerSettings, clock: &SharedClock) -> Result<Bound, StartError> {
    let (handle, changes) = ServerHandle::of_none(clock);
    handle.take(handle.prepare(settings)?);
    Ok(Bound { handle, changes, budget: Budget::empty(), workers: settings.workers.max(1) })
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
    handle: Arc<ServerHandle>,
    changes: mpsc::UnboundedReceiver<Change>,
    budget: Arc<Budget>,
    workers: usize,
}

impl Bound {
    /// What changes the server while it runs.
    pub fn handle(&self) -> Arc<ServerHandle> {
        Arc::clone(&self.handle)
    }

    /// How many connections to applications there may be; the workers get room when they begin to serve.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Serves until `shutdown` asks to stop and the drain is over. To be awaited on the control runtime.
    ///
    /// `make` is called once on each worker's thread, within its runtime, with the worker's number; what it returns
    /// answers every request of that worker's connections.
    ///
    /// # Errors
    /// When a thread or a socket could not be set up, or a worker ended by itself.
    pub async fn serve<M, S, F>(mut self, make: M, admin: AdminState, shutdown: Shutdown) -> Result<(), ServeError>
    where
        M: Fn(usize) -> S + Send + Clone + 'static,
        S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
        F: Future<Output = Response<Body>> + 'static,
    {
        let readiness = admin.readiness().clone();
        // What was bound is the first change.
        let Some(first) = self.changes.recv().await else { return Ok(()) };
        let (orders, ordered) = watch::channel(Order::Serve);
        let (mut workers, mut inboxes) = (Vec::new(), Vec::new());
        for number in 0..self.workers {
            let (make, tls, limits) = (make.clone(), first.certificates.clone(), first.settings.limits.clone());
            let (metrics, notes_capitals) = (Arc::clone(admin.metrics()), Arc::clone(&self.handle.notes_capitals));
            let context = move || WorkerContext::new(make(number), tls, limits, metrics, notes_capitals);
            let (worker, inbox) = Worker::start(number, context, ordered.clone())?;
            workers.push(worker);
            inboxes.push(inbox);
        }
        let mut serving = Serving::with(inboxes, admin, &self.handle, self.budget());
        serving.take(first)?;
        readiness.listening();
        loop {
            tokio::select! {
                () = shutdown.asked() => break,
                Some(change) = self.changes.recv() => {
                    if let Err(cause) = serving.take(change) {
                        tracing::error!(code = "listener_lost", %cause, "a new socket cannot be accepted from");
                    }
                }
                _ = select_all(workers.iter_mut().map(|worker| Box::pin(worker.ended()))) => {
                    return Err(ServeError::WorkerEnded);
                }
            }
        }
        readiness.draining();
        self.handle.let_go();
        let Serving { drain, accepting, mut background, .. } = serving;
        end(&drain, &shutdown, accepting, &orders, &mut workers).await;
        background.shutdown().await;
        let whole = workers.into_iter().map(Worker::join).fold(true, |all, one| all & one);
        if whole { Ok(()) } else { Err(ServeError::WorkerEnded) }
    }
}

/// Has the workers end what is open: gently, then at once.
async fn end(
    drain: &Drain,
    shutdown: &Shutdown,
    mut accepting: JoinSet<()>,
    orders: &watch::Sender<Order>,
    workers: &mut [Worker],
) {
    systemd::stopping(drain.delay.saturating_add(drain.grace));
    tokio::select! {
        () = sleep(drain.delay) => {}
        () = shutdown.asked_at_once() => {}
    }
    // Dropping the listeners makes new connections fail at once, instead of waiting in vain.
    accepting.shutdown().await;
    orders.send_replace(Order::Finish);
    tokio::select! {
        _ = join_all(workers.iter_mut().map(Worker::ended)) => {}
        () = sleep(drain.grace) => tracing::warn!(code = "drain_grace_over", "ending what is still open"),
        () = shutdown.asked_at_once() => {}
    }
    orders.send_replace(Order::Drop);
    join_all(workers.iter_mut().map(Worker::ended)).await;
}

/// The key of the traffic listeners.
const LISTEN: &str = "server.listen";
/// The key of the admin listeners.
const ADMIN_LISTEN: &str = "admin.listen";

#[cfg(test)]
mod tests;
