//! New connections to applications: TCP, unix sockets, and TLS over either.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use crate::byte_stream::ByteStream;
use crate::keep_alive::keep_alive;
use crate::proxy::balance::Upstream;
use crate::proxy::error::{UpstreamError, UpstreamFault};
use crate::proxy::settings::{UpstreamAddress, UpstreamProtocol, UpstreamTransport};
use crate::telemetry::causes::cause;
use crate::tls_version::{MinTlsVersion, is_version_mismatch};

/// A connection to an application, and what is spoken on it.
pub(super) struct Connected {
    pub(super) stream: Box<dyn ByteStream>,
    pub(super) http2: bool,
}

/// Connects to one address within the configured time; HTTP/1.1 is insisted on where an upgrade is wanted.
pub(super) async fn connect(
    upstream: &Upstream,
    address: &UpstreamAddress,
    http1_only: bool,
) -> Result<Connected, UpstreamError> {
    let after = upstream.settings().connect_timeout;
    let connected = timeout(after, connect_untimed(upstream, address, http1_only)).await;
    connected.unwrap_or_else(|_| Err(UpstreamError::at(address, UpstreamFault::ConnectTimeout(after))))
}

/// Connects, however long it takes.
async fn connect_untimed(
    upstream: &Upstream,
    address: &UpstreamAddress,
    http1_only: bool,
) -> Result<Connected, UpstreamError> {
    let stream = open(address).await?;
    match address.protocol {
        UpstreamProtocol::Http1 => Ok(Connected { stream, http2: false }),
        UpstreamProtocol::H2c if http1_only => Err(UpstreamError::at(address, UpstreamFault::UpgradeImpossible)),
        UpstreamProtocol::H2c => Ok(Connected { stream, http2: true }),
        UpstreamProtocol::Tls => {
            let min_version = upstream.settings().tls.min_version;
            let failed =
                |source| UpstreamError::because(address, UpstreamFault::Tls, version_explained(source, min_version));
            let tls = upstream.tls().ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
            let name = tls.name_for(&address.authority).map_err(|error| failed(io::Error::other(error)))?;
            let stream = tls.connector(http1_only).connect(name, stream).await.map_err(failed)?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connected { stream: Box::new(stream), http2 })
        }
    }
}

/// A failed handshake, with what is wrong where it is about the version of TLS.
fn version_explained(source: io::Error, min_version: MinTlsVersion) -> io::Error {
    match cause(&source) {
        Some(error) if is_version_mismatch(error) => {
            let refusal = min_version.refusal("the route's `tls.min_version`");
            io::Error::new(source.kind(), OtherTlsVersion { refusal, source })
        }
        _ => source,
    }
}

/// The application speaks none of the versions of TLS that are taken.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
struct OtherTlsVersion {
    refusal: String,
    source: io::Error,
}

/// A connection without TLS.
async fn open(address: &UpstreamAddress) -> Result<Box<dyn ByteStream>, UpstreamError> {
    let refused = |source: io::Error| UpstreamError::because(address, UpstreamFault::Connect, source);
    Ok(match &address.transport {
        UpstreamTransport::Tcp(host, port) => {
            // Apart from connecting, so that the log distinguishes a wrong name from an application that is down.
            let unresolved = |source: io::Error| UpstreamError::because(address, UpstreamFault::NameResolution, source);
            let found: Vec<SocketAddr> = lookup_host((&**host, *port)).await.map_err(unresolved)?.collect();
            let stream = TcpStream::connect(&*found).await.map_err(refused)?;
            stream.set_nodelay(true).map_err(refused)?;
            keep_alive(&stream);
            Box::new(stream)
        }
        UpstreamTransport::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(refused)?),
    })
}
