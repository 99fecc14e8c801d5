//! What is told of a request afterwards: its metrics, its line in the access log, its audit events.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;

use crate::body::Body;
use crate::clock::UnixTime;
use crate::gateway::decide::{Denial, Verdict};
use crate::gateway::error::GatewayError;
use crate::gateway::forward::RuleSession;
use crate::gateway::routes::Entry;
use crate::gateway::{Gateway, Visit};
use crate::policy::settings::Access;
use crate::request::{Downstream, Peer, RequestMeta};
use crate::session::live::LiveSession;
use crate::session::sessions::NoSession;
use crate::telemetry::access::AccessEntry;
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::metrics::{ActiveRequest, Decision, Outcome, OwnMetrics};

/// What must be kept of a request for its line, since its parts travel on to the application.
#[derive(Debug)]
pub(super) struct Outline {
    started: Instant,
    method: Method,
    version: Version,
    peer: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
}

impl Outline {
    pub(super) fn of(request: &Request<Body>, downstream: &Downstream) -> Self {
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            version: request.version(),
            peer: if let Peer::Ip(address) = downstream.peer { Some(address.ip()) } else { None },
            user_agent: request.headers().get(USER_AGENT).cloned(),
        }
    }

    /// How long ago it came.
    pub(super) fn took(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What the stages found out on the way.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    /// When the request came.
    pub(super) came: Option<UnixTime>,
    /// The session that the browser has to be handed.
    pub(super) renewed: Option<Arc<LiveSession>>,
    /// How long the application took to begin its answer, and when it did.
    pub(super) upstream: Option<(Duration, Instant)>,
    entry: Option<&'a Entry>,
    own: Option<&'a OwnMetrics>,
    active: Option<ActiveRequest<'a>>,
    live: Option<Arc<LiveSession>>,
    decision: Option<Decision>,
    reason: Option<&'static str>,
}

impl<'a> Notes<'a> {
    /// The request took a route; it counts as active until its answer begins.
    pub(super) fn enter(&mut self, entry: &'a Entry) {
        self.active = Some(entry.route.metrics.enter());
        self.entry = Some(entry);
    }

    /// The request is one of our own endpoints'.
    pub(super) fn enter_own(&mut self, metrics: &'a OwnMetrics) {
        self.active = Some(metrics.enter());
        self.own = Some(metrics);
    }

    /// The decision, for metrics and the log.
    pub(super) fn decided(&mut self, entry: &Entry, verdict: &Verdict, live: Option<&Arc<LiveSession>>) {
        self.live = live.cloned();
        let metrics = &entry.route.metrics;
        let decision = match verdict {
            Verdict::Allow if entry.rule.access == Access::Public || live.is_none() => {
                metrics.bypassed();
                Decision::Bypass
            }
            Verdict::Allow => {
                metrics.allowed();
                Decision::Allow
            }
            Verdict::Challenge(_) => {
                metrics.decided(Decision::Login, "no_session");
                Decision::Login
            }
            Verdict::Deny(denial) => {
                metrics.decided(Decision::Deny, denial.code());
                Decision::Deny
            }
        };
        self.decision = Some(decision);
    }

    /// The session was looked for; where one came that cannot be used, the access log says why.
    pub(super) fn looked_for(&mut self, session: &RuleSession) {
        self.renewed = session.renewed();
        if let RuleSession::Missing(NoSession::Over(code)) = session {
            self.reason = Some(code);
        }
    }

    /// An error became the answer.
    pub(super) fn failed(&mut self, error: &GatewayError) {
        self.reason = Some(error.reason());
    }
}

impl Denial {
    /// A stable reason.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Closed => "route_closed",
            Self::Policy(reason) => reason.code(),
        }
    }
}

impl Gateway {
    /// A request was answered, as far as its head.
    pub(super) fn record(&self, outline: &Outline, meta: &RequestMeta, notes: &Notes<'_>, answer: &Response<Body>) {
        // Handing an answer on takes microseconds, in which the clock need not be asked again.
        let answered = notes.upstream.map_or_else(Instant::now, |(_, answered)| answered);
        let took = answered.saturating_duration_since(outline.started);
        match &notes.entry {
            Some(entry) => entry.route.metrics.served(&outline.method, answer.status(), meta.https, took),
            None => {
                let own = notes.own.unwrap_or_else(|| self.own_metrics.of(None));
                own.served(&outline.method, answer.status(), meta.https, took);
            }
        }
        if matches!(notes.decision, Some(Decision::Deny)) {
            self.audit_denial(meta, notes);
        }
        if self.telemetry.logs_access() {
            self.write_access(outline, meta, notes, answer, took);
        }
    }

    fn write_access(
        &self,
        outline: &Outline,
        meta: &RequestMeta,
        notes: &Notes<'_>,
        answer: &Response<Body>,
        took: Duration,
    ) {
        // Our own endpoints' queries hold codes and states: only the path is told (AT-CL-08).
        // What took no route may have been meant for one of them.
        let is_ours = notes.entry.is_none();
        let path = if is_ours { meta.path.raw() } else { meta.path.path_and_query().as_str() };
        self.telemetry.access(&AccessEntry {
            time: notes.came.unwrap_or_else(|| self.clock.now()),
            request_id: meta.id.as_str(),
            client: meta.client,
            peer: outline.peer,
            method: &outline.method,
            host: meta.host.authority(),
            path,
            protocol: protocol(outline.version),
            status: answer.status().as_u16(),
            bytes_out: answer.body().size_hint().exact(),
            took,
            upstream_took: notes.upstream.map(|(took, _)| took),
            route: notes.entry.as_ref().map(|entry| &*entry.route.name),
            decision: notes.decision.map(Decision::as_str),
            reason: notes.reason,
            user: notes.live.as_ref().map(|live| live.identity.user.as_deref().unwrap_or(&live.identity.subject)),
            session: notes.live.as_ref().map(|live| &*live.name),
            user_agent: outline.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
        });
    }

    /// A request was answered that could not be read: nothing of what it says is believed, its query is not told.
    pub(super) fn record_unread(
        &self,
        outline: &Outline,
        request: &Request<Body>,
        request_id: &str,
        reason: &'static str,
        answer: &Response<Body>,
    ) {
        if !self.telemetry.logs_access() {
            return;
        }
        self.telemetry.access(&AccessEntry {
            time: self.clock.now(),
            request_id,
            client: outline.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            peer: outline.peer,
            method: &outline.method,
            host: "",
            path: request.uri().path(),
            protocol: protocol(outline.version),
            status: answer.status().as_u16(),
            bytes_out: answer.body().size_hint().exact(),
            took: outline.took(),
            upstream_took: None,
            route: None,
            decision: None,
            reason: Some(reason),
            user: None,
            session: None,
            user_agent: outline.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
        });
    }

    fn audit_denial(&self, meta: &RequestMeta, notes: &Notes<'_>) {
        let identity = notes.live.as_ref().map(|live| &live.identity);
        let fields = AuditFields {
            reason: notes.reason,
            route: notes.entry.as_ref().map(|entry| &*entry.route.name),
            issuer: identity.map(|identity| &*identity.issuer),
            subject: identity.map(|identity| identity.subject.as_str()).filter(|subject| !subject.is_empty()),
            user: identity.and_then(|identity| identity.user.as_deref()),
            ..about(meta)
        };
        self.telemetry.audit(self.clock.now(), AuditEvent::AccessDenied, &fields);
    }

    pub(super) fn record_login_started(&self, visit: Visit<'_>, provider: &str) {
        self.telemetry.metrics.login_started(provider);
        let fields = AuditFields { provider: Some(provider), ..about(visit.meta) };
        self.telemetry.audit(visit.now, AuditEvent::LoginStarted, &fields);
    }

    pub(super) fn record_login_succeeded(&self, visit: Visit<'_>, live: &LiveSession, took: Duration) {
        self.telemetry.metrics.login_completed(&live.session.provider, Outcome::Success, "ok", Some(took));
        self.record_person(visit, AuditEvent::LoginSucceeded, live);
    }

    pub(super) fn record_login_failed(&self, visit: Visit<'_>, provider: &str, reason: &'static str) {
        self.telemetry.metrics.login_completed(provider, Outcome::Failure, reason, None);
        self.telemetry.metrics.callback_failed(reason);
        let fields = AuditFields { provider: Some(provider), reason: Some(reason), ..about(visit.meta) };
        self.telemetry.audit(visit.now, AuditEvent::LoginFailed, &fields);
    }

    /// A sign-in was to begin, and could not.
    pub(super) fn record_login_not_begun(&self, visit: Visit<'_>, provider: &str, reason: &'static str) {
        self.telemetry.metrics.login_started(provider);
        self.telemetry.metrics.login_completed(provider, Outcome::Failure, reason, None);
        let fields = AuditFields { provider: Some(provider), reason: Some(reason), ..about(visit.meta) };
        self.telemetry.audit(visit.now, AuditEvent::LoginFailed, &fields);
    }

    pub(super) fn record_callback_failed(&self, visit: Visit<'_>, reason: &'static str) {
        self.telemetry.metrics.callback_failed(reason);
        let fields = AuditFields { reason: Some(reason), ..about(visit.meta) };
        let event = if reason == "attempt_used" { AuditEvent::StateReplay } else { AuditEvent::LoginFailed };
        self.telemetry.audit(visit.now, event, &fields);
    }

    /// A client that is no trusted proxy sent a header by which only we name people; it did not get through (FW-01).
    pub(super) fn record_spoof(&self, meta: &RequestMeta, route: &str, name: &HeaderName) {
        let fields = AuditFields { detail: Some(name.as_str()), route: Some(route), ..about(meta) };
        self.telemetry.audit(self.clock.now(), AuditEvent::HeaderSpoofAttempt, &fields);
    }

    pub(super) fn record_logout(&self, visit: Visit<'_>, live: &LiveSession) {
        self.record_person(visit, AuditEvent::LogoutUser, live);
    }

    fn record_person(&self, visit: Visit<'_>, event: AuditEvent, live: &LiveSession) {
        let identity = &live.identity;
        let claim = |name: &str| identity.claims.get(name).and_then(serde_json::Value::as_str);
        let methods = identity.claims.get("amr").and_then(serde_json::Value::as_array);
        let methods: Option<Vec<&str>> = methods.map(|it| it.iter().filter_map(serde_json::Value::as_str).collect());
        let amr = methods.map(|methods| methods.join(" ")).filter(|methods| !methods.is_empty());
        let fields = AuditFields {
            provider: Some(&live.session.provider),
            issuer: Some(&identity.issuer),
            subject: Some(identity.subject.as_str()).filter(|subject| !subject.is_empty()),
            user: identity.user.as_deref(),
            email: identity.email.as_deref(),
            session: Some(&live.name),
            sid: claim("sid"),
            acr: claim("acr"),
            amr: amr.as_deref(),
            ..about(visit.meta)
        };
        self.telemetry.audit(visit.now, event, &fields);
    }
}

fn about(meta: &RequestMeta) -> AuditFields<'_> {
    AuditFields {
        request_id: Some(meta.id.as_str()),
        client: Some(meta.client),
        host: Some(meta.host.authority()),
        path: Some(meta.path.raw()),
        ..AuditFields::default()
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
