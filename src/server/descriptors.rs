//! Open files: the soft limit is raised to the hard one, and the places for connections are cut to what remains, so that the
//! admin listener, providers and log files always find a descriptor.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Connections {
    /// From clients.
    pub(super) clients: usize,
    /// To applications: at least one for each of the others.
    pub(super) applications: usize,
}

/// What open files allow, as it was at the start: what a reload asks for is not counted beside what is open by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance(Option<(usize, usize)>);

impl Allowance {
    /// After the attempt to raise the limit.
    pub(super) fn raised() -> Self {
        Self(raised_limit().map(|limit| (limit, open_files())))
    }

    /// As many as asked for (or the default), at most as many as open files allow. Says so where these are fewer.
    pub(super) fn connections(self, asked: Option<usize>) -> Connections {
        let wanted = asked.unwrap_or(DEFAULT_CONNECTIONS);
        let Some((limit, open)) = self.0 else { return Connections { clients: wanted, applications: usize::MAX } };
        let connections = affordable(limit, open, wanted);
        let most = connections.clients;
        if most >= wanted {
            return connections;
        }
        let message =
            "fewer connections than configured: the process may not open enough files (ulimit -n, LimitNOFILE=)";
        if asked.is_some() {
            tracing::warn!(code = "connections_cut", connections = most, wanted, open_files = limit, "{message}");
        } else {
            tracing::info!(code = "connections_cut", connections = most, wanted, open_files = limit, "{message}");
        }
        connections
    }
}

/// Each connection may need another one to its application, and one over HTTP/2 several.
fn affordable(limit: usize, open: usize, wanted: usize) -> Connections {
    let free = limit.saturating_sub(open).saturating_sub(RESERVE);
    let clients = wanted.min(free / 2).max(1);
    Connections { clients, applications: free.saturating_sub(clients).max(1) }
}

/// The limit of open files in force, after the attempt to raise it; `None` where there is none.
fn raised_limit() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(code = "open_files_not_raised", %cause, "the limit of open files stays at its soft value");
    }
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Descriptors that are open now.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, Iterator::count)
}

/// Connections where the configuration does not say.
const DEFAULT_CONNECTIONS: usize = 16_384;
/// Descriptors for the admin listener, calls to providers, key sets, certificates and log files.
pub(super) const RESERVE: usize = 32;
/// Listeners, logs, and what the runtimes open.
const USUALLY_OPEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_twice_and_the_reserve_is_left() {
        for (limit, open, most) in [(1024, 24, 484), (100, 24, 22), (50, 24, 1), (0, 24, 1)] {
            assert_eq!(affordable(limit, open, usize::MAX).clients, most, "{limit}, {open}");
        }
    }

    #[test]
    fn connections_to_applications_never_take_the_reserve_or_the_places_of_clients() {
        for (limit, wanted) in [(1024, usize::MAX), (1024, 100), (1024, 1), (100, 20), (1_048_576, DEFAULT_CONNECTIONS)]
        {
            let Connections { clients, applications } = affordable(limit, 24, wanted);
            assert!(clients + applications + RESERVE + 24 <= limit, "{limit}, {wanted}");
            assert!(applications >= clients, "{limit}, {wanted}");
        }
    }

    #[test]
    fn what_is_asked_for_is_never_exceeded() {
        assert_eq!(Allowance::raised().connections(Some(1)).clients, 1);
        assert!(Allowance::raised().connections(None).clients <= DEFAULT_CONNECTIONS);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum, "raised");
    }
}
