//! A request line towards an HTTP/1.1 application whose target our types do not hold ([`RawTarget`]): hyper writes what stands in
//! for it, and here the target itself takes that place, which is as long.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use crate::request::raw_target::RawTarget;

/// Among a request's extensions: it goes out with this target.
#[derive(Clone, Debug)]
pub(super) struct Verbatim(pub(super) RawTarget);

/// What a connection writes next, where that is a target to be put in place. Only the worker's thread uses it.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<Outgoing>>);

/// A request whose target has not gone out whole.
#[derive(Debug)]
struct Outgoing {
    target: RawTarget,
    /// Bytes of this request that were written.
    written: usize,
    /// Where the target begins among them.
    start: usize,
}

impl Line {
    /// A request is about to be written, with this target or as hyper has it.
    pub(super) fn set(&self, target: Option<Verbatim>) {
        *self.lock() = target.map(|Verbatim(target)| Outgoing { target, written: 0, start: 0 });
    }

    /// Writes `buf`, as far as the stream takes it, with the target in its place.
    pub(super) fn write(
        &self,
        buf: &[u8],
        write: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut line = self.lock();
        let Some(outgoing) = line.as_mut() else { return write(buf) };
        let bytes = outgoing
            .in_place(buf)
            .ok_or_else(|| io::Error::other("the request line is not the one that was judged"))?;
        let written = ready!(write(&bytes))?;
        outgoing.written += written;
        if outgoing.written >= outgoing.start + outgoing.target.as_bytes().len() {
            *line = None;
        }
        Poll::Ready(Ok(written))
    }

    /// Only the worker's thread takes the lock, so that it is never contended.
    fn lock(&self) -> MutexGuard<'_, Option<Outgoing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    /// The bytes that come next, with the target in its place; none where they are not this request's.
    fn in_place(&mut self, buf: &[u8]) -> Option<Vec<u8>> {
        if self.written == 0 {
            // Behind the method.
            self.start = memchr::memchr(b' ', buf)? + 1;
            let stand_in = self.target.stand_in()?;
            buf.get(self.start..)?.strip_prefix(stand_in.as_str().as_bytes())?;
        }
        let mut bytes = buf.to_vec();
        for (at, byte) in self.target.as_bytes().iter().enumerate() {
            let place = (self.start + at).checked_sub(self.written);
            if let Some(place) = place.and_then(|place| bytes.get_mut(place)) {
                *place = *byte;
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_put_in_place_however_little_the_stream_takes() {
        let mut head = b"GET /a?\"<b>\" HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
        let whole = head.clone();
        let target = RawTarget::take(&mut head).unwrap();
        for step in 1..=whole.len() {
            let line = Line::default();
            line.set(Some(Verbatim(target.clone())));
            let (mut rest, mut sent) = (&head[..], Vec::new());
            while !rest.is_empty() {
                let outcome = line.write(rest, |buf| {
                    let count = step.min(buf.len());
                    sent.extend_from_slice(&buf[..count]);
                    Poll::Ready(Ok(count))
                });
                let Poll::Ready(Ok(count)) = outcome else { panic!() };
                rest = &rest[count..];
            }
            assert_eq!(sent, whole, "{step} bytes at a time");
            assert!(line.0.lock().unwrap().is_none(), "the next request is its own");
        }
    }

    #[test]
    fn another_request_line_than_the_one_that_was_judged_does_not_go_out() {
        let mut head = b"GET /a?<b> HTTP/1.1\r\n\r\n".to_vec();
        let line = Line::default();
        line.set(RawTarget::take(&mut head).map(Verbatim));
        let other = b"GET /other HTTP/1.1\r\n\r\n";
        let takes_all = |buf: &[u8]| Poll::Ready(Ok(buf.len()));
        assert!(matches!(line.write(other, takes_all), Poll::Ready(Err(_))));
        line.set(None);
        assert!(matches!(line.write(other, takes_all), Poll::Ready(Ok(_))));
    }
}
