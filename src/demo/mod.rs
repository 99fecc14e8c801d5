//! `vestibule demo`: a small honest OpenID provider and a sample application, to see the whole thing work.
//!
//! Both are real servers over loopback. The application (`upstream`) knows nothing of OAuth and shows what it was sent. The
//! provider ([`idp`]) is honest; what makes it misbehave, and records what it was asked, lives with the tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::demo::idp::{Idp, IdpRequest, IdpResponse, IdpSettings, SigningAlgorithm, SigningKey};

mod html;
pub mod idp;
mod serve;
mod upstream;

/// The warning that is printed at the start.
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
    Key(#[from] idp::SigningError),
}

/// Starts the provider on `listener` in a task of its own, until `shutdown`. Its issuer is `http://` and the listener's address;
/// the handle registers clients.
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
    let key = Arc::new(SigningKey::generate(SigningAlgorithm::Es256)?);
    let idp = Idp::new(issuer, settings, key, clock);
    let serving = Arc::clone(&idp);
    let answer = move |request| {
        let idp = Arc::clone(&serving);
        async move {
            let answer = match IdpRequest::read(request).await {
                Some(asked) => idp.answer(&asked),
                None => IdpResponse::too_large(),
            };
            answer.into_response()
        }
    };
    tokio::spawn(serve::serve(listener, shutdown, answer));
    Ok(idp)
}

/// Starts the sample application on `listener` in a task of its own, until `shutdown`; gives its URL back.
///
/// # Errors
/// When the listener is not on loopback.
pub fn start_upstream(listener: TcpListener, shutdown: CancellationToken) -> Result<String, DemoError> {
    let origin = loopback_origin(&listener)?;
    tokio::spawn(serve::serve(listener, shutdown, |request| std::future::ready(upstream::answer(request))));
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
