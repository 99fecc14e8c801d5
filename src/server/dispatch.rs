//! Accepting connections, and handing each to the worker that has the fewest. Where there is no place for one more, room is made:
//! the connections go that hold their place with the least (AT-SM-22, AT-SM-25).

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::request::Peer;
use crate::server::listener::{Accepted, AcceptedStream, OpenListener, is_about_one_connection};
use crate::server::permits::{ConnectionLimits, ConnectionPermit, PeerNetwork, PeerPermit};
use crate::server::roster::Dispensable;
use crate::server::settings::Limits;
use crate::server::tls::Certificates;

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum WorkerCommand {
    /// To serve this connection.
    Serve(Accepted),
    /// To list the connections that could be ended: at most so many, of this peer or of all.
    ListDispensable { of: Option<PeerNetwork>, most: usize, reply: oneshot::Sender<Vec<(Dispensable, u64)>> },
    /// To end these.
    End(Vec<u64>),
    /// To have the connections of these listeners end what they are at, and no more.
    Finish(Vec<u64>),
    /// To serve new connections with these certificates and limits; what waits is kept to the new limits, too.
    Adopt(Option<Arc<Certificates>>, Box<Limits>),
}

/// Where a worker takes its commands.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::UnboundedSender<WorkerCommand>,
    /// Its connections, upgraded ones included.
    pub(super) connections: TaskTracker,
}

/// Counts connections that did not get a place, or lost it to others; by reason.
#[derive(Clone, Debug)]
pub(super) struct LostConnections {
    pub(super) peer_cap: Counter,
    pub(super) made_room: Counter,
}

/// Hands connections to workers.
#[derive(Clone, Debug)]
pub(super) struct Dispatcher {
    workers: Arc<[Inbox]>,
    limits: Arc<ConnectionLimits>,
    /// When it was last looked who could go.
    looked: Arc<Mutex<Option<Instant>>>,
    /// When it was last said that a peer has too many.
    warned: Arc<std::sync::Mutex<Option<Instant>>>,
    lost: LostConnections,
}

impl Dispatcher {
    pub(super) fn new(workers: Vec<Inbox>, limits: Arc<ConnectionLimits>, lost: LostConnections) -> Self {
        Self { workers: workers.into(), limits, looked: Arc::default(), warned: Arc::default(), lost }
    }

    /// Has all workers do this.
    pub(super) fn command(&self, command: impl Fn() -> WorkerCommand) {
        for worker in self.workers.iter() {
            _ = worker.commands.send(command());
        }
    }

    /// Accepts until the listener is retired and nobody waits there any more, or the task is dropped. While all places are taken, one connection more is accepted and waits here; the rest
    /// waits in the kernel's queue (AT-SM-25). It is accepted first because only then its peer is known: one that has as many
    /// as it may must not make room for itself at the cost of others.
    pub(super) async fn accept_all(self, listener: OpenListener, number: u64, retired: CancellationToken) {
        let mut failing = false;
        loop {
            let (stream, peer, local_port) = tokio::select! {
                biased;
                next = next(&listener, &mut failing) => next,
                () = retired.cancelled() => return,
            };
            let Some(of_peer) = self.peer_permit(peer).await else { continue };
            let Some(permit) = self.permit().await else { return };
            let Some(worker) = self.workers.iter().min_by_key(|worker| worker.connections.len()) else { return };
            let permit = ConnectionPermit::new(&worker.connections, permit, of_peer);
            let accepted = Accepted { stream, peer, local_port, listener: number, permit };
            if worker.commands.send(WorkerCommand::Serve(accepted)).is_err() {
                tracing::error!(code = "worker_gone", "a worker takes no connections any more");
            }
        }
    }

    /// A place among those of the peer, at the cost of another one of the same peer if need be.
    async fn peer_permit(&self, peer: Peer) -> Option<PeerPermit> {
        let peer = match self.limits.peer_permit(peer) {
            Ok(permit) => return Some(permit),
            Err(peer) => peer,
        };
        if self.make_room(Some(peer), 1).await {
            return Some(self.limits.replacing_permit(peer));
        }
        self.lost.peer_cap.inc();
        self.warn_of(peer);
        None
    }

    /// A place among all, at the cost of others if need be.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let free = self.limits.free();
        if let Ok(permit) = Arc::clone(free).try_acquire_owned() {
            return Some(permit);
        }
        let mut permit = pin!(Arc::clone(free).acquire_owned());
        loop {
            // More than the one that is asked for: where all are taken, others wait behind it, and those before them in the
            // kernel's queue may be connections that never send a request.
            let cap = self.limits.cap();
            self.make_room(None, 1 + (cap / 64).max(MORE.min(cap / 2))).await;
            tokio::select! {
                permit = &mut permit => return permit.ok(),
                () = sleep(BETWEEN_LOOKS) => {}
            }
        }
    }

    /// Ends so many connections that are the first to go; whether there were any. Looks at all of them only so often.
    async fn make_room(&self, of: Option<PeerNetwork>, most: usize) -> bool {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < BETWEEN_LOOKS) {
            return false;
        }
        *looked = Some(Instant::now());
        let asked = self.workers.iter().enumerate().map(async |(index, worker)| {
            let (reply, listed) = oneshot::channel();
            worker.commands.send(WorkerCommand::ListDispensable { of, most, reply }).ok()?;
            // A worker that is too busy to answer is left alone.
            let listed = timeout(BETWEEN_LOOKS, listed).await.ok()?.ok()?;
            Some(listed.into_iter().map(move |(dispensable, number)| (dispensable, index, number)))
        });
        let mut chosen: Vec<_> = join_all(asked).await.into_iter().flatten().flatten().collect();
        chosen.sort_unstable();
        chosen.truncate(most);
        self.lost.made_room.inc_by(chosen.len() as u64);
        let mut ends = BTreeMap::<usize, Vec<u64>>::new();
        for (_, index, number) in &chosen {
            ends.entry(*index).or_default().push(*number);
        }
        for (index, numbers) in ends {
            tracing::debug!(code = "made_room", connections = numbers.len(), "ended slow connections for new ones");
            if let Some(worker) = self.workers.get(index) {
                _ = worker.commands.send(WorkerCommand::End(numbers));
            }
        }
        !chosen.is_empty()
    }

    /// Says, not too often, that a peer has as many connections as it may.
    fn warn_of(&self, peer: PeerNetwork) {
        let mut warned = self.warned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if warned.is_none_or(|warned| warned.elapsed() >= BETWEEN_WARNINGS) {
            *warned = Some(Instant::now());
            tracing::warn!(
                code = "peer_cap",
                %peer,
                most = self.limits.cap(),
                "a peer has as many connections as one may (a quarter of server.limits.connections), and more are closed; \
                 if it is a proxy in front, write it in server.trusted_proxies"
            );
        }
    }
}

/// The next connection, however long it takes.
async fn next(listener: &OpenListener, failing: &mut bool) -> (AcceptedStream, Peer, Option<u16>) {
    let accepted = loop {
        match listener.accept().await {
            Ok(accepted) => break accepted,
            Err(cause) if is_about_one_connection(&cause) => {}
            Err(cause) => {
                if !std::mem::replace(failing, true) {
                    tracing::error!(code = "accept_failed", %cause, "cannot accept connections");
                }
                // Out of descriptors or memory: going on at once would only spin.
                sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    if std::mem::take(failing) {
        tracing::info!(code = "accept_recovered", "accepting connections again");
    }
    accepted
}

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// To look costs each worker a walk over its connections.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// So many that wait behind the one that is let in are let in as well, of few places fewer.
const MORE: usize = 16;
/// About peers with too many connections.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);
