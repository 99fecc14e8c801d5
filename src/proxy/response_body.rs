//! A response's body on its way to the browser: broken off when the application falls silent, and without trailers that
//! would change what the response means.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::body::BodyError;
use crate::proxy::headers::trailers;

/// The application broke its response off: passed on as an error, so that the browser sees a cut connection and never takes
/// the part for the whole (RFC 9112 section 8).
#[derive(Debug, thiserror::Error)]
pub enum ResponseCut {
    /// The connection ended in the middle, or what came was not HTTP.
    #[error("the application broke off its response")]
    Broken(#[source] hyper::Error),
    /// Nothing came for the configured idle time.
    #[error("the application sent nothing more for {0:?}")]
    Idle(Duration),
}

/// The body as the browser's connection reads it.
pub(super) struct ResponseBody {
    inner: Incoming,
    idle: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, idle: Duration) -> Self {
        Self { inner, idle, waiting_since: None, timer: None }
    }

    /// The timer is made at the first wait and moved only when it fires: a body that flows does not touch it.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since.checked_add(self.idle).unwrap_or_else(|| since + FAR);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                return this.poll_idle(cx).map(|()| Some(Err(ResponseCut::Idle(this.idle).into())));
            }
        };
        this.waiting_since = None;
        Poll::Ready(frame.map(|frame| frame.map(clean).map_err(|error| ResponseCut::Broken(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A time-out that never comes, within what the timer can hold.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut fields) => {
            let forbidden: Vec<_> = fields.keys().filter(|name| trailers::is_forbidden(name)).cloned().collect();
            remove_all(&mut fields, &forbidden);
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}

fn remove_all(fields: &mut HeaderMap, names: &[http::HeaderName]) {
    for name in names {
        fields.remove(name);
    }
}
