//! A response's body on its way to the browser: broken off when the application falls silent, and without trailers that
//! would change what the response means.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::BodyError;
use crate::proxy::headers::trailers;
use crate::stall::StallTimer;

/// The application broke its response off: passed on as an error, so that the browser sees a cut connection and never takes the
/// part for the whole ([RFC 9112 section 8](https://www.rfc-editor.org/rfc/rfc9112#section-8)).
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseCut {
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
    stall: StallTimer,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, idle: Duration) -> Self {
        Self { inner, idle, stall: StallTimer::default() }
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
                return this.stall.poll(this.idle, cx).map(|()| Some(Err(ResponseCut::Idle(this.idle).into())));
            }
        };
        this.stall.end();
        Poll::Ready(frame.map(|frame| frame.map(clean).map_err(|error| ResponseCut::Broken(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Takes forbidden trailers out.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut fields) => {
            let forbidden: Vec<_> = fields.keys().filter(|name| trailers::is_forbidden(name)).cloned().collect();
            for name in forbidden {
                fields.remove(name);
            }
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}
