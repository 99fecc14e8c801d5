//! The server with real sockets on ports of the system's choice, limits of a few milliseconds, and a small application.

mod hostile;
mod limits;
mod parking;
mod serving;
mod stopping;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::admin::Readiness;
use super::settings::{Drain, Limits, ListenAddress, ServerSettings};
use super::{AdminState, ServeError, Shutdown, request_body};
use crate::body::{Body, BodyError, Stalled, TooLarge};
use crate::clock::{SystemClock, UnixTime};
use crate::request::{Downstream, Peer, Unread};
use crate::telemetry::metrics::Metrics;

/// A running server.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    readiness: Readiness,
    shutdown: Shutdown,
    served: JoinHandle<Result<(), ServeError>>,
    app: App,
}

/// What tests and the application tell each other.
#[derive(Clone)]
struct App {
    requests: Arc<AtomicUsize>,
    /// One permit for each request that reached `/hang`.
    hanging: Arc<Semaphore>,
    release: Arc<Notify>,
    limits: Limits,
}

impl Running {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        let mut settings = ServerSettings {
            unix_mode: None,
            listen: vec![ListenAddress::Tcp("127.0.0.1:0".to_owned())],
            admin_listen: vec![ListenAddress::Tcp("127.0.0.1:0".to_owned())],
            workers: 1,
            tls: None,
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            drain: Drain::default(),
            notes_capitals: false,
        };
        change(&mut settings);
        let app = App::new(settings.limits.clone());
        let bound = super::bind(&settings, &SystemClock::shared()).unwrap();
        let unused = SocketAddr::from(([127, 0, 0, 1], 1));
        let address = bound.handle().traffic_addresses().first().copied().unwrap_or(unused);
        let admin = bound.handle().admin_addresses()[0];
        let state = AdminState::new(Metrics::new(UnixTime::default()), Vec::new);
        let readiness = state.readiness().clone();
        let shutdown = Shutdown::default();
        let own = app.clone();
        let make = move |worker| {
            let app = own.clone();
            let calls = Rc::new(Cell::new(0));
            move |request, downstream| {
                calls.set(calls.get() + 1);
                app.clone().answer(worker, request, downstream)
            }
        };
        let served = tokio::spawn(bound.serve(make, state, shutdown.clone()));
        Self { address, admin, readiness, shutdown, served, app }
    }

    async fn connect(&self) -> Raw<TcpStream> {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }

    async fn admin_text(&self, path: &str) -> String {
        let mut admin = Raw(TcpStream::connect(self.admin).await.unwrap());
        admin.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        admin.rest().await
    }

    async fn admin_status(&self, path: &str) -> u16 {
        self.admin_text(path).await.get(9..12).unwrap().parse().unwrap()
    }

    /// The server is well: one whole exchange. On a busy machine a tiny limit may hit us, too, so a second try is fine.
    async fn assert_serves(&self) {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let served = async {
            loop {
                let mut client = self.connect().await;
                _ = client.0.write_all(request.as_bytes()).await;
                if client.rest().await.ends_with("hello") {
                    return;
                }
            }
        };
        soon(served).await;
    }

    fn requests(&self) -> usize {
        self.app.requests.load(Ordering::SeqCst)
    }

    /// Stops in peace; whoever still has a connection loses it.
    async fn stop(self) {
        self.shutdown.ask();
        self.shutdown.ask();
        self.served.await.unwrap().unwrap();
    }
}

impl App {
    fn new(limits: Limits) -> Self {
        Self { requests: Arc::default(), hanging: Arc::new(Semaphore::new(0)), release: Arc::default(), limits }
    }

    async fn answer(self, worker: usize, mut request: Request<Body>, downstream: Rc<Downstream>) -> Response<Body> {
        if let Some(Unread(fault)) = request.extensions().get() {
            return text(fault.status().as_u16(), fault.code());
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        match request.uri().path() {
            "/peer" => {
                let peer = match downstream.peer {
                    Peer::Ip(at) => at.ip().to_string(),
                    Peer::Unix => "unix".to_owned(),
                };
                let name = downstream.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or("-").to_owned();
                text(200, format!("{peer} {} {name} {:?}", downstream.local_port.is_some(), request.version()))
            }
            "/alone" => text(200, downstream.alone.get().to_string()),
            "/worker" => text(200, worker.to_string()),
            "/echo" => match whole_body(request, &self.limits).await {
                Ok(body) => text(200, body),
                Err(cause) if cause.is::<TooLarge>() => text(413, "too large"),
                Err(cause) if cause.is::<Stalled>() => text(408, "stalled"),
                Err(cause) => text(400, cause.to_string()),
            },
            "/hang" => {
                self.hanging.add_permits(1);
                self.release.notified().await;
                text(200, "released")
            }
            "/endless" => {
                let frames = futures_util::stream::repeat_with(|| {
                    Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from_static(&[b'x'; 16 * 1024])))
                });
                let body = http_body_util::StreamBody::new(frames);
                Response::new(Body::stream(http_body_util::BodyExt::map_err(body, Into::into)))
            }
            "/panic" => panic!("asked for"),
            "/upgrade" => {
                let upgrade = hyper::upgrade::on(&mut request);
                drop(tokio::task::spawn_local(async move {
                    let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
                    _ = tokio::io::copy(&mut from, &mut to).await;
                }));
                let mut answer = Response::new(Body::Empty);
                *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                answer.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
                answer.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
                answer
            }
            _ => text(200, "hello"),
        }
    }

    async fn reached_hang(&self) {
        self.hanging.acquire().await.unwrap().forget();
    }
}

async fn whole_body(request: Request<Body>, limits: &Limits) -> Result<bytes::Bytes, BodyError> {
    let (parts, body) = request.into_parts();
    Ok(request_body(&parts.extensions, body, limits.body()).collect().await?.to_bytes())
}

fn text(status: u16, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut answer = Response::new(Body::full(text));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// A connection on which a test writes what it likes.
struct Raw<T>(T);

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        self.answer().await
    }

    /// Reads one answer with a `Content-Length` or without body.
    async fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = self.0.read_u8().await.unwrap_or_else(|cause| panic!("{cause} after {head:?}"));
            head.push(char::from(byte));
        }
        let head = head.to_ascii_lowercase();
        let length =
            head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Answer { status: head[9..12].parse().unwrap(), head, body: String::from_utf8(body).unwrap() }
    }

    /// Everything until the other side closes, which it has to.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too: the server closed with our bytes unread.
        _ = soon(self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

type H2 = hyper::client::conn::http2::SendRequest<Body>;

/// An HTTP/2 connection; the task ends when the connection does.
async fn h2_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> (H2, JoinHandle<Result<(), hyper::Error>>) {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    (sender, tokio::spawn(connection))
}

fn h2_get(path: &str) -> Request<Body> {
    Request::get(format!("http://a.example{path}")).body(Body::Empty).unwrap()
}

async fn body_text<B: http_body::Body>(answer: Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// What must come, and does unless the test fails.
async fn soon<F: Future>(event: F) -> F::Output {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("the server let us wait"))
}

/// Far more than any limit of these tests; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
