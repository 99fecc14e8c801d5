//! The accept loop of the tests' provider, which can break a connection off.

use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use vestibule::body::Body;

use super::Misbehaving;

/// The provider breaks the connection off, without an answer and without a closing handshake (a TCP reset).
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off on purpose")]
pub(super) struct BreakOff;

/// Serves until `shutdown`, which also ends the connections that are open.
pub(super) async fn serve(listener: TcpListener, provider: Arc<Misbehaving>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, _) = accepted.unwrap();
        let (provider, ended) = (Arc::clone(&provider), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = connection(stream, provider) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, provider: Arc<Misbehaving>) {
    let answer =
        move |request: Request<Incoming>| -> Pin<Box<dyn Future<Output = Result<Response<Body>, BreakOff>> + Send>> {
            Box::pin(Arc::clone(&provider).answer(request))
        };
    let mut connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
    let Err(error) = Pin::new(&mut connection).await else { return };
    if error.is_user() {
        // With zero linger, closing sends a reset.
        connection.into_parts().io.into_inner().set_zero_linger().unwrap();
    }
}
