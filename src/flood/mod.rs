//! Floods on HTTP/2 connections: frames are counted as they pass, and a peer whose frames are mere overhead is cut off.
//!
//! h2 answers or ignores SETTINGS, PING, WINDOW_UPDATE, PRIORITY, RST_STREAM and unknown frames for as long as they come, which
//! takes a core for as long as somebody sends them ([RFC 9113 section 10.5](https://www.rfc-editor.org/rfc/rfc9113#section-10.5);
//! AT-SM-17, PX-47). It has limits of its own for streams reset before they are answered, CONTINUATION, and empty or tiny DATA;
//! what it lacks is an account for all others.
//!
//! The account of a connection: every frame that comes costs 1, and 1 more for each 128 bytes that it holds; DATA with content
//! is free, because it is a body. What goes out earns 8: a frame of HEADERS or DATA, which is the progress of a request.
//! `BURST` is there from the start, and comes back at `RATE` a second. So
//!
//! - a download may be answered with a WINDOW_UPDATE for its stream and one for the connection for every frame of it, four times
//!   over, and the earned may be used up late (up to `MOST`), by a client that acknowledges a large window at once;
//! - who pings for the bandwidth-delay product (gRPC) does so when data comes, and has earned it; keep-alive pings are a few a
//!   minute; Firefox begins with 6 PRIORITY frames, Chrome sends a PRIORITY_UPDATE or two for each request;
//! - a page that is left resets at most all its streams at once, and a client that resets everything it asks for may do so 200
//!   times a second;
//! - a flood is over after 2000 frames and what was earned: some milliseconds of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is reported of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameReport {
    /// It is cut off, at a frame of this kind; reported once.
    Flood(&'static str),
    /// So many bytes of DATA were written.
    Content(usize),
}

/// The stream below an HTTP/2 connection. The frames of both directions are counted, and reading fails when the account is
/// empty; `report` hears of it.
#[derive(Debug)]
pub struct Counted<T, R> {
    inner: T,
    incoming: Frames,
    outgoing: Frames,
    account: Account,
    report: R,
}

impl<T, R: Fn(FrameReport)> Counted<T, R> {
    /// Counts what comes through `inner` on a connection that we accepted: the client's preface comes first.
    pub fn accepted(inner: T, report: R) -> Self {
        Self::new(inner, PREFACE, 0, report)
    }

    /// Counts what comes through `inner` on a connection that we opened: our preface goes first.
    pub fn opened(inner: T, report: R) -> Self {
        Self::new(inner, 0, PREFACE, report)
    }

    fn new(inner: T, incoming: usize, outgoing: usize, report: R) -> Self {
        let account = Account { left: BURST, since: Instant::now() };
        Self { inner, incoming: Frames::after(incoming), outgoing: Frames::after(outgoing), account, report }
    }
}

impl<T, R> Counted<T, R>
where
    T: AsyncWrite + Unpin,
    R: Fn(FrameReport) + Unpin,
{
    /// Says goodbye; the error that ends the connection.
    fn cut_off(&mut self, cx: &mut Context<'_>) -> io::Error {
        (self.report)(FrameReport::Flood(kind_name(self.incoming.last.kind)));
        // Only between frames can another one be sent. Whoever does not read has no room for it, and is cut off without.
        if self.outgoing.is_between() {
            let farewell = go_away(self.incoming.highest_stream);
            if let Poll::Ready(Ok(sent)) = Pin::new(&mut self.inner).poll_write(cx, &farewell)
                && sent == farewell.len()
            {
                _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
        }
        io::Error::other("a flood of HTTP/2 frames")
    }

    /// Counts what goes out, which earns.
    fn note_written(&mut self, written: &[u8]) {
        let account = &mut self.account;
        let content = self.outgoing.pass(written, |frame| {
            if matches!(frame.kind, DATA | HEADERS) {
                account.left = account.left.saturating_add(EARNED).min(MOST);
            }
        });
        (self.report)(FrameReport::Content(content));
    }
}

impl<T, R> AsyncRead for Counted<T, R>
where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Fn(FrameReport) + Unpin,
{
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let account = &mut this.account;
        this.incoming.pass(buf.filled().get(before..).unwrap_or_default(), |frame| {
            account.left = account.left.saturating_sub(cost(frame));
        });
        if account.left < 0 && !account.refill(Instant::now()) {
            return Poll::Ready(Err(this.cut_off(cx)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T, R> AsyncWrite for Counted<T, R>
where
    T: AsyncWrite + Unpin,
    R: Fn(FrameReport) + Unpin,
{
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.note_written(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let count = left.min(buf.len());
            this.note_written(buf.get(..count).unwrap_or_default());
            left -= count;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// What a connection may still take. The clock is looked at only when nothing is left.
#[derive(Debug)]
struct Account {
    left: i64,
    since: Instant,
}

impl Account {
    /// Puts in what came back since the last time; false where that is not enough.
    fn refill(&mut self, now: Instant) -> bool {
        let millis = i64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(i64::MAX);
        self.since = now;
        self.left = self.left.saturating_add((millis.saturating_mul(RATE) / 1000).min(BURST));
        self.left >= 0
    }
}

/// What a frame that comes costs.
fn cost(frame: Frame) -> i64 {
    match frame.kind {
        // A frame that padding may fill is no content.
        DATA if frame.length > 0 && (frame.flags & PADDED == 0 || frame.length > 256) => 0,
        // h2 bounds their size.
        HEADERS | CONTINUATION => 1,
        _ => 1 + i64::from(frame.length / 128),
    }
}

/// Where one direction of a connection stands.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes before the next head.
    skip: usize,
    /// A head of which only so many bytes have come.
    head: [u8; HEAD],
    have: usize,
    last: Frame,
    highest_stream: u32,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
}

impl Frames {
    /// Frames begin after so many bytes.
    fn after(skip: usize) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Whether the next byte is the first of a frame.
    fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Goes over the next bytes, and calls `each` for every frame that begins in them; how many of them are content of DATA.
    fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) -> usize {
        let mut content = 0;
        loop {
            let body = self.skip.min(bytes.len());
            self.skip -= body;
            content += if self.last.kind == DATA { body } else { 0 };
            bytes = bytes.get(body..).unwrap_or_default();
            let wanted = (HEAD - self.have).min(bytes.len());
            let (Some(place), Some((begin, rest))) =
                (self.head.get_mut(self.have..self.have + wanted), bytes.split_at_checked(wanted))
            else {
                return content;
            };
            place.copy_from_slice(begin);
            self.have += wanted;
            bytes = rest;
            if self.have < HEAD {
                return content;
            }
            self.have = 0;
            let [a, b, c, kind, flags, stream @ ..] = self.head;
            self.last = Frame { length: u32::from_be_bytes([0, a, b, c]), kind, flags };
            self.skip = usize::try_from(self.last.length).unwrap_or(usize::MAX);
            if kind == HEADERS {
                self.highest_stream = self.highest_stream.max(u32::from_be_bytes(stream) & !RESERVED);
            }
            each(self.last);
        }
    }
}

/// GOAWAY with ENHANCE_YOUR_CALM ([RFC 9113 section 6.8](https://www.rfc-editor.org/rfc/rfc9113#section-6.8) and 7).
fn go_away(last_stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame
}

/// The name of a kind of frame, for the log.
fn kind_name(kind: u8) -> &'static str {
    KINDS.get(usize::from(kind)).unwrap_or(&"unknown")
}

/// The kinds of frames by their numbers ([RFC 9113 section 6](https://www.rfc-editor.org/rfc/rfc9113#section-6)).
pub const KINDS: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];
/// Frames that cost 1, from the start.
const BURST: i64 = 2000;
/// What comes back in a second; at most `BURST` at once.
const RATE: i64 = 200;
/// For each frame of an answer or of a request that we send.
const EARNED: i64 = 8;
/// What can be earned at most: a window of 32 MiB in frames of 16 KiB, acknowledged twice each, and as much again.
const MOST: i64 = 8192;

/// Bytes of a client's preface ([RFC 9113 section 3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const PREFACE: usize = 24;
/// Bytes of a frame's head ([RFC 9113 section 4.1](https://www.rfc-editor.org/rfc/rfc9113#section-4.1)).
const HEAD: usize = 9;
/// Content of a body.
const DATA: u8 = 0;
/// The head of a request or answer, or trailers.
const HEADERS: u8 = 1;
/// The end of a connection is announced.
const GOAWAY: u8 = 7;
/// The rest of a head.
const CONTINUATION: u8 = 9;
/// The flag of padded DATA.
const PADDED: u8 = 8;
/// The bit of a stream identifier that means nothing.
const RESERVED: u32 = 1 << 31;
/// The error code of a peer that makes too much work ([RFC 9113 section 7](https://www.rfc-editor.org/rfc/rfc9113#section-7)).
const ENHANCE_YOUR_CALM: u32 = 0xb;

#[cfg(test)]
mod tests;
