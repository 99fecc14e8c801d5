//! The access log: one line a request.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;

use crate::clock::UnixTime;
use crate::telemetry::line::{JsonLine, json_string, write_address, write_millis, write_time};

/// One answered request. Everything is borrowed: nothing needs to be made for the log's sake.
///
/// The caller decides what may be seen: a path of our own endpoints comes without its query (it may hold a code), and no
/// field ever holds a cookie or a token (AT-CL-08).
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// When the request came.
    pub time: UnixTime,
    /// The request's id, which needs no escape: `RequestId`.
    pub request_id: &'a str,
    /// Who the client is, believed proxies taken into account.
    pub client: IpAddr,
    /// The other end of the socket; `None` for a unix socket.
    pub peer: Option<IpAddr>,
    /// The method.
    pub method: &'a Method,
    /// The host that was asked for; empty where none that can be believed was named.
    pub host: &'a str,
    /// Path, and query where it may be seen.
    pub path: &'a str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'static str,
    /// The status that was answered.
    pub status: u16,
    /// Body bytes sent, if known.
    pub bytes_out: Option<u64>,
    /// From the request's head to the end of the answer, or to the answer's head where that is all that is known.
    pub took: Duration,
    /// Of which waiting for the application's head.
    pub upstream_took: Option<Duration>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// What was decided: `allow`, `login`, ...
    pub decision: Option<&'static str>,
    /// Why: a stable code.
    pub reason: Option<&'a str>,
    /// The person.
    pub user: Option<&'a str>,
    /// The session, as a hash in hexadecimal or base64url.
    pub session: Option<&'a str>,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
}

impl AccessEntry<'_> {
    fn known_host(&self) -> Option<&str> {
        (!self.host.is_empty()).then_some(self.host)
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        let mut line = JsonLine::begin(out);
        line.time(self.time).token("request_id", self.request_id).address("client", self.client);
        if let Some(peer) = self.peer {
            line.address("peer", peer);
        }
        line.token("method", self.method.as_str())
            .maybe("host", self.known_host())
            .text("path", self.path)
            .token("protocol", self.protocol);
        line.number("status", u64::from(self.status));
        if let Some(bytes) = self.bytes_out {
            line.number("bytes_out", bytes);
        }
        line.millis("duration_ms", self.took);
        if let Some(span) = self.upstream_took {
            line.millis("upstream_ms", span);
        }
        line.maybe("route", self.route);
        if let Some(decision) = self.decision {
            line.token("decision", decision);
        }
        line.maybe("reason", self.reason);
        line.maybe("user", self.user);
        if let Some(session) = self.session {
            line.token("session", session);
        }
        line.maybe("user_agent", self.user_agent).end();
    }

    /// `client user [time] "METHOD host path PROTOCOL" status bytes ms route decision "agent" id`, `-` for what is not known.
    pub(super) fn write_human(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        write_address(out, self.client);
        out.push(b' ');
        word(out, self.user);
        out.extend_from_slice(b" [");
        write_time(out, self.time);
        out.extend_from_slice(b"] ");
        for part in [Some(self.method.as_str()), self.known_host(), Some(self.path)] {
            word(out, part);
            out.push(b' ');
        }
        _ = write!(out, "{} {} ", self.protocol, self.status);
        match self.bytes_out {
            Some(bytes) => _ = write!(out, "{bytes} "),
            None => out.extend_from_slice(b"- "),
        }
        write_millis(out, self.took);
        out.extend_from_slice(b"ms ");
        for part in [self.route, self.decision] {
            word(out, part);
            out.push(b' ');
        }
        json_string(out, self.user_agent.unwrap_or("-"));
        out.push(b' ');
        word(out, Some(self.request_id));
    }
}

/// A value without quotes where it can do without: printable ASCII that holds no space and could not be taken for another.
fn word(out: &mut Vec<u8>, value: Option<&str>) {
    let value = value.unwrap_or("-");
    let plain =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'['));
    if plain { out.extend_from_slice(value.as_bytes()) } else { json_string(out, value) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    pub(crate) fn entry<'a>() -> AccessEntry<'a> {
        AccessEntry {
            time: UnixTime::from_millis(1_763_832_000_123),
            request_id: "r-1",
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
            peer: Some(Ipv4Addr::LOCALHOST.into()),
            method: &Method::GET,
            host: "wiki.example",
            path: "/a?b=c",
            protocol: "HTTP/1.1",
            status: 200,
            bytes_out: Some(512),
            took: Duration::from_micros(12_345),
            upstream_took: Some(Duration::from_millis(12)),
            route: Some("wiki"),
            decision: Some("allow"),
            reason: None,
            user: Some("ann"),
            session: Some("5f3c"),
            user_agent: Some("curl/8"),
        }
    }

    /// Every field that a line may hold.
    pub(crate) fn fields() -> Vec<String> {
        let whole = AccessEntry { reason: Some("x"), ..entry() };
        assert!(!format!("{whole:?}").contains("None"), "give every field a value here: {whole:?}");
        let line: serde_json::Value = serde_json::from_str(&json(&whole)).unwrap();
        line.as_object().unwrap().keys().cloned().collect()
    }

    pub(crate) fn json(entry: &AccessEntry<'_>) -> String {
        let mut out = Vec::new();
        entry.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn human(entry: &AccessEntry<'_>) -> String {
        let mut out = Vec::new();
        entry.write_human(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_json_line_is_flat_and_whole() {
        let wanted = concat!(
            r#"{"ts":"2025-11-22T17:20:00.123Z","request_id":"r-1","client":"192.0.2.7","peer":"127.0.0.1","method":"GET","#,
            r#""host":"wiki.example","path":"/a?b=c","protocol":"HTTP/1.1","status":200,"bytes_out":512,"#,
            r#""duration_ms":12.345,"upstream_ms":12.000,"route":"wiki","decision":"allow","user":"ann","#,
            r#""session":"5f3c","user_agent":"curl/8"}"#
        );
        assert_eq!(json(&entry()), wanted);
    }

    #[test]
    fn the_line_for_people_reads_in_one_go() {
        let wanted = r#"192.0.2.7 ann [2025-11-22T17:20:00.123Z] GET wiki.example /a?b=c HTTP/1.1 200 512 12.345ms wiki allow "curl/8" r-1"#;
        assert_eq!(human(&entry()), wanted);
    }

    #[test]
    fn a_host_that_is_not_known_is_left_out() {
        let entry = AccessEntry { host: "", ..entry() };
        assert!(!json(&entry).contains("host"), "{}", json(&entry));
        assert!(human(&entry).contains("] GET - /a?b=c HTTP/1.1 "), "{}", human(&entry));
    }

    #[test]
    fn nobody_can_write_a_second_line_or_another_field() {
        // AT-SM-20, AT-CL-08: what strangers send is data
        let evil = "x\" 200\r\n{\"user\":\"admin\"}\u{2028}\u{1b}[2J";
        let entry = AccessEntry { user_agent: Some(evil), path: evil, user: Some(evil), host: evil, ..entry() };
        let line = json(&entry);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["user_agent"], evil);
        for line in [line, human(&entry)] {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line}");
        }
        assert!(!human(&AccessEntry { user: Some("ann [2025"), ..entry }).contains("ann [2025-"));
    }
}
