//! A time limit on one wait after the other: for the next piece of a body.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures how long is waited. Its timer is made at the first wait and moved only when it fires: what flows does not touch it.
#[derive(Debug, Default)]
pub struct StallTimer {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    /// Ready when the wait, which begins with the first call, has lasted for `limit`.
    pub fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since.checked_add(limit).unwrap_or_else(|| since + FAR);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// The wait is over; when it began, if there was one.
    pub fn end(&mut self) -> Option<Instant> {
        self.since.take()
    }
}

/// A time limit that is never reached, within what the timer can hold.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
