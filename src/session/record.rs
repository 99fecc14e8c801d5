//! What is told of sessions: renewals, ends, cookies that do not open. Nothing here is on the warm path.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::session::jar::SessionCookieError;
use crate::session::live::LiveSession;
use crate::session::remembered::Owner;
use crate::session::sessions::{NoSession, Sessions};
use crate::session::{Session, SessionId};
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::metrics::Outcome;

impl Sessions {
    /// The tokens were renewed.
    pub(super) fn record_refreshed(&self, session: &Session, provider: usize, took: Duration) {
        self.telemetry.metrics.refreshed(&session.provider, Outcome::Success, "ok", took);
        self.audit(AuditEvent::SessionRefreshed, session, provider, &session.claims, None);
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
        self.audit(AuditEvent::SessionRefreshFailed, session, provider, &session.claims, Some(reason));
    }

    /// A session is past its end: said once, however often its cookie still comes.
    pub(super) fn record_expired<T>(&self, session: &Session<T>, provider: usize, claims: &Claims) {
        let subject = self.mapping(provider).subject_of(claims);
        let owner = Owner::subject(&session.issuer, subject.as_deref().unwrap_or_default());
        if self.registry.expires_now(&session.id, owner) {
            self.audit(AuditEvent::SessionExpired, session, provider, claims, None);
        }
    }

    /// A session cookie that does not open. Anybody can send one, so it is counted, and shown in the access log alone.
    pub(super) fn record_unopened(&self, error: &SessionCookieError) {
        self.telemetry.metrics.session_unopened(error.code());
    }

    /// On whose account something is remembered of a session.
    pub(super) fn owner_of<T>(&self, session: &Session<T>, provider: usize) -> Owner {
        let subject = self.mapping(provider).subject_of(&session.claims);
        Owner::subject(&session.issuer, subject.as_deref().unwrap_or_default())
    }

    /// Whether a session that was begun here has ended since.
    pub fn has_ended(&self, id: &SessionId) -> bool {
        self.registry.cell(id).is_ended(0)
    }

    /// The time by which a session in memory is judged, as it would be if it were opened now.
    pub(super) fn judged_at(&self, live: &LiveSession, now: UnixTime) -> Result<UnixTime, NoSession> {
        if !live.is_ahead(now) {
            return Ok(now);
        }
        self.jar.judged_at(live.session.active, now).map_err(|error| {
            self.record_unopened(&error.into());
            NoSession::Over(error.code())
        })
    }

    /// Says once for a provider that `refresh_before` is cut down to half of its tokens' life.
    pub(super) fn check_refresh_before(&self, session: &Session, provider: usize) {
        let (Some(configured), Some(expires)) = (self.settings.refresh_before, session.access_expires) else { return };
        let life = expires.since(session.access_issued);
        if configured <= life / 2 || session.tokens.refresh.is_none() {
            return;
        }
        if self.short_life_told.get(provider).is_some_and(|told| !told.swap(true, Ordering::Relaxed)) {
            tracing::warn!(
                code = "refresh_before_too_long",
                provider = %session.provider,
                life = life.as_secs(),
                refresh_before = configured.as_secs(),
                "the provider's access tokens live too short for [session] refresh_before: they are renewed after half of \
                 their life"
            );
        }
    }

    fn audit<T>(
        &self,
        event: AuditEvent,
        session: &Session<T>,
        provider: usize,
        claims: &Claims,
        reason: Option<&'static str>,
    ) {
        let short = session.id.short();
        // Who somebody is, is said by the mapping here too: a line that names another subject could not be joined.
        let subject = self.mapping(provider).subject_of(claims);
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        let fields = AuditFields {
            reason,
            provider: Some(&session.provider),
            issuer: Some(&session.issuer),
            subject: subject.as_deref(),
            session: Some(&short),
            sid: claim("sid"),
            ..AuditFields::default()
        };
        self.telemetry.audit(self.clock.now(), event, &fields);
    }
}
