//! Open files: the soft limit is raised to the hard one, and the places for connections are cut to what remains, so that the
//! admin listener, providers and log files always find a descriptor.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections may be open at once: as many as asked for (or the default), at most as many as open files allow.
/// Says so where these are fewer.
pub(super) fn connections(asked: Option<usize>) -> usize {
    let wanted = asked.unwrap_or(DEFAULT_CONNECTIONS);
    let Some(limit) = raised_limit() else { return wanted };
    let most = affordable(limit, open_files());
    if most >= wanted {
        return wanted;
    }
    let message = "fewer connections than configured: the process may not open enough files (ulimit -n, LimitNOFILE=)";
    if asked.is_some() {
        tracing::warn!(code = "connections_cut", connections = most, wanted, open_files = limit, "{message}");
    } else {
        tracing::info!(code = "connections_cut", connections = most, wanted, open_files = limit, "{message}");
    }
    most
}

/// Each connection may need another one to its application.
fn affordable(limit: usize, open: usize) -> usize {
    (limit.saturating_sub(open).saturating_sub(RESERVE) / 2).max(1)
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

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, Iterator::count)
}

/// Connections where the configuration does not say.
const DEFAULT_CONNECTIONS: usize = 16_384;
/// Descriptors for the admin listener, calls to providers, key sets, certificates and log files.
const RESERVE: usize = 32;
/// Listeners, logs, and what the runtimes open.
const USUALLY_OPEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_twice_and_the_reserve_is_left() {
        for (limit, open, most) in [(1024, 24, 484), (100, 24, 22), (50, 24, 1), (0, 24, 1)] {
            assert_eq!(affordable(limit, open), most, "{limit}, {open}");
        }
    }

    #[test]
    fn what_is_asked_for_is_never_exceeded() {
        assert_eq!(connections(Some(1)), 1);
        assert!(connections(None) <= DEFAULT_CONNECTIONS);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum, "raised");
    }
}
