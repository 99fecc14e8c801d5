//! The header fields towards the application and back: one pass over the names of a request takes out what belongs to this hop and
//! every spelling of what only the gateway may set; then the gateway sets it.
//!
//! Order matters: [`RequestMeta`] is read first, because the fields of trusted proxies are taken out here; then
//! [`HeaderRules::request`]; then everything that is set (PX-02): [`set_authorization_aside`], [`inject`], [`set_way_here`],
//! [`set_cookie`].

use http::header::{AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE, VIA};
use http::{Method, Request, Response, StatusCode, Version};

use crate::proxy::headers::spellings::{Class, Spellings};
use crate::proxy::settings::Authorization;
use crate::proxy::upgrade;
use crate::request::RequestMeta;
use crate::request::cookies::Forward;
use crate::request::destination::Destination;
use crate::request::fields::has_token;

pub mod caching;
mod hop_by_hop;
mod names;
pub mod response_headers;
pub mod spellings;
mod trace;
pub(in crate::proxy) mod trailers;

/// The rules for every request and response that passes; made once for a configuration.
pub struct HeaderRules {
    names: Spellings,
    via: [HeaderValue; 3],
    pseudonym: Box<str>,
    random: fn() -> [u8; 24],
}

/// What decides which fields of a request pass, besides their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestContext<'a> {
    /// The request becomes a WebSocket.
    pub upgrade: bool,
    /// The peer is a trusted proxy: its fields about the client's address, the scheme and the port are for the application, too.
    pub peer_trusted: bool,
    /// Rules at this host and path depend on the method: no field may override the method that was judged (AT-HS-16).
    pub methods_matter: bool,
    /// Fields that the application takes from its clients, though others believe them (`insecure_keep_headers`). They pass in
    /// this spelling only.
    pub kept: &'a [HeaderName],
}

/// A request that is not forwarded because of its headers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderRefusal {
    /// It has been here before (PX-05).
    #[error("the request comes back to this gateway: an upstream leads here")]
    Loop,
    /// `Max-Forwards` is used up: the gateway itself is asked (RFC 9110 section 7.6.2, PX-06).
    #[error("the request is not to be forwarded any further")]
    LastHop,
    /// An unknown expectation ([RFC 9110 section 10.1.1](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1),
    /// PX-13).
    #[error("the request has an unknown expectation")]
    Expectation,
}

impl HeaderRefusal {
    /// A stable name for logs and pages.
    pub fn code(self) -> &'static str {
        match self {
            Self::Loop => "loop_detected",
            Self::LastHop => "max_forwards_reached",
            Self::Expectation => "expectation_unknown",
        }
    }

    /// The status of the answer; [`LastHop`](Self::LastHop) is no fault.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::LastHop => StatusCode::OK,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }
}

impl HeaderRules {
    /// Compiles the rules.
    ///
    /// `pseudonym` is our name in `Via`, by which a loop is recognised: a token, like `vestibule-3f9a`, that differs between
    /// instances that may stand behind one another. `identity_names` are the identity headers that any route is configured to
    /// send, besides the well-known ones. `random` is the source of trace and span ids.
    pub fn new(pseudonym: &str, identity_names: &[HeaderName], random: fn() -> [u8; 24]) -> Self {
        let name: String = pseudonym.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
        let via = ["1.1", "1.0", "2"].map(|version| {
            // Made of visible ASCII only, so that it cannot fail.
            HeaderValue::from_str(&format!("{version} {name}")).unwrap_or(HeaderValue::from_static("1.1 vestibule"))
        });
        Self { names: Spellings::new(identity_names), via, pseudonym: name.into(), random }
    }

    /// Makes a request fit for the next hop: takes out hop-by-hop fields, everything that only the gateway or a trusted proxy
    /// may say in every spelling, and other people's credentials for proxies; adds `Via`. For an upgrade the two fields that
    /// ask for a WebSocket are put back.
    ///
    /// Returns the first of the fields taken out that names a person: only gateways have reason to send one.
    ///
    /// # Errors
    /// The request must not be forwarded; the caller answers.
    pub fn request<B>(
        &self,
        request: &mut Request<B>,
        context: RequestContext<'_>,
    ) -> Result<Option<HeaderName>, HeaderRefusal> {
        let version = request.version();
        let is_probe = matches!(*request.method(), Method::OPTIONS | Method::TRACE);
        // Judged by the gateway; an application that takes another method for one of these does not get it (AT-HS-16).
        let moves = Destination::counts_for(request.method());
        let headers = request.headers_mut();
        let mut found = FieldsFound::default();
        for name in headers.keys() {
            match self.names.class(name.as_str()) {
                Class::EndToEnd => {}
                Class::Destination if moves => {}
                Class::Connection => found.connection = true,
                Class::Hop => found.hop = true,
                Class::Te => found.te = true,
                Class::Via => found.via = true,
                Class::MaxForwards => found.max_forwards = true,
                Class::Expect => found.expect = true,
                Class::Trailer => found.trailer = true,
                Class::Trace => found.trace = true,
                class => found.foreign(name, class, context),
            }
        }
        if found.via && hop_by_hop::passed(headers, &self.pseudonym) {
            return Err(HeaderRefusal::Loop);
        }
        if found.max_forwards && is_probe {
            hop_by_hop::count_forward(headers)?;
        }
        if found.expect && !hop_by_hop::expectation_is_known(headers) {
            return Err(HeaderRefusal::Expectation);
        }
        self.take_out(headers, &found);
        if context.upgrade {
            upgrade::announce(headers);
        }
        headers.append(VIA, self.via_for(version));
        Ok(found.spoofed)
    }

    /// Makes an answer fit for the browser: takes out hop-by-hop fields
    /// ([RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)), challenges for proxies, and cookies with names of ours
    /// (CK-19); adds `Via`. A `101` keeps the two fields that say what it switches to.
    pub fn response<B>(&self, response: &mut Response<B>, is_our_cookie: impl Fn(&str) -> bool) {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let version = response.version();
        let headers = response.headers_mut();
        let mut found = FieldsFound::default();
        let mut sets_cookies = false;
        for name in headers.keys() {
            match self.names.class(name.as_str()) {
                Class::Connection => found.connection = true,
                Class::Hop => found.hop = true,
                Class::Te => found.te = true,
                Class::Trailer => found.trailer = true,
                Class::Way if PROXY_CHALLENGES.contains(&name.as_str()) => found.removed.push(name.clone()),
                _ => sets_cookies |= *name == SET_COOKIE,
            }
        }
        if found.connection {
            hop_by_hop::remove_nominated(headers);
        }
        if found.hop || found.te {
            hop_by_hop::remove_known(headers);
            headers.remove(TE);
        }
        if found.trailer {
            trailers::clean_list(headers, |_| false);
        }
        for name in &found.removed {
            headers.remove(name);
        }
        if sets_cookies {
            drop_cookies(headers, is_our_cookie);
        }
        if switches {
            upgrade::announce(headers);
        }
        headers.append(VIA, self.via_for(version));
    }

    /// Takes out what was found, and renews what is renewed.
    fn take_out(&self, headers: &mut HeaderMap, found: &FieldsFound) {
        let trailers_wanted = found.te && has_token(headers, &TE, "trailers");
        if found.connection {
            hop_by_hop::remove_nominated(headers);
        }
        if found.hop {
            hop_by_hop::remove_known(headers);
        }
        if found.te {
            headers.remove(TE);
        }
        if trailers_wanted {
            // Forwarded because trailers are (PX-18); it is hop-by-hop itself, so it must be nominated.
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        }
        for name in &found.removed {
            headers.remove(name);
        }
        if found.trailer {
            trailers::clean_list(headers, |name| !matches!(self.names.class(name), Class::EndToEnd | Class::Trace));
        }
        if found.trace {
            trace::renew(headers, self.random);
        }
    }

    /// Our entry for a message that came by this version.
    fn via_for(&self, version: Version) -> HeaderValue {
        let [http11, http10, http2] = &self.via;
        match version {
            Version::HTTP_2 => http2.clone(),
            Version::HTTP_10 => http10.clone(),
            _ => http11.clone(),
        }
    }
}

/// Sets headers that the gateway vouches for; a name given twice in a row becomes two fields.
pub fn inject(headers: &mut HeaderMap, fields: &[(HeaderName, HeaderValue)]) {
    let mut last = None;
    for (name, value) in fields {
        if last.replace(name) == Some(name) {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
        }
    }
}

/// Sets `Host`, `X-Forwarded-*`, `Forwarded` and `X-Request-Id` from the canonical request, in place of whatever the request
/// held: the application gets the host that was judged, whichever field named it (FW-04, FW-05, PX-11).
pub fn set_way_here(headers: &mut HeaderMap, meta: &RequestMeta) {
    let host = &meta.forwarded.x_host;
    if headers.get(HOST) != Some(host) {
        headers.insert(HOST, host.clone());
    }
    for (name, value) in meta.forwarded.fields() {
        headers.insert(name, value.clone());
    }
    headers.insert(X_REQUEST_ID, meta.id.to_header());
}

/// Leaves the application its own cookies, byte for byte, and none of ours (CK-18).
pub fn set_cookie(headers: &mut HeaderMap, forward: &Forward) {
    match forward {
        Forward::Unchanged => {}
        Forward::Nothing => {
            headers.remove(COOKIE);
        }
        Forward::Value(value) => {
            headers.insert(COOKIE, value.clone());
        }
    }
}

/// Takes out the client's own `Authorization` where the route does not keep it, also when there is nothing to put in its
/// place: another person's credentials never stand in for the session's.
pub fn set_authorization_aside(headers: &mut HeaderMap, authorization: &Authorization) {
    if !matches!(authorization, Authorization::Keep) {
        headers.remove(AUTHORIZATION);
    }
}

/// Drops `Set-Cookie` fields by name; the others keep their order (PX-19).
fn drop_cookies(headers: &mut HeaderMap, is_ours: impl Fn(&str) -> bool) {
    let ours = |value: &HeaderValue| cookie_name(value).is_some_and(&is_ours);
    if !headers.get_all(SET_COOKIE).iter().any(ours) {
        return;
    }
    let kept: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|value| !ours(value)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// The name of a `Set-Cookie` as a browser reads it (RFC 6265bis section 5.6: up to the first `=` before the first `;`, trimmed).
/// Bytes that are not UTF-8 are in no name of ours.
pub fn cookie_name(value: &HeaderValue) -> Option<&str> {
    let pair = value.as_bytes().split(|byte| *byte == b';').next()?;
    let name = pair.split(|byte| *byte == b'=').next()?;
    std::str::from_utf8(name).ok().map(str::trim)
}

/// What one pass over the names has seen.
#[derive(Default)]
struct FieldsFound {
    removed: Vec<HeaderName>,
    /// The first of the removed fields that names a person.
    spoofed: Option<HeaderName>,
    connection: bool,
    hop: bool,
    te: bool,
    via: bool,
    max_forwards: bool,
    expect: bool,
    trailer: bool,
    trace: bool,
}

impl FieldsFound {
    /// A field that only the gateway or a trusted proxy may send.
    fn foreign(&mut self, name: &HeaderName, class: Class, context: RequestContext<'_>) {
        let is_kept = context.kept.contains(name);
        let passes = match class {
            Class::Address => context.peer_trusted || is_kept,
            Class::Method => !context.methods_matter,
            Class::Identity | Class::Way | Class::Destination => is_kept,
            _ => false,
        };
        if passes {
            return;
        }
        if class == Class::Identity && self.spoofed.is_none() {
            self.spoofed = Some(name.clone());
        }
        self.removed.push(name.clone());
    }
}

/// The identifier of the request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields of an answer that are between proxies.
const PROXY_CHALLENGES: [&str; 3] = ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization"];

#[cfg(test)]
mod tests;
