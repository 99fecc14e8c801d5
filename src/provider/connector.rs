//! Connections to a provider: directly, or through the proxy on the way out, which alone is resolved here then.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower::util::MapErr;
use tower::{Service, ServiceExt as _};

use crate::byte_stream::ByteStream;
use crate::provider::error::TransportError;
use crate::provider::outgoing_proxy::{OutgoingProxies, OutgoingProxy, ProxyChoice};
use crate::provider::tunnel;
use crate::telemetry::causes::{cause, with_causes};

/// Opens connections, without the TLS that ends at the provider.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    proxies: OutgoingProxies,
    /// TLS to a proxy; the provider's `ca` counts there too.
    tls: Arc<ClientConfig>,
    /// For everything up to the tunnel.
    limit: Duration,
}

/// An open connection: to the provider, to a tunnel that ends there, or to a proxy that is asked in absolute form.
pub(super) struct Opened {
    io: TokioIo<Box<dyn ByteStream>>,
    speaks_to_proxy: bool,
}

/// The system's resolver, with errors of a type of their own.
pub(super) type Resolver = MapErr<GaiResolver, fn(io::Error) -> Unresolved>;

/// A name cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved: {0}")]
pub(super) struct Unresolved(io::Error);

/// Whatever an error is.
type BoxError = Box<dyn StdError + Send + Sync>;

impl Connector {
    /// One that gives a connection `timeout` at most; a call that it is for ends then as well.
    pub(super) fn new(proxies: OutgoingProxies, tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        let unresolved: fn(io::Error) -> Unresolved = Unresolved;
        let mut tcp = HttpConnector::new_with_resolver(GaiResolver::new().map_err(unresolved));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        // Shorter than the call's own time, so that it can be said that it was the proxy that did not answer.
        Self { tcp, proxies, tls, limit: timeout.mul_f32(0.9) }
    }
}

impl Service<Uri> for Connector {
    type Response = Opened;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Opened, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        let is_https = endpoint.scheme_str() == Some("https");
        let (scheme, port) = if is_https { ("https", 443) } else { ("http", 80) };
        let (host, port) = (endpoint.host().unwrap_or_default(), endpoint.port_u16().unwrap_or(port));
        let ProxyChoice::Through(proxy) = self.proxies.choice_for(scheme, host, port) else {
            let connecting = self.tcp.clone().oneshot(endpoint);
            return Box::pin(async { Ok(Opened::over(Box::new(connecting.await?.into_inner()), false)) });
        };
        let leg = ProxyLeg {
            proxy: Arc::clone(proxy),
            tcp: self.tcp.clone(),
            tls: Arc::clone(&self.tls),
            deadline: Instant::now() + self.limit,
        };
        let target = is_https.then(|| format!("{host}:{port}"));
        Box::pin(async move { Ok(leg.opened(target.as_deref()).await?) })
    }
}

/// The way to a proxy, for one connection.
struct ProxyLeg {
    proxy: Arc<OutgoingProxy>,
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    deadline: Instant,
}

impl ProxyLeg {
    /// A tunnel to `target`, or, without one, a connection to the proxy itself.
    async fn opened(&self, target: Option<&str>) -> Result<Opened, TransportError> {
        let unreachable = |why: &str| TransportError::ProxyUnreachable(format!("{}: {why}", self.proxy));
        let reached = timeout_at(self.deadline, self.reached()).await;
        let stream = reached.map_err(|_| unreachable("no connection within the timeout"))?;
        let stream = stream.map_err(|why| unreachable(&why))?;
        let Some(target) = target else { return Ok(Opened::over(stream, true)) };
        let tunnel = timeout_at(self.deadline, tunnel::through(stream, &self.proxy, target)).await;
        let tunnel = tunnel.map_err(|_| TransportError::ProxyTimeout(format!("{} for {target}", self.proxy)))?;
        Ok(Opened::over(tunnel?, false))
    }

    /// A connection to the proxy, or why there is none.
    async fn reached(&self) -> Result<Box<dyn ByteStream>, String> {
        let OutgoingProxy { has_tls, host, port, .. } = &*self.proxy;
        let address = format!("http://{host}:{port}").parse::<Uri>().map_err(|error| error.to_string())?;
        let connected = self.tcp.clone().oneshot(address).await;
        let stream: TcpStream = connected.map_err(|error| with_causes(&error))?.into_inner();
        if !has_tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        Ok(Box::new(tls.map_err(|error| untrusted(&error))?))
    }
}

/// Why there is no TLS to the proxy.
fn untrusted(error: &io::Error) -> String {
    let hint = if is_of_unknown_authority(error) { "; name its authority with `ca` of the provider" } else { "" };
    format!("TLS failed: {}{hint}", with_causes(error))
}

/// Whether a certificate was refused for who issued it, a self-signed one among them.
pub(super) fn is_of_unknown_authority(error: &(dyn StdError + 'static)) -> bool {
    use rustls::CertificateError::{BadSignature, Other, UnknownIssuer};
    let refused = cause::<rustls::Error>(error);
    matches!(refused, Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature | Other(_))))
}

impl Opened {
    /// On these bytes.
    fn over(stream: Box<dyn ByteStream>, speaks_to_proxy: bool) -> Self {
        Self { io: TokioIo::new(stream), speaks_to_proxy }
    }
}

impl Connection for Opened {
    fn connected(&self) -> Connected {
        // With it, requests are sent in absolute form.
        Connected::new().proxy(self.speaks_to_proxy)
    }
}

impl Read for Opened {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Opened {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
