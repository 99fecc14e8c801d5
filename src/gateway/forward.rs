//! Forwarding: the request to the application, and its answer back.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, SET_COOKIE};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Body as _;

use crate::body::{Body, BodyLimits};
use crate::gateway::Gateway;
use crate::gateway::codes::Problem;
use crate::gateway::error::GatewayError;
use crate::gateway::event_stream;
use crate::gateway::principal::Principal;
use crate::gateway::routes::{RouteEntry, RouteTarget};
use crate::gateway::traced;
use crate::gateway::verdict::RequestFault;
use crate::policy::settings::Access;
use crate::proxy::Forwarder;
use crate::proxy::error::UpstreamError;
use crate::proxy::headers::caching::forbid_caching;
use crate::proxy::headers::{RequestContext, inject, set_authorization_aside, set_cookie, set_way_here};
use crate::proxy::upgrade::UpgradeTicket;
use crate::request::RequestMeta;
use crate::request::cookies::CookieScan;
use crate::request::forwarded_prefix::{self, X_FORWARDED_PREFIX};
use crate::request::handshake::HandshakeFault;
use crate::request::kind::RequestKind;
use crate::request::raw_target::RawTarget;
use crate::server::request_body;
use crate::session::live::LiveSession;
use crate::trace::Handle;

/// A request that may pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'a> {
    pub(super) entry: &'a RouteEntry,
    pub(super) meta: &'a RequestMeta,
    pub(super) cookies: &'a CookieScan,
    /// Whose identity the application gets.
    pub(super) principal: Option<&'a Principal>,
    /// It passes because of the network that it comes from.
    pub(super) needs_no_login: bool,
    /// The request's span, where traces are recorded.
    pub(super) span: Option<&'a Handle>,
}

/// How long an application took to begin its answer, and when it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpstreamTime {
    pub(super) took: Duration,
    pub(super) answered: Instant,
}

impl Gateway {
    /// Forwards a request to its application, and prepares the answer for the client.
    pub(super) async fn forward(
        &self,
        forwarder: &Rc<Forwarder>,
        request: &mut Request<Body>,
        passage: Passage<'_>,
        time: &mut Option<UpstreamTime>,
    ) -> Result<Response<Body>, GatewayError> {
        let Passage { entry, meta, principal, .. } = passage;
        let upstream = match &entry.route.target {
            RouteTarget::Static(status) => return Ok(back(entry, static_answer(*status))),
            RouteTarget::Upstream(upstream) => upstream,
        };
        limit_body(request, entry.route.body_limits)?;
        let ticket = self.ticket(request, passage)?;
        let context = RequestContext {
            upgrade: ticket.is_some(),
            peer_trusted: meta.peer_trusted,
            methods_matter: entry.methods_matter,
            kept: &entry.route.kept_headers,
        };
        let forwarded_prefix = forwarded_prefix(request.headers(), passage);
        let spoofed = self.header_rules.request(request, context).map_err(GatewayError::Header)?;
        if let Some(name) = spoofed.filter(|_| !meta.peer_trusted) {
            self.record_spoof(meta, &entry.route, &name);
        }
        set_own_headers(request.headers_mut(), passage);
        if let Some(prefix) = forwarded_prefix {
            request.headers_mut().insert(&X_FORWARDED_PREFIX, prefix);
        }
        let span = passage.span.map(|span| traced::calling(span, request.headers_mut()));
        if !upstream.settings().keeps_capitals {
            forget_capitals(request.extensions_mut());
        }
        let over_http2 = request.version() == Version::HTTP_2;
        let asked = Instant::now();
        let answer = forwarder.forward(upstream, request, ticket, meta.alone).await;
        let answered = Instant::now();
        let took = answered.saturating_duration_since(asked);
        *time = Some(UpstreamTime { took, answered });
        if let Some(span) = span {
            traced::called(*span, entry, &meta.method, &answer);
        }
        let outcome = answer.as_ref().map(Response::status).map_err(UpstreamError::failure);
        entry.route.upstream_metrics.called(&meta.method, outcome, took);
        let mut answer = answer.map_err(|error| GatewayError::Upstream {
            route: Arc::clone(&entry.route.name),
            error,
            stopping: self.control.is_stopping(),
        })?;
        self.header_rules.response(&mut answer, |name| self.own_cookies.is_ours(name));
        if let Some(principal) = principal
            && event_stream::is_event_stream(&answer)
        {
            let refused = self.until_refused(&HeaderMap::new(), passage);
            event_stream::end_with(&mut answer, either(self.end_of(principal), refused), over_http2);
        }
        Ok(back(entry, answer))
    }

    /// The right to become a tunnel, for a request that asks to be a WebSocket. The tunnel ends with the credentials.
    fn ticket(
        &self,
        request: &mut Request<Body>,
        passage: Passage<'_>,
    ) -> Result<Option<Box<UpgradeTicket>>, GatewayError> {
        // Only a request whose handshake and origin were judged may become a tunnel.
        if passage.meta.kind != RequestKind::WebSocket {
            return Ok(None);
        }
        if !request.body().is_end_stream() {
            return Err(GatewayError::Refused(RequestFault::Handshake(HandshakeFault::Body)));
        }
        let longest = self.settings.limits.upgrade_life;
        let refused = self.until_refused(request.headers(), passage);
        let (life, close): (_, Pin<Box<dyn Future<Output = ()> + Send>>) = match passage.principal {
            Some(principal) => (longest.min(self.time_left(principal)), Box::pin(either(principal.ended(), refused))),
            None => (longest, Box::pin(refused)),
        };
        let (on_upgrade, idle) = (hyper::upgrade::on(request), self.settings.limits.upgrade_idle);
        Ok(Some(Box::new(UpgradeTicket { on_upgrade, life, idle, close })))
    }

    /// Is done when the credentials are over: by their time, or because somebody ended the session.
    fn end_of(&self, principal: &Principal) -> impl Future<Output = ()> + Send + use<> {
        let (left, ended) = (self.time_left(principal), principal.ended());
        async move {
            let _ = tokio::time::timeout(left, ended).await;
        }
    }

    /// How long the credentials live yet.
    fn time_left(&self, principal: &Principal) -> Duration {
        principal.ends().since(self.clock.now())
    }

    /// Gives the browser the session that took the place of its own, or what took the place of that one meanwhile.
    pub(super) async fn hand_over(&self, renewed: &Arc<LiveSession>, scan: &CookieScan, answer: &mut Response<Body>) {
        let Some(live) = self.sessions.newest(renewed).await else { return };
        match self.sessions.set_cookies(&live, Some(scan)).await {
            Ok(cookies) => {
                let headers = answer.headers_mut();
                for cookie in cookies {
                    headers.append(SET_COOKIE, cookie);
                }
                forbid_caching(headers);
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

/// Is done when one of the two is.
async fn either(a: impl Future<Output = ()> + Send, b: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = a => {}
        () = b => {}
    }
}

/// Sets what only we may say: the way here, the cookies without ours, the identity.
fn set_own_headers(headers: &mut HeaderMap, passage: Passage<'_>) {
    let Passage { entry, meta, cookies, principal, .. } = passage;
    set_way_here(headers, meta);
    set_cookie(headers, &cookies.for_upstream);
    set_authorization_aside(headers, &entry.rule.authorization);
    if let Some(principal) = principal {
        inject(headers, principal.headers(&entry.rule));
    }
}

/// What the application is told was taken off its paths, where anything is; read before the field of a trusted proxy is taken out.
fn forwarded_prefix(headers: &HeaderMap, passage: Passage<'_>) -> Option<HeaderValue> {
    let own = passage.entry.route.stripped_prefix();
    if own.is_empty() { None } else { forwarded_prefix::told(headers, passage.meta.peer_trusted, own) }
}

/// Adds what every answer of a route gets.
fn back(entry: &RouteEntry, mut answer: Response<Body>) -> Response<Body> {
    let headers = answer.headers_mut();
    entry.route.response_headers.apply(headers);
    if entry.rule.access != Access::Public && !headers.contains_key(CACHE_CONTROL) {
        // A shared cache must not keep an answer that depends on a session (CH-02).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    answer
}

/// Removes the original spelling of field names, which hyper keeps among the extensions when any route asks for it.
fn forget_capitals(extensions: &mut Extensions) {
    if !extensions.is_empty() {
        let raw = extensions.remove::<RawTarget>();
        extensions.clear();
        raw.map(|raw| extensions.insert(raw));
    }
}

/// Puts the request's body under its limits; one whose announced length is too large is refused at once.
fn limit_body(request: &mut Request<Body>, limits: BodyLimits) -> Result<(), GatewayError> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if limits.bytes.is_some_and(|most| announced.is_some_and(|announced| announced > most)) {
        return Err(GatewayError::Client(Problem::BodyTooLarge));
    }
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = request_body(request.extensions(), body, limits);
    Ok(())
}

/// The answer of a route without an application.
fn static_answer(status: http::StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = status;
    answer
}
