//! All sessions: found by cookie, begun, renewed, ended. The warm path is one look-up.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::HeaderValue;
use moka::sync::Cache;

use crate::clock::SharedClock;
use crate::control::Control;
use crate::identity::IdentityError;
use crate::provider::{LogoutToken, Provider, ProviderError, SignIn, logout_token_remembered_for};
use crate::proxy::identity_headers::IdentityHeaderSets;
use crate::remembered::{Mark, Party};
use crate::request::cookies::{CookieScan, OwnCookies};
use crate::seal::KeyRing;
use crate::session::claims_log::{ClaimsLog, log_nobody};
use crate::session::cookie_store::{CookieStore, SessionSealer};
use crate::session::ended::ProviderEnd;
use crate::session::jar::{Jar, SessionTooLarge};
use crate::session::live::LiveSession;
use crate::session::registry::Registry;
use crate::session::settings::{SessionSettings, TokenKinds};
use crate::session::store::LoadError;
use crate::session::store::{HandleEnd, SessionStore, Site};
use crate::session::weight;
use crate::session::{Session, SessionId, Tokens};
use crate::telemetry::Telemetry;

/// The sessions of one configuration.
#[derive(Debug)]
pub struct Sessions {
    /// The configuration.
    pub settings: SessionSettings,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: SharedClock,
    pub(super) control: Control,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) store: CookieStore,
    /// Our session cookies.
    pub jar: Jar,
    /// Those in memory, by the end of their handle.
    pub(super) live: Cache<HandleEnd, Arc<LiveSession>, RandomState>,
    pub(super) providers: Vec<Arc<Provider>>,
    pub(super) identity_headers: IdentityHeaderSets,
    /// The tokens that some set of identity headers forwards.
    pub(super) forwarded: TokenKinds,
    pub(super) claims_log: ClaimsLog,
}

/// What sessions are built from.
#[derive(Debug)]
pub struct SessionParts {
    /// The configuration.
    pub settings: SessionSettings,
    /// The names of our cookies.
    pub cookies: OwnCookies,
    /// The session keys.
    pub keys: Arc<KeyRing>,
    /// The memory that outlives a reload.
    pub registry: Arc<Registry>,
    /// The providers, in the order of the configuration.
    pub providers: Vec<Arc<Provider>>,
    /// The sets of identity headers that rules use.
    pub identity_headers: IdentityHeaderSets,
    /// Time.
    pub clock: SharedClock,
    /// Where providers are called.
    pub control: Control,
    /// Metrics and audit events.
    pub telemetry: Arc<Telemetry>,
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
            .weigher(|_, live: &Arc<LiveSession>| u32::try_from(weight::of(live)).unwrap_or(u32::MAX))
            .time_to_idle(parts.settings.idle_timeout)
            .build_with_hasher(RandomState::default());
        let SessionParts { settings, cookies, keys, registry, providers, identity_headers, clock, control, telemetry } =
            parts;
        telemetry.metrics.sessions_may_not_open(LoadError::REASONS);
        let sealer = SessionSealer::new(&settings.cookie, &cookies, keys);
        let forwarded = TokenKinds {
            access: identity_headers.forward_access_token(),
            refresh: false,
            id_token: identity_headers.forward_id_token(),
        };
        Arc::new(Self {
            store: CookieStore::new(sealer, &settings, Arc::clone(&registry)),
            jar: Jar::new(&settings.cookie, cookies),
            settings,
            registry,
            clock,
            control,
            telemetry,
            live,
            providers,
            identity_headers,
            forwarded,
            claims_log: ClaimsLog::default(),
        })
    }

    /// Begins a session after a sign-in, with a new identifier (CK-16).
    ///
    /// # Errors
    /// When the claims name nobody.
    pub async fn begin(
        &self,
        site: Site<'_>,
        sign_in: SignIn,
        nonce: Option<String>,
    ) -> Result<Arc<LiveSession>, IdentityError> {
        let (now, settings) = (self.clock.now(), site.provider.settings());
        let tokens = sign_in.tokens;
        if tokens.refresh_token.is_none() && self.settings.keep.refresh {
            self.claims_log.check_no_refresh_token(settings, tokens.expires_in, self.settings.lifetime);
        }
        let session = Session {
            id: SessionId::random(),
            provider: Arc::clone(&settings.name),
            issuer: sign_in.issuer,
            created: now,
            active: now,
            auth_time: sign_in.auth_time,
            access_issued: now,
            access_expires: Some(now.plus(tokens.expires_in)),
            generation: 0,
            tokens: Tokens { access: tokens.access_token, refresh: tokens.refresh_token, id_token: tokens.id_token }
                .only(self.settings.keep),
            claims: sign_in.claims,
            asked: sign_in.asked,
            nonce,
            scope: tokens.scope,
        };
        let claims = session.claims.clone();
        let prepared = self.prepared(session, site.provider);
        let (session, identity) = prepared.inspect_err(|error| log_nobody(settings, &claims, *error))?;
        self.claims_log.signed_in(settings, &claims, &identity);
        let handle = self.store.create(site, &session, now).await;
        Ok(self.insert(session, identity, handle, site))
    }

    /// The `Set-Cookie` lines that hand a session to the browser, and take away what is stale of it. There is no `scan` where the
    /// browser sent no session cookie because another site made it ask.
    ///
    /// # Errors
    /// [`SessionTooLarge`], when no set of cookies can hold it.
    pub async fn set_cookies(
        &self,
        live: &LiveSession,
        scan: Option<&CookieScan>,
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let cookies = match scan {
            Some(scan) => self.carried(scan, live.site(), self.clock.now()).set_cookies(&live.handle).await?,
            None => self.jar.set_cookies_unseen(&live.provider, &live.handle)?,
        };
        self.telemetry.metrics.session_written(live.handle.as_str().len());
        Ok(cookies)
    }

    /// Ends every other session that a browser carries when it gets this one: what stood there before the sign-in, whoever put
    /// it there, opens nothing afterwards (CK-16, AT-LF-07). Their tokens are only forgotten: at some providers, revoking them
    /// would take the new ones along.
    pub async fn replace_carried(&self, live: &LiveSession, scan: &CookieScan) {
        for old in self.carried(scan, live.site(), self.clock.now()).sessions().await {
            if old.id != live.id {
                self.store.end(&old.id, old.owner(&live.provider.settings().claims)).await;
            }
        }
    }

    /// Whether a session that was begun here has ended since.
    pub fn has_ended(&self, id: &SessionId) -> bool {
        self.registry.cell(id).is_ended(0)
    }

    /// Ends a session here, at once, for every copy of its cookies. Its tokens stay good until they are
    /// [revoked](Self::revoke).
    pub async fn end(&self, live: &LiveSession) {
        self.store.end(&live.id, live.owner()).await;
        self.live.invalidate(&live.handle.end());
    }

    /// Ends the sessions that a provider means and that live now, and says how many of them are in use here. Their tokens are
    /// forgotten (BC-12): no cookie opens them any more.
    pub fn end_named(&self, end: &ProviderEnd) -> usize {
        self.registry.end_named(end, self.clock.now(), self.settings.lifetime)
    }

    /// Whether a logout token that verified was not taken before (BC-07).
    pub fn takes_logout_token(&self, provider: &Provider, token: &LogoutToken) -> bool {
        let leeway = provider.settings().clock_leeway;
        let named =
            [&*token.issuer, &provider.settings().client_id, &token.jti].map(|part| format!("{}:{part}", part.len()));
        let owner =
            Party::subject(&token.issuer, token.subject.as_deref().or(token.sid.as_deref()).unwrap_or_default());
        self.registry.takes_logout_token(Mark::of(&named.concat()), owner, logout_token_remembered_for(leeway))
    }

    /// Revokes the tokens of a session that has ended (RF-13, TK-05). Nothing is left to run in the background, where it could
    /// take the tokens of the next sign-in along; whoever calls this on the control runtime says how long it may take.
    pub async fn revoke(&self, live: &LiveSession) {
        // A renewal under way brings tokens that the session's end does not know of (AT-LG-12).
        let _ = tokio::time::timeout(RENEWAL_WAIT, self.registry.renewals.ended(&live.id)).await;
        // A cookie from before the last renewal may be the one that signs out: the newest token is the one to be revoked.
        let newest = self.latest(live, self.clock.now()).await;
        let Some(Session { tokens, .. }) = self.whole(newest.as_deref().unwrap_or(live)).await else { return };
        let provider = &live.provider;
        if let Err(error) = provider.sign_out(tokens.refresh.as_ref(), tokens.access.as_ref()).await {
            tracing::debug!(code = error.code(), provider = %provider.name(), %error, "a session's tokens could not be revoked at the provider");
        }
    }

    /// All of a session, tokens too. A cookie that opened here opens again: neither the keys nor its bytes have changed.
    pub async fn whole(&self, live: &LiveSession) -> Option<Session> {
        let loaded = self.store.load(live.site(), live.handle.as_str(), TokenKinds::ALL, self.clock.now()).await;
        loaded.ok().map(|loaded| loaded.session)
    }
}

/// How long a sign-out waits for a renewal under way.
const RENEWAL_WAIT: Duration = Duration::from_secs(1);
