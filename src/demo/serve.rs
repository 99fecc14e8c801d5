//! The accept loop that the demo's provider and its application share: HTTP/1.1, one task a connection.

use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::body::Body;

/// The server breaks the connection off, without an answer and without saying goodbye (a TCP reset).
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off on purpose")]
pub(super) struct BreakOff;

/// Serves until `shutdown`, which also ends the connections that are open.
pub(super) async fn serve<F, Fut>(listener: TcpListener, shutdown: CancellationToken, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Unpin + Send + 'static,
    Fut: Future<Output = Result<Response<Body>, BreakOff>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: turning in a circle would not free any.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = connection(stream, answer.clone());
        let ended = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn connection<F, Fut>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Unpin,
    Fut: Future<Output = Result<Response<Body>, BreakOff>> + Send + 'static,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let Err(error) = Pin::new(&mut connection).await else { return };
    if error.is_user()
        && let Some(parts) = connection.into_parts()
    {
        // With zero linger, closing sends a reset; failing to ask for it leaves an ordinary close, which is broken off as well.
        let _ = parts.io.into_inner().set_zero_linger();
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
