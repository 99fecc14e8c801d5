//! Audit events: who signed in, who was refused, what was changed. JSON lines with stable names; never sampled, no secrets.

use std::net::IpAddr;

use crate::clock::UnixTime;
use crate::telemetry::line::JsonLine;
use crate::telemetry::metrics::Outcome;

/// What happened. The list is closed: people write alerts against these names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AuditEvent {
    /// A person was refused.
    AccessDenied,
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
    /// A person signed out.
    LogoutUser,
    /// Tokens were renewed.
    SessionRefreshed,
    /// Tokens could not be renewed.
    SessionRefreshFailed,
    /// A session came to its end.
    SessionExpired,
    /// A callback came a second time.
    StateReplay,
}

impl AuditEvent {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// Whether this is good news.
    pub fn outcome(self) -> Outcome {
        self.facts().1
    }

    fn facts(self) -> (&'static str, Outcome) {
        use Outcome::{Failure, Success};
        match self {
            Self::AccessDenied => ("access.denied", Failure),
            Self::ConfigReloaded => ("config.reloaded", Success),
            Self::ConfigRejected => ("config.rejected", Failure),
            Self::HeaderSpoofAttempt => ("header.spoof_attempt", Failure),
            Self::LoginStarted => ("login.started", Success),
            Self::LoginSucceeded => ("login.succeeded", Success),
            Self::LoginFailed => ("login.failed", Failure),
            Self::LogoutUser => ("logout.user", Success),
            Self::SessionRefreshed => ("session.refreshed", Success),
            Self::SessionRefreshFailed => ("session.refresh_failed", Failure),
            Self::SessionExpired => ("session.expired", Failure),
            Self::StateReplay => ("state.replay", Failure),
        }
    }
}

/// What is known about an event; take [`AuditFields::default`] and fill in what there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFields<'a> {
    /// The stable code of the error or criterion.
    pub reason: Option<&'a str>,
    /// For people: what exactly.
    pub detail: Option<&'a str>,
    /// The request's id.
    pub request_id: Option<&'a str>,
    /// The client, believed proxies taken into account.
    pub client: Option<IpAddr>,
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

/// One line of the audit log.
pub(super) fn write(out: &mut Vec<u8>, now: UnixTime, event: AuditEvent, fields: &AuditFields<'_>) {
    let mut line = JsonLine::begin(out);
    line.time(now).text("log", "audit").text("event", event.as_str()).text("outcome", event.outcome().as_str());
    line.maybe("reason", fields.reason).maybe("detail", fields.detail).maybe("request_id", fields.request_id);
    if let Some(client) = fields.client {
        line.address("client", client);
    }
    line.maybe("host", fields.host).maybe("path", fields.path);
    line.maybe("route", fields.route).maybe("provider", fields.provider).maybe("issuer", fields.issuer);
    line.maybe("subject", fields.subject).maybe("user", fields.user).maybe("email", fields.email);
    line.maybe("session", fields.session).maybe("sid", fields.sid).maybe("acr", fields.acr).maybe("amr", fields.amr);
    line.end();
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
        let mut out = Vec::new();
        write(&mut out, UnixTime::default(), AuditEvent::LoginStarted, &whole);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        line.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn an_event_is_one_line_with_a_stable_name() {
        let fields = AuditFields {
            reason: Some("state_missing"),
            path: Some("evil\n{\"event\":\"login.succeeded\"}"),
            ..AuditFields::default()
        };
        let mut out = Vec::new();
        write(&mut out, UnixTime::from_secs(0), AuditEvent::LoginFailed, &fields);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"ts":"1970-01-01T00:00:00.000Z","log":"audit","event":"login.failed","outcome":"failure","#,
                r#""reason":"state_missing","path":"evil\n{\"event\":\"login.succeeded\"}"}"#,
            )
        );
    }
}
