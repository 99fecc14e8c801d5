//! One request as the gateway judges it: made once, canonical, and the only reader of forwarding fields.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version};
use ipnet::IpNet;

use self::forwarded::{Hop, Said, Trust};
use self::handshake::HandshakeFault;
use self::host::Host;
use self::kind::RequestKind;
use self::path::{CanonicalPath, PathError};

pub mod cookies;
pub mod destination;
pub mod fields;
mod forwarded;
pub mod forwarded_prefix;
pub mod handshake;
pub mod host;
mod id;
pub mod kind;
pub mod mapping;
pub mod path;
mod query;
pub mod raw_target;
mod readings;
pub mod return_to;
mod steps;

pub use self::forwarded::{ForwardedError, ForwardedOut};
pub use self::id::RequestId;

/// A connection that a client opened to us: what is known before its first byte is read. It belongs to one worker.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// Who is at the other end of the socket.
    pub peer: Peer,
    /// The port that it connected to; none for unix sockets.
    pub local_port: Option<u16>,
    /// What the TLS handshake settled, if TLS ended here.
    pub tls: Option<TlsFacts>,
    /// Whether the last request is the only one that is being answered.
    pub alone: Cell<bool>,
    /// What the last request on this connection came to; the next one nearly always comes to the same.
    last: RefCell<Option<LastRequest>>,
}

impl Downstream {
    /// A connection from `peer`.
    pub fn new(peer: Peer, local_port: Option<u16>, tls: Option<TlsFacts>) -> Self {
        Self { peer, local_port, tls, alone: Cell::new(true), last: RefCell::new(None) }
    }
}

/// The other end of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// A TCP peer.
    Ip(SocketAddr),
    /// A process on this machine, by a unix socket.
    Unix,
}

impl Peer {
    /// Its address, where it has one.
    pub fn ip(self) -> Option<IpAddr> {
        if let Self::Ip(socket) = self { Some(socket.ip().to_canonical()) } else { None }
    }

    /// Its address; loopback for a process on this machine.
    pub fn address(self) -> IpAddr {
        self.ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// The name that the client asked for (SNI), lower-case.
    pub server_name: Option<Arc<str>>,
}

/// One request, canonical: rules, redirects and logs look at this and never at the request itself.
#[derive(Clone, Debug)]
pub struct RequestMeta {
    /// The method; never one that a field or a parameter overrides (AT-HS-16).
    pub method: Method,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// Whether the browser speaks https, wherever TLS ends.
    pub https: bool,
    /// The host that the browser asked for.
    pub host: Host,
    /// Path and query.
    pub path: CanonicalPath,
    /// The first hop from the right that is not a trusted proxy (FW-06).
    pub client: IpAddr,
    /// The other end of the socket; none for a unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub peer_trusted: bool,
    /// Whether it is the only one of its connection that is being answered.
    pub alone: bool,
    /// Whether that is the address of the client itself, and not of a proxy in front that is not trusted or names no client.
    pub client_is_known: bool,
    /// What kind of request this is.
    pub kind: RequestKind,
    /// Whether it asks for a WebSocket, and what is wrong with how it does.
    pub handshake: Option<Result<(), HandshakeFault>>,
    /// Its identifier.
    pub id: RequestId,
    /// What the application gets about the way here.
    pub forwarded: Arc<ForwardedOut>,
}

impl RequestMeta {
    /// The query byte for byte as it was sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.path.query()
    }
}

/// Why a request is refused before anybody asks who sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRequest {
    /// `TRACE` or `CONNECT`.
    #[error("this method is not served here")]
    MethodRefused,
    /// No `Host` (PX-09).
    #[error("the request names no host")]
    HostMissing,
    /// More than one `Host` (PX-09).
    #[error("the request names several hosts")]
    HostRepeated,
    /// A `Host` that is no host (PX-09).
    #[error("the request names an invalid host")]
    HostInvalid,
    /// HTTP/2 `:authority` and `Host` differ (PX-43).
    #[error("the request names two different hosts")]
    HostDisagrees,
    /// A transfer coding that is not `chunked` alone: the application would get bytes without knowing how to read them (PX-24).
    #[error("the request's transfer coding is not one that we know")]
    TransferCoding,
    /// `*`, authority form, or a foreign scheme.
    #[error("the request target is neither a path nor an http URL")]
    TargetForm,
    /// What came is no request that can be read.
    #[error("the request's head cannot be read as HTTP/1.1")]
    HeadMalformed,
    /// The head is over its limits.
    #[error("the request's header has more than 100 fields, or is larger than server.limits.header_bytes")]
    HeadTooLarge,
    /// The target is longer than any URI that is taken.
    #[error("the request's target is longer than 65534 bytes")]
    TargetTooLong,
    /// A path that no application should have to read.
    #[error(transparent)]
    PathInvalid(#[from] PathError),
    /// A trusted proxy sent forwarding fields that cannot be used.
    #[error(transparent)]
    ForwardedInvalid(#[from] ForwardedError),
}

impl BadRequest {
    /// A stable reason for logs and pages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MethodRefused => "method_refused",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostDisagrees => "host_disagrees",
            Self::TransferCoding => "transfer_coding_unknown",
            Self::TargetForm => "target_form",
            Self::HeadMalformed => "head_malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::PathInvalid(PathError::NotAbsolute) => "path_not_absolute",
            Self::PathInvalid(PathError::ControlCharacter) => "path_control_character",
            Self::PathInvalid(PathError::BrokenEscape) => "path_broken_escape",
            Self::PathInvalid(PathError::Overlong) => "path_overlong",
            Self::PathInvalid(PathError::TooLong) => "path_too_long",
            Self::ForwardedInvalid(ForwardedError::Malformed) => "forwarded_malformed",
            Self::ForwardedInvalid(ForwardedError::Disagrees) => "forwarded_disagrees",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            // RFC 9112 section 6.1.
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::TargetTooLong | Self::PathInvalid(PathError::TooLong) => StatusCode::URI_TOO_LONG,
            // RFC 6585 section 5.
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Stands in the extensions of a request of which nothing could be read: the server makes one, so that it is answered and logged
/// as any other that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Unread(pub BadRequest);

/// Makes [`RequestMeta`] of requests; built once for each configuration.
#[derive(Clone, Debug)]
pub struct RequestReader {
    trust: Trust,
    public_https: bool,
    public_host: Option<Host>,
}

impl RequestReader {
    /// A reader that believes peers in the `trusted` networks, and processes on unix sockets if `trust_unix`. Where nothing else tells
    /// what the browser speaks, it is the scheme of the public URL. `public_authority` only saves work: it is the host of most requests.
    pub fn new(trusted: Vec<IpNet>, trust_unix: bool, public_https: bool, public_authority: &str) -> Self {
        let public_host = Host::parse(public_authority, public_https);
        Self { trust: Trust { networks: trusted, unix: trust_unix }, public_https, public_host }
    }

    /// Reads one request.
    ///
    /// # Errors
    /// When it must not go any further; [`request_id`](Self::request_id) still names it.
    pub fn read<B>(&self, request: &Request<B>, downstream: &Downstream) -> Result<RequestMeta, BadRequest> {
        if let Some(Unread(error)) = request.extensions().get() {
            return Err(*error);
        }
        let (method, headers) = (request.method(), request.headers());
        if matches!(*method, Method::TRACE | Method::CONNECT) {
            return Err(BadRequest::MethodRefused);
        }
        if !is_coding_known(headers) {
            return Err(BadRequest::TransferCoding);
        }
        let path = CanonicalPath::new(target(request.uri())?)?;
        let stated = self.stated_host(request)?;
        let peer_trusted = self.trusts(downstream.peer);
        let said = self.said(headers, peer_trusted)?;
        // Our own TLS settles it; without, TLS may well have ended in front of us, which is what an https public URL says (FW-07).
        let https = said.https.unwrap_or_else(|| downstream.tls.is_some() || self.public_https);
        let (host, forwarded) = self.place(stated, https, &said, downstream)?;
        let client = said.client().unwrap_or_else(|| downstream.peer.address());
        let client_is_known = !said.hops.is_empty() || (!peer_trusted && self.is_reached_directly(downstream));
        let handshake = handshake::read(method, request.version(), headers);
        let kind = RequestKind::with(handshake, method, headers);
        let id = self.request_id(headers, downstream);
        let (alone, method, version) = (downstream.alone.get(), method.clone(), request.version());
        Ok(RequestMeta {
            method,
            version,
            https,
            host,
            path,
            client,
            peer: downstream.peer.ip(),
            peer_trusted,
            client_is_known,
            alone,
            kind,
            handshake,
            id,
            forwarded,
        })
    }

    /// Names a request, also one that cannot be read.
    pub fn request_id(&self, headers: &HeaderMap, downstream: &Downstream) -> RequestId {
        if !self.trusts(downstream.peer) {
            return RequestId::generate();
        }
        fields::only(headers, &X_REQUEST_ID).and_then(RequestId::believed).unwrap_or_else(RequestId::generate)
    }

    /// The client of a request that cannot be read: the one that a trusted proxy names, if it does so in fields that can be read.
    pub fn client(&self, headers: &HeaderMap, downstream: &Downstream) -> IpAddr {
        let said = self.said(headers, self.trusts(downstream.peer)).ok();
        said.and_then(|said| said.client()).unwrap_or_else(|| downstream.peer.address())
    }

    /// What a trusted peer stated.
    fn said(&self, headers: &HeaderMap, peer_trusted: bool) -> Result<Said, ForwardedError> {
        if peer_trusted { forwarded::read(headers, &self.trust) } else { Ok(Said::default()) }
    }

    /// Whether what this peer says about a request is believed.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(socket) => self.trust.covers(socket.ip().to_canonical()),
            Peer::Unix => self.trust.unix,
        }
    }

    /// Whether this is the address of a trusted proxy.
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trust.covers(address)
    }

    /// Whether the fields of a trusted peer name anybody before the client: the client is a proxy itself then, or says to be one.
    pub fn names_hops_before_client(&self, headers: &HeaderMap) -> bool {
        forwarded::goes_on(headers, &self.trust)
    }

    /// Whether a peer that is not trusted is a client itself. Where no peer is trusted, and browsers speak https but the server
    /// does not, all come through something that ends their TLS.
    fn is_reached_directly(&self, downstream: &Downstream) -> bool {
        match downstream.peer {
            Peer::Ip(_) => downstream.tls.is_some() || !self.public_https || !self.trust.networks.is_empty(),
            Peer::Unix => false,
        }
    }

    /// The host as the request itself names it, not yet canonical, but known to be the only one.
    fn stated_host<'a, B>(&self, request: &'a Request<B>) -> Result<&'a str, BadRequest> {
        let mut fields = request.headers().get_all(HOST).iter();
        let field = fields.next().map(|v| v.to_str().map_err(|_| BadRequest::HostInvalid)).transpose()?;
        if fields.next().is_some() {
            return Err(BadRequest::HostRepeated);
        }
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        let h2 = request.version() >= Version::HTTP_2;
        match (target, field) {
            (None, Some(field)) => Ok(field),
            (None, None) => Err(BadRequest::HostMissing),
            (Some(authority), None) if h2 => Ok(authority),
            (Some(_), None) => Err(BadRequest::HostMissing),
            (Some(authority), Some(field)) if field == authority => Ok(authority),
            (Some(authority), Some(field)) => {
                let (a, b) = (self.parse_host(authority)?, self.parse_host(field)?);
                // PX-10: the target of HTTP/1 wins over Host (RFC 9112 section 3.2.2). PX-43: in HTTP/2 they must be equal.
                if h2 && a != b { Err(BadRequest::HostDisagrees) } else { Ok(authority) }
            }
        }
    }

    /// The host, for comparison.
    fn parse_host(&self, text: &str) -> Result<Host, BadRequest> {
        Host::parse(text, self.public_https).ok_or(BadRequest::HostInvalid)
    }

    /// The canonical host, and what the application gets; both as last time where the request states what the last one did.
    fn place(
        &self,
        stated: &str,
        https: bool,
        said: &Said,
        downstream: &Downstream,
    ) -> Result<(Host, Arc<ForwardedOut>), BadRequest> {
        let believes_nothing = said.hops.is_empty() && said.host.is_none() && said.port.is_none();
        if believes_nothing
            && let Ok(last) = downstream.last.try_borrow()
            && let Some(found) = last.as_ref().filter(|last| *last.stated == *stated && last.https == https)
        {
            return Ok((found.host.clone(), Arc::clone(&found.forwarded)));
        }
        let own = match &self.public_host {
            Some(public) if public.authority() == stated && https == self.public_https => public.clone(),
            _ => Host::parse(stated, https).ok_or(BadRequest::HostInvalid)?,
        };
        // A name that a trusted proxy passes on is checked like any other; garbage is not believed (AT-HS-14).
        let host = said.host.as_deref().and_then(|text| Host::parse(text, https)).unwrap_or(own);
        let mut hops = said.hops.clone();
        hops.push(Hop { address: downstream.peer.address(), port: None });
        let forwarded = Arc::new(ForwardedOut::new(&hops, https, &host, said.port));
        if believes_nothing && let Ok(mut last) = downstream.last.try_borrow_mut() {
            *last = Some(LastRequest {
                stated: stated.into(),
                https,
                host: host.clone(),
                forwarded: Arc::clone(&forwarded),
            });
        }
        Ok((host, forwarded))
    }
}

/// What a request came to.
#[derive(Clone, Debug)]
struct LastRequest {
    /// The host as the request named it.
    stated: Box<str>,
    https: bool,
    host: Host,
    forwarded: Arc<ForwardedOut>,
}

/// The path and query that the request asks for.
fn target(uri: &Uri) -> Result<&PathAndQuery, BadRequest> {
    let web = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    // AT-PM-12: `*`, `own.example`, `ftp://…`, and `http://own.example?x`, which has no path to forward.
    uri.path_and_query().filter(|target| web && target.as_str().starts_with('/')).ok_or(BadRequest::TargetForm)
}

/// `chunked` once, or nothing: hyper looks at the last coding only, and takes that one off.
fn is_coding_known(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let known = codings.next().is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    known && codings.next().is_none()
}

/// `X-Request-Id`.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests;
