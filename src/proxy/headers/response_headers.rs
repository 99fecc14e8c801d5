//! What a route changes in the header of its application's answers: `response_headers`.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The changes, in the order in which they are made. Made of names that [`why_fixed`] has no objection to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResponseHeaders(Box<[(HeaderName, HeaderChange)]>);

/// What becomes of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderChange {
    /// These values, in place of the application's.
    Set(Vec<HeaderValue>),
    /// These values, each as a field behind the application's.
    Add(Vec<HeaderValue>),
    /// It is taken out.
    Remove,
}

impl HeaderChange {
    /// The values that it puts in.
    pub fn values(&self) -> &[HeaderValue] {
        match self {
            Self::Set(values) | Self::Add(values) => values,
            Self::Remove => &[],
        }
    }
}

impl ResponseHeaders {
    /// Each name stands once.
    pub fn new(changes: Vec<(HeaderName, HeaderChange)>) -> Self {
        Self(changes.into())
    }

    /// The changes.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderChange)> {
        self.0.iter().map(|(name, change)| (name, change))
    }

    /// Makes the changes. What the gateway itself sends, such as the cookie of a renewed session, is not among `headers` yet.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, change) in &self.0 {
            if !matches!(change, HeaderChange::Add(_)) {
                headers.remove(name);
            }
            for value in change.values() {
                headers.append(name, value.clone());
            }
        }
    }
}

/// Why no route may change a field of answers, if there is a reason.
pub fn why_fixed(name: &HeaderName) -> Option<&'static str> {
    let name = name.as_str();
    if FRAMING.split_ascii_whitespace().any(|framing| framing == name) || name.starts_with("proxy-") {
        Some("it frames the answer, or is for one connection only: vestibule writes it as each connection needs it")
    } else if name.starts_with("sec-websocket-") {
        Some("it is part of a WebSocket's handshake, which would fail")
    } else if name == "x-vestibule-response" {
        Some("it tells vestibule's own answers from those of applications")
    } else {
        None
    }
}

/// Names in lower case (RFC 9110 section 7.6.1, RFC 9112 section 6).
const FRAMING: &str = "connection content-length http2-settings keep-alive te trailer transfer-encoding upgrade";

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: &[&str]) -> Vec<HeaderValue> {
        texts.iter().map(|text| HeaderValue::from_str(text).unwrap()).collect()
    }

    #[test]
    fn what_is_set_replaces_what_is_added_stands_behind_and_what_is_removed_is_gone() {
        let name = HeaderName::from_static;
        let changes = ResponseHeaders::new(vec![
            (name("x-frame-options"), HeaderChange::Set(values(&["DENY"]))),
            (name("link"), HeaderChange::Add(values(&["<b>", "<c>"]))),
            (name("server"), HeaderChange::Remove),
            (name("vary"), HeaderChange::Set(values(&["a", "b"]))),
            (name("x-absent"), HeaderChange::Remove),
        ]);
        let mut headers = HeaderMap::new();
        for (field, value) in [
            ("x-frame-options", "SAMEORIGIN"),
            ("x-frame-options", "ALLOWALL"),
            ("link", "<a>"),
            ("server", "1"),
            ("server", "2"),
            ("etag", "\"e\""),
        ] {
            headers.append(name(field), HeaderValue::from_static(value));
        }
        changes.apply(&mut headers);
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        let wanted =
            ["etag: \"e\"", "link: <a>", "link: <b>", "link: <c>", "vary: a", "vary: b", "x-frame-options: DENY"];
        assert_eq!(left, wanted);
    }

    #[test]
    fn fields_that_frame_the_answer_or_say_whose_it_is_are_fixed() {
        for fixed in FRAMING.split_ascii_whitespace().chain([
            "proxy-authenticate",
            "proxy-connection",
            "proxy-status",
            "sec-websocket-accept",
            "sec-websocket-protocol",
            "x-vestibule-response",
        ]) {
            assert!(why_fixed(&HeaderName::from_static(fixed)).is_some(), "{fixed}");
        }
        for free in
            ["set-cookie", "cache-control", "content-type", "via", "server", "x-proxy-y", "upgrade-insecure-requests"]
        {
            assert_eq!(why_fixed(&HeaderName::from_static(free)), None, "{free}");
        }
    }
}
