//! The sockets that the server listens on. A reload binds the new ones first, and closes the others when all else is settled.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::server::error::StartError;
use crate::server::listener::Listener;
use crate::server::settings::{ListenAddress, ServerSettings};
use crate::server::systemd::Inherited;

/// What a socket is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Traffic,
    Admin,
}

impl Role {
    /// The key of its addresses.
    fn key(self) -> &'static str {
        match self {
            Self::Traffic => "server.listen",
            Self::Admin => "admin.listen",
        }
    }
}

/// All that are open, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Sockets {
    inherited: Inherited,
    open: Vec<Socket>,
    unix_mode: Option<u32>,
    next: u64,
}

/// One of them.
#[derive(Clone, Debug)]
struct Socket {
    role: Role,
    address: ListenAddress,
    number: u64,
    /// Where it is, over TCP.
    local: Option<SocketAddr>,
    /// The same socket once more, as long as it is open.
    tcp: Option<Arc<TcpListener>>,
    /// Nobody is to accept from it any more.
    retired: CancellationToken,
}

/// A socket that waits for somebody to accept from it, until it is retired.
#[derive(Debug)]
pub(super) struct NewSocket {
    pub(super) role: Role,
    pub(super) number: u64,
    pub(super) listener: Listener,
    pub(super) retired: CancellationToken,
}

/// The sockets that there are to be: some stay, some are new, some go.
#[derive(Debug)]
pub(super) struct Plan {
    open: Vec<Socket>,
    unix_mode: Option<u32>,
    gone: Vec<Socket>,
    new: Vec<NewSocket>,
}

impl Sockets {
    /// None yet, but those that the service manager handed in.
    pub(super) fn none() -> Self {
        Self { inherited: Inherited::from_env(), open: Vec::new(), unix_mode: None, next: 0 }
    }

    /// Binds what is not open yet.
    ///
    /// # Errors
    /// [`StartError::Bind`] names the address; nothing has changed then.
    pub(super) fn plan(&mut self, settings: &ServerSettings) -> Result<Plan, StartError> {
        let wanted = [(Role::Traffic, &settings.listen), (Role::Admin, &settings.admin_listen)];
        let wanted = wanted.into_iter().flat_map(|(role, all)| all.iter().enumerate().map(move |it| (role, it)));
        let mut gone = self.open.clone();
        // Which stay is known before anything is bound: of those that go, the port may be taken over.
        let wanted: Vec<_> = wanted
            .map(|(role, (index, address))| {
                let open = gone.iter().position(|it| it.role == role && it.address == *address);
                (role, index, address, open.map(|at| gone.remove(at)))
            })
            .collect();
        let (mut open, mut new) = (Vec::new(), Vec::new());
        for (role, index, address, kept) in wanted {
            let socket = match kept {
                Some(kept) => kept,
                None => {
                    let leaving: Vec<_> = gone.iter().filter_map(|it| it.tcp.as_deref()).collect();
                    let listener = Listener::bind(address, settings.unix_mode, &mut self.inherited, &leaving)
                        .map_err(|cause| StartError::Bind { key: role.key(), index, cause })?;
                    self.next += 1;
                    let (number, retired) = (self.next, CancellationToken::new());
                    let tcp = listener.same_tcp().map(Arc::new);
                    new.push(NewSocket { role, number, listener, retired: retired.clone() });
                    let local = tcp.as_ref().and_then(|socket| socket.local_addr().ok());
                    Socket { role, address: address.clone(), number, local, tcp, retired }
                }
            };
            open.push(socket);
        }
        Ok(Plan { open, unix_mode: settings.unix_mode, gone, new })
    }

    /// Has it so. What is new is to be accepted from; what is gone was closed, and these are the numbers of its connections.
    pub(super) fn become_planned(&mut self, plan: Plan) -> (Vec<NewSocket>, Vec<u64>) {
        if let Some(mode) = plan.unix_mode.filter(|_| plan.unix_mode != self.unix_mode) {
            for path in plan.open.iter().filter_map(|it| it.address.path()) {
                if let Err(cause) = fs::set_permissions(path, Permissions::from_mode(mode)) {
                    tracing::error!(code = "unix_mode_not_set", path = %path.display(), %cause, "a socket has its old mode");
                }
            }
        }
        (self.open, self.unix_mode) = (plan.open, plan.unix_mode);
        plan.gone.iter().for_each(|socket| socket.retired.cancel());
        (plan.new, plan.gone.iter().map(|socket| socket.number).collect())
    }

    /// Holds none of them open any more.
    pub(super) fn let_go(&mut self) {
        self.open.iter_mut().for_each(|socket| socket.tcp = None);
    }

    /// Where those of this role are, over TCP.
    pub(super) fn addresses(&self, role: Role) -> Vec<SocketAddr> {
        let of_role = self.open.iter().filter(|socket| socket.role == role);
        of_role.filter_map(|socket| socket.local).collect()
    }

    /// All over TCP.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.open.iter().filter(|socket| socket.local.is_some()).map(|socket| socket.number).collect()
    }
}
