//! An application that records each request byte for byte, and gives the answers that a test sets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::raw::{Wire, fields, first};

/// A running application. Unless a test sets another answer it gives 200 with the request as JSON.
pub(crate) struct RecordingUpstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _until_dropped: DropGuard,
}

/// One request, as it came over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Request line and fields, with their ends.
    pub(crate) head: String,
    /// Names as sent, in order, repeats kept.
    pub(crate) headers: Vec<(String, String)>,
    /// Without the chunks' framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Recorded>>,
    /// What comes after a 101, by connection.
    upgraded: Mutex<Vec<u8>>,
    once: Mutex<VecDeque<Vec<u8>>>,
    always: Mutex<Option<Vec<u8>>>,
    arrived: Notify,
}

impl RecordingUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serving(address, Listening::Tcp(listener))
    }

    /// The same behind TLS.
    pub(crate) async fn over_tls(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serving(address, Listening::Tls(listener, acceptor))
    }

    /// The same at a socket file.
    pub(crate) fn on_unix(path: &Path) -> Self {
        Self::serving(NOWHERE, Listening::Unix(UnixListener::bind(path).unwrap()))
    }

    fn serving(address: SocketAddr, listening: Listening) -> Self {
        let shared = Arc::new(Shared::default());
        let shutdown = CancellationToken::new();
        let (known, ended) = (Arc::clone(&shared), shutdown.clone());
        tokio::spawn(async move { ended.run_until_cancelled(accept(listening, &known, &ended)).await });
        Self { address, shared, _until_dropped: shutdown.drop_guard() }
    }

    /// Its URL, for `upstream = "…"`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// These very bytes to every request from now on. No answer at all, and the connection closed, when they are empty;
    /// closed after them when they hold `connection: close`; an echo of bytes when they are a 101.
    pub(crate) fn answers(&self, bytes: impl AsRef<[u8]>) -> &Self {
        *self.shared.always.lock().unwrap() = Some(bytes.as_ref().to_vec());
        self
    }

    /// These very bytes to one request; several calls queue up.
    pub(crate) fn answers_once(&self, bytes: impl AsRef<[u8]>) -> &Self {
        self.shared.once.lock().unwrap().push_back(bytes.as_ref().to_vec());
        self
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Recorded> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The only request so far; fails when there were more, or none.
    pub(crate) fn only_request(&self) -> Recorded {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "the application saw {seen:#?}");
        seen.into_iter().next().unwrap()
    }

    /// The last request; fails when there was none.
    pub(crate) fn last_request(&self) -> Recorded {
        self.seen().pop().unwrap_or_else(|| panic!("the application saw nothing"))
    }

    /// Forgets the record.
    pub(crate) fn forget_seen(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// The bytes that came after upgrades.
    pub(crate) fn upgraded_bytes(&self) -> Vec<u8> {
        self.shared.upgraded.lock().unwrap().clone()
    }

    /// Waits until so many requests have come whole.
    pub(crate) async fn wait_for(&self, count: usize) {
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.shared.seen.lock().unwrap().len() >= count {
                return;
            }
            arrived.await;
        }
    }
}

impl Recorded {
    /// A field's first value, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Every value of a field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Where connections come from.
enum Listening {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixListener),
}

impl Listening {
    /// The next connection; `None` for one that came to nothing.
    async fn next(&self) -> Option<Box<dyn Wire>> {
        Some(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await.ok()?.0),
            Self::Tls(listener, acceptor) => Box::new(acceptor.accept(listener.accept().await.ok()?.0).await.ok()?),
            Self::Unix(listener) => Box::new(listener.accept().await.ok()?.0),
        })
    }
}

async fn accept(listening: Listening, shared: &Arc<Shared>, shutdown: &CancellationToken) {
    loop {
        let Some(stream) = listening.next().await else { continue };
        let (shared, ended) = (Arc::clone(shared), shutdown.clone());
        tokio::spawn(async move { ended.run_until_cancelled(converse(stream, &shared)).await });
    }
}

/// Serves one connection; `None` when it has ended.
async fn converse(stream: Box<dyn Wire>, shared: &Shared) -> Option<()> {
    let mut wire = Served { stream, unread: Vec::new() };
    loop {
        let request = wire.request().await?;
        let default = dump(&request);
        shared.seen.lock().unwrap().push(request);
        shared.arrived.notify_waiters();
        let once = shared.once.lock().unwrap().pop_front();
        let answer = once.or_else(|| shared.always.lock().unwrap().clone()).unwrap_or(default);
        if answer.is_empty() {
            return None;
        }
        wire.stream.write_all(&answer).await.ok()?;
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if text.starts_with("http/1.1 101") {
            return wire.echo(shared).await;
        }
        if text.contains("\r\nconnection: close\r\n") {
            return wire.stream.shutdown().await.ok();
        }
    }
}

struct Served {
    stream: Box<dyn Wire>,
    unread: Vec<u8>,
}

impl Served {
    async fn request(&mut self) -> Option<Recorded> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let mut request = Recorded { method, target, headers: fields(&head), head, ..Recorded::default() };
        if request.header("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        if request.header("transfer-encoding").is_some() {
            self.read_chunks(&mut request).await?;
        } else if let Some(length) = request.header("content-length").map(str::to_owned) {
            request.body = self.exactly(length.parse().ok()?).await?;
        }
        Some(request)
    }

    async fn read_chunks(&mut self, request: &mut Recorded) -> Option<()> {
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).ok()?;
            let size = usize::from_str_radix(line.trim_end().split(';').next()?, 16).ok()?;
            if size == 0 {
                break;
            }
            request.body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
        }
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).ok()?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => request.trailers.push((name.to_owned(), value.trim().to_owned())),
                None => return Some(()),
            }
        }
    }

    /// After a 101: everything comes back.
    async fn echo(&mut self, shared: &Shared) -> Option<()> {
        loop {
            let bytes = std::mem::take(&mut self.unread);
            shared.upgraded.lock().unwrap().extend_from_slice(&bytes);
            self.stream.write_all(&bytes).await.ok()?;
            self.read_more().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            self.read_more().await?;
        }
        Some(self.unread.drain(..count).collect())
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
        let count = self.stream.read_buf(&mut self.unread).await.ok()?;
        (count > 0).then_some(())
    }
}

/// The address of an application that is reached by a file.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The default answer: the request as JSON.
fn dump(request: &Recorded) -> Vec<u8> {
    let body = json!({
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body": request.text(),
        "trailers": request.trailers,
    })
    .to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
