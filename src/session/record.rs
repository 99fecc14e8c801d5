//! What metrics and audit events say of sessions: renewals, ends, cookies that do not open. Nothing here is on the warm path.

use std::time::Duration;

use serde_json::Value;

use crate::identity::Identity;
use crate::remembered::Party;
use crate::session::SessionId;
use crate::session::live::LiveSession;
use crate::session::sessions::Sessions;
use crate::session::store::LoadError;
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::metrics::Outcome;

impl Sessions {
    /// The tokens were renewed, or the identity alone.
    pub(super) fn record_refreshed(&self, live: &LiveSession, took: Duration) {
        self.telemetry.metrics.refreshed(live.provider.name(), Outcome::Success, "ok", took);
        self.audit(AuditEvent::SessionRefreshed, &live.id, &live.identity, None);
    }

    /// The same could not be had.
    pub(super) fn record_refresh_failed(&self, live: &LiveSession, reason: &'static str, took: Duration) {
        self.telemetry.metrics.refreshed(live.provider.name(), Outcome::Failure, reason, took);
        self.audit(AuditEvent::SessionRefreshFailed, &live.id, &live.identity, Some(reason));
    }

    /// A session is past its end: recorded once, however often its cookie still comes.
    pub(super) fn record_expired(&self, id: &SessionId, identity: &Identity) {
        if self.registry.expires_now(id, Party::subject(&identity.issuer, &identity.subject)) {
            self.audit(AuditEvent::SessionExpired, id, identity, None);
        }
    }

    /// A session cookie that does not open. Anybody can send one, so it is counted, and shown in the access log alone, by the
    /// reason that this gives.
    pub(super) fn record_unopened(&self, error: &LoadError) -> &'static str {
        self.telemetry.metrics.session_unopened(error.code());
        error.code()
    }

    /// Writes an audit event about a session of this person.
    fn audit(&self, event: AuditEvent, id: &SessionId, identity: &Identity, reason: Option<&'static str>) {
        let fields = AuditFields {
            reason,
            provider: Some(&identity.provider),
            issuer: Some(&identity.issuer),
            // The mapped one: a line that names another subject could not be joined.
            subject: Some(identity.subject.as_str()).filter(|subject| !subject.is_empty()),
            session: Some(&id.short()),
            sid: identity.claims.get("sid").and_then(Value::as_str),
            ..AuditFields::default()
        };
        self.telemetry.audit(self.clock.now(), event, &fields);
    }
}
