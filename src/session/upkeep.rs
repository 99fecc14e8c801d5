//! What a session needs while it is used: the successor of an old cookie, new tokens, a new idle time.

use std::sync::Arc;

use crate::clock::UnixTime;
use crate::session::live::{LiveSession, touch_step};
use crate::session::renewal::Renewal;
use crate::session::sessions::{NoSession, Sessions};
use crate::session::store::SessionStore;

impl Sessions {
    /// Brings a session up to date: takes the successor of an old cookie, renews the tokens when due, keeps it from falling idle.
    /// Gives another session than `live` where the answer must carry it, because it is not what the browser sent.
    ///
    /// # Errors
    /// [`NoSession`], when the session ended or cannot be vouched for any more.
    pub async fn bring_up_to_date(
        self: &Arc<Self>,
        live: Arc<LiveSession>,
        now: UnixTime,
    ) -> Result<Arc<LiveSession>, NoSession> {
        if !live.cell.succession.is_settled(live.generation)
            && live.cell.succession.saw(live.generation, self.clock.monotonic(), self.settings.grace)
        {
            self.registry.arrived(&live.id);
        }
        let live = match self.successor(&live, now).await {
            // As long as it lives, even where it would be renewed at each request: all of these requests came at once.
            Some(newer) if !newer.access_expired(now) && !newer.has_to_ask(now) => return Ok(newer),
            Some(newer) => self.renewed(newer, now).await?,
            None if live.refresh_due(now) => self.renewed(live, now).await?,
            None => live,
        };
        // Also where it could not be renewed: an outage of the provider does not let it fall idle.
        if live.touch_due(now) && live.cell.take_touch(self.clock.monotonic(), touch_step(&self.settings)) {
            return Ok(self.touched(&live, now).await.unwrap_or(live));
        }
        Ok(live)
    }

    /// Whether [`bring_up_to_date`](Self::bring_up_to_date) could do anything: asked on the warm path, without a wait.
    pub fn is_settled(live: &LiveSession, now: UnixTime) -> bool {
        live.cell.succession.is_settled(live.generation) && !live.refresh_due(now) && !live.touch_due(now)
    }

    /// What an answer that was begun with `live` has to carry when it leaves, which may be long after: the newest of its
    /// successors, so that a slow answer takes nothing back (AT-CS-23); nothing when the session has ended meanwhile, so that it
    /// does not overwrite the next one either (AT-LG-12).
    pub async fn newest(&self, live: &Arc<LiveSession>) -> Option<Arc<LiveSession>> {
        let now = self.clock.now();
        let is_newest = live.cell.succession.generation() <= live.generation;
        let newest = if is_newest { None } else { self.latest(live, now).await };
        Some(newest.unwrap_or_else(|| Arc::clone(live))).filter(|newest| !newest.is_over(now))
    }

    /// Whether a refresh made another cookie of this session the newest, and it still may be handed out. Where nothing but the
    /// identity is renewed it always may: the access token is the same, and each old cookie would ask a question of its own.
    pub(super) async fn successor(&self, live: &LiveSession, now: UnixTime) -> Option<Arc<LiveSession>> {
        let (cookies, grace) = (&live.cell.succession, self.settings.grace);
        if cookies.generation() <= live.generation {
            return None;
        }
        let moment = self.clock.monotonic();
        if live.is_renewable && !cookies.may_follow(live.generation, moment, grace) {
            return None;
        }
        let latest = cookies.latest()?;
        let newer = self.by_handle(latest.handle.as_str(), live.site(), now).await.ok();
        let newer = newer.filter(|newer| !newer.is_over(now))?;
        if latest.is_first_found_late(moment, grace) {
            self.telemetry.metrics.renewal_answer_lost(&live.identity.provider);
        }
        Some(newer)
    }

    /// The newest cookie's session that this process made of this one, if it made one.
    pub(super) async fn latest(&self, live: &LiveSession, now: UnixTime) -> Option<Arc<LiveSession>> {
        let latest = live.cell.succession.latest()?;
        self.by_handle(latest.handle.as_str(), live.site(), now).await.ok()
    }

    /// The session with new tokens, or as it is where it lives on without.
    async fn renewed(self: &Arc<Self>, live: Arc<LiveSession>, now: UnixTime) -> Result<Arc<LiveSession>, NoSession> {
        match self.renew(&live, now).await {
            None => Ok(live),
            // It may have been rendered and decided by the rules of before a reload, which have other numbers in ours: only the
            // handle is taken over.
            Some(Renewal::Renewed(handle)) => {
                let newer = self.by_handle(handle.as_str(), live.site(), now).await.map_err(NoSession::Over)?;
                // Signed out while it waited.
                if newer.is_over(now) { Err(NoSession::Over("session_ended")) } else { Ok(newer) }
            }
            Some(Renewal::Ended(_)) if live.is_renewable && !live.is_ended() && !live.access_expired(now) => Ok(live),
            Some(Renewal::Ended(code)) => Err(NoSession::Over(code)),
            // The tokens may be renewed all the same, and only the identity not.
            Some(Renewal::Refused(_) | Renewal::Outage(_)) if !live.access_expired(now) => {
                Ok(self.successor(&live, now).await.unwrap_or(live))
            }
            Some(Renewal::Refused(error)) => Err(NoSession::Over(error.code())),
            Some(Renewal::Outage(error)) => Err(NoSession::Outage(error)),
        }
    }

    /// The same session with its idle time begun anew.
    async fn touched(&self, live: &LiveSession, now: UnixTime) -> Option<Arc<LiveSession>> {
        let session = self.whole(live).await?.brought_to(now, self.settings.clock_leeway);
        let (session, identity) = self.prepared(session, &live.provider).ok()?;
        let handle = self.store.replace(live.site(), &session, session.generation, now).await.ok()?;
        Some(self.insert(session, identity, handle, live.site()))
    }
}
