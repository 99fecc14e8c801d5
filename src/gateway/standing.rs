//! What was let through once and goes on: upgraded connections and event streams. No request of theirs is judged again, so they are,
//! by whatever is in force: after a reload, and after a change of a list that somebody else keeps.
//!
//! It is the judgement of a request that comes again as it came, at the time when it came, with the newest that is known of its session:
//! neither the idle time nor `max_age`, which are about beginning something, end what is open.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ORIGIN;

use crate::clock::UnixTime;
use crate::gateway::Gateway;
use crate::gateway::decide::decide;
use crate::gateway::forward::Passage;
use crate::gateway::in_force::Listener;
use crate::gateway::place::Placement;
use crate::gateway::principal::Principal;
use crate::gateway::routes::Rule;
use crate::gateway::verdict::Verdict;
use crate::request::RequestMeta;
use crate::session::live::LiveSession;
use crate::session::store::Site;

impl Gateway {
    /// From now on this is the gateway in force: what is open is judged again, by this one.
    pub fn takes_over(self: &Arc<Self>) {
        self.in_force.becomes(self);
    }

    /// A list that somebody else keeps has changed: what is open is judged again.
    pub fn policy_has_changed(&self) {
        self.in_force.decides_otherwise();
    }

    /// Is done when a request that was let through would not be any more.
    pub(super) fn until_refused(
        &self,
        headers: &HeaderMap,
        passage: Passage<'_>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let origins = headers.get_all(ORIGIN).iter().map(|origin| (ORIGIN, origin.clone()));
        let standing = Standing {
            meta: passage.meta.clone(),
            origins: origins.collect(),
            principal: passage.principal.cloned(),
            needs_no_login: passage.needs_no_login,
            since: self.clock.now(),
        };
        standing.until_refused(self.in_force.listen())
    }

    /// Whether a request would be let through again, with or without an identity as before.
    async fn still_allows(&self, standing: &mut Standing) -> bool {
        let Ok(Placement::Route(entry)) = self.place(&standing.meta) else { return false };
        let is_websocket = standing.meta.handshake.is_some();
        if is_websocket && self.check_websocket_origin(&entry.route, &standing.meta, &standing.origins).is_err() {
            return false;
        }
        let had_identity = standing.principal.is_some();
        let session = match &standing.principal {
            Some(principal) => self.session_again(&entry.rule, principal.session(), standing).await,
            None => None,
        };
        let now = session.as_ref().map_or(standing.since, |session| session.active.max(standing.since));
        let sender = session.map(Principal::of_session);
        // The session of the gateway that was in force before is let go, and with it the provider that it belongs to.
        standing.principal.clone_from(&sender);
        match decide(&entry.rule, &standing.meta, &Ok(sender), now) {
            Verdict::Allow(principal) => principal.is_some() == had_identity,
            refused => standing.needs_no_login && self.still_needs_no_login(&entry.rule, &standing.meta, &refused),
        }
    }

    /// The newest state of a session as it is under this gateway; none where it counts for nothing here.
    async fn session_again(&self, rule: &Rule, known: &LiveSession, standing: &Standing) -> Option<Arc<LiveSession>> {
        if !rule.access.looks_at_session() {
            return None;
        }
        let provider = rule.providers.iter().find(|provider| provider.name() == known.provider.name())?;
        let latest = known.cell.succession.latest();
        let handle = latest.as_ref().map_or(&known.handle, |latest| &latest.handle);
        let site = Site { provider, host: &standing.meta.host };
        let live = self.sessions.by_handle(handle.as_str(), site, standing.since).await.ok()?;
        (!live.is_over(live.active.max(standing.since))).then_some(live)
    }
}

/// A request that was let through, as far as it takes to judge it again.
#[derive(Debug)]
struct Standing {
    meta: RequestMeta,
    /// Its fields `Origin`.
    origins: HeaderMap,
    /// Whose identity the application got.
    principal: Option<Principal>,
    /// It was let through because of the network that it comes from.
    needs_no_login: bool,
    /// When it came.
    since: UnixTime,
}

impl Standing {
    /// Is done when it would not be let through any more. Judged at once, too: something may have changed since it was.
    async fn until_refused(mut self, mut in_force: Listener<Gateway>) {
        loop {
            let Some(gateway) = in_force.current() else { return };
            if !gateway.still_allows(&mut self).await {
                tracing::info!(
                    code = "no_longer_allowed",
                    request_id = self.meta.id.as_str(),
                    host = self.meta.host.name(),
                    "what the request opened is closed: it would not be let through any more"
                );
                return;
            }
            drop(gateway);
            if !in_force.changed().await {
                return;
            }
        }
    }
}
