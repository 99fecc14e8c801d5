//! The judgement of a request: which rule it meets, who sends it, and what becomes of it. It needs no body and writes no answer,
//! so that a proxied request, a forward-auth check and an explanation can all stand on it; there is no second implementation.
//!
//! 1. The place: by the canonical path, refused where another reader could see another path (`place.rs`).
//!    What the application gets in place of the target is read in the same ways (`mapped.rs`).
//! 2. What is refused whoever sends it: foreign or malformed WebSocket handshakes, `Destination` fields that lead elsewhere
//!    (`moved.rs`).
//! 3. The session, only where the rule looks at one, renewed where that is due. Asking a provider is the only wait.
//! 4. The decision (`decide.rs`); where it is that somebody has to sign in, the networks that need not (`no_login.rs`). The same about
//!    the `Destination`.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ORIGIN;

use crate::gateway::Gateway;
use crate::gateway::decide::decide;
use crate::gateway::moved::MovedTo;
use crate::gateway::no_login;
use crate::gateway::place::Placement;
use crate::gateway::principal::Principal;
use crate::gateway::routes::{Route, RouteEntry, Rule};
use crate::gateway::verdict::{RequestFault, Verdict};
use crate::gateway::visit::{Credentials, Visit};
use crate::request::RequestMeta;
use crate::session::live::LiveSession;
use crate::session::sessions::{NoSession, Sessions};
use crate::telemetry::metrics::{ActiveRequest, DecisionLabel};
use crate::trace::scope;

/// What came of a request at a rule.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// The rule at its place.
    pub entry: &'a RouteEntry,
    /// What becomes of the request.
    pub verdict: Verdict,
    /// Who sent it, whether or not their identity is forwarded.
    pub sender: Option<Principal>,
    /// A session that has taken the place of the one that was shown: every answer has to hand it to the browser (AT-CS-23).
    pub renewed: Option<Arc<LiveSession>>,
    /// Why the session that was shown cannot be used: a stable reason for the log.
    pub session_over: Option<&'static str>,
    /// It passes because of the network that it comes from (`no_login_from`).
    pub needs_no_login: bool,
    /// Counts as an active request of its route until the answer begins.
    _active: ActiveRequest<'a>,
}

/// Why no rule was asked about a request.
#[derive(Debug)]
pub enum NoRule<'a> {
    /// It is for one of our own endpoints: what stands behind our prefix.
    Own(&'a str),
    /// It takes no route.
    Refused(RequestFault),
}

impl Gateway {
    /// Judges a request.
    ///
    /// # Errors
    /// [`NoRule`], where it takes no route.
    pub async fn judge<'a>(
        &'a self,
        meta: &'a RequestMeta,
        credentials: &Credentials<'_>,
    ) -> Result<Judgement<'a>, NoRule<'a>> {
        let entry = match self.place(meta) {
            Ok(Placement::Route(entry)) => entry,
            Ok(Placement::Own(endpoint)) => return Err(NoRule::Own(endpoint)),
            Err(fault) => return Err(NoRule::Refused(fault)),
        };
        self.check_mapped(entry, meta).map_err(NoRule::Refused)?;
        let active = entry.route.metrics.enter();
        let visit = Visit::of(meta, credentials);
        let (mut sender, mut renewed, mut session_over, mut needs_no_login) = (None, None, None, false);
        let verdict = match self.check_request(entry, visit) {
            Ok(moved) => {
                let found = self.sender(&entry.rule, visit, &mut renewed).await;
                let mut verdict = decide(&entry.rule, meta, &found, visit.now);
                if !matches!(verdict, Verdict::Allow(_))
                    && let Some(other) = self.without_login(&entry.rule, visit, &verdict)
                {
                    (verdict, needs_no_login) = (other, true);
                }
                if let Some(to) = moved {
                    // Boxed to keep the future of every request small: this branch is rare.
                    verdict = Box::pin(self.judge_destination(&to, verdict, &found, visit, &mut renewed)).await;
                    needs_no_login &= matches!(verdict, Verdict::Allow(_));
                }
                match found {
                    Ok(found) => sender = found,
                    Err(NoSession::Over(reason)) => session_over = Some(reason),
                    Err(NoSession::Absent | NoSession::Outage(_)) => {}
                }
                verdict
            }
            Err(fault) => Verdict::Refuse(fault),
        };
        Ok(Judgement { entry, verdict, sender, renewed, session_over, needs_no_login, _active: active })
    }

    /// The checks that do not depend on who sends the request; where it moves something to.
    fn check_request<'a>(
        &'a self,
        entry: &RouteEntry,
        visit: Visit<'_>,
    ) -> Result<Option<Box<MovedTo<'a>>>, RequestFault> {
        // The origin is checked first, also of a malformed handshake.
        if let Some(handshake) = visit.meta.handshake {
            self.check_websocket_origin(&entry.route, visit.meta, visit.headers)?;
            // One that is not well-formed gets an answer here: the application never hears of it (RFC 6455 section 4.2.1).
            handshake.map_err(RequestFault::Handshake)?;
        }
        self.moved_to(entry, visit)
    }

    /// A WebSocket carries cookies across sites and no CORS rule stops it: only our own origin and those that the route names may
    /// begin one ([RFC 6455 section 10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2), WS-02, AT-WS-01).
    pub(super) fn check_websocket_origin(
        &self,
        route: &Route,
        meta: &RequestMeta,
        headers: &HeaderMap,
    ) -> Result<(), RequestFault> {
        if self.origin_is_ours(headers, meta.host.authority()).unwrap_or(true) {
            return Ok(());
        }
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        let named = route.websocket_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        let is_only_one = headers.get_all(ORIGIN).iter().count() == 1;
        if named && is_only_one { Ok(()) } else { Err(RequestFault::WebSocketOrigin) }
    }

    /// The principal of the session of the first of the rule's providers that has one, brought up to date; nobody where the rule
    /// looks at no session.
    pub(super) async fn sender(
        &self,
        rule: &Rule,
        visit: Visit<'_>,
        renewed: &mut Option<Arc<LiveSession>>,
    ) -> Result<Option<Principal>, NoSession> {
        if !rule.access.looks_at_session() {
            return Ok(None);
        }
        let mut missing = NoSession::Absent;
        for provider in &rule.providers {
            let found = match self.sessions.find(visit.cookies, visit.site(provider), visit.now).await {
                Ok(live) if Sessions::is_settled(&live, visit.now) => return Ok(Some(Principal::of_session(live))),
                // Boxed to keep the future of every request small: this branch is rare.
                Ok(shown) => {
                    let work = self.sessions.bring_up_to_date(Arc::clone(&shown), visit.now);
                    let live = Box::pin(scope(visit.span.cloned(), work)).await;
                    live.map(|live| (!Arc::ptr_eq(&live, &shown), live))
                }
                Err(reason) => Err(reason),
            };
            match found {
                Ok((is_another, live)) => {
                    *renewed = is_another.then(|| Arc::clone(&live));
                    return Ok(Some(Principal::of_session(live)));
                }
                Err(NoSession::Absent) => {}
                Err(reason) => missing = reason,
            }
        }
        Err(missing)
    }
}

impl Judgement<'_> {
    /// What metrics and logs call the verdict; none where the request itself was refused.
    pub(super) fn decision(&self) -> Option<DecisionLabel> {
        match &self.verdict {
            Verdict::Allow(_) if self.sender.is_none() || self.needs_no_login => Some(DecisionLabel::Bypass),
            Verdict::Allow(_) => Some(DecisionLabel::Allow),
            Verdict::Challenge(_) => Some(DecisionLabel::Login),
            Verdict::Deny(_) => Some(DecisionLabel::Deny),
            Verdict::Refuse(_) => None,
        }
    }

    /// Counts the verdict.
    pub(super) fn count(&self) {
        let metrics = &self.entry.route.metrics;
        match &self.verdict {
            Verdict::Allow(_) if self.needs_no_login => metrics.decided(DecisionLabel::Bypass, no_login::REASON),
            Verdict::Allow(_) if self.sender.is_none() => metrics.bypassed(),
            Verdict::Allow(_) => metrics.allowed(),
            Verdict::Challenge(_) => metrics.decided(DecisionLabel::Login, "no_session"),
            Verdict::Deny(denial) => metrics.decided(DecisionLabel::Deny, denial.reason()),
            Verdict::Refuse(_) => {}
        }
    }
}
