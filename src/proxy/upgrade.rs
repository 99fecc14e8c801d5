//! WebSockets: after the application's `101`, bytes in both directions, untouched, until either side ends, the tunnel falls
//! silent, its life is over, or it is closed early because the session ended.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::request::fields::only;

/// The right to turn one request's connection into a tunnel, and the tunnel's limits.
pub struct UpgradeTicket {
    /// The client's side: `hyper::upgrade::on(&mut request)`.
    pub on_upgrade: OnUpgrade,
    /// The longest life of the tunnel.
    pub life: Duration,
    /// The longest silence in both directions.
    pub idle: Duration,
    /// Ends the tunnel early when it is done: the session was revoked, the gateway drains.
    pub close: Pin<Box<dyn Future<Output = ()>>>,
}

/// Whether `Upgrade` names `websocket` and nothing else.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    only(headers, &UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// Puts the two fields back that hop-by-hop removal took away: for the upstream's request, and for the browser's `101`.
pub(super) fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Carries bytes between the client and the application; started when the `101` is on its way.
pub(super) async fn tunnel(ticket: UpgradeTicket, application: OnUpgrade) {
    let UpgradeTicket { on_upgrade, life, idle, close } = ticket;
    let end = Instant::now() + life;
    let carried = async {
        let (client, application) = futures_util::future::try_join(on_upgrade, application).await?;
        let activity = Rc::new(Cell::new(Instant::now()));
        let mut client = ActiveStream { inner: TokioIo::new(client), activity: Rc::clone(&activity) };
        let mut application = TokioIo::new(application);
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut client, &mut application) => {
                copied?;
                Ok("ended")
            }
            () = silence(&activity, idle) => Ok("idle"),
        }
    };
    let outcome: Result<&str, Box<dyn std::error::Error>> = tokio::select! {
        outcome = carried => outcome,
        () = sleep_until(end) => Ok("life over"),
        () = close => Ok("closed early"),
    };
    match outcome {
        Ok(reason) => tracing::debug!(code = "tunnel_ended", reason),
        Err(error) => tracing::debug!(code = "tunnel_broken", %error),
    }
}

/// Ends when nothing has gone either way for `idle`.
async fn silence(activity: &Cell<Instant>, idle: Duration) {
    loop {
        let deadline = activity.get() + idle;
        if Instant::now() >= deadline {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// The client's side of a tunnel: every byte in either direction passes it once.
struct ActiveStream<T> {
    inner: T,
    activity: Rc<Cell<Instant>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for ActiveStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if outcome.is_ready() {
            this.activity.set(Instant::now());
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ActiveStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if outcome.is_ready() {
            this.activity.set(Instant::now());
        }
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

const WEBSOCKET: &str = "websocket";
