//! `vestibule demo`: a small honest OpenID provider and a sample application, to see the whole thing work.
//!
//! Both are real servers over loopback. The application (`upstream`) knows nothing of OAuth and shows what it was sent. The
//! provider (`idp`) knows one client and checks all that it says. A provider that can do more, and everything wrong, is a
//! part of the tests (`tests/it/harness/idp`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::demo::answer::answer;
use crate::demo::idp::Idp;

mod answer;
mod idp;
mod serve;
mod upstream;

pub use self::idp::Client;

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
    /// The library made no signing key.
    #[error("the provider's signing key could not be made")]
    Key(#[from] aws_lc_rs::error::Unspecified),
}

/// Starts the provider of `client` on `listener` in a task of its own, until `shutdown`; gives back its issuer, which is `http://`
/// and the listener's address. Its access tokens live for `access_life`.
///
/// # Errors
/// When the listener is not on loopback, or no key could be made.
pub fn start_idp(
    listener: TcpListener,
    client: Client,
    access_life: Duration,
    clock: SharedClock,
    shutdown: CancellationToken,
) -> Result<String, DemoError> {
    let issuer = loopback_origin(&listener)?;
    let idp = Arc::new(Idp::new(issuer.clone(), client, access_life, clock)?);
    let answer = move |request: Request<Incoming>| {
        let idp = Arc::clone(&idp);
        async move {
            let (head, body) = request.into_parts();
            match Limited::new(body, LARGEST_REQUEST).collect().await {
                Ok(body) => idp.answer(&Request::from_parts(head, body.to_bytes())),
                Err(_) => answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "The request is too large.\n"),
            }
        }
    };
    tokio::spawn(serve::serve(listener, shutdown, answer));
    Ok(issuer)
}

/// Starts the sample application on `listener` in a task of its own, until `shutdown`; gives its URL back.
///
/// # Errors
/// When the listener is not on loopback.
pub fn start_upstream(listener: TcpListener, shutdown: CancellationToken) -> Result<String, DemoError> {
    let origin = loopback_origin(&listener)?;
    tokio::spawn(serve::serve(listener, shutdown, |request| std::future::ready(upstream::respond(request))));
    Ok(origin)
}

/// The URL of a listener that only this machine reaches.
fn loopback_origin(listener: &TcpListener) -> Result<String, DemoError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(DemoError::NotLoopback(address));
    }
    Ok(format!("http://{address}"))
}

/// More than a browser or a client has to say.
const LARGEST_REQUEST: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_provider_without_passwords_is_not_served_to_the_network() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let [id, secret, redirect_uri, post_logout_redirect_uri] = [(); 4].map(|()| String::new());
        let client = Client { id, secret, redirect_uri, post_logout_redirect_uri };
        let life = Duration::from_secs(60);
        let refused = start_idp(listener, client, life, SystemClock::shared(), CancellationToken::new());
        assert!(matches!(refused, Err(DemoError::NotLoopback(_))));
    }
}
