//! All sessions: found by cookie, begun, renewed, ended. The warm path is one look-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use moka::sync::Cache;

use crate::clock::{SharedClock, UnixTime};
use crate::control::Control;
use crate::identity::kept::ReadClaims;
use crate::identity::{ClaimMapping, Identity, IdentityError};
use crate::provider::{Provider, ProviderError, SignIn};
use crate::proxy::settings::IdentityHeaderSettings;
use crate::request::cookies::{CookieScan, Owner};
use crate::seal::OpenError;
use crate::secret::Secret;
use crate::session::claims_log::ClaimsSaid;
use crate::session::jar::{Jar, SessionCookieError, Site, TooLarge};
use crate::session::live::LiveSession;
use crate::session::near;
use crate::session::refresh::Renewal;
use crate::session::registry::Registry;
use crate::session::settings::SessionSettings;
use crate::session::shown::{Shown, ShownTokens};
use crate::session::tail::ByTail;
use crate::session::{Session, SessionId, Tokens};
use crate::telemetry::Telemetry;

/// The sessions of one configuration.
#[derive(Debug)]
pub struct Sessions {
    pub(super) settings: SessionSettings,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: SharedClock,
    pub(super) control: Control,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) jar: Jar,
    live: Cache<Arc<str>, Arc<LiveSession>, ByTail>,
    /// Never given twice in one run of the program: what threads remember of another configuration's sessions is not ours.
    number: u64,
    providers: Vec<Arc<Provider>>,
    header_sets: Vec<IdentityHeaderSettings>,
    shown: ShownTokens,
    /// Of a provider that is not there.
    default_mapping: ClaimMapping,
    /// By provider: what a session keeps of the claims.
    reads: Vec<ReadClaims>,
    pub(super) claims_said: ClaimsSaid,
    /// For each provider, whether it was said that its tokens live too short for `refresh_before`.
    pub(super) short_life_told: Vec<AtomicBool>,
}

/// What sessions are built from.
#[derive(Debug)]
pub struct SessionParts {
    /// The configuration.
    pub settings: SessionSettings,
    /// Our cookies.
    pub jar: Jar,
    /// The memory that outlives a reload.
    pub registry: Arc<Registry>,
    /// The providers, in the order of the configuration.
    pub providers: Vec<Arc<Provider>>,
    /// The sets of identity headers that rules use.
    pub header_sets: Vec<IdentityHeaderSettings>,
    /// Time.
    pub clock: SharedClock,
    /// Where providers are called.
    pub control: Control,
    /// Metrics and audit events.
    pub telemetry: Arc<Telemetry>,
}

/// A session that is fit to be used for this request.
#[derive(Clone, Debug)]
pub struct Current {
    /// The session.
    pub live: Arc<LiveSession>,
    /// It is not what the browser sent: the answer must carry it.
    pub changed: bool,
}

/// Why there is no session to be used.
#[derive(Clone, Debug)]
pub enum NoSession {
    /// No cookie of ours.
    Absent,
    /// A cookie that opens nothing, or a session that is over; the reason code.
    Over(&'static str),
    /// It would have to be renewed, and the provider cannot be asked.
    Outage(Arc<ProviderError>),
}

impl Sessions {
    /// Puts the parts together.
    pub fn new(parts: SessionParts) -> Arc<Self> {
        let live = Cache::builder()
            .max_capacity(parts.settings.cache_bytes)
            .weigher(|_, live: &Arc<LiveSession>| u32::try_from(live.weight()).unwrap_or(u32::MAX))
            .time_to_idle(parts.settings.idle_timeout)
            .build_with_hasher(ByTail::default());
        let shown = ShownTokens::of(&parts.header_sets);
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let SessionParts { settings, jar, registry, providers, header_sets, clock, control, telemetry } = parts;
        let reads = providers.iter().map(|provider| provider.settings());
        let reads = reads.map(|of| ReadClaims::new(&of.claims, &of.needed_claims)).collect();
        Arc::new(Self {
            settings,
            registry,
            clock,
            control,
            telemetry,
            jar,
            live,
            number,
            short_life_told: providers.iter().map(|_| AtomicBool::new(false)).collect(),
            providers,
            header_sets,
            shown,
            default_mapping: ClaimMapping::default(),
            reads,
            claims_said: ClaimsSaid::default(),
        })
    }

    /// The session that a request's cookies hold for a provider and the host that was asked, as it stands: it may be due for
    /// renewal.
    ///
    /// # Errors
    /// [`NoSession`]; an outage is not among them here.
    pub fn find(&self, scan: &CookieScan, site: Site<'_>, now: UnixTime) -> Result<Arc<LiveSession>, NoSession> {
        let lone = scan.lone_session(site.provider);
        let near = lone.and_then(|sealed| near::find(self.number, sealed.as_bytes(), site.provider));
        let near = near.filter(|live| self.belongs(live, site));
        let live = near.map_or_else(|| self.find_farther(scan, site, now), Ok)?;
        if live.is_ended() {
            return Err(NoSession::Over("session_ended"));
        }
        if live.is_over(self.judged_at(&live, now)?) {
            self.record_expired(&live.session, site.provider, &live.identity.claims);
            return Err(NoSession::Over("session_expired"));
        }
        Ok(live)
    }

    /// The same where this thread has not just seen it.
    fn find_farther(&self, scan: &CookieScan, site: Site<'_>, now: UnixTime) -> Result<Arc<LiveSession>, NoSession> {
        let is_ended = |session: &Session| {
            self.registry.cell(&session.id).is_ended(session.generation)
                || self.jar.judged_at(session.active, now).is_err()
        };
        let Some(sealed) = self.jar.assemble(scan, site, self.mapping(site.provider), is_ended) else {
            return Err(if self.end_rivals(scan, site) {
                NoSession::Over("sessions_of_several")
            } else {
                NoSession::Absent
            });
        };
        self.by_sealed(&sealed, site, now).map_err(|code| {
            // What does not say whose it is may well be another provider's.
            let named = scan.sessions.iter().any(|it| it.owner.may_be(site.provider) && it.owner != Owner::Unnamed);
            if named { NoSession::Over(code) } else { NoSession::Absent }
        })
    }

    /// Whether a session in memory belongs here, as its seal would have it: one provider's session is not another's (AT-CS-08),
    /// and one host's opens nothing at another host, unless a cookie domain covers both (CK-14).
    fn belongs(&self, live: &LiveSession, site: Site<'_>) -> bool {
        live.provider == site.provider && self.settings.cookie.is_shared(live.host.name(), site.host.name())
    }

    /// Brings a session up to date: takes the successor of an old cookie, renews the tokens when due, keeps it from falling idle.
    ///
    /// # Errors
    /// [`NoSession`], when the session ended or cannot be vouched for any more.
    pub async fn bring_up_to_date(
        self: &Arc<Self>,
        live: Arc<LiveSession>,
        now: UnixTime,
    ) -> Result<Current, NoSession> {
        if !live.cell.succession.is_settled(live.session.generation)
            && live.cell.succession.saw(live.session.generation, self.clock.monotonic(), self.settings.grace)
        {
            self.registry.arrived(&live.session.id);
        }
        match self.successor(&live, now) {
            // As long as it lives, even where it would be renewed at each request: all of these requests came at once.
            Some(newer) if !newer.access_expired(now) => return Ok(Current { live: newer, changed: true }),
            Some(newer) => return self.renewed(newer, now).await.map(|current| Current { changed: true, ..current }),
            None => {}
        }
        if live.refresh_due(now) {
            return self.renewed(live, now).await;
        }
        if live.touch_due(now) && live.take_touch(self.clock.monotonic()) {
            return Ok(self.touched(live, now));
        }
        Ok(Current { live, changed: false })
    }

    /// Whether [`bring_up_to_date`](Self::bring_up_to_date) could do anything: asked on the warm path, without a wait.
    pub fn is_settled(live: &LiveSession, now: UnixTime) -> bool {
        live.cell.succession.is_settled(live.session.generation) && !live.refresh_due(now) && !live.touch_due(now)
    }

    /// Begins a session after a sign-in, with a new identifier (CK-16).
    ///
    /// # Errors
    /// When the claims name nobody.
    pub fn begin(
        &self,
        site: Site<'_>,
        sign_in: SignIn,
        nonce: Option<String>,
    ) -> Result<Arc<LiveSession>, IdentityError> {
        let now = self.clock.now();
        let tokens = sign_in.tokens;
        let life = tokens.expires_in;
        let tokens_end_early =
            tokens.refresh_token.is_none() && self.settings.keep.refresh && life < self.settings.lifetime;
        let session = Session {
            id: SessionId::random(),
            provider: self.provider(site.provider).map_or_else(|| Arc::from(""), |p| Arc::clone(&p.settings().name)),
            issuer: sign_in.issuer,
            created: now,
            active: now,
            auth_time: sign_in.auth_time,
            access_issued: now,
            access_expires: Some(now.plus(tokens.expires_in)),
            generation: 0,
            tokens: Tokens { access: tokens.access_token, refresh: tokens.refresh_token, id_token: tokens.id_token }
                .keep(self.settings.keep),
            claims: sign_in.claims,
            asked: sign_in.asked,
            nonce,
            scope: tokens.scope,
        };
        if tokens_end_early {
            self.log_no_refresh_token(site.provider, life);
        }
        let claims = session.claims.clone();
        let begun = self.enliven(session, site, now);
        match &begun {
            Ok(live) => self.log_claims(site.provider, &claims, &live.identity),
            Err(error) => self.log_nobody(site.provider, &claims, *error),
        }
        begun
    }

    /// A session that was begun a moment ago, maybe under another configuration; none if it does not belong here any more.
    pub fn adopt(&self, sealed: &str, site: Site<'_>) -> Option<Arc<LiveSession>> {
        self.by_sealed(sealed, site, self.clock.now()).ok()
    }

    /// The `Set-Cookie` lines that hand a session to the browser, and take away what is stale of it.
    ///
    /// # Errors
    /// [`TooLarge`], when no set of cookies can hold it.
    pub fn set_cookies(&self, live: &LiveSession, scan: &CookieScan) -> Result<Vec<HeaderValue>, TooLarge> {
        let cookies = self.jar.set_cookies(live.site(), &live.sealed, scan)?;
        self.telemetry.metrics.session_written(live.sealed.len());
        Ok(cookies)
    }

    /// The same where the browser sent no session cookie because another site made it ask.
    ///
    /// # Errors
    /// As of [`set_cookies`](Self::set_cookies).
    pub fn set_cookies_unseen(&self, live: &LiveSession) -> Result<Vec<HeaderValue>, TooLarge> {
        let cookies = self.jar.set_cookies_unseen(live.provider, &live.sealed)?;
        self.telemetry.metrics.session_written(live.sealed.len());
        Ok(cookies)
    }

    /// What an answer that was begun with `live` has to carry when it leaves, which may be long after: the newest of its
    /// successors, so that a slow answer takes nothing back (AT-CS-23); nothing when the session has ended meanwhile, so that it
    /// does not overwrite the next one either (AT-LG-12).
    pub fn newest(&self, live: &Arc<LiveSession>) -> Option<Arc<LiveSession>> {
        let now = self.clock.now();
        let is_newest = live.cell.succession.generation() <= live.session.generation;
        let latest = if is_newest { None } else { live.cell.succession.latest() };
        let newest = latest.and_then(|latest| self.by_sealed(&latest.sealed, live.site(), now).ok());
        Some(newest.unwrap_or_else(|| Arc::clone(live))).filter(|newest| !newest.is_over(now))
    }

    /// Ends every other session that a browser carries when it gets this one: what stood there before the sign-in, whoever put
    /// it there, opens nothing afterwards (CK-16, AT-LF-07). Their tokens are only forgotten: at some providers, revoking them
    /// would take the new ones along.
    pub fn replace_carried(&self, live: &LiveSession, scan: &CookieScan) {
        for old in self.jar.carried(scan, live.site()) {
            if old.id != live.session.id {
                self.registry.end(&old.id, self.owner_of(&old, live.provider), self.settings.lifetime);
            }
        }
    }

    /// The `Set-Cookie` lines that take a provider's session away.
    pub fn clear_cookies(&self, provider: usize, scan: &CookieScan) -> Vec<HeaderValue> {
        self.jar.clear(provider, scan)
    }

    /// Ends a session here, at once, for every copy of its cookies. Its tokens stay good until they are
    /// [revoked](Self::revoke).
    pub fn end(&self, live: &LiveSession) {
        self.registry.end(&live.session.id, live.owner(), self.settings.lifetime);
        self.live.invalidate(&live.sealed);
    }

    /// Revokes the tokens of a session that has ended (RF-13, TK-05). Nothing is left to run in the background, where it could
    /// take the tokens of the next sign-in along; whoever calls this on the control runtime says how long it may take.
    pub async fn revoke(&self, live: &LiveSession) {
        // A renewal under way brings tokens that the session's end does not know of (AT-LG-12).
        let _ = tokio::time::timeout(RENEWAL_WAIT, self.registry.renewals.ended(&live.session.id)).await;
        // A cookie from before the last renewal may be the one that signs out: the newest token is the one to be revoked.
        let latest = live.cell.succession.latest();
        let newest = latest.and_then(|latest| self.by_sealed(&latest.sealed, live.site(), self.clock.now()).ok());
        let Some(Session { tokens, .. }) = self.reopened(newest.as_deref().unwrap_or(live)) else { return };
        let Some(provider) = self.provider(live.provider) else { return };
        if let Err(error) = provider.sign_out(tokens.refresh.as_ref(), tokens.access.as_ref()).await {
            tracing::debug!(code = error.code(), provider = %provider.name(), %error, "a session's tokens could not be revoked at the provider");
        }
    }

    /// The ID token of a session, as a hint of whom to sign out at the provider.
    pub fn id_token(&self, live: &LiveSession) -> Option<Secret<String>> {
        self.reopened(live)?.tokens.id_token
    }

    /// All of a session, tokens too. A cookie that opened here opens again: neither the keys nor its bytes have changed.
    pub(super) fn reopened(&self, live: &LiveSession) -> Option<Session> {
        self.jar.open_at_any_age(live.site(), &live.sealed)
    }

    /// Ends the sessions of several people that came in one request, if that is what came: one of them was planted, and nobody
    /// knows which. Merely passing them over would leave the planted one beside each new session, and the person signing in
    /// without end (AT-CS-12).
    fn end_rivals(&self, scan: &CookieScan, site: Site<'_>) -> bool {
        let rivals = self.jar.carried(scan, site);
        if rivals.len() < 2 {
            return false;
        }
        tracing::warn!(
            code = "sessions_of_several",
            "a browser sent sessions of several people: all of them are ended"
        );
        for rival in &rivals {
            self.registry.end(&rival.id, self.owner_of(rival, site.provider), self.settings.lifetime);
        }
        true
    }

    /// Whether a refresh made another cookie of this session the newest, and it still may be handed out.
    pub(super) fn successor(&self, live: &LiveSession, now: UnixTime) -> Option<Arc<LiveSession>> {
        let (cookies, generation, grace) = (&live.cell.succession, live.session.generation, self.settings.grace);
        if cookies.generation() <= generation {
            return None;
        }
        let moment = self.clock.monotonic();
        if !cookies.may_follow(generation, moment, grace) {
            return None;
        }
        let latest = cookies.latest()?;
        let newer = self.by_sealed(&latest.sealed, live.site(), now).ok().filter(|newer| !newer.is_over(now))?;
        if latest.is_first_found_late(moment, grace) {
            self.telemetry.metrics.renewal_answer_lost(&live.session.provider);
        }
        Some(newer)
    }

    /// Seals a session, as far as something reads it, and makes it live.
    pub(super) fn enliven(
        &self,
        session: Session,
        site: Site<'_>,
        now: UnixTime,
    ) -> Result<Arc<LiveSession>, IdentityError> {
        self.check_refresh_before(&session, site.provider);
        let session = match self.reads.get(site.provider) {
            Some(reads) => session.trimmed(reads, self.shown),
            None => session,
        };
        let expires = session.ends(&self.settings);
        let sealed: Arc<str> = self.jar.seal(site, &session, expires, now).into();
        self.insert(session.shown(self.shown), sealed, site)
    }

    pub(super) fn provider(&self, provider: usize) -> Option<&Arc<Provider>> {
        self.providers.get(provider)
    }

    async fn renewed(self: &Arc<Self>, live: Arc<LiveSession>, now: UnixTime) -> Result<Current, NoSession> {
        match self.renew(&live, now).await {
            // Signed out while it waited.
            Renewal::Renewed(newer) if newer.is_over(now) => Err(NoSession::Over("session_ended")),
            Renewal::Renewed(newer) if Arc::ptr_eq(&newer, &live) => Ok(Current { live, changed: false }),
            // A reload may have overtaken the flight: what was rendered and decided by the rules of before has other numbers
            // in ours, so only the cookie is taken over.
            Renewal::Renewed(newer) => self
                .by_sealed(&newer.sealed, live.site(), now)
                .map(|live| Current { live, changed: true })
                .map_err(NoSession::Over),
            Renewal::Ended(_) if !live.is_ended() && !live.access_expired(now) => Ok(Current { live, changed: false }),
            Renewal::Ended(code) => Err(NoSession::Over(code)),
            // The tokens may be renewed all the same, and only the identity not.
            Renewal::Refused(_) | Renewal::Outage(_) if !live.access_expired(now) => {
                Ok(match self.successor(&live, now) {
                    Some(newer) => Current { live: newer, changed: true },
                    None => Current { live, changed: false },
                })
            }
            Renewal::Refused(error) => Err(NoSession::Over(error.code())),
            Renewal::Outage(error) => Err(NoSession::Outage(error)),
        }
    }

    /// The same session with its idle time begun anew.
    fn touched(&self, live: Arc<LiveSession>, now: UnixTime) -> Current {
        let session = self.reopened(&live).map(|session| session.brought_to(now, self.settings.clock_leeway));
        match session.map(|session| self.enliven(session, live.site(), now)) {
            Some(Ok(touched)) => Current { live: touched, changed: true },
            Some(Err(_)) | None => Current { live, changed: false },
        }
    }

    /// Warm: the cache. Cold: open, decode, and keep. What is cached counts only where it would open.
    fn by_sealed(&self, sealed: &str, site: Site<'_>, now: UnixTime) -> Result<Arc<LiveSession>, &'static str> {
        if let Some(live) = self.live.get(sealed) {
            if !self.belongs(&live, site) {
                return Err("session_of_another_site");
            }
            near::keep(self.number, &live);
            return Ok(live);
        }
        let session = self.jar.open_shown(site, sealed, now, self.shown);
        let mut session = session.map_err(|error| self.unopened(site, sealed, &error))?;
        // A name that stands for another issuer since a reload is another provider: it must not get these refresh tokens (RF-05),
        // and a subject means nothing there.
        let is_of = |p: &Arc<Provider>| p.settings().name == session.provider && p.is_named_by(&session.issuer);
        let Some(known) = self.provider(site.provider).filter(|p| is_of(p)) else {
            return Err("session_of_another_provider");
        };
        // The same text, once for all sessions.
        session.provider = Arc::clone(&known.settings().name);
        if *known.issuer() == session.issuer {
            session.issuer = Arc::clone(known.issuer());
        }
        self.insert(session, sealed.into(), site).map_err(|_| "session_names_nobody")
    }

    fn unopened(&self, site: Site<'_>, sealed: &str, error: &SessionCookieError) -> &'static str {
        if *error != SessionCookieError::Seal(OpenError::Expired) {
            self.record_unopened(error);
        } else if let Some(session) = self.jar.open_at_any_age(site, sealed) {
            self.record_expired(&session, site.provider, &session.claims);
        }
        error.code()
    }

    fn insert(
        &self,
        mut session: Session<Shown>,
        sealed: Arc<str>,
        site: Site<'_>,
    ) -> Result<Arc<LiveSession>, IdentityError> {
        let identity = self.identity(&mut session, site.provider)?;
        let cell = self.registry.cell(&session.id);
        let live = LiveSession::new(session, identity, sealed, site, cell, &self.header_sets, &self.settings);
        let live = Arc::new(live);
        self.live.insert(Arc::clone(&live.sealed), Arc::clone(&live));
        near::keep(self.number, &live);
        Ok(live)
    }

    /// Which claims name the people of a provider.
    pub(super) fn mapping(&self, provider: usize) -> &ClaimMapping {
        self.provider(provider).map_or(&self.default_mapping, |provider| &provider.settings().claims)
    }

    /// Who the claims say that somebody is; nobody in particular where the provider tells nothing about people.
    fn identity(&self, session: &mut Session<Shown>, provider: usize) -> Result<Identity, IdentityError> {
        let claims = std::mem::take(&mut session.claims);
        let (name, issuer) = (Arc::clone(&session.provider), Arc::clone(&session.issuer));
        match self.provider(provider).map(|provider| provider.settings()) {
            Some(settings) if !settings.names_people() => Ok(Identity::nobody(name, issuer)),
            _ => Identity::from_claims(name, issuer, claims, self.mapping(provider)),
        }
    }
}

/// How long a sign-out waits for a renewal under way.
const RENEWAL_WAIT: Duration = Duration::from_secs(1);
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);
