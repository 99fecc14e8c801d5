//! Forwarding seen from outside: raw bytes in at a real hyper server in front of [`Forwarder`], raw bytes out at a scripted
//! application, and back.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::body::TooLarge;
use crate::budget::Budget;
use crate::proxy::headers::{HeaderRules, RequestContext};
use crate::proxy::settings::{HostHeader, UpstreamProtocol, UpstreamSettings, UpstreamTls, UpstreamTransport};
use crate::request::handshake;
use crate::request::mapping::PathMapping;

mod answers;
mod faults;
mod http2;
mod pooling;
mod requests;
mod upgrades;

/// An HTTP/1.1 address on this machine.
pub(in crate::proxy) fn tcp(port: u16) -> UpstreamAddress {
    UpstreamAddress {
        transport: UpstreamTransport::Tcp(Arc::from("127.0.0.1"), port),
        protocol: UpstreamProtocol::Http1,
        authority: format!("127.0.0.1:{port}").into(),
        mapping: PathMapping::default(),
    }
}

/// The default settings.
pub(in crate::proxy) fn settings(addresses: Vec<UpstreamAddress>) -> UpstreamSettings {
    UpstreamSettings {
        addresses,
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(300),
        pool_idle: Duration::from_secs(30),
        tls: UpstreamTls::default(),
        host: HostHeader::Preserve,
        keeps_capitals: false,
        rewrites_answers: true,
        own_prefix: Arc::from("/_vestibule"),
        eject_after: 3,
        eject_for: Duration::from_secs(10),
    }
}

/// Runs a test as a worker would: one thread, tasks that need not be `Send`. A test that hangs fails.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        assert!(timeout(Duration::from_secs(20), test).await.is_ok(), "the test hangs");
    });
}

/// An application that treats its `n`th connection as `script` says; its port.
async fn application(script: impl AsyncFn(usize, TcpStream) + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = Rc::new(script);
    tokio::task::spawn_local(async move {
        for nth in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let script = Rc::clone(&script);
            tokio::task::spawn_local(async move { script(nth, stream).await });
        }
    });
    port
}

/// An application that reads one request after the other and answers each with `answer`.
async fn answering(answer: &'static str) -> u16 {
    application(async move |_, mut stream: TcpStream| {
        while !head(&mut stream).await.is_empty() {
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

/// A gateway that only forwards.
struct Front {
    address: SocketAddr,
    forwarder: Rc<Forwarder>,
    upstream: Arc<Upstream>,
}

/// Ends tunnels when told to.
type Close = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

impl Front {
    async fn of(settings: UpstreamSettings) -> Self {
        Self::with_tunnels(settings, HOUR, HOUR, Rc::new(|| Box::pin(std::future::pending()))).await
    }

    async fn to(port: u16) -> Self {
        Self::of(settings(vec![tcp(port)])).await
    }

    async fn with_tunnels(settings: UpstreamSettings, life: Duration, idle: Duration, close: Close) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Upstream::new(settings).unwrap();
        let forwarder = Forwarder::new(0, Budget::of(1000));
        let rules = Rc::new(HeaderRules::new("here", &[HeaderName::from_static("x-team")], || [7; 24]));
        let front = Self { address, forwarder: Rc::clone(&forwarder), upstream: Arc::clone(&upstream) };
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (forwarder, upstream) = (Rc::clone(&forwarder), Arc::clone(&upstream));
                let (rules, close) = (Rc::clone(&rules), Rc::clone(&close));
                let service = service_fn(move |request| {
                    let (forwarder, upstream) = (Rc::clone(&forwarder), Arc::clone(&upstream));
                    let (rules, close) = (Rc::clone(&rules), Rc::clone(&close));
                    async move {
                        let ticket = |on_upgrade| UpgradeTicket { on_upgrade, life, idle, close: close() };
                        Ok::<_, std::convert::Infallible>(serve(&rules, &forwarder, &upstream, request, ticket).await)
                    }
                });
                tokio::task::spawn_local(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(TokioIo::new(stream), service).with_upgrades().await
                });
            }
        });
        front
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request and reads until the gateway closes; the request should say `Connection: close`.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    /// A `GET` for `/`, alone on its connection.
    async fn get(&self) -> String {
        self.exchange("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n").await
    }

    fn idle(&self) -> usize {
        self.forwarder.pools(&self.upstream).by_address.iter().map(|pool| pool.idle()).sum()
    }
}

async fn serve(
    rules: &HeaderRules,
    forwarder: &Rc<Forwarder>,
    upstream: &Arc<Upstream>,
    request: Request<Incoming>,
    ticket: impl FnOnce(hyper::upgrade::OnUpgrade) -> UpgradeTicket,
) -> Response<Body> {
    let limited = request.headers().get("x-limit").map(|limit| limit.to_str().unwrap().parse().unwrap());
    let mut request = request.map(|inner| match limited {
        _ if http_body::Body::is_end_stream(&inner) => Body::Empty,
        Some(left) => Body::stream(Limited::new(inner, left).map_err(|_| TooLarge.into())),
        None => Body::Incoming(inner),
    });
    let handshake = handshake::read(request.method(), request.version(), request.headers());
    let ticket = (handshake == Some(Ok(()))).then(|| Box::new(ticket(hyper::upgrade::on(&mut request))));
    let refused = |status: StatusCode, code: &str| {
        Response::builder().status(status).header("x-code", code).body(Body::Empty).unwrap()
    };
    if let Err(refusal) =
        rules.request(&mut request, RequestContext { upgrade: ticket.is_some(), ..RequestContext::default() })
    {
        return refused(refusal.status(), refusal.code());
    }
    match forwarder.forward(upstream, &mut request, ticket, true).await {
        Ok(mut response) => {
            rules.response(&mut response, |name| name.starts_with("__Host-vestibule"));
            response
        }
        Err(error) => {
            let mut answer = refused(error.status(), error.code());
            answer.headers_mut().insert("x-error", error.to_string().try_into().unwrap());
            answer
        }
    }
}

/// An application that takes one request, answers it with this, and tells what else came when the connection has ended.
async fn left_alone(answer: &'static str) -> (u16, tokio::sync::oneshot::Receiver<String>) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Cell::new(Some(tell));
    let port = application(async move |_, mut stream: TcpStream| {
        head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        tell.take().unwrap().send(rest(&mut stream).await).unwrap();
    })
    .await;
    (port, told)
}

/// Reads up to the end of a head; empty when the connection ended before it began.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    until(stream, "\r\n\r\n").await
}

/// Reads up to and including `end`, or what came before the connection ended.
async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap()
}

/// Reads to the end of the connection.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// A message with its fields in alphabetical order: the order of different names is nobody's promise, that of one name is.
fn sorted(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let (start, fields) = head.split_once("\r\n").unwrap();
    let mut fields: Vec<_> = fields.split("\r\n").collect();
    fields.sort_by_key(|field| field.split_once(':').map(|(name, _)| name));
    format!("{start}\r\n{}\r\n\r\n{body}", fields.join("\r\n"))
}

/// Counts, from any task.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(80);
