//! WebSocket handshakes ([RFC 6455 section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)), and what is wrong with
//! one that is not well-formed.
//!
//! Such a request is refused: forwarded without its `Upgrade` it would get a page where the client expects a tunnel, and forwarded
//! with it the application would judge a request that the gateway did not understand.

use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::fields::{has_token, members, only};

/// What is wrong with a handshake.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum HandshakeFault {
    /// `Upgrade` names other protocols as well, or `websocket` with a version.
    #[error("Upgrade has to name websocket and nothing else")]
    Protocol,
    /// Another method than `GET`.
    #[error("the method has to be GET")]
    Method,
    /// HTTP/1.0 or HTTP/2, where `Upgrade` means nothing.
    #[error("it has to come over HTTP/1.1")]
    HttpVersion,
    /// `Connection` does not name `upgrade`.
    #[error("Connection has to name Upgrade")]
    Connection,
    /// The request has a body.
    #[error("it has a body")]
    Body,
    /// Another version of the protocol than ours.
    #[error("Sec-WebSocket-Version has to be 13")]
    Version,
    /// No key, several keys, or a key that is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key has to be 16 bytes in base64, with padding")]
    Key,
}

impl HandshakeFault {
    /// A stable reason for logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Protocol => "websocket_protocol",
            Self::Method => "websocket_method",
            Self::HttpVersion => "websocket_http_version",
            Self::Connection => "websocket_connection",
            Self::Body => "websocket_body",
            Self::Version => "websocket_version",
            Self::Key => "websocket_key",
        }
    }

    /// The status of the answer; with 426 belongs [`SUPPORTED_VERSION`]
    /// ([RFC 6455 section 4.4](https://www.rfc-editor.org/rfc/rfc6455#section-4.4)).
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whether a request asks for a WebSocket, in whatever way. `h2c` and every other protocol is not asked for here: a request for
/// one is answered as if it had not asked ([RFC 9110 section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8), WS-04).
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) && members(headers, &UPGRADE).any(|protocol| is_websocket(protocol.split('/').next()))
}

/// A request that asks for a WebSocket, and what is wrong with it; nothing for every other request.
pub fn read(method: &Method, version: Version, headers: &HeaderMap) -> Option<Result<(), HandshakeFault>> {
    asks_for_websocket(headers).then(|| check(method, version, headers))
}

/// What is wrong with a request that asks for a WebSocket; nothing if it may become one.
fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<(), HandshakeFault> {
    let mut protocols = members(headers, &UPGRADE);
    if !is_websocket(protocols.next()) || protocols.next().is_some() {
        return Err(HandshakeFault::Protocol);
    }
    if *method != Method::GET {
        return Err(HandshakeFault::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeFault::HttpVersion);
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(HandshakeFault::Connection);
    }
    let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(HandshakeFault::Body);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(HandshakeFault::Version);
    }
    if !only(headers, &SEC_WEBSOCKET_KEY).is_some_and(|key| is_sixteen_bytes(key.as_bytes())) {
        return Err(HandshakeFault::Key);
    }
    Ok(())
}

/// Whether it is the name of the protocol.
fn is_websocket(protocol: Option<&str>) -> bool {
    protocol.is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// 16 bytes are 22 base64 digits and two signs of padding.
fn is_sixteen_bytes(key: &[u8]) -> bool {
    key.len() == 24
        && key
            .strip_suffix(b"==")
            .is_some_and(|k| k.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')))
}

/// The version of the WebSocket protocol that passes
/// ([RFC 6455 section 4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)).
pub const SUPPORTED_VERSION: HeaderValue = HeaderValue::from_static("13");

#[cfg(test)]
mod tests {
    use super::*;

    const BY_THE_BOOK: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// A well-formed handshake, with fields replaced or, where there is no value, left out, and with further ones.
    fn fault(
        changed: &[(&'static str, Option<&'static str>)],
        further: &[(&'static str, &'static str)],
    ) -> &'static str {
        fault_of(&Method::GET, Version::HTTP_11, changed, further)
    }

    fn fault_of(
        method: &Method,
        version: Version,
        changed: &[(&'static str, Option<&'static str>)],
        further: &[(&'static str, &'static str)],
    ) -> &'static str {
        let mut headers = HeaderMap::new();
        for (name, value) in BY_THE_BOOK {
            let value = changed.iter().find(|(other, _)| *other == name).map_or(Some(value), |(_, value)| *value);
            if let Some(value) = value {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        for (name, value) in further {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert!(asks_for_websocket(&headers), "{headers:?}");
        check(method, version, &headers).err().map_or("", HandshakeFault::code)
    }

    #[test]
    fn a_handshake_by_the_book_has_no_fault() {
        assert_eq!(fault(&[], &[]), "");
        assert_eq!(fault(&[("connection", Some("UPGRADE"))], &[("content-length", "0")]), "");
        assert_eq!(fault(&[("sec-websocket-key", Some("+/+/AAAAAAAAAAAAAAAAAA=="))], &[("origin", "http://a")]), "");
    }

    #[test]
    fn each_departure_from_the_book_is_a_fault() {
        // RFC 6455 section 4.2.1, WS-04, WS-10, AT-WS-04
        for value in ["websocket, h2c", "h2c, websocket", "websocket/13", "websocket, websocket"] {
            assert_eq!(fault(&[("upgrade", Some(value))], &[]), "websocket_protocol", "{value}");
        }
        assert_eq!(fault(&[], &[("upgrade", "h2c")]), "websocket_protocol");
        for value in [None, Some("close"), Some("keep-alive"), Some("\"Upgrade\""), Some("Upgraded")] {
            assert_eq!(fault(&[("connection", value)], &[]), "websocket_connection", "{value:?}");
        }
        for value in [None, Some("8"), Some("7"), Some("14"), Some("013"), Some("13, 8"), Some("")] {
            assert_eq!(fault(&[("sec-websocket-version", value)], &[]), "websocket_version", "{value:?}");
        }
        assert_eq!(fault(&[], &[("sec-websocket-version", "8")]), "websocket_version");
        for value in [
            None,
            Some(""),
            Some("redacted=="),
            Some("dGhlIHNhbXBsZSBub25jZQ"),
            Some("dGhlIHNhbXBsZSBub25jZQ="),
            Some("dGhlIHNhbXBsZSBub25jZQ=!"),
            Some("dGhlIHNhbXBsZSBub25j-_=="),
            Some("dGhlIHNhbXBsZSBub25jZTEyMw=="),
            Some("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert_eq!(fault(&[("sec-websocket-key", value)], &[]), "websocket_key", "{value:?}");
        }
        assert_eq!(fault(&[], &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]), "websocket_key");
        for (name, value) in [("content-length", "2"), ("transfer-encoding", "chunked")] {
            assert_eq!(fault(&[], &[(name, value)]), "websocket_body", "{name}");
        }
        for method in [Method::POST, Method::HEAD, Method::PUT] {
            assert_eq!(fault_of(&method, Version::HTTP_11, &[], &[]), "websocket_method", "{method}");
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(fault_of(&Method::GET, version, &[], &[]), "websocket_http_version", "{version:?}");
        }
    }

    #[test]
    fn what_does_not_ask_for_a_websocket_has_not_asked() {
        for value in ["h2c", "TLS/1.0, foo", "websockets", "x-websocket", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, HeaderValue::from_static(value));
            assert!(!asks_for_websocket(&headers), "{value}");
        }
        assert!(!asks_for_websocket(&HeaderMap::new()));
    }
}
