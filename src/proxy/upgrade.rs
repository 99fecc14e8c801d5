//! WebSockets: after the application's `101`, bytes in both directions, untouched, until either side ends, the tunnel falls
//! silent, its life is over, or it is closed early because the session ended.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};
use tokio_util::io::{InspectReader, InspectWriter};

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
        let activity = Cell::new(Instant::now());
        let note = |_: &[u8]| activity.set(Instant::now());
        // Every byte in either direction passes the client's side once.
        let mut client = InspectReader::new(InspectWriter::new(TokioIo::new(client), note), note);
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

/// The one protocol that is upgraded to.
const WEBSOCKET: &str = "websocket";
