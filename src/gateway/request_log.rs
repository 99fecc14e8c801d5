//! What is reported of a request afterwards: its metrics, its line in the access log, its audit events.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;

use crate::body::Body;
use crate::clock::{SharedClock, UnixTime};
use crate::gateway::Gateway;
use crate::gateway::codes::Problem;
use crate::gateway::error::GatewayError;
use crate::gateway::forward::UpstreamTime;
use crate::gateway::judgement::Judgement;
use crate::gateway::no_login;
use crate::gateway::principal::Principal;
use crate::gateway::routes::{Route, RouteEntry};
use crate::gateway::traced::Ended;
use crate::gateway::verdict::Verdict;
use crate::gateway::visit::Visit;
use crate::provider::Provider;
use crate::request::cookies::CookieScan;
use crate::request::{Downstream, RequestMeta};
use crate::session::live::LiveSession;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessEntry;
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::metrics::{ActiveRequest, DecisionLabel, Outcome, OwnMetrics, SessionEnd};
use crate::trace::{Handle, TraceId, TraceParent, Tracer};

/// What must be kept of a request for its log line, because its parts move on to the application.
#[derive(Debug)]
pub(super) struct Outline {
    started: Instant,
    peer: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// Its span, where traces are recorded.
    pub(super) span: Option<Handle>,
    trace: Option<TraceId>,
}

impl Outline {
    /// Of a request that has just come.
    pub(super) fn of(
        request: &Request<Body>,
        downstream: &Downstream,
        telemetry: &Telemetry,
        clock: &SharedClock,
    ) -> Self {
        let (started, headers) = (Instant::now(), request.headers());
        let begin =
            |tracer: &Arc<Tracer>| tracer.begin(headers, clock.now().millis().saturating_mul(1_000_000), started);
        let span = telemetry.tracer().map(begin);
        let trace = match &span {
            Some(span) => Some(span.trace()),
            None if telemetry.logs_access() => TraceParent::of(headers).map(|parent| parent.trace),
            None => None,
        };
        let kept =
            |is_wanted: bool, name| is_wanted.then(|| request.headers().get::<HeaderName>(name).cloned()).flatten();
        Self {
            started,
            peer: downstream.peer.ip(),
            user_agent: kept(telemetry.logs_access(), USER_AGENT),
            referer: kept(telemetry.logs_referer(), REFERER),
            span,
            trace,
        }
    }

    /// How long ago it came.
    pub(super) fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// `User-Agent`, where it is kept and can be read.
    fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_ref().and_then(|agent| agent.to_str().ok())
    }

    /// A line of the access log that says nothing yet of what was asked for and decided.
    fn line<'a>(
        &'a self,
        method: &'a Method,
        version: Version,
        client: IpAddr,
        answer: &Response<Body>,
    ) -> AccessEntry<'a> {
        AccessEntry {
            time: UnixTime::default(),
            request_id: "",
            trace: self.trace,
            client,
            peer: self.peer,
            method,
            host: "",
            path: "",
            protocol: protocol(version),
            status: answer.status().as_u16(),
            bytes_out: answer.body().size_hint().exact(),
            took: Duration::ZERO,
            upstream_took: None,
            upstream_path: None,
            route: None,
            decision: None,
            reason: None,
            user: None,
            session: None,
            user_agent: self.user_agent(),
            referer: self.referer.as_ref().and_then(|referer| referer.to_str().ok()?.split(['?', '#']).next()),
        }
    }
}

/// What is known of a request for its log lines and metrics.
#[derive(Debug, Default)]
pub(super) struct RequestLog<'a> {
    /// When it was judged.
    pub(super) now: Option<UnixTime>,
    /// What came of it, where it took a route.
    pub(super) judgement: Option<Judgement<'a>>,
    /// When the application answered.
    pub(super) upstream: Option<UpstreamTime>,
    /// The request's span, where traces are recorded.
    pub(super) span: Option<&'a Handle>,
    own: Option<(&'a OwnMetrics, ActiveRequest<'a>)>,
    failure: Option<&'static str>,
}

impl<'a> RequestLog<'a> {
    pub(super) fn of(outline: &'a Outline) -> Self {
        Self { span: outline.span.as_ref(), ..Self::default() }
    }

    /// The request is one of our own endpoints'; it counts as active until its answer begins.
    pub(super) fn enter_own(&mut self, metrics: &'a OwnMetrics) {
        self.own = Some((metrics, metrics.enter()));
    }

    /// An error became the answer.
    pub(super) fn failed(&mut self, error: &GatewayError) {
        self.failure = Some(error.reason());
    }

    /// The rule that was asked.
    fn entry(&self) -> Option<&'a RouteEntry> {
        self.judgement.as_ref().map(|judgement| judgement.entry)
    }

    /// Who sent it.
    fn sender(&self) -> Option<&Principal> {
        self.judgement.as_ref()?.sender.as_ref()
    }

    /// Why the answer is ours; or else, why nobody had to sign in, or why the session that came could not be used.
    fn reason(&self) -> Option<&'static str> {
        self.failure.or_else(|| {
            let judgement = self.judgement.as_ref()?;
            if judgement.needs_no_login { Some(no_login::REASON) } else { judgement.session_over }
        })
    }
}

impl Gateway {
    /// Records a request once the head of its answer is ready.
    pub(super) fn record(
        &self,
        outline: &Outline,
        meta: &RequestMeta,
        cookies: &CookieScan,
        log: &RequestLog<'_>,
        answer: &Response<Body>,
    ) {
        // Passing the application's answer on takes microseconds: the time at which it came is used again.
        let answered = log.upstream.map_or_else(Instant::now, |time| time.answered);
        let took = answered.saturating_duration_since(outline.started);
        match log.entry() {
            Some(entry) => entry.route.metrics.served(&meta.method, answer.status(), meta.https, took),
            None => {
                let own = log.own.as_ref().map_or_else(|| self.own_metrics.of(None), |(own, _)| *own);
                own.served(&meta.method, answer.status(), meta.https, took);
            }
        }
        if self.telemetry.logs_audit()
            && let Some(judgement) = &log.judgement
        {
            match &judgement.verdict {
                Verdict::Deny(_) => self.audit_decision(AuditEvent::AccessDenied, meta, log),
                Verdict::Allow(Some(principal)) => {
                    let route = &judgement.entry.route;
                    if principal.session().is_first_grant(route.number, &route.name) {
                        self.audit_decision(AuditEvent::AccessGranted, meta, log);
                    }
                }
                Verdict::Allow(None) | Verdict::Challenge(_) | Verdict::Refuse(_) => {}
            }
        }
        if self.telemetry.logs_access() && !self.is_left_out(outline, cookies, log, answer) {
            self.write_access(outline, meta, log, answer, took);
        }
        if let Some(span) = log.span {
            let (judgement, reason) = (log.judgement.as_ref(), log.reason());
            let user_agent = outline.user_agent();
            Ended { meta, judgement, reason, user_agent }.end(span, answer);
        }
    }

    /// Whether a request has no line in the access log. A client cannot hide by its name what goes wrong, nor what somebody does
    /// who is signed in; a session cookie counts whether or not it could be used.
    fn is_left_out(
        &self,
        outline: &Outline,
        cookies: &CookieScan,
        log: &RequestLog<'_>,
        answer: &Response<Body>,
    ) -> bool {
        if log.entry().is_some_and(|entry| !entry.rule.access_log) {
            return true;
        }
        answer.status() < StatusCode::BAD_REQUEST
            && cookies.sessions.is_empty()
            && log.sender().is_none()
            && outline.user_agent().is_some_and(|agent| self.telemetry.excludes_agent(agent))
    }

    /// Writes the line of the access log.
    fn write_access(
        &self,
        outline: &Outline,
        meta: &RequestMeta,
        log: &RequestLog<'_>,
        answer: &Response<Body>,
        took: Duration,
    ) {
        // Our own endpoints' queries hold codes and states: only the path is written (AT-CL-08).
        // What took no route may have been meant for one of them.
        let is_ours = log.entry().is_none();
        let path = if is_ours { meta.path.raw() } else { meta.path.path_and_query().as_str() };
        let upstream_path = log.upstream.and_then(|_| log.entry()?.route.path_sent(meta));
        self.telemetry.access(&AccessEntry {
            time: log.now.unwrap_or_else(|| self.clock.now()),
            request_id: meta.id.as_str(),
            host: meta.host.authority(),
            path,
            took,
            upstream_took: log.upstream.map(|time| time.took),
            upstream_path: upstream_path.as_ref().map(PathAndQuery::as_str),
            route: log.entry().map(|entry| &*entry.route.name),
            decision: log.judgement.as_ref().and_then(Judgement::decision).map(DecisionLabel::as_str),
            reason: log.reason(),
            user: log.sender().map(Principal::user),
            session: log.sender().map(|sender| &*sender.session().name),
            ..outline.line(&meta.method, meta.version, meta.client, answer)
        });
    }

    /// Records a request that could not be read: nothing in it is trusted, and its query is not written.
    pub(super) fn record_unread(
        &self,
        outline: &Outline,
        request: &Request<Body>,
        request_id: &str,
        client: IpAddr,
        reason: &'static str,
        answer: &Response<Body>,
    ) {
        if self.telemetry.logs_access() {
            self.telemetry.access(&AccessEntry {
                time: self.clock.now(),
                request_id,
                path: request.uri().path(),
                took: outline.took(),
                reason: Some(reason),
                ..outline.line(request.method(), request.version(), client, answer)
            });
        }
    }

    /// Writes the audit event of a decision about somebody.
    fn audit_decision(&self, event: AuditEvent, meta: &RequestMeta, log: &RequestLog<'_>) {
        let identity = log.sender().map(Principal::identity);
        let fields = AuditFields {
            reason: log.reason(),
            route: log.entry().map(|entry| &*entry.route.name),
            issuer: identity.map(|identity| &*identity.issuer),
            subject: identity.map(|identity| identity.subject.as_str()).filter(|subject| !subject.is_empty()),
            user: identity.and_then(|identity| identity.user.as_deref()),
            provider: identity.map(|identity| &*identity.provider),
            session: log.sender().map(|sender| &*sender.session().name),
            ..about(meta)
        };
        self.telemetry.audit(self.clock.now(), event, &fields);
    }

    /// A sign-in began.
    pub(super) fn record_login_started(&self, visit: Visit<'_>, provider: &str) {
        self.telemetry.metrics.login_started(provider);
        let fields = AuditFields { provider: Some(provider), ..about(visit.meta) };
        self.telemetry.audit(visit.now, AuditEvent::LoginStarted, &fields);
    }

    /// A sign-in ended with a session.
    pub(super) fn record_login_succeeded(&self, visit: Visit<'_>, live: &LiveSession, took: Duration) {
        self.telemetry.metrics.login_completed(&live.identity.provider, Outcome::Success, "ok", Some(took));
        self.record_person(visit, AuditEvent::LoginSucceeded, live);
    }

    /// A sign-in ended at its callback.
    pub(super) fn record_login_failed(&self, visit: Visit<'_>, provider: &str, reason: &'static str) {
        self.telemetry.metrics.callback_failed(reason);
        self.record_login_over(visit, provider, reason);
    }

    /// A sign-in was to begin, and could not.
    pub(super) fn record_login_not_begun(&self, visit: Visit<'_>, provider: &str, reason: &'static str) {
        self.telemetry.metrics.login_started(provider);
        self.record_login_over(visit, provider, reason);
    }

    /// A sign-in ended without one.
    fn record_login_over(&self, visit: Visit<'_>, provider: &str, reason: &'static str) {
        self.telemetry.metrics.login_completed(provider, Outcome::Failure, reason, None);
        let fields = AuditFields { provider: Some(provider), reason: Some(reason), ..about(visit.meta) };
        self.telemetry.audit(visit.now, AuditEvent::LoginFailed, &fields);
    }

    /// A callback came without an attempt of this browser.
    pub(super) fn record_callback_failed(&self, visit: Visit<'_>, problem: Problem) {
        self.telemetry.metrics.callback_failed(problem.reason());
        let fields = AuditFields { reason: Some(problem.reason()), ..about(visit.meta) };
        let event = if problem == Problem::AttemptUsed { AuditEvent::StateReplay } else { AuditEvent::LoginFailed };
        self.telemetry.audit(visit.now, event, &fields);
    }

    /// A client that is not a trusted proxy sent an identity header. It was removed (FW-01).
    pub(super) fn record_spoof(&self, meta: &RequestMeta, route: &Route, name: &HeaderName) {
        route.metrics.spoofed();
        let fields = AuditFields { detail: Some(name.as_str()), route: Some(&route.name), ..about(meta) };
        self.telemetry.audit(self.clock.now(), AuditEvent::HeaderSpoofAttempt, &fields);
    }

    /// Somebody signed out.
    pub(super) fn record_logout(&self, visit: Visit<'_>, live: &LiveSession) {
        self.telemetry.metrics.sessions_ended(SessionEnd::Logout, 1);
        self.record_person(visit, AuditEvent::LogoutUser, live);
    }

    /// The provider ended sessions.
    pub(super) fn record_provider_logout(
        &self,
        visit: Visit<'_>,
        event: AuditEvent,
        provider: &Provider,
        [issuer, sid, subject]: [Option<&str>; 3],
    ) {
        let fields = AuditFields { provider: Some(provider.name()), issuer, sid, subject, ..about(visit.meta) };
        self.telemetry.audit(visit.now, event, &fields);
    }

    /// Writes an audit event about somebody who is signed in.
    fn record_person(&self, visit: Visit<'_>, event: AuditEvent, live: &LiveSession) {
        let identity = &live.identity;
        let claim = |name: &str| identity.claims.get(name).and_then(serde_json::Value::as_str);
        let methods = identity.claims.get("amr").and_then(serde_json::Value::as_array);
        let methods: Option<Vec<&str>> = methods.map(|it| it.iter().filter_map(serde_json::Value::as_str).collect());
        let amr = methods.map(|methods| methods.join(" ")).filter(|methods| !methods.is_empty());
        let fields = AuditFields {
            provider: Some(&live.identity.provider),
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

/// What every audit event says of its request.
fn about(meta: &RequestMeta) -> AuditFields<'_> {
    AuditFields {
        request_id: Some(meta.id.as_str()),
        client: Some(meta.client),
        peer: meta.peer,
        host: Some(meta.host.authority()),
        path: Some(meta.path.raw()),
        ..AuditFields::default()
    }
}

/// The protocol as logs write it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
