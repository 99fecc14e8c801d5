//! The stages around the application: the session that a rule looks at, and the way there and back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ORIGIN, SET_COOKIE};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Body as _;

use crate::body::Body;
use crate::gateway::error::GatewayError;
use crate::gateway::record::Notes;
use crate::gateway::routes::{Entry, Route, Rule, Target};
use crate::gateway::{Gateway, Visit, event_stream};
use crate::policy::Decision;
use crate::policy::settings::Access;
use crate::proxy::Forwarder;
use crate::proxy::error::UpstreamError;
use crate::proxy::headers::{RequestContext, inject, set_authorization_aside, set_cookie, set_way_here};
use crate::proxy::upgrade::{UpgradeTicket, asks_for_websocket};
use crate::request::RequestMeta;
use crate::request::cookies::CookieScan;
use crate::request::handshake::HandshakeFault;
use crate::request::kind::RequestKind;
use crate::request::raw_target::RawTarget;
use crate::server::request_body;
use crate::server::settings::Limits;
use crate::session::live::LiveSession;
use crate::session::sessions::{Current, NoSession, Sessions};

/// What a rule found of sessions.
#[derive(Debug)]
pub(super) enum RuleSession {
    /// The rule looks at none.
    Unasked,
    /// This one.
    Found(Current),
    /// None that could be used.
    Missing(NoSession),
}

impl RuleSession {
    pub(super) fn current(&self) -> Option<&Arc<LiveSession>> {
        if let Self::Found(current) = self { Some(&current.live) } else { None }
    }

    /// The session, if it is not the one that the browser sent.
    pub(super) fn renewed(&self) -> Option<Arc<LiveSession>> {
        if let Self::Found(Current { live, changed: true }) = self { Some(Arc::clone(live)) } else { None }
    }
}

impl Gateway {
    /// The session of the first of the rule's providers that has one, brought up to date.
    pub(super) async fn session(&self, rule: &Rule, visit: Visit<'_>) -> RuleSession {
        if matches!(rule.access, Access::Public | Access::Deny) {
            return RuleSession::Unasked;
        }
        let mut missing = NoSession::Absent;
        for provider in &rule.providers {
            match self.sessions.find(visit.scan, visit.site(*provider), visit.now) {
                Ok(live) if Sessions::is_settled(&live, visit.now) => {
                    return RuleSession::Found(Current { live, changed: false });
                }
                Ok(live) => match Box::pin(self.sessions.bring_up_to_date(live, visit.now)).await {
                    Ok(current) => return RuleSession::Found(current),
                    Err(reason) => missing = reason,
                },
                Err(NoSession::Absent) => {}
                Err(reason) => missing = reason,
            }
        }
        RuleSession::Missing(missing)
    }

    /// A WebSocket carries cookies across sites and no CORS rule stops it: only our own origin and those that the route names may
    /// begin one (RFC 6455 section 10.2, WS-02, AT-WS-01).
    pub(super) fn check_websocket_origin(&self, route: &Route, visit: Visit<'_>) -> Result<(), GatewayError> {
        // Whatever could become a tunnel is asked, be the rest of the handshake as it should or not.
        if visit.meta.handshake.is_none() || self.origin_is_ours(visit.headers, visit.authority()).unwrap_or(true) {
            return Ok(());
        }
        let origin = visit.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        let named = route.websocket_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        if named && visit.headers.get_all(ORIGIN).iter().count() == 1 {
            Ok(())
        } else {
            Err(GatewayError::WebSocketOrigin)
        }
    }

    /// To the application and back.
    #[expect(clippy::too_many_arguments, reason = "the last stage takes what all others made")]
    pub(super) async fn forward(
        &self,
        forwarder: &Rc<Forwarder>,
        entry: &Entry,
        request: &mut Request<Body>,
        meta: &RequestMeta,
        scan: &CookieScan,
        live: Option<&Arc<LiveSession>>,
        notes: &mut Notes<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        let upstream = match &entry.route.target {
            Target::Static(status) => return Ok(back(entry, static_answer(*status))),
            Target::Upstream(upstream) => upstream,
        };
        limit_body(request, &entry.route.body_limits)?;
        let told = self.identity_told(entry, meta, live);
        let ticket = self.ticket(request, meta, told);
        let context = RequestContext {
            upgrade: ticket.is_some(),
            peer_trusted: meta.peer_trusted,
            methods_matter: entry.methods_matter,
            kept: &entry.route.kept_headers,
        };
        let spoofed = self.header_rules.request(request, context).map_err(GatewayError::Header)?;
        if let Some(name) = spoofed.filter(|_| !meta.peer_trusted) {
            self.record_spoof(meta, &entry.route.name, &name);
        }
        self.tell(request.headers_mut(), entry, meta, scan, told);
        if !upstream.settings().keeps_capitals {
            forget_capitals(request.extensions_mut());
        }
        let over_http2 = request.version() == Version::HTTP_2;
        let asked = Instant::now();
        let answer = forwarder.forward(upstream, request, ticket, meta.alone).await;
        let answered = Instant::now();
        let took = answered.saturating_duration_since(asked);
        notes.upstream = Some((took, answered));
        let outcome = answer.as_ref().map(Response::status).map_err(UpstreamError::failure);
        entry.route.upstream_metrics.called(&meta.method, outcome, took);
        let mut answer =
            answer.map_err(|error| GatewayError::Upstream { route: Arc::clone(&entry.route.name), error })?;
        self.header_rules.response(&mut answer, |name| self.own_cookies.is_ours(name));
        if let Some(live) = told
            && event_stream::is_event_stream(&answer)
        {
            event_stream::end_with(&mut answer, self.end_of(live), over_http2);
        }
        Ok(back(entry, answer))
    }

    /// Whom the application is told of. On an optional route, somebody who does not meet `allow` or `max_age` is nobody.
    fn identity_told<'a>(
        &self,
        entry: &Entry,
        meta: &RequestMeta,
        live: Option<&'a Arc<LiveSession>>,
    ) -> Option<&'a Arc<LiveSession>> {
        let live = live?;
        let told = entry.rule.access != Access::Optional
            || (super::decide::is_fresh(&entry.rule, live, self.clock.now())
                && matches!(super::decide::meets(&entry.rule, meta, live), Decision::Allow));
        told.then_some(live)
    }

    /// Says what only we may say: the way here, the person, the cookies without ours.
    fn tell(
        &self,
        headers: &mut HeaderMap,
        entry: &Entry,
        meta: &RequestMeta,
        scan: &CookieScan,
        live: Option<&Arc<LiveSession>>,
    ) {
        set_way_here(headers, meta);
        set_cookie(headers, &scan.for_upstream);
        let set = entry.rule.header_set;
        set_authorization_aside(headers, self.authorization_rules.get(set).copied().unwrap_or_default());
        if let Some(live) = live {
            inject(headers, live.headers(set));
        }
    }

    /// The right to become a tunnel, for a request that asks to be a WebSocket. The tunnel ends with the session.
    fn ticket(
        &self,
        request: &mut Request<Body>,
        meta: &RequestMeta,
        live: Option<&Arc<LiveSession>>,
    ) -> Option<Box<UpgradeTicket>> {
        // Only what was judged as a handshake, its origin too, may become a tunnel.
        if meta.kind != RequestKind::WebSocket || !asks_for_websocket(request) {
            return None;
        }
        let longest = self.settings.limits.upgrade_life;
        let life = live.map_or(longest, |live| longest.min(live.absolute_end().since(self.clock.now())));
        let end = live.map(|live| ended(live));
        Some(Box::new(UpgradeTicket {
            on_upgrade: hyper::upgrade::on(request),
            life,
            idle: self.settings.limits.upgrade_idle,
            close: Box::pin(async move {
                match end {
                    Some(end) => end.await,
                    None => std::future::pending().await,
                }
            }),
        }))
    }

    /// Is done when the session is over: by its time, or because somebody ended it.
    fn end_of(&self, live: &Arc<LiveSession>) -> impl Future<Output = ()> + Send + use<> {
        let left = live.absolute_end().since(self.clock.now());
        let ended = ended(live);
        async move {
            let _ = tokio::time::timeout(left, ended).await;
        }
    }

    /// Gives the browser the session that took the place of its own, or what took the place of that one meanwhile.
    pub(super) fn hand_over(&self, renewed: &Arc<LiveSession>, scan: &CookieScan, answer: &mut Response<Body>) {
        let Some(live) = self.sessions.newest(renewed) else { return };
        match self.sessions.set_cookies(&live, scan) {
            Ok(cookies) => {
                let headers = answer.headers_mut();
                for cookie in cookies {
                    headers.append(SET_COOKIE, cookie);
                }
                // A cache that kept this answer would hand the session to the next person (CK-20).
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            // The request was served all the same; the browser goes on with its old session for as long as that lives.
            Err(error) => tracing::error!(
                code = "session_too_large",
                bytes = error.bytes,
                limit = error.limit,
                session = &*live.name,
                "a renewed session does not fit into cookies: keep fewer tokens ([session] keep), or ask the provider for fewer claims"
            ),
        }
    }
}

/// A WebSocket handshake that is not well-formed gets an answer here: the application never hears of it (RFC 6455 section 4.2.1).
pub(super) fn check_handshake(meta: &RequestMeta, body: &Body) -> Result<(), GatewayError> {
    let Some(handshake) = meta.handshake else { return Ok(()) };
    handshake.map_err(GatewayError::Handshake)?;
    if body.is_end_stream() { Ok(()) } else { Err(GatewayError::Handshake(HandshakeFault::Body)) }
}

/// Is done when somebody ended the session: the person, the provider, or a new sign-in.
fn ended(live: &LiveSession) -> impl Future<Output = ()> + Send + use<> {
    let (cell, generation) = (Arc::clone(&live.cell), live.session.generation);
    async move { cell.ending(generation).await }
}

/// The application's answer, on its way back.
fn back(entry: &Entry, mut answer: Response<Body>) -> Response<Body> {
    let headers = answer.headers_mut();
    if entry.rule.access != Access::Public && !headers.contains_key(CACHE_CONTROL) {
        // What depends on a session is nobody else's (CH-02).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    answer
}

/// Another route may be why the capitals of fields' names were noted; hyper hides them among the extensions.
fn forget_capitals(extensions: &mut Extensions) {
    if !extensions.is_empty() {
        let raw = extensions.remove::<RawTarget>();
        extensions.clear();
        raw.map(|raw| extensions.insert(raw));
    }
}

/// Puts the request's body under its limits; one that says at once that it is too large is not waited for.
fn limit_body(request: &mut Request<Body>, limits: &Limits) -> Result<(), GatewayError> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if limits.body_bytes.is_some_and(|most| announced.is_some_and(|announced| announced > most)) {
        return Err(GatewayError::BodyTooLarge);
    }
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = request_body(request.extensions(), body, limits);
    Ok(())
}

fn static_answer(status: http::StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = status;
    answer
}
