//! The accepting side of a server that runs, and how it takes changes.

use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::budget::Budget;
use crate::server::admin::{self, AdminState};
use crate::server::descriptors::Allowance;
use crate::server::dispatch::{Dispatcher, Inbox, LostConnections, WorkerCommand};
use crate::server::handle::{Change, ServerHandle};
use crate::server::permits::ConnectionLimits;
use crate::server::settings::Drain;
use crate::server::sockets::{NewSocket, Role};
use crate::server::systemd;

/// What accepts, and the workers to be commanded.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) drain: Drain,
    pub(super) accepting: JoinSet<()>,
    /// Until the end of the drain: the admin listeners, and the watchdog.
    pub(super) background: JoinSet<()>,
    admin: AdminState,
    dispatcher: Dispatcher,
    allowance: Allowance,
    limits: Arc<ConnectionLimits>,
    budget: Arc<Budget>,
}

impl Serving {
    /// Hands connections to these workers, once there are sockets.
    pub(super) fn with(inboxes: Vec<Inbox>, admin: AdminState, handle: &ServerHandle, budget: Arc<Budget>) -> Self {
        let metrics = admin.metrics();
        let lost = LostConnections {
            peer_cap: metrics.connections_ended("peer_cap"),
            made_room: metrics.connections_ended("made_room"),
        };
        let limits = Arc::clone(&handle.limits);
        let mut background = JoinSet::new();
        background.spawn(systemd::watchdog());
        Self {
            drain: Drain::default(),
            accepting: JoinSet::new(),
            background,
            admin,
            dispatcher: Dispatcher::new(inboxes, Arc::clone(&limits), lost),
            allowance: Allowance::raised(),
            limits,
            budget,
        }
    }

    /// Accepts from what is new, with the limits that are new.
    ///
    /// # Errors
    /// A socket that the runtime does not take.
    pub(super) fn take(&mut self, change: Change) -> io::Result<()> {
        let Change { settings, certificates, new, finish } = change;
        let connections = self.allowance.connections(settings.limits.connections);
        self.limits.resize(connections.clients);
        self.budget.resize(connections.applications);
        self.dispatcher.command(|| WorkerCommand::Adopt(certificates.clone(), Box::new(settings.limits.clone())));
        if !finish.is_empty() {
            self.dispatcher.command(|| WorkerCommand::Finish(finish.clone()));
        }
        self.drain = settings.drain;
        new.into_iter().try_for_each(|socket| self.accept_from(socket))
    }

    fn accept_from(&mut self, socket: NewSocket) -> io::Result<()> {
        let NewSocket { role, number, listener, retired } = socket;
        let listener = listener.open()?;
        match role {
            Role::Traffic => self.accepting.spawn(self.dispatcher.clone().accept_all(listener, number, retired)),
            Role::Admin => self.background.spawn(admin::serve(listener, self.admin.clone(), retired)),
        };
        Ok(())
    }
}
