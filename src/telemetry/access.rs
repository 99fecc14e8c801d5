//! The access log: one line a request.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;

use crate::clock::UnixTime;
use crate::telemetry::clf;
use crate::telemetry::ecs::{self, EcsEvent};
use crate::telemetry::line::{JsonLine, digits, json_string, word, write_address, write_millis, write_time};
use crate::telemetry::record::{Fields, Record, Severity};
use crate::telemetry::settings::AccessFormat;
use crate::trace::TraceId;

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
    /// The trace that the request belongs to.
    pub trace: Option<TraceId>,
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
    /// What the application got in place of the path, where that is another.
    pub upstream_path: Option<&'a str>,
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
    /// `Referer`, without its query, which may be that of our callback; only the forms of others have it.
    pub referer: Option<&'a str>,
}

impl AccessEntry<'_> {
    /// The host, where one is known.
    fn known_host(&self) -> Option<&str> {
        (!self.host.is_empty()).then_some(self.host)
    }

    /// One flat object.
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut line = JsonLine::begin(out);
        self.fields(&mut line);
        line.end();
    }

    /// The names of the Elastic Common Schema; what it has no name for is below `vestibule`.
    fn write_ecs(&self, out: &mut Vec<u8>) {
        let (path, query) = self.path.split_once('?').map_or((self.path, None), |(path, query)| (path, Some(query)));
        let is_allowed = !matches!(self.decision, Some("deny" | "login"));
        let event = EcsEvent {
            dataset: "vestibule.access",
            action: "request",
            category: &["web"],
            kind: &["access", if is_allowed { "allowed" } else { "denied" }],
            is_success: self.status < 400,
            level: "info",
        };
        let mut line = ecs::begin(out, self.time, &event);
        if let Some(trace) = self.trace {
            line.token("trace.id", str::from_utf8(trace.digits().as_flattened()).unwrap_or_default());
        }
        line.number("event.duration", u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX))
            .maybe("event.reason", self.reason)
            .token("http.request.id", self.request_id)
            .token("http.request.method", self.method.as_str())
            .maybe("http.request.referrer", self.referer)
            .token("http.version", self.protocol.trim_start_matches("HTTP/"))
            .number("http.response.status_code", u64::from(self.status));
        if let Some(bytes) = self.bytes_out {
            line.number("http.response.body.bytes", bytes);
        }
        line.maybe("url.domain", self.known_host()).text("url.path", path).maybe("url.query", query);
        line.address("source.ip", self.client).address("client.ip", self.client);
        if let Some(peer) = self.peer {
            line.address("vestibule.peer.ip", peer);
        }
        line.maybe("user_agent.original", self.user_agent).maybe("user.name", self.user);
        line.maybe("session.id", self.session).maybe("service.name", self.route);
        line.maybe("vestibule.decision", self.decision);
        if let Some(span) = self.upstream_took {
            line.millis("vestibule.upstream_ms", span);
        }
        line.maybe("vestibule.upstream_path", self.upstream_path);
        line.end();
    }

    /// `client - user [time] "METHOD path PROTOCOL" status bytes "referer" "agent"`, as Apache's `combined`.
    fn write_combined(&self, out: &mut Vec<u8>) {
        write_address(out, self.client);
        out.extend_from_slice(b" - ");
        clf::word(out, self.user);
        out.extend_from_slice(b" [");
        clf::write_time(out, self.time);
        out.extend_from_slice(b"] \"");
        clf::within_quotes(out, self.method.as_str());
        out.push(b' ');
        clf::within_quotes(out, self.path);
        out.push(b' ');
        out.extend_from_slice(self.protocol.as_bytes());
        out.extend_from_slice(b"\" ");
        digits(out, u64::from(self.status));
        out.push(b' ');
        match self.bytes_out {
            Some(bytes) => digits(out, bytes),
            None => out.push(b'-'),
        }
        for text in [self.referer, self.user_agent] {
            out.extend_from_slice(b" \"");
            clf::within_quotes(out, text.unwrap_or("-"));
            out.push(b'"');
        }
    }

    /// `client user [time] "METHOD host path PROTOCOL" status bytes ms route decision "agent" id`, `-` for what is not known.
    fn write_human(&self, out: &mut Vec<u8>) {
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

impl Record for AccessEntry<'_> {
    type Format = AccessFormat;

    fn time(&self) -> UnixTime {
        self.time
    }

    fn severity(&self) -> Severity {
        Severity::Info
    }

    fn kind(&self) -> &'static str {
        "access"
    }

    fn write(&self, format: AccessFormat, out: &mut Vec<u8>) {
        match format {
            AccessFormat::Json => self.write_json(out),
            AccessFormat::Combined => self.write_combined(out),
            AccessFormat::Ecs => self.write_ecs(out),
            AccessFormat::Human => self.write_human(out),
        }
    }

    fn write_beside_fields(&self, format: AccessFormat, out: &mut Vec<u8>) {
        self.write(if format == AccessFormat::Json { AccessFormat::Human } else { format }, out);
    }

    #[inline]
    fn fields(&self, line: &mut impl Fields) {
        line.time(self.time).token("request_id", self.request_id);
        if let Some(trace) = self.trace {
            line.token("trace_id", str::from_utf8(trace.digits().as_flattened()).unwrap_or_default());
        }
        line.address("client", self.client);
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
        line.maybe("upstream_path", self.upstream_path);
        line.maybe("route", self.route);
        if let Some(decision) = self.decision {
            line.token("decision", decision);
        }
        line.maybe("reason", self.reason);
        line.maybe("user", self.user);
        if let Some(session) = self.session {
            line.token("session", session);
        }
        line.maybe("user_agent", self.user_agent);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::trace::TraceParent;

    pub(crate) fn entry<'a>() -> AccessEntry<'a> {
        AccessEntry {
            time: UnixTime::from_millis(1_763_832_000_123),
            request_id: "r-1",
            trace: None,
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
            upstream_path: None,
            route: Some("wiki"),
            decision: Some("allow"),
            reason: None,
            user: Some("ann"),
            session: Some("5f3c"),
            user_agent: Some("curl/8"),
            referer: None,
        }
    }

    /// Every field that a line may hold.
    pub(crate) fn fields() -> Vec<String> {
        let parent = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let trace = TraceParent::of(&HeaderMap::from_iter([(HeaderName::from_static("traceparent"), parent)]));
        let trace = trace.map(|parent| parent.trace);
        let whole = AccessEntry { upstream_path: Some("x"), reason: Some("x"), referer: Some("x"), trace, ..entry() };
        assert!(!format!("{whole:?}").contains("None"), "give every field a value here: {whole:?}");
        let line: serde_json::Value = serde_json::from_str(&json(&whole)).unwrap();
        line.as_object().unwrap().keys().cloned().collect()
    }

    pub(crate) fn json(entry: &AccessEntry<'_>) -> String {
        written(entry, AccessFormat::Json)
    }

    fn human(entry: &AccessEntry<'_>) -> String {
        written(entry, AccessFormat::Human)
    }

    fn written(entry: &AccessEntry<'_>, format: AccessFormat) -> String {
        let mut out = Vec::new();
        entry.write(format, &mut out);
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
    fn the_combined_line_has_the_person_in_the_third_field() {
        let entry = AccessEntry { user: Some("Ann \"A\" Ä"), referer: Some("https://a.example/"), ..entry() };
        let wanted = concat!(
            r#"192.0.2.7 - Ann\x20\"A\"\x20\xc3\x84 [22/Nov/2025:17:20:00 +0000] "GET /a?b=c HTTP/1.1" 200 512 "#,
            r#""https://a.example/" "curl/8""#
        );
        assert_eq!(written(&entry, AccessFormat::Combined), wanted);
        let bare = AccessEntry { user: None, bytes_out: None, user_agent: None, referer: None, ..entry };
        let wanted = r#"192.0.2.7 - - [22/Nov/2025:17:20:00 +0000] "GET /a?b=c HTTP/1.1" 200 - "-" "-""#;
        assert_eq!(written(&bare, AccessFormat::Combined), wanted);
    }

    #[test]
    fn the_ecs_line_has_the_names_of_the_schema() {
        let entry = AccessEntry { reason: Some("x"), referer: Some("https://a.example/"), ..entry() };
        let wanted = concat!(
            r#"{"@timestamp":"2025-11-22T17:20:00.123Z","log.level":"info","message":"request","ecs.version":"8.17.0","#,
            r#""event.dataset":"vestibule.access","event.kind":"event","event.action":"request","event.category":["web"],"#,
            r#""event.type":["access","allowed"],"event.outcome":"success","event.duration":12345000,"event.reason":"x","#,
            r#""http.request.id":"r-1","http.request.method":"GET","http.request.referrer":"https://a.example/","#,
            r#""http.version":"1.1","http.response.status_code":200,"http.response.body.bytes":512,"#,
            r#""url.domain":"wiki.example","url.path":"/a","url.query":"b=c","source.ip":"192.0.2.7","client.ip":"192.0.2.7","#,
            r#""vestibule.peer.ip":"127.0.0.1","user_agent.original":"curl/8","user.name":"ann","session.id":"5f3c","#,
            r#""service.name":"wiki","vestibule.decision":"allow","vestibule.upstream_ms":12.000}"#
        );
        assert_eq!(written(&entry, AccessFormat::Ecs), wanted);
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
        for line in [line, human(&entry), written(&entry, AccessFormat::Combined), written(&entry, AccessFormat::Ecs)] {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line}");
        }
        assert!(!human(&AccessEntry { user: Some("ann [2025"), ..entry }).contains("ann [2025-"));
    }
}
