//! A provider under test with its clock, and the calls that most tests make.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::double::Double;
use crate::clock::{Clock as _, ManualClock, UnixTime};
use crate::identity::ClaimMapping;
use crate::provider::outgoing_proxy::OutgoingProxies;
use crate::provider::settings::{
    ClientAuth, Endpoints, LogoutStyle, LogoutTokenType, OAuth2Identity, ProviderKind, ProviderSettings, ResponseMode,
    UserinfoUse,
};
use crate::provider::{CodeExchange, Provider, ProviderError, RefreshRequest, Refreshed, SignIn};
use crate::secret::Secret;
use crate::tls_version::MinTlsVersion;

/// A provider under test and its clock.
pub(super) struct Fixture {
    pub(super) provider: Provider,
    pub(super) clock: Arc<ManualClock>,
}

impl Fixture {
    pub(super) fn openid(double: &Double) -> Self {
        Self::openid_with(double, |_| {})
    }

    pub(super) fn openid_with(double: &Double, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let kind = ProviderKind::Oidc { issuer: double.origin.clone(), overrides: Endpoints::default() };
        Self::new(kind, change)
    }

    pub(super) fn plain_with(
        double: &Double,
        identity: OAuth2Identity,
        change: impl FnOnce(&mut ProviderSettings),
    ) -> Self {
        let endpoints = Endpoints {
            authorization_endpoint: Some(double.url("/authorize")),
            token_endpoint: Some(double.url("/token")),
            userinfo_endpoint: Some(double.url("/userinfo")),
            introspection_endpoint: Some(double.url("/introspect")),
            ..Endpoints::default()
        };
        Self::new(ProviderKind::OAuth2 { endpoints, identity }, change)
    }

    pub(super) fn new(kind: ProviderKind, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let clock = ManualClock::starting_at(UnixTime::from_secs(START));
        let mut settings = settings(kind);
        change(&mut settings);
        Self { provider: Provider::new(settings, Arc::clone(&clock) as _).unwrap(), clock }
    }

    /// Lets time pass until it is so many seconds after the epoch.
    pub(super) fn later_until(&self, seconds: u64) {
        self.clock.advance(UnixTime::from_secs(seconds).since(self.clock.now()));
    }

    pub(super) async fn redeem(&self) -> Result<SignIn, ProviderError> {
        self.redeem_iss(None).await
    }

    pub(super) async fn redeem_iss(&self, iss: Option<&str>) -> Result<SignIn, ProviderError> {
        self.redeem_code("code-1", iss).await
    }

    pub(super) async fn redeem_code(&self, code: &str, iss: Option<&str>) -> Result<SignIn, ProviderError> {
        let (code, verifier) = (Secret::from(code), Secret::from("verifier-1"));
        let issuer = self.provider.check_iss(iss, true).await?;
        let exchange = CodeExchange {
            code: &code,
            issuer: &issuer,
            redirect_uri: REDIRECT,
            verifier: &verifier,
            nonce: NONCE,
            max_age: None,
            acr_values: &[],
        };
        self.provider.redeem(&exchange).await
    }

    /// The reason code of a sign-in that has to fail.
    pub(super) async fn refusal(&self) -> &'static str {
        self.redeem().await.map(|s| s.claims).unwrap_err().code()
    }

    pub(super) async fn refresh(&self, claims: &Value) -> Result<Refreshed, ProviderError> {
        let token = Secret::from("refresh-1");
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let request = RefreshRequest {
            refresh_token: &token,
            issuer,
            claims: claims.as_object().unwrap(),
            asked: None,
            nonce: Some(NONCE),
            auth_time: None,
            scope: Some("openid email"),
        };
        self.provider.refresh(&request).await
    }
}

pub(crate) fn settings(kind: ProviderKind) -> ProviderSettings {
    ProviderSettings {
        name: Arc::from("corp"),
        redirect_path: "/_vestibule/callback".to_owned(),
        title: "Corp".to_owned(),
        kind,
        discovery_url: None,
        allowed_tenants: Vec::new(),
        client_id: "client".to_owned(),
        client_auth: ClientAuth::Basic(Secret::from("client-secret-of-at-least-32-bytes")),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        pkce: true,
        authorization_params: std::collections::BTreeMap::new(),
        login_params: Vec::new(),
        response_mode: ResponseMode::Query,
        quirks: Vec::new(),
        prompt: None,
        max_age: None,
        acr_values: Vec::new(),
        resource: Vec::new(),
        roots: Vec::new(),
        outgoing: OutgoingProxies::default(),
        timeout: Duration::from_secs(5),
        audiences: Vec::new(),
        id_token_algorithms: Vec::new(),
        userinfo_algorithms: Vec::new(),
        jwks: None,
        jwks_min_interval: Duration::from_secs(60),
        default_expires_in: Duration::from_secs(600),
        userinfo: UserinfoUse::Never,
        userinfo_every: None,
        tls_min_version: MinTlsVersion::default(),
        logout: LogoutStyle::Auto,
        logout_token_typ: LogoutTokenType::Any,
        clock_leeway: Duration::from_secs(60),
        claims: ClaimMapping::default(),
        needed_claims: Vec::new(),
        deciding_claims: Vec::new(),
        insecure_http: false,
    }
}

pub(super) const START: u64 = 1_800_000_000;
pub(super) const REDIRECT: &str = "https://app.example.com/_vestibule/callback";
pub(super) const NONCE: &str = "n-0S6_WzA2Mj";
