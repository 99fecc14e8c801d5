//! A request line towards an HTTP/1.1 application whose target our types do not hold ([`RawTarget`]): hyper writes what stands in
//! for it, and here the target itself takes that place, which is as long.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use crate::request::raw_target::RawTarget;

/// Among a request's extensions: it goes out with this target.
#[derive(Clone, Debug)]
pub(super) struct Verbatim(pub(super) RawTarget);

/// What a connection writes next, where that is a target to be put in place. Only the worker's thread uses it.
#[derive(Debug, Default)]
pub(super) struct Line {
    waits: AtomicBool,
    target: Mutex<Option<Outgoing>>,
}

#[derive(Debug)]
struct Outgoing {
    target: RawTarget,
    /// Bytes of this request that were written.
    written: usize,
    /// Where the target begins among them.
    start: usize,
}

/// A piece of a request with the target in its place.
pub(super) struct Piece(Vec<u8>);

impl Line {
    /// A request is about to be written, with this target or as hyper has it.
    pub(super) fn set(&self, target: Option<Verbatim>) {
        if target.is_some() || self.waits.load(Relaxed) {
            self.waits.store(target.is_some(), Relaxed);
            *self.lock() = target.map(|Verbatim(target)| Outgoing { target, written: 0, start: 0 });
        }
    }

    /// What is to be written in place of `buf`; nothing where that is as it should be.
    pub(super) fn written(&self, buf: &[u8]) -> Option<io::Result<Piece>> {
        if !self.waits.load(Relaxed) {
            return None;
        }
        let mut line = self.lock();
        let outgoing = line.as_mut()?;
        if outgoing.written == 0 {
            // Behind the method.
            outgoing.start = memchr::memchr(b' ', buf)? + 1;
            let stand_in = outgoing.target.stand_in()?;
            if !buf.get(outgoing.start..)?.starts_with(stand_in.as_str().as_bytes()) {
                return Some(Err(io::Error::other("the request line is not the one that was judged")));
            }
        }
        let mut bytes = buf.to_vec();
        for (at, byte) in outgoing.target.as_bytes().iter().enumerate() {
            let place = (outgoing.start + at).checked_sub(outgoing.written);
            if let Some(place) = place.and_then(|place| bytes.get_mut(place)) {
                *place = *byte;
            }
        }
        Some(Ok(Piece(bytes)))
    }

    fn wrote(&self, bytes: usize) {
        let mut line = self.lock();
        let done = line.as_mut().is_none_or(|outgoing| {
            outgoing.written += bytes;
            outgoing.written >= outgoing.start + outgoing.target.as_bytes().len()
        });
        if done {
            *line = None;
            self.waits.store(false, Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Outgoing>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    /// Writes it, as far as the stream takes it.
    pub(super) fn write(
        self,
        line: &Line,
        write: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let outcome = write(&self.0);
        if let Poll::Ready(Ok(bytes)) = outcome {
            line.wrote(bytes);
        }
        outcome
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
                let mut write = |buf: &[u8]| {
                    let count = step.min(buf.len());
                    sent.extend_from_slice(&buf[..count]);
                    Poll::Ready(Ok(count))
                };
                let outcome = match line.written(rest) {
                    None => write(rest),
                    Some(piece) => piece.unwrap().write(&line, write),
                };
                let Poll::Ready(Ok(count)) = outcome else { panic!() };
                rest = &rest[count..];
            }
            assert_eq!(sent, whole, "{step} bytes at a time");
            assert!(line.written(&head).is_none(), "the next request is its own");
        }
    }

    #[test]
    fn another_request_line_than_the_one_that_was_judged_does_not_go_out() {
        let mut head = b"GET /a?<b> HTTP/1.1\r\n\r\n".to_vec();
        let line = Line::default();
        line.set(RawTarget::take(&mut head).map(Verbatim));
        assert!(line.written(b"GET /other HTTP/1.1\r\n\r\n").unwrap().is_err());
        line.set(None);
        assert!(line.written(b"GET /other HTTP/1.1\r\n\r\n").is_none());
    }
}
