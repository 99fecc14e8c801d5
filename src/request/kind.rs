//! What kind of request this is: a person navigating, a script fetching, a handshake, or a plain client.
//!
//! Fetch Metadata decides where the browser sent it; `Accept`, `X-Requested-With` and the method only where it did not (CK-25).
//! Only a navigation may be sent to sign in: a script cannot follow such a redirect, and would only start attempts that never end.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, Method, Version};

use crate::request::fields::{members, only};
use crate::request::handshake::{self, HandshakeFault};

/// What kind of request this is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RequestKind {
    /// A person opens a page.
    Navigation,
    /// A person submits a form: a redirect would lose what they wrote.
    FormNavigation,
    /// A page fetches something: script, image, style sheet.
    Script,
    /// A valid WebSocket handshake ([RFC 6455 section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
    WebSocket,
    /// Something that is no browser and takes anything, as curl does.
    Plain,
}

/// The form of an error.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wants {
    /// A page for a person.
    Html,
    /// `application/problem+json` (RFC 9457).
    ProblemJson,
    /// Plain text.
    Text,
}

impl RequestKind {
    /// Recognises the kind of a request.
    pub fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        Self::with(handshake::read(method, version, headers), method, headers)
    }

    /// The same, where it is known already whether it is a handshake.
    pub(super) fn with(handshake: Option<Result<(), HandshakeFault>>, method: &Method, headers: &HeaderMap) -> Self {
        // AT-WS-04: anything less than the whole handshake is not a WebSocket.
        if handshake == Some(Ok(())) {
            return Self::WebSocket;
        }
        let is_navigation = match fetch_metadata(headers) {
            Some(navigates) => navigates,
            None if asked_by_script(headers) => false,
            None => match wants_page(headers) {
                Some(wants_page) => wants_page,
                None => return Self::Plain,
            },
        };
        match (is_navigation, method) {
            (true, &Method::GET | &Method::HEAD) => Self::Navigation,
            // Forms know GET and POST only (HTML section 4.10.18.6); any other method is a script's, whatever it says.
            (true, &Method::POST) => Self::FormNavigation,
            _ => Self::Script,
        }
    }

    /// The form of an error for the sender of such a request.
    pub fn wants(self) -> Wants {
        match self {
            Self::Navigation | Self::FormNavigation => Wants::Html,
            Self::Script | Self::WebSocket => Wants::ProblemJson,
            Self::Plain => Wants::Text,
        }
    }
}

/// Whether a browser only fetches ahead what may be opened next (Fetch section 2.2.5 `Sec-Purpose`, and the names that browsers
/// used before it). No person has asked for anything yet, and the answer may never be looked at.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, words: &[&str]| {
        let mut said = members(headers, name).flat_map(|member| member.split(';')).map(str::trim);
        said.any(|said| words.iter().any(|word| said.eq_ignore_ascii_case(word)))
    };
    says(&SEC_PURPOSE, &["prefetch", "prerender"])
        || says(&PURPOSE, &["prefetch", "preview", "prerender"])
        || says(&X_PURPOSE, &["prefetch", "preview", "instant"])
        || says(&X_MOZ, &["prefetch"])
}

/// `None`: no browser, or an origin that is not trustworthy (plain http), where browsers leave the fields out (Fetch Metadata section 2).
fn fetch_metadata(headers: &HeaderMap) -> Option<bool> {
    let mode = single(headers, &SEC_FETCH_MODE);
    let dest = single(headers, &SEC_FETCH_DEST);
    if mode.is_none() && dest.is_none() {
        return None;
    }
    let navigates = mode.is_none_or(|mode| mode == "navigate");
    let into_page = dest.is_none_or(|dest| matches!(dest, "document" | "iframe" | "frame"));
    Some(navigates && into_page)
}

/// Browsers repeat no such field: a repeated one counts as an unknown value.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?;
    Some(only(headers, name).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// Android's WebView puts the app's package name there for every navigation, so only this value tells a script.
fn asked_by_script(headers: &HeaderMap) -> bool {
    headers.get(&X_REQUESTED_WITH).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
}

/// Whether `Accept` asks for a page; none where anything will do.
fn wants_page(headers: &HeaderMap) -> Option<bool> {
    let mut anything = true;
    for range in members(headers, &ACCEPT) {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let media = media.trim();
        let wanted = !parameters.split(';').any(is_zero_weight);
        let page = ["text/html", "application/xhtml+xml"].iter().any(|page| media.eq_ignore_ascii_case(page));
        if page && wanted {
            return Some(true);
        }
        anything &= media == "*/*" || media.is_empty();
    }
    (!anything).then_some(false)
}

/// `q=0`: anything but this.
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q="));
    weight.is_some_and(|w| w.starts_with('0') && w.bytes().all(|b| matches!(b, b'0' | b'.')))
}

/// How the browser fetches.
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// What the browser fetches it for.
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Whether it is fetched ahead.
static SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
/// The same in Chrome and Safari of before.
static PURPOSE: HeaderName = HeaderName::from_static("purpose");
/// The same in older versions.
static X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");
/// The same in Firefox of before.
static X_MOZ: HeaderName = HeaderName::from_static("x-moz");
/// By which libraries name themselves.
static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kind(method: &Method, fields: &[(&'static str, &'static str)]) -> RequestKind {
        RequestKind::of(method, Version::HTTP_11, &map(fields))
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

    #[test]
    fn fetch_metadata_decides_where_present() {
        // CK-25
        let get = |mode, dest| kind(&Method::GET, &[("sec-fetch-mode", mode), ("sec-fetch-dest", dest), BROWSER]);
        assert_eq!(get("navigate", "document"), RequestKind::Navigation);
        assert_eq!(get("navigate", "iframe"), RequestKind::Navigation);
        for (mode, dest) in [
            ("cors", "empty"),
            ("no-cors", "image"),
            ("same-origin", "empty"),
            ("navigate", "object"),
            ("x", "document"),
        ] {
            assert_eq!(get(mode, dest), RequestKind::Script, "{mode} {dest}");
        }
        assert_eq!(kind(&Method::GET, &[("sec-fetch-mode", "navigate")]), RequestKind::Navigation);
        let repeated = [("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "cors"), BROWSER];
        assert_eq!(kind(&Method::GET, &repeated), RequestKind::Script);
        // What a browser says of itself beats what a script can write.
        let webview = [("sec-fetch-mode", "navigate"), ("x-requested-with", "XMLHttpRequest")];
        assert_eq!(kind(&Method::GET, &webview), RequestKind::Navigation);
    }

    #[test]
    fn accept_decides_where_fetch_metadata_is_absent() {
        // CK-25
        assert_eq!(kind(&Method::GET, &[BROWSER]), RequestKind::Navigation);
        assert_eq!(kind(&Method::HEAD, &[BROWSER]), RequestKind::Navigation);
        assert_eq!(kind(&Method::GET, &[("accept", "application/json, */*")]), RequestKind::Script);
        assert_eq!(kind(&Method::GET, &[("accept", "text/html;q=0, application/json")]), RequestKind::Script);
        assert_eq!(kind(&Method::GET, &[("accept", "*/*")]), RequestKind::Plain);
        assert_eq!(kind(&Method::POST, &[]), RequestKind::Plain);
        assert_eq!(kind(&Method::GET, &[BROWSER, ("x-requested-with", "xmlhttprequest")]), RequestKind::Script);
        assert_eq!(kind(&Method::GET, &[BROWSER, ("x-requested-with", "com.example.app")]), RequestKind::Navigation);
    }

    #[test]
    fn a_prefetch_is_known_by_every_name_that_browsers_gave_it() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch; anonymous-client-ip"),
            ("purpose", "prefetch"),
            ("purpose", "Preview"),
            ("x-purpose", "preview"),
            ("x-moz", "prefetch"),
        ] {
            assert!(is_prefetch(&map(&[BROWSER, (name, value)])), "{name}: {value}");
        }
        for (name, value) in [("sec-purpose", ""), ("sec-purpose", "prefetched"), ("purpose", "sale"), ("x-moz", "x")] {
            assert!(!is_prefetch(&map(&[BROWSER, (name, value)])), "{name}: {value}");
        }
        assert!(!is_prefetch(&map(&[BROWSER])));
    }

    #[test]
    fn forms_are_posts_and_other_methods_are_scripts() {
        let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(kind(&Method::POST, &navigate), RequestKind::FormNavigation);
        assert_eq!(kind(&Method::POST, &[BROWSER]), RequestKind::FormNavigation);
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            assert_eq!(kind(&method, &navigate), RequestKind::Script, "{method}");
        }
    }

    const HANDSHAKE: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn only_a_whole_handshake_is_a_websocket() {
        // AT-WS-04
        assert_eq!(kind(&Method::GET, &HANDSHAKE), RequestKind::WebSocket);
        assert_ne!(kind(&Method::POST, &HANDSHAKE), RequestKind::WebSocket);
        assert_ne!(RequestKind::of(&Method::GET, Version::HTTP_2, &map(&HANDSHAKE)), RequestKind::WebSocket);
        for (missing, (name, _)) in HANDSHAKE.iter().enumerate() {
            let mut fields = HANDSHAKE.to_vec();
            fields.remove(missing);
            assert_ne!(kind(&Method::GET, &fields), RequestKind::WebSocket, "without {name}");
        }
        for (place, value) in
            [(0, "h2c"), (0, "TLS/1.0, foo"), (1, "close"), (2, "8"), (3, "short=="), (3, "dGhlIHNhbXBsZSBub25jZQ=!")]
        {
            let mut fields = HANDSHAKE;
            fields[place].1 = value;
            assert_ne!(kind(&Method::GET, &fields), RequestKind::WebSocket, "{value}");
        }
    }

    #[test]
    fn errors_come_in_the_form_that_the_sender_reads() {
        assert_eq!(RequestKind::FormNavigation.wants(), Wants::Html);
        assert_eq!(RequestKind::Script.wants(), Wants::ProblemJson);
        assert_eq!(RequestKind::Plain.wants(), Wants::Text);
    }
}
