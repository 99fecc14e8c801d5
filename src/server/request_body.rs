//! The body of a request under the limits of `[server.limits]`: how long it may be, and how long it may stand still.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::body::{Body, BodyError, Stalled, TooLarge};
use crate::server::pulse::BodyWatch;
use crate::server::settings::Limits;

/// The body of a request as the rest of the gateway gets it. It fails with [`TooLarge`] at the first byte beyond
/// `limits.body_bytes`, and with [`Stalled`] when it is waited for and `limits.idle_time` passes without a byte (AT-SM-22).
/// A request without a body costs nothing. `extensions` are the request's: its connection wants to know when it has been read.
pub fn request_body(extensions: &Extensions, incoming: Body, limits: &Limits) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let (left, patience) = (limits.body_bytes, limits.idle_time);
    Body::stream(LimitedBody { incoming, left, patience, timer: None, watch: extensions.get().cloned() })
}

struct LimitedBody {
    incoming: Body,
    left: Option<u64>,
    patience: Duration,
    /// Runs only while somebody waits for a byte that is not there: a slow reader is not the client's fault.
    timer: Option<Pin<Box<Sleep>>>,
    watch: Option<BodyWatch>,
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx)? else {
            let patience = self.patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
            return timer.as_mut().poll(cx).map(|()| Some(Err(Stalled(patience).into())));
        };
        self.timer = None;
        if (frame.is_none() || self.incoming.is_end_stream())
            && let Some(watch) = self.watch.take()
        {
            watch.ended();
        }
        if let (Some(data), Some(left)) = (frame.as_ref().and_then(Frame::data_ref), self.left) {
            let Some(rest) = left.checked_sub(data.len() as u64) else {
                return Poll::Ready(Some(Err(TooLarge.into())));
            };
            self.left = Some(rest);
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
