//! `vestibule demo`: a small honest OpenID provider and a sample application, to see the whole thing work.
//!
//! Both are real servers over loopback, never inside the gateway's process path: the provider ([`idp`]) is also the
//! provider of the in-process tests, with a switch for each fault ([`idp::Faults`]) and a record of every request it saw;
//! the application ([`upstream`]) knows nothing of OAuth and shows what it was sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::demo::idp::{Idp, IdpSettings};
use crate::demo::upstream::SampleSettings;

pub mod idp;
mod serve;
pub mod upstream;

/// What whoever starts the demo must have read.
pub const BANNER: &str = "\
*************************************************************************
*  DEMONSTRATION ONLY: the provider knows no passwords, anyone who      *
*  reaches it may choose to be anyone. It listens on loopback alone.    *
*  Never point a real application or a real gateway at it.              *
*************************************************************************";

/// Why a part of the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The listener is reachable from other machines; a provider without passwords must not be.
    #[error("the demo serves on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener's own address could not be read.
    #[error("the listener has no address: {0}")]
    Listener(#[from] io::Error),
    /// The signing key could not be made.
    #[error(transparent)]
    Key(#[from] idp::KeyError),
}

/// Starts the provider on `listener` in a task of its own, until `shutdown`. Its issuer is `http://` and the listener's address;
/// the handle registers clients, breaks things on purpose and tells what was asked.
///
/// # Errors
/// When the listener is not on loopback, or no key could be made.
pub fn start_idp(
    listener: TcpListener,
    settings: IdpSettings,
    clock: SharedClock,
    shutdown: CancellationToken,
) -> Result<Arc<Idp>, DemoError> {
    let issuer = loopback_origin(&listener)?;
    let idp = Idp::new(issuer, settings, clock)?;
    let serving = Arc::clone(&idp);
    tokio::spawn(serve::serve(listener, shutdown, move |request| Arc::clone(&serving).answer(request)));
    Ok(idp)
}

/// Starts the sample application on `listener` in a task of its own, until `shutdown`; gives its URL back.
///
/// # Errors
/// When the listener is not on loopback.
pub fn start_upstream(
    listener: TcpListener,
    settings: SampleSettings,
    shutdown: CancellationToken,
) -> Result<String, DemoError> {
    let origin = loopback_origin(&listener)?;
    let sample = Arc::new(settings);
    tokio::spawn(serve::serve(listener, shutdown, move |request| upstream::answer(Arc::clone(&sample), request)));
    Ok(origin)
}

fn loopback_origin(listener: &TcpListener) -> Result<String, DemoError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(DemoError::NotLoopback(address));
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_provider_without_passwords_is_not_served_to_the_network() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let refused = start_idp(listener, IdpSettings::default(), SystemClock::shared(), CancellationToken::new());
        assert!(matches!(refused, Err(DemoError::NotLoopback(_))));
    }
}
