//! What metrics and audit events say of sessions: renewals, ends, cookies that do not open. Nothing here is on the warm path.

use std::time::Duration;

use serde_json::Value;

use crate::identity::{Claims, Identity};
use crate::remembered::Party;
use crate::session::live::LiveSession;
use crate::session::sessions::Sessions;
use crate::session::store::LoadError;
use crate::session::{Session, SessionId};
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::metrics::Outcome;

impl Sessions {
    /// The tokens were renewed.
    pub(super) fn record_refreshed(&self, session: &Session, provider: usize, took: Duration) {
        self.telemetry.metrics.refreshed(&session.provider, Outcome::Success, "ok", took);
        self.audit(AuditEvent::SessionRefreshed, session.into(), provider, None);
    }

    /// The tokens could not be renewed.
    pub(super) fn record_refresh_failed(
        &self,
        session: &Session,
        provider: usize,
        reason: &'static str,
        took: Duration,
    ) {
        self.telemetry.metrics.refreshed(&session.provider, Outcome::Failure, reason, took);
        self.audit(AuditEvent::SessionRefreshFailed, session.into(), provider, Some(reason));
    }

    /// A session is past its end: recorded once, however often its cookie still comes.
    pub(super) fn record_expired(&self, session: Whose<'_>, provider: usize) {
        let subject = self.mapping(provider).subject_of(session.claims);
        let owner = Party::subject(session.issuer, subject.as_deref().unwrap_or_default());
        if self.registry.expires_now(session.id, owner) {
            self.audit(AuditEvent::SessionExpired, session, provider, None);
        }
    }

    /// A session cookie that does not open. Anybody can send one, so it is counted, and shown in the access log alone, by the
    /// reason that this gives.
    pub(super) fn record_unopened(&self, error: &LoadError) -> &'static str {
        self.telemetry.metrics.session_unopened(error.code());
        error.code()
    }

    /// On whose account something is remembered of a session.
    pub(super) fn owner_of(&self, session: &Session, provider: usize) -> Party {
        let subject = self.mapping(provider).subject_of(&session.claims);
        Party::subject(&session.issuer, subject.as_deref().unwrap_or_default())
    }

    /// Whether a session that was begun here has ended since.
    pub fn has_ended(&self, id: &SessionId) -> bool {
        self.registry.cell(id).is_ended(0)
    }

    fn audit(&self, event: AuditEvent, session: Whose<'_>, provider: usize, reason: Option<&'static str>) {
        let short = session.id.short();
        // The mapping says who somebody is here too: a line that names another subject could not be joined.
        let subject = self.mapping(provider).subject_of(session.claims);
        let fields = AuditFields {
            reason,
            provider: Some(session.provider),
            issuer: Some(session.issuer),
            subject: subject.as_deref(),
            session: Some(&short),
            sid: session.claims.get("sid").and_then(Value::as_str),
            ..AuditFields::default()
        };
        self.telemetry.audit(self.clock.now(), event, &fields);
    }
}

/// Which session an event is about, and whose.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    id: &'a SessionId,
    provider: &'a str,
    issuer: &'a str,
    claims: &'a Claims,
}

impl<'a> From<&'a Session> for Whose<'a> {
    fn from(session: &'a Session) -> Self {
        let Session { id, provider, issuer, claims, .. } = session;
        Self { id, provider, issuer, claims }
    }
}

impl<'a> From<&'a LiveSession> for Whose<'a> {
    fn from(live: &'a LiveSession) -> Self {
        let Identity { provider, issuer, claims, .. } = &live.identity;
        Self { id: &live.id, provider, issuer, claims }
    }
}
