//! New connections to applications: TCP, unix sockets, and TLS over either.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::client::TlsStream;

use crate::budget::Slot;
use crate::keep_alive::keep_alive;
use crate::proxy::balance::Upstream;
use crate::proxy::error::UpstreamError;
use crate::proxy::settings::{UpstreamAddress, UpstreamProtocol, UpstreamTransport};

/// A connection to an application, and what is spoken on it.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) http2: bool,
}

/// The bytes of a connection.
pub(super) enum Stream {
    Tcp(TcpStream, #[expect(dead_code, reason = "goes with the connection")] Option<Slot>),
    Unix(UnixStream, #[expect(dead_code, reason = "goes with the connection")] Option<Slot>),
    Tls(Box<TlsStream<Self>>),
}

/// Connects to one address within the configured time; HTTP/1.1 is insisted on where an upgrade is wanted.
pub(super) async fn connect(
    upstream: &Upstream,
    address: &UpstreamAddress,
    http1_only: bool,
    slot: Option<Slot>,
) -> Result<Connected, UpstreamError> {
    let after = upstream.settings().connect_timeout;
    tokio::time::timeout(after, connect_untimed(upstream, address, http1_only, slot))
        .await
        .unwrap_or_else(|_| Err(UpstreamError::ConnectTimeout { authority: address.place(), after }))
}

async fn connect_untimed(
    upstream: &Upstream,
    address: &UpstreamAddress,
    http1_only: bool,
    slot: Option<Slot>,
) -> Result<Connected, UpstreamError> {
    let stream = open(address, slot).await?;
    match (address.protocol, upstream.tls()) {
        (UpstreamProtocol::Http1, _) => Ok(Connected { stream, http2: false }),
        (UpstreamProtocol::H2c, _) if http1_only => {
            Err(UpstreamError::UpgradeImpossible { authority: address.place() })
        }
        (UpstreamProtocol::H2c, _) => Ok(Connected { stream, http2: true }),
        (UpstreamProtocol::Tls, tls) => {
            let failed = |source| UpstreamError::Tls { authority: address.place(), source };
            let tls = tls.ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
            let name = tls.name_for(&address.authority).map_err(|error| failed(io::Error::other(error)))?;
            let stream = tls.connector(http1_only).connect(name, stream).await.map_err(failed)?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connected { stream: Stream::Tls(Box::new(stream)), http2 })
        }
    }
}

async fn open(address: &UpstreamAddress, slot: Option<Slot>) -> Result<Stream, UpstreamError> {
    let authority = || address.place();
    let refused = |source| UpstreamError::Connect { authority: authority(), source };
    match &address.transport {
        UpstreamTransport::Tcp(host, port) => {
            // Apart from connecting, so that the log distinguishes a wrong name from an application that is down.
            let unresolved = |source| UpstreamError::NameResolution { authority: authority(), source };
            let found: Vec<SocketAddr> = lookup_host((&**host, *port)).await.map_err(unresolved)?.collect();
            let stream = TcpStream::connect(&*found).await.map_err(refused)?;
            stream.set_nodelay(true).map_err(refused)?;
            keep_alive(&stream);
            Ok(Stream::Tcp(stream, slot))
        }
        UpstreamTransport::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await.map_err(refused)?, slot)),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream, _) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream, _) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => stream.is_write_vectored(),
            Self::Unix(stream, _) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream, _) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
