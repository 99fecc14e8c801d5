//! WebSockets: after the application's `101`, bytes in both directions, untouched, until either side ends, the tunnel falls
//! silent, its life is over, or it is closed early because the session ended or the policy changed: then the client gets a close frame.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use crate::proxy::frame_ends::FrameEnds;
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
    let mut over = pin!(async {
        tokio::select! {
            () = sleep_until(end) => Over::Life,
            () = close => Over::Refused,
        }
    });
    let upgraded = tokio::select! {
        upgraded = futures_util::future::try_join(on_upgrade, application) => upgraded,
        _ = &mut over => return,
    };
    let (client, application) = match upgraded {
        Ok(both) => both,
        Err(error) => return tracing::debug!(code = "tunnel_broken", %error),
    };
    let passage = Passage::default();
    let mut client = ClientSide { io: TokioIo::new(client), passage: &passage };
    let outcome = {
        let mut application = TokioIo::new(application);
        let mut copied = pin!(tokio::io::copy_bidirectional(&mut client, &mut application));
        tokio::select! {
            copied = &mut copied => copied.map(|_| "ended"),
            () = silence(&passage.activity, idle) => Ok("idle"),
            over = over => {
                if over == Over::Refused {
                    passage.winds_up(copied).await;
                }
                Ok(over.reason())
            }
        }
    };
    if passage.is_ending.get() {
        client.say_goodbye().await;
    }
    match outcome {
        Ok(reason) => tracing::debug!(code = "tunnel_ended", reason),
        Err(error) => tracing::debug!(code = "tunnel_broken", %error),
    }
}

/// Why a tunnel ends that neither side has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Over {
    /// It has lived for as long as it may.
    Life,
    /// Whoever opened it may not go on.
    Refused,
}

impl Over {
    /// In words, for the log.
    fn reason(self) -> &'static str {
        match self {
            Self::Life => "life over",
            Self::Refused => "closed early",
        }
    }
}

/// What is known of the bytes that pass the client's side, each once.
struct Passage {
    /// When something last passed in either direction.
    activity: Cell<Instant>,
    /// Where the application's frames end.
    frames: RefCell<FrameEnds>,
    /// Nothing of the client's passes any more, and of the application's only the rest of a frame.
    is_ending: Cell<bool>,
}

impl Default for Passage {
    fn default() -> Self {
        Self { activity: Cell::new(Instant::now()), frames: RefCell::default(), is_ending: Cell::new(false) }
    }
}

impl Passage {
    /// Lets the frame that is on its way to the client come to its end, for a moment.
    async fn winds_up<T>(&self, copied: impl Future<Output = T>) {
        self.is_ending.set(true);
        if !self.frames.borrow().is_between() {
            let _ = timeout(LAST_FRAME, copied).await;
        }
    }
}

/// The client's side of a tunnel.
struct ClientSide<'a, T> {
    io: T,
    passage: &'a Passage,
}

impl<T: AsyncWrite + Unpin> ClientSide<'_, T> {
    /// Tells the client that it is closed for what it may not do
    /// ([RFC 6455 section 7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)), where that can be said: between two frames.
    async fn say_goodbye(&mut self) {
        let is_between = self.passage.frames.borrow().is_between();
        let goodbye = async {
            if is_between {
                self.io.write_all(&POLICY_VIOLATION).await?;
            }
            self.io.shutdown().await
        };
        let _ = timeout(LAST_FRAME, goodbye).await;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClientSide<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.passage.is_ending.get() {
            // The tunnel ends without it.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.passage.activity.set(Instant::now());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientSide<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let passage = self.passage;
        let mut frames = passage.frames.borrow_mut();
        let allowed = if passage.is_ending.get() { frames.rest_of_frame(bytes) } else { bytes.len() };
        let bytes = bytes.get(..allowed).unwrap_or_default();
        if bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        frames.pass(bytes.get(..written).unwrap_or_default());
        passage.activity.set(Instant::now());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
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

/// How long the end of a frame is waited for, and then for the client to take the last.
const LAST_FRAME: Duration = Duration::from_millis(500);
/// A close frame of a server, with the status 1008.
const POLICY_VIOLATION: [u8; 4] = [0x88, 2, 0x03, 0xf0];
/// The one protocol that is upgraded to.
const WEBSOCKET: &str = "websocket";
