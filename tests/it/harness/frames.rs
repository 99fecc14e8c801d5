//! HTTP/2 frame by frame, for what no honest client would write (RFC 9113 sections 4 and 6, RFC 7541 section 6).

use std::net::SocketAddr;

use tokio::io::AsyncRead;

use super::Raw;

/// A connection that has said the preface and its own settings.
pub(crate) struct Frames {
    raw: Raw,
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It was answered, with this status.
    Answered(u16),
    /// Its stream was reset, with this error code.
    Reset(u32),
    /// The connection was ended: by GOAWAY with this error code, or without a word.
    Ended(Option<u32>),
}

impl Frames {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::over(Raw::connect(to).await).await
    }

    /// Speaks over a connection that exists already.
    pub(crate) async fn over(mut raw: Raw) -> Self {
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(frame(SETTINGS, 0, 0, &[])).await;
        Self { raw }
    }

    /// What another part of the test writes to: frames are only read here.
    pub(crate) fn reading(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self { raw: Raw::over(tokio::io::join(from, tokio::io::sink())) }
    }

    /// Sends these very bytes.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.raw.send(bytes).await;
    }

    /// Sends a request of these fields on stream 1, without a body.
    pub(crate) async fn asks(&mut self, fields: &[(&str, &str)]) {
        self.send(headers(1, END_STREAM, &block(fields))).await;
    }

    /// Reads the next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let head = self.raw.exactly(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.raw.exactly(length).await? })
    }

    /// Reads until it is clear what became of the request on a stream.
    pub(crate) async fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.next().await else { return Fate::Ended(None) };
            match frame.kind {
                HEADERS if frame.stream == stream => return Fate::Answered(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Fate::Reset(number(&frame.payload)),
                GOAWAY => return Fate::Ended(Some(number(&frame.payload[4..]))),
                _ => {}
            }
        }
    }

    /// Reads until the connection ends; the error code of the GOAWAY that said so.
    pub(crate) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = Some(number(&frame.payload[4..]));
            }
        }
        code
    }

    /// The connection itself.
    pub(crate) fn into_raw(self) -> Raw {
        self.raw
    }
}

/// A frame of any kind.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A HEADERS frame that holds the whole block.
pub(crate) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

/// A header block of literal fields without indexing, which takes every byte as it is.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The pseudo-fields of a GET.
pub(crate) fn get<'a>(authority: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap());
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The status that an answer's block begins with: from the static table, or a literal, which may be Huffman-coded.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x08 | 0x48, 0x03, digits @ ..] => {
            digits[..3].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        [0x08 | 0x48, length, coded @ ..] if length & 0x80 != 0 => digits(&coded[..usize::from(length & 0x7f)]),
        _ => panic!("no status in {block:02x?}"),
    }
}

/// Three Huffman-coded digits: 0, 1 and 2 have five bits, the others six (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> u16 {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut status = 0;
    for _ in 0..3 {
        let five = bits.by_ref().take(5).fold(0, |code, bit| code << 1 | bit);
        let digit = if five < 3 { five } else { (five << 1 | bits.next().unwrap()) - 0x19 + 3 };
        status = status * 10 + digit;
    }
    status
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
