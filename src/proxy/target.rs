//! The request line, `Host` and `Destination` as one address wants them; what is not mapped stays byte for byte.
//!
//! The host is the one in the `Host` field, which the gateway wrote from the canonical request. The authority of the request's
//! own target is never looked at: it may name another host than the one that was judged.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Version};
use http_body::Body as _;

use crate::proxy::error::{UpstreamError, UpstreamFault};
use crate::proxy::request_body::RequestBody;
use crate::proxy::settings::{HostHeader, UpstreamAddress, UpstreamProtocol};
use crate::proxy::verbatim::Verbatim;
use crate::request::destination::{DESTINATION, Destination};
use crate::request::mapping::PathMapping;
use crate::request::raw_target::RawTarget;

/// What the gateway sends on, kept where an address changes it, so that the next address starts from it again.
#[derive(Default)]
pub(super) struct SentTarget {
    original: Option<Original>,
}

/// What an address may change.
struct Original {
    path: PathAndQuery,
    host: Option<HeaderValue>,
    /// Of `COPY` and `MOVE`.
    destination: Option<Destination>,
}

impl Original {
    /// As it stands in the request.
    fn of(request: &Request<RequestBody>) -> Self {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let counts = Destination::counts_for(request.method());
        let destination = if counts { Destination::of(request.headers()).ok().flatten() } else { None };
        Self { path, host: request.headers().get(HOST).cloned(), destination }
    }
}

impl SentTarget {
    /// Points the request at an address. Costs nothing where the address is a plain HTTP/1.1 origin.
    ///
    /// # Errors
    /// When the address has no place for the target or the `Destination`: neither was judged then.
    pub(super) fn aim(
        &mut self,
        request: &mut Request<RequestBody>,
        address: &UpstreamAddress,
        sent_host: &HostHeader,
        http2: bool,
    ) -> Result<(), UpstreamError> {
        let raw = request.extensions().get::<RawTarget>().cloned();
        let plain = raw.is_none()
            && !http2
            && *sent_host == HostHeader::Preserve
            && address.mapping.is_identity()
            && request.uri().authority().is_none();
        if !plain || self.original.is_some() {
            let Original { path, host, destination } = self.original.get_or_insert_with(|| Original::of(request));
            let set_host = match sent_host {
                HostHeader::Preserve => None,
                HostHeader::Upstream => HeaderValue::from_str(&address.authority).ok(),
                HostHeader::Fixed(name) => HeaderValue::from_str(name).ok(),
            };
            let unmapped = || UpstreamError::at(address, UpstreamFault::Unmapped);
            if let Some(destination) = destination {
                set_destination(request, destination, &address.mapping, set_host.as_ref()).ok_or_else(unmapped)?;
            }
            let host = set_host.or_else(|| host.clone());
            let raw = raw.filter(|_| !http2).and_then(|raw| raw.mapped(&address.mapping));
            let path = match raw.as_ref().and_then(RawTarget::stand_in) {
                Some(stand_in) => stand_in,
                None => mapped(path, &address.mapping).ok_or_else(unmapped)?,
            };
            request.extensions_mut().remove::<Verbatim>();
            if let Some(raw) = raw {
                request.extensions_mut().insert(Verbatim(raw));
            }
            let tls = address.protocol == UpstreamProtocol::Tls;
            rewrite(request, path, host, http2.then_some(if tls { Scheme::HTTPS } else { Scheme::HTTP }));
        }
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        frame(request, http2);
        Ok(())
    }
}

/// The target in its place at an address; byte for byte where nothing is mapped.
fn mapped(target: &PathAndQuery, mapping: &PathMapping) -> Option<PathAndQuery> {
    if mapping.is_identity() { Some(target.clone()) } else { mapping.target_to_application(target) }
}

/// A body of unknown length is chunked whatever the method is: hyper would drop the body of a `GET` (AT-SM-05).
fn frame(request: &mut Request<RequestBody>, http2: bool) {
    let unknown_length = !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH);
    if http2 {
        // HTTP/2 has neither (RFC 9113 section 8.2.2); hyper would take `TE: trailers` away with the field that nominates it.
        request.headers_mut().remove(TRANSFER_ENCODING);
        request.headers_mut().remove(CONNECTION);
        // hyper reports no informational answer on HTTP/2.
        request.body().release();
    } else if unknown_length {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The `Destination` in its place at an address; byte for byte where nothing is mapped.
fn set_destination(
    request: &mut Request<RequestBody>,
    destination: &Destination,
    mapping: &PathMapping,
    host: Option<&HeaderValue>,
) -> Option<()> {
    if host.is_some() || !mapping.is_identity() {
        let field = destination.mapped(mapping, host)?.to_field()?;
        request.headers_mut().insert(&DESTINATION, field);
    }
    Some(())
}

/// Sets the target and the host.
fn rewrite(request: &mut Request<RequestBody>, path: PathAndQuery, host: Option<HeaderValue>, http2: Option<Scheme>) {
    let authority = host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if let (Some(scheme), Some(authority)) = (http2, authority) {
        // HTTP/2 carries the host as `:authority` (RFC 9113 section 8.3.1).
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        request.headers_mut().remove(HOST);
    } else if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
