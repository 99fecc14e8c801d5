//! The accept loop that the demo's provider and its application share: HTTP/1.1, one task a connection.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::body::Body;

/// Serves until `shutdown`, which also ends the connections that are open.
pub(super) async fn serve<F, Fut>(listener: TcpListener, shutdown: CancellationToken, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: an immediate retry would not free any.
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

/// Serves one connection to its end.
async fn connection<F, Fut>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Send + Sync,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| answer(request).map(Ok::<_, Infallible>));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // A browser that goes away is not an error.
    let _ = connection.with_upgrades().await;
}

/// How long to wait for a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
