//! Forwarding fields: read from the proxies that are trusted, and written for the application.
//!
//! Addresses are walked from the right, one trusted hop at a time: what stands left of the first hop that is not trusted was
//! written by a stranger ([RFC 7239 section 8.1](https://www.rfc-editor.org/rfc/rfc7239#section-8.1)). `X-Forwarded-*` comes
//! before `Forwarded`: proxies that write the first often let a client's copy of the second through. Where both name an address
//! and disagree, one of them is forged, and the request is refused.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::host::{Host, scheme};

/// Which peers are believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    pub(super) networks: Vec<IpNet>,
    pub(super) unix: bool,
}

impl Trust {
    /// Whether the address is that of a trusted proxy.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// One hop: an address, and the port if it is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hop {
    /// The address; an IPv4-mapped IPv6 address is the IPv4 address.
    pub(super) address: IpAddr,
    /// The port.
    pub(super) port: Option<u16>,
}

/// What a trusted peer stated.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The believed hops before the peer, the client's first.
    pub(super) hops: Vec<Hop>,
    /// Whether the browser speaks https.
    pub(super) https: Option<bool>,
    /// The host that the browser asked for, not yet validated.
    pub(super) host: Option<String>,
    /// The port that the browser connected to.
    pub(super) port: Option<u16>,
}

impl Said {
    /// The first hop from the right that is not trusted, if the peer named one.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.hops.first().map(|hop| hop.address)
    }
}

/// Why the fields of a trusted peer cannot be used at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ForwardedError {
    /// It does not follow the grammar, so that a client's part cannot be distinguished from the proxy's own.
    #[error("the Forwarded field of a trusted proxy does not follow RFC 7239")]
    Malformed,
    /// One of the two was let through from outside.
    #[error(
        "X-Forwarded-For and Forwarded of a trusted proxy name different clients; the proxy has to remove the one that it does not write"
    )]
    Disagrees,
}

/// Reads the fields of a trusted peer.
pub(super) fn read(headers: &HeaderMap, trust: &Trust) -> Result<Said, ForwardedError> {
    if !FIELDS.iter().any(|name| headers.contains_key(*name)) {
        return Ok(Said::default());
    }
    // A broken field is refused, not ignored: it may hide what the proxy wrote, and then the proxy itself would be the client, or
    // whoever a stranger's copy of the other field names; rules on networks may well let either in.
    let elements = elements(headers)?;
    let standard = walk(elements.iter().rev().map(|e| e.hop), trust);
    let lists = headers.contains_key(&X_FORWARDED_FOR);
    let hops = if lists { walk(list(headers, &X_FORWARDED_FOR).rev().map(parse_hop), trust) } else { standard.clone() };
    // A port does not identify anybody.
    if standard.last().is_some_and(|client| hops.last().is_none_or(|other| other.address != client.address)) {
        return Err(ForwardedError::Disagrees);
    }
    let distance = hops.len().saturating_sub(1);
    let element = elements.iter().rev().nth(distance).filter(|_| !lists);
    let https = match aligned(headers, &X_FORWARDED_PROTO, distance) {
        Some(proto) => https_of(proto),
        None => element.and_then(|e| https_of(e.proto.as_deref()?)),
    };
    let host = aligned(headers, &X_FORWARDED_HOST, distance)
        .map(str::to_owned)
        .or_else(|| element.and_then(|e| e.host.clone()));
    let port =
        aligned(headers, &X_FORWARDED_PORT, distance).and_then(|port| port.parse().ok()).filter(|&port| port != 0);
    Ok(Said { hops: hops.into_iter().rev().collect(), https, host, port })
}

/// Whether anything stands before the hop that the walk ended at, in the field that hops are read from.
pub(super) fn goes_on(headers: &HeaderMap, trust: &Trust) -> bool {
    if headers.contains_key(&X_FORWARDED_FOR) {
        let entries = || list(headers, &X_FORWARDED_FOR).rev();
        let walked = walk(entries().map(parse_hop), trust).len();
        return entries().skip(walked).any(|entry| !entry.is_empty());
    }
    let elements = elements(headers).unwrap_or_default();
    walk(elements.iter().rev().map(|element| element.hop), trust).len() < elements.len()
}

/// What the application gets: `X-Forwarded-*` and `Forwarded`, which agree (FW-05).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForwardedOut {
    /// `X-Forwarded-For`: the believed hops and our peer.
    pub x_for: HeaderValue,
    /// `X-Forwarded-Proto`: what the browser speaks.
    pub x_proto: HeaderValue,
    /// `X-Forwarded-Host`: what the browser asked for.
    pub x_host: HeaderValue,
    /// `X-Forwarded-Port`: what the browser connected to.
    pub x_port: HeaderValue,
    /// `Forwarded`: the same by RFC 7239; host and scheme stand with the first hop, which is the browser's.
    pub forwarded: HeaderValue,
}

impl ForwardedOut {
    /// Renders the fields; `hops` ends with our own peer.
    pub(super) fn new(hops: &[Hop], https: bool, host: &Host, port: Option<u16>) -> Self {
        let proto = scheme(https);
        let (mut x_for, mut forwarded) = (String::with_capacity(48), String::with_capacity(96));
        for (at, hop) in hops.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(x_for, "{comma}{}", hop.address);
            let _ = write!(forwarded, "{comma}for={}", node(*hop));
            if at == 0 {
                let _ = write!(forwarded, ";host={};proto={proto}", quoted(host.authority()));
            }
        }
        let port = port.unwrap_or_else(|| host.effective_port(https));
        Self {
            x_for: value(&x_for),
            x_proto: HeaderValue::from_static(proto),
            x_host: value(host.authority()),
            x_port: HeaderValue::from(port),
            forwarded: value(&forwarded),
        }
    }

    /// The fields with their names, to be set in place of whatever the request held.
    pub fn fields(&self) -> [(&'static HeaderName, &HeaderValue); 5] {
        [
            (&X_FORWARDED_FOR, &self.x_for),
            (&X_FORWARDED_PROTO, &self.x_proto),
            (&X_FORWARDED_HOST, &self.x_host),
            (&X_FORWARDED_PORT, &self.x_port),
            (&FORWARDED, &self.forwarded),
        ]
    }
}

/// From the nearest hop outwards, up to and including the first that is not trusted. What is no address ends the walk: the hop
/// before it is then the last that a trusted one named.
fn walk(hops: impl Iterator<Item = Option<Hop>>, trust: &Trust) -> Vec<Hop> {
    let mut walked = Vec::new();
    for hop in hops.take(MOST_HOPS) {
        let Some(hop) = hop else { break };
        walked.push(hop);
        if !trust.covers(hop.address) {
            break;
        }
    }
    walked
}

/// Entry by entry: a byte that is no text spoils the entry that it stands in, not those that a proxy put behind it.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    let entries = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    entries.map(|entry| str::from_utf8(entry.trim_ascii()).unwrap_or_default())
}

/// Proxies either overwrite these fields or append to them in step with `X-Forwarded-For`: the entry as far from the right as the
/// client's address is the one that the client's own proxy wrote.
fn aligned<'a>(headers: &'a HeaderMap, name: &HeaderName, distance: usize) -> Option<&'a str> {
    let mut entries = list(headers, name).rev().take(distance + 1);
    let nearest = entries.next()?;
    Some(entries.last().unwrap_or(nearest))
}

/// Whether a scheme is that of https; none for another.
fn https_of(proto: &str) -> Option<bool> {
    let is = |names: [&str; 2]| names.iter().any(|name| proto.eq_ignore_ascii_case(name));
    // Some proxies write the WebSocket schemes here.
    if is(["https", "wss"]) { Some(true) } else { is(["http", "ws"]).then_some(false) }
}

/// An address with or without a port, IPv6 with or without brackets. A zone means nothing outside the sender's machine.
fn parse_hop(text: &str) -> Option<Hop> {
    if text.contains('%') {
        return None;
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Hop { address: address.to_canonical(), port: None });
    }
    let socket = text.parse::<SocketAddr>().ok()?;
    Some(Hop { address: socket.ip().to_canonical(), port: Some(socket.port()) })
}

/// An element of `Forwarded`, as far as it is used.
#[derive(Clone, Debug, Default)]
struct Element {
    hop: Option<Hop>,
    proto: Option<String>,
    host: Option<String>,
}

/// All elements of `Forwarded`.
fn elements(headers: &HeaderMap) -> Result<Vec<Element>, ForwardedError> {
    let mut elements = Vec::new();
    for field in headers.get_all(&FORWARDED) {
        let mut rest = field.to_str().map_err(|_| ForwardedError::Malformed)?;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (element, after) = element(rest)?;
            elements.push(element);
            rest = after;
        }
    }
    Ok(elements)
}

/// forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ),
/// [RFC 7239 section 4](https://www.rfc-editor.org/rfc/rfc7239#section-4).
fn element(text: &str) -> Result<(Element, &str), ForwardedError> {
    let mut element = Element::default();
    let mut seen = [false; 3];
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() || rest.starts_with(',') {
            return Ok((element, rest));
        }
        let (name, after) = rest.split_once('=').ok_or(ForwardedError::Malformed)?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ForwardedError::Malformed);
        }
        let (text, after) = pair_value(after)?;
        rest = after.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with([',', ';'])) {
            return Err(ForwardedError::Malformed);
        }
        let place = ["for", "proto", "host"].iter().position(|known| name.eq_ignore_ascii_case(known));
        // "Each parameter MUST NOT occur more than once per field-value" (section 4).
        if place.and_then(|at| seen.get_mut(at)).is_some_and(|seen| std::mem::replace(seen, true)) {
            return Err(ForwardedError::Malformed);
        }
        match place {
            // "unknown" and obfuscated identifiers ("_hidden") are good grammar, but no address (sections 6.2, 6.3).
            Some(0) => element.hop = parse_node(&text),
            Some(1) => element.proto = Some(text),
            Some(2) => element.host = Some(text),
            _ => {}
        }
    }
}

/// A token or a quoted string, and what follows it.
fn pair_value(text: &str) -> Result<(String, &str), ForwardedError> {
    let Some(inner) = text.strip_prefix('"') else {
        // Some proxies leave the quotes off around ports and IPv6 addresses; nothing can hide behind these three characters.
        let end = text.bytes().position(|b| !(is_token(b) || matches!(b, b':' | b'[' | b']'))).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(ForwardedError::Malformed)?;
        return if value.is_empty() { Err(ForwardedError::Malformed) } else { Ok((value.to_owned(), rest)) };
    };
    let mut value = String::new();
    let mut chars = inner.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok((value, chars.as_str())),
            Some('\\') => value.push(chars.next().ok_or(ForwardedError::Malformed)?),
            Some(other) => value.push(other),
            None => return Err(ForwardedError::Malformed),
        }
    }
}

/// An obfuscated port ("_http") is allowed beside an address; it is no port.
fn parse_node(text: &str) -> Option<Hop> {
    let address = text.rsplit_once(":_").map_or(text, |(address, _)| address);
    // IPv6 stands in brackets here (section 6.1): without them, its last group could be a port.
    let clear = text.starts_with('[') || address.matches(':').count() <= 1;
    clear.then(|| parse_hop(address)).flatten()
}

/// A sign of a token ([RFC 9110 section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A hop as `for` names it.
fn node(hop: Hop) -> String {
    match (hop.address, hop.port) {
        (IpAddr::V4(address), None) => address.to_string(),
        (IpAddr::V6(address), None) => format!("\"[{address}]\""),
        (address, Some(port)) => format!("\"{}\"", SocketAddr::new(address, port)),
    }
}

/// A token, or a quoted string.
fn quoted(text: &str) -> String {
    if text.bytes().all(is_token) { text.to_owned() } else { format!("\"{text}\"") }
}

/// Addresses and canonical hosts are plain ASCII: the other arm cannot be reached.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The clients and proxies before the sender.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The port that the client connected to.
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// [RFC 7239](https://www.rfc-editor.org/rfc/rfc7239).
static FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// All that are read.
static FIELDS: [&HeaderName; 5] =
    [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST, &X_FORWARDED_PORT, &FORWARDED];

/// Hops that are walked.
const MOST_HOPS: usize = 32;

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
