//! What the server needs to know of the configuration, already proven: `[server]`, `[server.tls]`, `[server.limits]`,
//! `[server.drain]`, `[admin]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::body::BodyLimits;
use crate::tls_version::MinTlsVersion;

/// The listening side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerSettings {
    /// Traffic listeners, at least one.
    pub listen: Vec<ListenAddress>,
    /// The admin listeners; may be empty.
    pub admin_listen: Vec<ListenAddress>,
    /// How many workers, at least one.
    pub workers: usize,
    /// The mode of the files of unix sockets, admin ones included; `None`: what the umask leaves.
    pub unix_mode: Option<u32>,
    /// TLS on every TCP traffic listener; `None` for plain text.
    pub tls: Option<TlsSettings>,
    /// Limits on what a client may take.
    pub limits: Limits,
    /// Peers that stand for many people, and so may have more connections than a quarter of all.
    pub trusted_proxies: Vec<IpNet>,
    /// How to stop.
    pub drain: Drain,
    /// Whether the capitals of fields' names are noted, which some route asks for (`header_case`).
    pub notes_capitals: bool,
}

/// One address to listen on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// `host:port`, resolved when bound (port 0 takes a free one).
    Tcp(String),
    /// `unix:/path`; a stale socket file is replaced, the file is removed at the end.
    Unix(PathBuf),
    /// `systemd:name`: a socket handed in by the service manager (`LISTEN_FDNAMES`).
    Systemd(String),
}

impl ListenAddress {
    /// The file of a unix socket.
    pub fn path(&self) -> Option<&Path> {
        if let Self::Unix(path) = self { Some(path) } else { None }
    }
}

/// As it is written in the configuration.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => f.write_str(at),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// The server's own certificates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsSettings {
    /// The oldest version of TLS that clients may speak.
    pub min_version: MinTlsVersion,
    /// Certificates with their keys; chosen by SNI, the first where no name fits.
    pub certificates: Vec<CertificateFiles>,
    /// Roots of client certificates, PEM file.
    pub client_ca: Option<PathBuf>,
    /// Whether a client certificate is asked for.
    pub client_auth: ClientCertificates,
}

/// One certificate chain and its key, as PEM files that are read again when they change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key of the leaf.
    pub key: PathBuf,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ClientCertificates {
    /// Not asked for.
    #[serde(rename = "none")]
    No,
    /// Asked for, and verified when shown.
    Optional,
    /// No connection without one.
    Required,
}

/// What a client may take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a request head; one more is 431. Default 32 KiB.
    pub header_bytes: usize,
    /// Time for a request head, or one of our own forms, to arrive; default 15 s.
    pub header_time: Duration,
    /// Bytes of a request body; one more is 413. Default none.
    pub body_bytes: Option<u64>,
    /// A connection without any byte for this long is closed: between requests, and in the middle of a body. Default 60 s.
    pub idle_time: Duration,
    /// Bytes a second that a body has to make, in either direction, while the client is waited for: one that is `idle_time`
    /// behind ends. None: any byte will do. Default 256.
    pub body_rate: Option<u64>,
    /// Open connections over all listeners; further ones wait until others end, or can be ended. A peer gets a quarter. Default 16384, or as many as the limit of open
    /// files allows.
    pub connections: Option<usize>,
    /// The longest life of an upgraded connection (WebSocket). Default 24 h.
    pub upgrade_life: Duration,
    /// An upgraded connection without any byte for this long is closed. Default 1 h.
    pub upgrade_idle: Duration,
    /// Concurrent streams of one HTTP/2 connection. Default 128.
    pub h2_streams: u32,
    /// Time for a TLS handshake. Default 10 s.
    pub handshake_time: Duration,
}

/// How to stop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drain {
    /// Not ready any more, but still serving: so that balancers notice. Default 0 s.
    pub delay: Duration,
    /// Then what is in flight has this long to end. Default 20 s.
    pub grace: Duration,
}

impl Limits {
    /// Those of a request's body.
    pub fn body(&self) -> BodyLimits {
        BodyLimits { bytes: self.body_bytes, rate: self.body_rate, idle_time: self.idle_time }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 * 1024,
            header_time: Duration::from_secs(15),
            body_bytes: None,
            idle_time: Duration::from_secs(60),
            body_rate: Some(256),
            connections: None,
            upgrade_life: Duration::from_secs(24 * 3600),
            upgrade_idle: Duration::from_secs(3600),
            h2_streams: 128,
            handshake_time: Duration::from_secs(10),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::ZERO, grace: Duration::from_secs(20) }
    }
}
