//! All sessions: found by cookie, begun, renewed, ended. The warm path is one look-up.

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use moka::sync::Cache;

use crate::clock::SharedClock;
use crate::control::Control;
use crate::identity::kept::ReadClaims;
use crate::identity::{ClaimMapping, IdentityError};
use crate::provider::{Provider, ProviderError, SignIn};
use crate::proxy::identity_headers::IdentityHeaderSets;
use crate::request::cookies::CookieScan;
use crate::secret::Secret;
use crate::session::claims_log::{ClaimsLog, log_nobody};
use crate::session::cookie_store::CookieStore;
use crate::session::jar::{Jar, SessionTooLarge};
use crate::session::live::LiveSession;
use crate::session::registry::Registry;
use crate::session::settings::{SessionSettings, TokenKinds};
use crate::session::store::{EndHasher, Handle, HandleEnd, SessionStore, Site};
use crate::session::weight;
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
    pub(super) store: CookieStore,
    pub(super) jar: Jar,
    pub(super) live: Cache<HandleEnd, Arc<LiveSession>, BuildHasherDefault<EndHasher>>,
    providers: Vec<Arc<Provider>>,
    pub(super) identity_headers: IdentityHeaderSets,
    /// The tokens that some set of identity headers forwards.
    pub(super) forwarded: TokenKinds,
    /// Of a provider that is not there.
    default_mapping: ClaimMapping,
    /// By provider: what a session keeps of the claims.
    pub(super) reads: Vec<ReadClaims>,
    pub(super) claims_log: ClaimsLog,
}

/// What sessions are built from.
#[derive(Debug)]
pub struct SessionParts {
    /// The configuration.
    pub settings: SessionSettings,
    /// Our cookies.
    pub jar: Jar,
    /// Where sessions are kept.
    pub store: CookieStore,
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
            .build_with_hasher(BuildHasherDefault::default());
        let SessionParts { settings, jar, store, registry, providers, identity_headers, clock, control, telemetry } =
            parts;
        let reads = providers.iter().map(|provider| provider.settings());
        let reads = reads.map(|of| ReadClaims::new(&of.claims, &of.needed_claims)).collect();
        let forwarded = TokenKinds {
            access: identity_headers.forward_access_token(),
            refresh: false,
            id_token: identity_headers.forward_id_token(),
        };
        Arc::new(Self {
            settings,
            registry,
            clock,
            control,
            telemetry,
            store,
            jar,
            live,
            providers,
            identity_headers,
            forwarded,
            default_mapping: ClaimMapping::default(),
            reads,
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
        let now = self.clock.now();
        let settings = self.provider(site.provider).map(|provider| provider.settings());
        let tokens = sign_in.tokens;
        let life = tokens.expires_in;
        let tokens_end_early =
            tokens.refresh_token.is_none() && self.settings.keep.refresh && life < self.settings.lifetime;
        let session = Session {
            id: SessionId::random(),
            provider: settings.map_or_else(|| Arc::from(""), |settings| Arc::clone(&settings.name)),
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
        let begun = self.prepared(session, site.provider);
        if let Some(settings) = settings {
            if tokens_end_early {
                self.claims_log.no_refresh_token(settings, life, self.settings.lifetime);
            }
            match &begun {
                Ok((_, identity)) => self.claims_log.signed_in(settings, &claims, identity),
                Err(error) => log_nobody(settings, &claims, *error),
            }
        }
        let (session, identity) = begun?;
        let handle = self.store.create(site, &session, now).await;
        Ok(self.insert(session, identity, handle, site))
    }

    /// A session that was begun a moment ago, maybe under another configuration; none if it does not belong here any more.
    pub async fn adopt(&self, handle: &Handle, site: Site<'_>) -> Option<Arc<LiveSession>> {
        self.by_handle(handle.as_str(), site, self.clock.now()).await.ok()
    }

    /// The `Set-Cookie` lines that hand a session to the browser, and take away what is stale of it.
    ///
    /// # Errors
    /// [`SessionTooLarge`], when no set of cookies can hold it.
    pub async fn set_cookies(
        &self,
        live: &LiveSession,
        scan: &CookieScan,
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let cookies = self.carried(scan, live.site(), self.clock.now()).set_cookies(&live.handle).await?;
        self.telemetry.metrics.session_written(live.handle.as_str().len());
        Ok(cookies)
    }

    /// The same where the browser sent no session cookie because another site made it ask.
    ///
    /// # Errors
    /// As of [`set_cookies`](Self::set_cookies).
    pub fn set_cookies_unseen(&self, live: &LiveSession) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let cookies = self.jar.set_cookies_unseen(live.provider, &live.handle)?;
        self.telemetry.metrics.session_written(live.handle.as_str().len());
        Ok(cookies)
    }

    /// Ends every other session that a browser carries when it gets this one: what stood there before the sign-in, whoever put
    /// it there, opens nothing afterwards (CK-16, AT-LF-07). Their tokens are only forgotten: at some providers, revoking them
    /// would take the new ones along.
    pub async fn replace_carried(&self, live: &LiveSession, scan: &CookieScan) {
        for old in self.carried(scan, live.site(), self.clock.now()).sessions().await {
            if old.id != live.id {
                self.store.end(&old.id, self.owner_of(&old, live.provider)).await;
            }
        }
    }

    /// The `Set-Cookie` lines that take a provider's session away.
    pub fn clear_cookies(&self, provider: usize, scan: &CookieScan) -> Vec<HeaderValue> {
        self.jar.clear(provider, scan)
    }

    /// Ends a session here, at once, for every copy of its cookies. Its tokens stay good until they are
    /// [revoked](Self::revoke).
    pub async fn end(&self, live: &LiveSession) {
        self.store.end(&live.id, live.owner()).await;
        self.live.invalidate(&live.handle.end());
    }

    /// Revokes the tokens of a session that has ended (RF-13, TK-05). Nothing is left to run in the background, where it could
    /// take the tokens of the next sign-in along; whoever calls this on the control runtime says how long it may take.
    pub async fn revoke(&self, live: &LiveSession) {
        // A renewal under way brings tokens that the session's end does not know of (AT-LG-12).
        let _ = tokio::time::timeout(RENEWAL_WAIT, self.registry.renewals.ended(&live.id)).await;
        // A cookie from before the last renewal may be the one that signs out: the newest token is the one to be revoked.
        let newest = self.latest(live, self.clock.now()).await;
        let Some(Session { tokens, .. }) = self.whole(newest.as_deref().unwrap_or(live)).await else { return };
        let Some(provider) = self.provider(live.provider) else { return };
        if let Err(error) = provider.sign_out(tokens.refresh.as_ref(), tokens.access.as_ref()).await {
            tracing::debug!(code = error.code(), provider = %provider.name(), %error, "a session's tokens could not be revoked at the provider");
        }
    }

    /// The ID token of a session, as a hint of whom to sign out at the provider.
    pub async fn id_token(&self, live: &LiveSession) -> Option<Secret<String>> {
        self.whole(live).await?.tokens.id_token
    }

    /// All of a session, tokens too. A cookie that opened here opens again: neither the keys nor its bytes have changed.
    pub(super) async fn whole(&self, live: &LiveSession) -> Option<Session> {
        let loaded = self.store.load(live.site(), live.handle.as_str(), TokenKinds::ALL, self.clock.now()).await;
        loaded.ok().map(|loaded| loaded.session)
    }

    pub(super) fn provider(&self, provider: usize) -> Option<&Arc<Provider>> {
        self.providers.get(provider)
    }

    /// Which claims name the people of a provider.
    pub(super) fn mapping(&self, provider: usize) -> &ClaimMapping {
        self.provider(provider).map_or(&self.default_mapping, |provider| &provider.settings().claims)
    }
}

/// How long a sign-out waits for a renewal under way.
const RENEWAL_WAIT: Duration = Duration::from_secs(1);
