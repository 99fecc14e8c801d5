//! From a request's cookies to the session that they stand for: in memory, or loaded and made live.

use std::sync::Arc;

use crate::clock::UnixTime;
use crate::identity::kept::ReadClaims;
use crate::identity::{Claims, Identity, IdentityError};
use crate::provider::Provider;
use crate::request::cookies::{CookieScan, Owner};
use crate::seal::OpenError;
use crate::session::carried::Carried;
use crate::session::cell::SessionCell;
use crate::session::cookie_store::CookieStore;
use crate::session::ended::NamesAtProvider;
use crate::session::live::LiveSession;
use crate::session::sessions::{NoSession, Sessions};
use crate::session::settings::TokenKinds;
use crate::session::store::{Handle, HandleEnd, SessionStore, Site, Stored};
use crate::session::{Session, Tokens};

impl Sessions {
    /// The session that a request's cookies hold for a provider and the host that was asked, as it stands: it may be due for
    /// renewal.
    ///
    /// # Errors
    /// [`NoSession`]; an outage is not among them here.
    pub async fn find(&self, scan: &CookieScan, site: Site<'_>, now: UnixTime) -> Result<Arc<LiveSession>, NoSession> {
        let warm = scan.lone_session(site.provider.place()).and_then(|handle| self.live_by(handle.as_bytes()));
        let live = match warm.filter(|live| self.belongs(live, site)) {
            Some(live) => live,
            // Rare branches are boxed to keep the future small.
            None => Box::pin(self.find_cold(scan, site, now)).await?,
        };
        if live.is_ended() {
            return Err(NoSession::Over("session_ended"));
        }
        // As it would be judged if it were opened now.
        let unopened = |error: OpenError| NoSession::Over(self.record_unopened(&error.into()));
        let judged_at = match live.is_ahead(now) {
            true => self.store.judged_at(live.active, now).map_err(unopened)?,
            false => now,
        };
        if live.is_over(judged_at) {
            self.record_expired(&live.id, &live.identity);
            return Err(NoSession::Over("session_expired"));
        }
        Ok(live)
    }

    /// The session in memory with this very handle.
    fn live_by(&self, handle: &[u8]) -> Option<Arc<LiveSession>> {
        self.live.get(&HandleEnd::of(handle)).filter(|live| live.handle.as_str().as_bytes() == handle)
    }

    /// A session that has to be looked for, chosen, or loaded.
    async fn find_cold(&self, scan: &CookieScan, site: Site<'_>, now: UnixTime) -> Result<Arc<LiveSession>, NoSession> {
        let is_ended = |session: &Session| {
            self.cell_of(session, &session.claims, site).is_ended(session.generation)
                || self.store.judged_at(session.active, now).is_err()
        };
        let Some(handle) = self.carried(scan, site, now).choose(is_ended).await else {
            let ended = self.end_rivals(scan, site, now).await;
            return Err(if ended { NoSession::Over("sessions_of_several") } else { NoSession::Absent });
        };
        self.by_handle(&handle, site, now).await.map_err(|code| {
            // What does not say whose it is may well be another provider's.
            let is_named = |owner: Owner| owner.may_be(site.provider.place()) && owner != Owner::Unnamed;
            let named = scan.sessions.iter().any(|it| is_named(it.owner));
            if named { NoSession::Over(code) } else { NoSession::Absent }
        })
    }

    /// Whether a session in memory belongs here, as its seal would have it: one provider's session is not another's (AT-CS-08),
    /// and one host's opens nothing at another host, unless a cookie domain covers both (CK-14).
    fn belongs(&self, live: &LiveSession, site: Site<'_>) -> bool {
        Arc::ptr_eq(&live.provider, site.provider) && self.settings.cookie.is_shared(live.host.name(), site.host.name())
    }

    /// Ends the sessions of several people that came in one request, if that is what came: one of them was planted, and nobody
    /// knows which. Merely passing them over would leave the planted one beside each new session, and the person signing in
    /// without end (AT-CS-12).
    async fn end_rivals(&self, scan: &CookieScan, site: Site<'_>, now: UnixTime) -> bool {
        let rivals = self.carried(scan, site, now).sessions().await;
        if rivals.len() < 2 {
            return false;
        }
        tracing::warn!(
            code = "sessions_of_several",
            "a browser sent sessions of several people: all of them are ended"
        );
        for rival in &rivals {
            self.store.end(&rival.id, rival.owner(&site.provider.settings().claims)).await;
        }
        true
    }

    /// The session of a handle, maybe one that was made under another configuration. Warm: the cache. Cold: load, and keep. What is
    /// cached counts only where it would open.
    ///
    /// # Errors
    /// Why it opens nothing here, a stable reason.
    pub async fn by_handle(
        &self,
        handle: &str,
        site: Site<'_>,
        now: UnixTime,
    ) -> Result<Arc<LiveSession>, &'static str> {
        if let Some(live) = self.live_by(handle.as_bytes()) {
            return if self.belongs(&live, site) { Ok(live) } else { Err("session_of_another_site") };
        }
        let wanted = TokenKinds { refresh: true, ..self.forwarded };
        let loaded = self.store.load(site, handle, wanted, now).await.map_err(|error| self.record_unopened(&error))?;
        let Stored { mut session, lapsed } = loaded;
        let claims = std::mem::take(&mut session.claims);
        match lapsed {
            None => {}
            Some(OpenError::Expired) => {
                let nobody = |_| Identity::nobody(Arc::clone(&session.provider), Arc::clone(&session.issuer));
                let identity = identity(&session, claims, site.provider).unwrap_or_else(nobody);
                self.record_expired(&session.id, &identity);
                return Err(OpenError::Expired.code());
            }
            Some(error) => return Err(self.record_unopened(&error.into())),
        }
        // A name that stands for another issuer since a reload is another provider: it must not get these refresh tokens (RF-05),
        // and a subject means nothing there.
        let (name, issuer) = (site.provider.name(), site.provider.issuer());
        if *name != session.provider || !site.provider.is_named_by(&session.issuer) {
            return Err("session_of_another_provider");
        }
        // The same text, once for all sessions.
        session.provider = Arc::clone(name);
        if *issuer == session.issuer {
            session.issuer = Arc::clone(issuer);
        }
        let identity = identity(&session, claims, site.provider).map_err(|_| "session_names_nobody")?;
        Ok(self.insert(session, identity, handle.into(), site))
    }

    /// Makes a stored session live.
    pub(super) fn insert(
        &self,
        session: Session,
        identity: Identity,
        handle: Handle,
        site: Site<'_>,
    ) -> Arc<LiveSession> {
        let Tokens { access, id_token, .. } = &session.tokens;
        let [access, id_token] = [access, id_token].map(|token| token.as_ref().map(|token| token.expose().as_str()));
        let headers = self.identity_headers.render(&identity, access, id_token);
        let cell = self.cell_of(&session, &identity.claims, site);
        let live = Arc::new(LiveSession::new(session, identity, headers, handle, site, cell, &self.settings));
        self.live.insert(live.handle.end(), Arc::clone(&live));
        live
    }

    /// What is known of a session that was opened.
    fn cell_of(&self, session: &Session, claims: &Claims, site: Site<'_>) -> Arc<SessionCell> {
        let names = NamesAtProvider::of(site.provider, &session.issuer, claims, session.created);
        self.registry.cell_named(&session.id, names)
    }

    /// What a request carries of sessions for a site.
    pub(super) fn carried<'a>(
        &'a self,
        scan: &'a CookieScan,
        site: Site<'a>,
        now: UnixTime,
    ) -> Carried<'a, CookieStore> {
        Carried { jar: &self.jar, store: &self.store, providers: &self.providers, scan, site, now }
    }

    /// A session as it is stored, as far as something reads it, and whose it is.
    pub(super) fn prepared(&self, session: Session, provider: &Provider) -> Result<(Session, Identity), IdentityError> {
        self.claims_log.check_refresh_before(&session, self.settings.refresh_before);
        let settings = provider.settings();
        let session = session.trimmed(&ReadClaims::new(&settings.claims, &settings.needed_claims), self.forwarded);
        let identity = identity(&session, session.claims.clone(), provider)?;
        Ok((session, identity))
    }
}

/// Who the claims say that somebody is; nobody in particular where the provider says nothing about people.
fn identity(session: &Session, claims: Claims, provider: &Provider) -> Result<Identity, IdentityError> {
    let (name, issuer) = (Arc::clone(&session.provider), Arc::clone(&session.issuer));
    if provider.settings().names_people() {
        Identity::from_claims(name, issuer, claims, &provider.settings().claims)
    } else {
        Ok(Identity::nobody(name, issuer))
    }
}
