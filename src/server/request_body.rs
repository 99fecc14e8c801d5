//! The body of a request under the limits of `[server.limits]`: how long it may be, and how slowly it may come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError, BodyLimits, Stalled, TooLarge};
use crate::server::activity::BodyWatch;
use crate::server::pace::Pace;
use crate::stall::StallTimer;

/// The body of a request as the rest of the gateway gets it. It fails with [`TooLarge`] at the first byte beyond
/// `limits.bytes`, and with [`Stalled`] when it is waited for and falls `limits.idle_time` behind `limits.rate`
/// (AT-SM-22). A request without a body costs nothing. `extensions` are the request's: its connection wants to know how the
/// body goes.
pub fn request_body(extensions: &Extensions, incoming: Body, limits: BodyLimits) -> Body {
    limited(extensions, incoming, limits.bytes, Pace::of(limits.rate, limits.idle_time))
}

/// The body of a request to ourselves: as small as a head, it has as long as one to arrive (`header_time`).
pub fn form_body(extensions: &Extensions, incoming: Body, header_time: Duration) -> Body {
    limited(extensions, incoming, None, Pace::whole(header_time))
}

/// Limits a body, if there is one.
fn limited(extensions: &Extensions, incoming: Body, left: Option<u64>, pace: Pace) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let watch = extensions.get().cloned();
    Body::stream(LimitedBody { incoming, left, pace, stall: StallTimer::default(), watch })
}

/// A body under its limits.
struct LimitedBody {
    incoming: Body,
    left: Option<u64>,
    pace: Pace,
    /// Runs while somebody waits for a byte that is not there: a slow reader is not the client's fault.
    stall: StallTimer,
    watch: Option<BodyWatch>,
}

impl LimitedBody {
    /// Ends when the body is too far behind.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        if let Some(watch) = &mut self.watch {
            watch.note_awaited(true);
        }
        self.stall.poll(self.pace.left(), cx).map(|()| Stalled(self.pace.limit()))
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx)? else {
            return self.poll_stalled(cx).map(|stalled| Some(Err(stalled.into())));
        };
        let data = frame.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        if let Some(since) = self.stall.end() {
            self.pace.waited(since.elapsed());
        }
        let leisurely = self.watch.as_mut().is_some_and(|watch| {
            watch.note_awaited(false);
            watch.note_read(data);
            watch.is_leisurely()
        });
        self.pace.moved(data, leisurely);
        if (frame.is_none() || self.incoming.is_end_stream())
            && let Some(watch) = self.watch.take()
        {
            watch.ended();
        }
        if let Some(left) = self.left {
            let Some(rest) = left.checked_sub(data) else {
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
