//! The one body type that travels through the gateway, in either direction, without being collected.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// What went wrong while a body was read; its cause is logged, never shown to the other side.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body: nothing, one buffer, a stream straight from a connection, or any other stream.
#[derive(Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// A stream from the other peer's connection, as it arrives.
    Incoming(Incoming),
    /// One buffer; `None` once it has been given out.
    Full(Option<Bytes>),
    /// Any other stream.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// A body of one buffer.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Full(Some(bytes)) }
    }

    /// Any stream as a body.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// Reads the whole body, or fails once it is longer than `cap` bytes: for our own small forms, never for forwarding.
    ///
    /// # Errors
    /// [`TooLarge`], or whatever the connection failed with.
    pub async fn collect_capped(self, cap: usize) -> Result<Bytes, BodyError> {
        Ok(http_body_util::Limited::new(self, cap).collect().await?.to_bytes())
    }
}

/// What the body of a request may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyLimits {
    /// Bytes; one more is 413. None: any number.
    pub bytes: Option<u64>,
    /// Bytes a second that it has to make while it is waited for. None: any byte will do.
    pub rate: Option<u64>,
    /// How far behind that rate it may fall.
    pub idle_time: Duration,
}

/// The client began a body and then sent nothing, or too little, for this long.
#[derive(Debug, thiserror::Error)]
#[error("the client stopped sending, or sent too slowly, in the middle of the body")]
pub struct Stalled(pub Duration);

/// The body was longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("the body is larger than the limit")]
pub struct TooLarge;

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Incoming(inner) => Pin::new(inner).poll_frame(cx).map_err(Into::into),
            Self::Stream(inner) => inner.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Incoming(inner) => inner.is_end_stream(),
            Self::Stream(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Incoming(inner) => inner.size_hint(),
            Self::Stream(inner) => inner.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_body_is_given_out_once() {
        assert_eq!(Body::full("abc").collect_capped(3).await.unwrap(), "abc");
        assert!(Body::full("abcd").collect_capped(3).await.is_err());
        assert!(Body::full("").is_end_stream());
    }
}
