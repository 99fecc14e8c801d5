//! A byte-exact HTTP/1.1 client: it writes the bytes that it is given and splits the answers; bytes left over are a finding.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection, from either end.
pub(crate) struct Raw {
    stream: Box<dyn Wire>,
    unread: Vec<u8>,
}

/// Anything that carries bytes both ways.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One answer, as its bytes say.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// The status line and the fields, with their ends.
    pub(crate) head: String,
    /// Names as sent, in order, repeats kept.
    pub(crate) headers: Vec<(String, String)>,
    /// Without the chunks' framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether only the end of the connection ends the body.
    pub(crate) until_close: bool,
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A connection that exists already: one that was accepted, or that TLS goes over.
    pub(crate) fn over(stream: impl Wire + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// Sends `bytes`, reads one answer to a method that is not HEAD, and closes.
    pub(crate) async fn once(to: SocketAddr, bytes: impl AsRef<[u8]>) -> RawAnswer {
        let mut raw = Self::connect(to).await;
        raw.send(bytes).await;
        raw.answer("GET").await
    }

    /// Sends exactly these bytes. That the other side has already hung up is not this call's affair.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Reads the next final answer, to a request with this method (answers to HEAD have no body); 1xx are skipped.
    pub(crate) async fn answer(&mut self, method: &str) -> RawAnswer {
        loop {
            let answer = self.any_answer(method).await.unwrap_or_else(|| panic!("closed without an answer"));
            if answer.status >= 200 || answer.status == 101 {
                return answer;
            }
        }
    }

    /// Reads the next answer, 1xx too; `None` when the connection ends before its head does.
    pub(crate) async fn any_answer(&mut self, method: &str) -> Option<RawAnswer> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let mut answer = RawAnswer {
            status: head.split(' ').nth(1)?.parse().ok()?,
            headers: fields(&head),
            head,
            ..RawAnswer::default()
        };
        let bodiless = method == "HEAD" || matches!(answer.status, 100..=199 | 204 | 304);
        if bodiless {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            self.read_chunks(&mut answer).await?;
        } else if let Some(length) = answer.header("content-length").map(str::to_owned) {
            answer.body = self.exactly(length.parse().ok()?).await?;
        } else {
            answer.until_close = true;
            answer.body = self.rest().await;
        }
        Some(answer)
    }

    /// Reads a head, of a request or an answer, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        let head = self.until(b"\r\n\r\n").await.unwrap_or_else(|| panic!("closed without a head"));
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Reads one chunk of a chunked body: empty for the last one, whose trailers stay unread.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.until(b"\r\n").await?).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        if size == 0 {
            return Some(Vec::new());
        }
        let chunk = self.exactly(size).await?;
        assert_eq!(self.exactly(2).await?, b"\r\n", "a chunk is longer than it says");
        Some(chunk)
    }

    /// Reads until the other side closes by itself; all that came.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        while self.read_more().await.is_some() {}
        std::mem::take(&mut self.unread)
    }

    /// Splits it into its ends, for a test that writes while it reads.
    pub(crate) fn into_stream(self) -> Box<dyn Wire> {
        assert!(self.unread.is_empty(), "bytes would be lost");
        self.stream
    }

    /// Reads exactly so many bytes: what follows an upgrade, say.
    pub(crate) async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            self.read_more().await?;
        }
        Some(self.unread.drain(..count).collect())
    }

    /// Says that nothing more comes, and reads until the other side closes: after the last answer, this must be empty.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let _ = self.stream.shutdown().await;
        while self.read_more().await.is_some() {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the other side closes by itself, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read_more().await.is_none()
    }

    async fn read_chunks(&mut self, answer: &mut RawAnswer) -> Option<()> {
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).ok()?;
            let size = usize::from_str_radix(line.trim_end().split(';').next()?, 16).ok()?;
            if size == 0 {
                break;
            }
            answer.body.extend(self.exactly(size).await?);
            assert_eq!(self.exactly(2).await?, b"\r\n", "a chunk is longer than it says");
        }
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).ok()?;
            if line == "\r\n" {
                return Some(());
            }
            answer.trailers.extend(field(line.trim_end()));
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        match read.unwrap_or_else(|_| panic!("nothing came for {PATIENCE:?}; unread: {:?}", self.unread)) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }
}

impl RawAnswer {
    /// A field's first value, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A field's first value, by its name in any case.
pub(super) fn first<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The fields of a head, without its first line.
pub(super) fn fields(head: &str) -> Vec<(String, String)> {
    head.split("\r\n").skip(1).filter_map(field).collect()
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

/// Long enough that it never ends a sound test, short enough to distinguish a hang from slowness.
const PATIENCE: Duration = Duration::from_secs(15);
