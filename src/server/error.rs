//! Why the server did not start, or ended.

use std::io;

use crate::server::listener::BindError;
use crate::server::tls::TlsError;

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
