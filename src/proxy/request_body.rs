//! A request's body on its way to the application: watched for progress, held back until `100 Continue` where the client
//! asked for it, and with only those trailers that were announced.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{EXPECT, TRAILER};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Timeout, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::body::{Body, BodyError};
use crate::request::fields::members;

/// The body as the upstream connection reads it; none by default.
#[derive(Default)]
pub(super) struct RequestBody {
    inner: Body,
    upload: Option<Rc<Upload>>,
}

/// What the waiting request knows of the body that the connection is sending. Absent for requests without a body.
pub(super) struct Upload {
    last: Cell<Instant>,
    polled: Cell<bool>,
    done: Cell<bool>,
    starving: Cell<bool>,
    announced: Vec<HeaderName>,
    gate: Option<RefCell<Gate>>,
}

/// Holds the body back after `Expect: 100-continue`: reading it would make our own server invite the client to send, before the
/// application has said that it wants it ([RFC 9110 section 10.1.1](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1)).
struct Gate {
    /// Cancelled when the wait is over, whichever way.
    over: CancellationToken,
    wait: Pin<Box<Timeout<WaitForCancellationFutureOwned>>>,
    refused: bool,
}

impl RequestBody {
    /// Puts a request's body under watch, if it has one.
    pub(super) fn watch(request: Request<Body>) -> (Request<Self>, Option<Rc<Upload>>) {
        let (parts, inner) = request.into_parts();
        if inner.is_end_stream() {
            return (Request::from_parts(parts, Self { inner, upload: None }), None);
        }
        let gate = expects_continue(&parts.headers).then(Gate::closed);
        let over = gate.as_ref().map(|gate| gate.over.clone());
        let upload = Rc::new(Upload {
            last: Cell::new(Instant::now()),
            polled: Cell::new(false),
            done: Cell::new(false),
            starving: Cell::new(true),
            announced: announced(&parts.headers),
            gate: gate.map(RefCell::new),
        });
        let mut request = Request::from_parts(parts, Self { inner, upload: Some(Rc::clone(&upload)) });
        if let Some(over) = over {
            hyper::ext::on_informational(&mut request, move |head| {
                if head.status() == StatusCode::CONTINUE {
                    over.cancel();
                }
            });
        }
        (request, Some(upload))
    }

    /// Sends the body without waiting for `100 Continue`.
    pub(super) fn release(&self) {
        if let Some(gate) = self.upload.as_ref().and_then(|upload| upload.gate.as_ref()) {
            gate.borrow().over.cancel();
        }
    }

    /// Whether nothing was read of the body yet, so that the request may be sent elsewhere (PX-33).
    pub(super) fn is_untouched(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| !upload.polled.get())
    }
}

impl Upload {
    /// How much longer to wait: the idle limit while the body is being sent, then `first_byte` from its end.
    pub(super) fn time_left(&self, idle: Duration, first_byte: Duration) -> Option<Duration> {
        let limit = if self.done.get() { first_byte } else { idle };
        let left = limit.checked_sub(self.last.get().elapsed()).filter(|left| !left.is_zero())?;
        Some(left.min(first_byte))
    }

    /// Whether it is the client that keeps everybody waiting.
    pub(super) fn waits_for_client(&self) -> bool {
        !self.done.get() && self.starving.get() && self.polled.get()
    }

    /// The application has answered: a body that it never asked for is not fetched any more.
    pub(super) fn answered(&self) {
        if let Some(gate) = &self.gate {
            gate.borrow_mut().refuse();
        }
    }

    /// Notes what came of a read.
    fn read(&self, outcome: &Poll<Option<Result<Frame<Bytes>, BodyError>>>) {
        self.polled.set(true);
        match outcome {
            Poll::Pending => self.starving.set(true),
            Poll::Ready(frame) => {
                self.starving.set(false);
                self.last.set(Instant::now());
                self.done.set(!matches!(frame, Some(Ok(_))));
            }
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(upload) = &this.upload else {
            return Pin::new(&mut this.inner).poll_frame(cx);
        };
        if let Some(gate) = &upload.gate {
            ready!(gate.borrow_mut().poll_open(cx))?;
        }
        loop {
            let outcome = Pin::new(&mut this.inner).poll_frame(cx);
            upload.read(&outcome);
            let Some(frame) = ready!(outcome?) else { return Poll::Ready(None) };
            match frame.into_trailers() {
                Err(frame) => {
                    upload.done.set(this.inner.is_end_stream());
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(mut trailers) => {
                    upload.done.set(true);
                    keep_announced(&mut trailers, &upload.announced);
                    if !trailers.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Gate {
    /// Holds a body back from now on.
    fn closed() -> Self {
        let over = CancellationToken::new();
        let wait = Box::pin(timeout(CONTINUE_WAIT, over.clone().cancelled_owned()));
        Self { over, wait, refused: false }
    }

    /// Opens at `100 Continue`, or when the application keeps silent: not all of them know the expectation.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.refused {
            return Poll::Ready(Err("the application answered without asking for the body".into()));
        }
        if !self.over.is_cancelled() {
            _ = ready!(self.wait.as_mut().poll(cx));
            self.over.cancel();
        }
        Poll::Ready(Ok(()))
    }

    /// The body is not wanted, unless it is under way.
    fn refuse(&mut self) {
        if !self.over.is_cancelled() {
            self.refused = true;
            self.over.cancel();
        }
    }
}

/// Whether the client waits to be asked for the body.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The trailers that the request announces; the rest is dropped, as hyper does for HTTP/1.1 anyway. Names that must not be
/// trailers have already been taken out of the list (`headers::trailers`).
fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    members(headers, &TRAILER).filter_map(|name| name.parse().ok()).collect()
}

/// Drops the trailers that were not announced.
fn keep_announced(trailers: &mut HeaderMap, announced: &[HeaderName]) {
    let strange: Vec<_> = trailers.keys().filter(|name| !announced.contains(name)).cloned().collect();
    for name in strange {
        trailers.remove(name);
    }
}

/// How long a body is held back for a `100 Continue` that does not come.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
