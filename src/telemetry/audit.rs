//! Audit events: who signed in, who was refused, what was changed. JSON lines with stable names; never sampled, no secrets.

use std::net::IpAddr;

use schemars::JsonSchema;

use crate::clock::UnixTime;
use crate::telemetry::ecs::{self, EcsEvent};
use crate::telemetry::line::{JsonLine, word};
use crate::telemetry::metrics::Outcome;
use crate::telemetry::record::{Fields, Record, Severity};
use crate::telemetry::settings::AuditFormat;

/// What happened. The list is closed: people write alerts against these names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AuditEvent {
    /// A person was refused.
    AccessDenied,
    /// A person got into a route for the first time in a session.
    AccessGranted,
    /// A configuration was taken into use.
    ConfigReloaded,
    /// A configuration was refused.
    ConfigRejected,
    /// A client sent a header that only we may set.
    HeaderSpoofAttempt,
    /// A browser was sent to sign in.
    LoginStarted,
    /// A person signed in.
    LoginSucceeded,
    /// A sign-in failed.
    LoginFailed,
    /// The provider ended sessions by a logout token.
    LogoutBackchannel,
    /// The provider ended a session by a page in a browser.
    LogoutFrontchannel,
    /// A person signed out.
    LogoutUser,
    /// Another key seals sessions.
    KeyRotated,
    /// Tokens were renewed, or the provider said again who it is (`userinfo_every`).
    SessionRefreshed,
    /// The same could not be had; the session goes on or ends, by the reason.
    SessionRefreshFailed,
    /// A session came to its end.
    SessionExpired,
    /// A callback came a second time.
    StateReplay,
}

impl AuditEvent {
    /// Every one.
    pub const ALL: [Self; 16] = [
        Self::AccessDenied,
        Self::AccessGranted,
        Self::ConfigReloaded,
        Self::ConfigRejected,
        Self::HeaderSpoofAttempt,
        Self::KeyRotated,
        Self::LoginFailed,
        Self::LoginStarted,
        Self::LoginSucceeded,
        Self::LogoutBackchannel,
        Self::LogoutFrontchannel,
        Self::LogoutUser,
        Self::SessionExpired,
        Self::SessionRefreshed,
        Self::SessionRefreshFailed,
        Self::StateReplay,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// Whether this is good news.
    pub fn outcome(self) -> Outcome {
        self.facts().1
    }

    /// Its `event.category` and `event.type` in the Elastic Common Schema.
    fn ecs(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::LoginStarted | Self::LoginSucceeded => (&["authentication"], &["start"]),
            Self::LoginFailed | Self::StateReplay => (&["authentication"], &["start", "denied"]),
            Self::LogoutBackchannel | Self::LogoutFrontchannel | Self::LogoutUser | Self::SessionExpired => {
                (&["authentication", "session"], &["end"])
            }
            Self::SessionRefreshed | Self::SessionRefreshFailed => (&["session"], &["info"]),
            Self::AccessDenied => (&["web", "iam"], &["access", "denied"]),
            Self::AccessGranted => (&["web", "iam"], &["access", "allowed"]),
            Self::HeaderSpoofAttempt => (&["web", "intrusion_detection"], &["info"]),
            Self::ConfigReloaded | Self::ConfigRejected | Self::KeyRotated => (&["configuration"], &["change"]),
        }
    }

    /// Name and outcome.
    fn facts(self) -> (&'static str, Outcome) {
        use Outcome::{Failure, Success};
        match self {
            Self::AccessDenied => ("access.denied", Failure),
            Self::AccessGranted => ("access.granted", Success),
            Self::ConfigReloaded => ("config.reloaded", Success),
            Self::ConfigRejected => ("config.rejected", Failure),
            Self::HeaderSpoofAttempt => ("header.spoof_attempt", Failure),
            Self::LoginStarted => ("login.started", Success),
            Self::LoginSucceeded => ("login.succeeded", Success),
            Self::LoginFailed => ("login.failed", Failure),
            Self::LogoutBackchannel => ("logout.idp_backchannel", Success),
            Self::LogoutFrontchannel => ("logout.idp_frontchannel", Success),
            Self::LogoutUser => ("logout.user", Success),
            Self::KeyRotated => ("key.rotated", Success),
            Self::SessionRefreshed => ("session.refreshed", Success),
            Self::SessionRefreshFailed => ("session.refresh_failed", Failure),
            Self::SessionExpired => ("session.expired", Failure),
            Self::StateReplay => ("state.replay", Failure),
        }
    }
}

/// What is known about an event; take [`AuditFields::default`] and fill in what there is.
#[derive(Clone, Copy, Debug, Default, JsonSchema)]
pub struct AuditFields<'a> {
    /// The stable code of the error or criterion.
    pub reason: Option<&'a str>,
    /// For people: what exactly.
    pub detail: Option<&'a str>,
    /// The request's id.
    pub request_id: Option<&'a str>,
    /// The client, believed proxies taken into account.
    pub client: Option<IpAddr>,
    /// The other end of the socket; none for a unix socket.
    pub peer: Option<IpAddr>,
    /// The host that was asked for.
    pub host: Option<&'a str>,
    /// The path, without its query.
    pub path: Option<&'a str>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// The provider's name.
    pub provider: Option<&'a str>,
    /// The issuer, which makes `subject` unique.
    pub issuer: Option<&'a str>,
    /// The subject, as the provider's `claims.subject` names it: the same in every line about a person.
    pub subject: Option<&'a str>,
    /// The person's name.
    pub user: Option<&'a str>,
    /// The person's e-mail address.
    pub email: Option<&'a str>,
    /// The session, as a hash.
    pub session: Option<&'a str>,
    /// The provider's own session id, so that its log can be joined.
    pub sid: Option<&'a str>,
    /// The class of authentication.
    pub acr: Option<&'a str>,
    /// The methods of authentication, separated by spaces.
    pub amr: Option<&'a str>,
}

/// An event with all that is known about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuditRecord<'a> {
    /// When it was.
    pub(super) time: UnixTime,
    /// What happened.
    pub(super) event: AuditEvent,
    /// What is known about it.
    pub(super) fields: &'a AuditFields<'a>,
}

impl AuditRecord<'_> {
    /// One flat object.
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut line = JsonLine::begin(out);
        self.fields(&mut line);
        line.end();
    }

    /// The names of the Elastic Common Schema; what it has no name for is below `vestibule`.
    fn write_ecs(&self, out: &mut Vec<u8>) {
        let fields = self.fields;
        let (category, kind) = self.event.ecs();
        let is_success = self.event.outcome() == Outcome::Success;
        let event = EcsEvent {
            dataset: "vestibule.audit",
            action: self.event.as_str(),
            category,
            kind,
            is_success,
            level: if is_success { "info" } else { "warn" },
        };
        let mut line = ecs::begin(out, self.time, &event);
        line.maybe("event.reason", fields.reason).maybe("vestibule.detail", fields.detail);
        line.maybe("http.request.id", fields.request_id);
        if let Some(client) = fields.client {
            line.address("source.ip", client).address("client.ip", client);
        }
        if let Some(peer) = fields.peer {
            line.address("vestibule.peer.ip", peer);
        }
        line.maybe("url.domain", fields.host).maybe("url.path", fields.path).maybe("service.name", fields.route);
        if let Some(subject) = fields.subject {
            // A subject is unique at its issuer only.
            line.text("user.id", &format!("{} {subject}", fields.issuer.unwrap_or_default()));
        }
        line.maybe("user.name", fields.user).maybe("user.email", fields.email).maybe("session.id", fields.session);
        line.maybe("vestibule.provider", fields.provider).maybe("vestibule.issuer", fields.issuer);
        line.maybe("vestibule.sid", fields.sid).maybe("vestibule.acr", fields.acr).maybe("vestibule.amr", fields.amr);
        line.end();
    }

    /// `event outcome reason user client host path`, `-` for what is not known.
    fn write_human(&self, out: &mut Vec<u8>) {
        let fields = self.fields;
        let client = fields.client.map(|client| client.to_string());
        out.extend_from_slice(self.event.as_str().as_bytes());
        let (user, outcome) = (fields.user.or(fields.subject), self.event.outcome().as_str());
        for part in [Some(outcome), fields.reason, user, client.as_deref(), fields.host, fields.path] {
            out.push(b' ');
            word(out, part);
        }
    }
}

impl Record for AuditRecord<'_> {
    type Format = AuditFormat;

    fn time(&self) -> UnixTime {
        self.time
    }

    fn severity(&self) -> Severity {
        if self.event.outcome() == Outcome::Success { Severity::Notice } else { Severity::Warning }
    }

    fn kind(&self) -> &'static str {
        self.event.as_str()
    }

    fn write(&self, format: AuditFormat, out: &mut Vec<u8>) {
        match format {
            AuditFormat::Json => self.write_json(out),
            AuditFormat::Ecs => self.write_ecs(out),
        }
    }

    fn write_beside_fields(&self, format: AuditFormat, out: &mut Vec<u8>) {
        match format {
            AuditFormat::Json => self.write_human(out),
            AuditFormat::Ecs => self.write_ecs(out),
        }
    }

    fn fields(&self, line: &mut impl Fields) {
        let fields = self.fields;
        line.time(self.time).token("log", "audit").token("event", self.event.as_str());
        line.token("outcome", self.event.outcome().as_str());
        line.maybe("reason", fields.reason).maybe("detail", fields.detail).maybe("request_id", fields.request_id);
        if let Some(client) = fields.client {
            line.address("client", client);
        }
        if let Some(peer) = fields.peer {
            line.address("peer", peer);
        }
        line.maybe("host", fields.host).maybe("path", fields.path);
        line.maybe("route", fields.route).maybe("provider", fields.provider).maybe("issuer", fields.issuer);
        line.maybe("subject", fields.subject).maybe("user", fields.user).maybe("email", fields.email);
        line.maybe("session", fields.session)
            .maybe("sid", fields.sid)
            .maybe("acr", fields.acr)
            .maybe("amr", fields.amr);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every field that a line may hold.
    pub(crate) fn fields() -> Vec<String> {
        let (x, address) = (Some("x"), Some(IpAddr::from([127, 0, 0, 1])));
        let whole = AuditFields {
            reason: x,
            detail: x,
            request_id: x,
            client: address,
            peer: address,
            host: x,
            path: x,
            route: x,
            provider: x,
            issuer: x,
            subject: x,
            user: x,
            email: x,
            session: x,
            sid: x,
            acr: x,
            amr: x,
        };
        let line: serde_json::Value =
            serde_json::from_str(&written(AuditEvent::LoginStarted, &whole, AuditFormat::Json)).unwrap();
        line.as_object().unwrap().keys().cloned().collect()
    }

    fn written(event: AuditEvent, fields: &AuditFields<'_>, format: AuditFormat) -> String {
        let mut out = Vec::new();
        AuditRecord { time: UnixTime::default(), event, fields }.write(format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_ecs_line_has_the_names_of_the_schema() {
        let fields = AuditFields {
            reason: Some("not_allowed"),
            request_id: Some("r-1"),
            client: Some([192, 0, 2, 7].into()),
            peer: Some([127, 0, 0, 1].into()),
            host: Some("wiki.example"),
            path: Some("/a"),
            route: Some("wiki"),
            provider: Some("corp"),
            issuer: Some("https://idp.example"),
            subject: Some("17"),
            user: Some("ann"),
            ..AuditFields::default()
        };
        let wanted = concat!(
            r#"{"@timestamp":"1970-01-01T00:00:00.000Z","log.level":"warn","message":"access.denied","ecs.version":"8.17.0","#,
            r#""event.dataset":"vestibule.audit","event.kind":"event","event.action":"access.denied","#,
            r#""event.category":["web","iam"],"event.type":["access","denied"],"event.outcome":"failure","#,
            r#""event.reason":"not_allowed","http.request.id":"r-1","source.ip":"192.0.2.7","client.ip":"192.0.2.7","#,
            r#""vestibule.peer.ip":"127.0.0.1","url.domain":"wiki.example","url.path":"/a","service.name":"wiki","#,
            r#""user.id":"https://idp.example 17","user.name":"ann","vestibule.provider":"corp","#,
            r#""vestibule.issuer":"https://idp.example"}"#
        );
        assert_eq!(written(AuditEvent::AccessDenied, &fields, AuditFormat::Ecs), wanted);
    }

    #[test]
    fn an_event_is_one_line_with_a_stable_name() {
        let fields = AuditFields {
            reason: Some("state_missing"),
            path: Some("evil\n{\"event\":\"login.succeeded\"}"),
            ..AuditFields::default()
        };
        assert_eq!(
            written(AuditEvent::LoginFailed, &fields, AuditFormat::Json),
            concat!(
                r#"{"ts":"1970-01-01T00:00:00.000Z","log":"audit","event":"login.failed","outcome":"failure","#,
                r#""reason":"state_missing","path":"evil\n{\"event\":\"login.succeeded\"}"}"#,
            )
        );
    }
}
