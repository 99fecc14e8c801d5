//! What clients that do not read, and applications that do not, make the gateway hold: resident bytes of the real program, as it
//! tells them itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::Program;
use crate::harness::frames::{block, frame, get, headers};
use crate::harness::gateway::key;
use crate::harness::program::HOST;

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_and_unread_uploads_take_little_each() {
    // AT-SM-17, AT-SM-23: the bound that stands in config.example.toml at `connections`, in each direction and over both protocols
    let application = Application::start().await;
    let config = CONFIG.replace("KEY", &key(1)).replace("UPSTREAM", &application.origin);
    for (what, streams, opening) in [
        ("download", 1, http1("GET", "/large", "")),
        ("upload", 1, http1("POST", "/stuck", "Content-Length: 16777216\r\n")),
        ("chunked upload", 1, http1("POST", "/stuck", "Transfer-Encoding: chunked\r\n")),
        ("HTTP/2 download", 1, http2("/large", 1)),
        ("HTTP/2 downloads", 20, http2("/large", 20)),
    ] {
        let program = Program::running(&config).await;
        let at = program.address().await;
        let mut reader = TcpStream::connect(at).await.unwrap();
        reader.write_all(&http1("GET", "/large", "")).await.unwrap();
        let (mut got, mut room) = (0, vec![0; 1 << 16]);
        while got < LARGE {
            got += within(reader.read(&mut room)).await.unwrap();
        }
        drop(reader);
        let (before, reached) = (resident(&program).await, application.reached.load(Ordering::SeqCst));
        let mut peers = Vec::new();
        for _ in 0..PEERS / streams {
            let mut peer = narrow(at).await;
            peer.write_all(&opening).await.unwrap();
            if what.contains("upload") {
                stuff(&peer, what);
            }
            peers.push(peer);
        }
        within(async {
            while application.reached.load(Ordering::SeqCst) < reached + PEERS {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let each = (settled(&program, &peers, what).await - before) / i64::try_from(PEERS).unwrap();
        assert!(each <= MOST, "{what}: {} KiB each", each / 1024);
    }
}

fn http1(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").into_bytes()
}

/// A connection with so many requests on it, and windows for all that is asked for.
fn http2(path: &str, streams: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[&[0, 4], (1u32 << 30).to_be_bytes().as_slice()].concat()));
    bytes.extend(frame(8, 0, 0, &(1u32 << 30).to_be_bytes()));
    for number in 0..streams {
        bytes.extend(headers(2 * number + 1, 1, &block(&get(HOST, path))));
    }
    bytes
}

/// Sends as much of a body as is taken without waiting.
fn stuff(peer: &TcpStream, what: &str) {
    let piece =
        if what == "upload" { vec![b'x'; 1 << 16] } else { format!("4000\r\n{}\r\n", "x".repeat(0x4000)).into_bytes() };
    let mut sent = 0;
    while sent < LARGE / 2 {
        match peer.try_write(&piece) {
            // Cut in the middle, nothing that makes sense can follow.
            Ok(count) if count == piece.len() => sent += count,
            Ok(_) | Err(_) => break,
        }
    }
}

/// The resident bytes once they do not rise any more.
async fn settled(program: &Program, peers: &[TcpStream], what: &str) -> i64 {
    let (mut most, mut quiet) = (0, 0);
    while quiet < 20 {
        let now = resident(program).await;
        quiet = if now > most { 0 } else { quiet + 1 };
        most = most.max(now);
        if what == "upload" {
            for peer in peers {
                stuff(peer, what);
            }
        }
    }
    most
}

async fn resident(program: &Program) -> i64 {
    let metrics = program.admin_text("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap_or_else(|| panic!("no such metric in {metrics}")).parse().unwrap()
}

async fn within<F: Future>(event: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), event).await.unwrap_or_else(|_| panic!("it hangs"))
}

/// A connection that takes in hardly anything that is not read.
async fn narrow(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(to).await.unwrap()
}

/// `/large` is 16 MiB; whatever is sent to `/stuck` is never read.
struct Application {
    origin: String,
    /// Requests whose head was read.
    reached: Arc<AtomicUsize>,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let reached = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&reached);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&count)));
            }
        });
        Self { origin, reached }
    }
}

async fn serve(mut stream: TcpStream, reached: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    reached.fetch_add(1, Ordering::SeqCst);
    if head.starts_with(b"GET") {
        _ = stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\nConnection: close\r\n\r\n").as_bytes())
            .await;
        _ = stream.write_all(&vec![b'x'; LARGE]).await;
    }
    // Whoever waits for more keeps its connection.
    std::future::pending::<()>().await;
}

const LARGE: usize = 16 << 20;
const PEERS: usize = 40;
/// Bytes for each request that is open.
const MOST: i64 = 256 * 1024;

const CONFIG: &str = "
[server]
listen = '127.0.0.1:0'
public_url = 'https://wiki.example.com'
workers = 1

[admin]
listen = '127.0.0.1:0'

[session]
keys = ['KEY']

[provider.idp]
issuer = 'http://127.0.0.1:9'
client_id = 'vestibule'
client_auth = 'none'

[route.app]
upstream = 'UPSTREAM'
access = 'public'
";
