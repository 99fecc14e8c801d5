//! From a code to a signed-in person, and from a refresh token to the next token set.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{Endpoint, FailureClass, ProviderError};
use crate::provider::id_token::{AtSignIn, Before, Expected, IdTokenError};
use crate::provider::metadata::Metadata;
use crate::provider::settings::{OAuth2Identity, ProviderKind};
use crate::provider::standing::Area;
use crate::provider::token::TokenSet;
use crate::secret::Secret;

/// What a callback brought, and what its login attempt remembered.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a Secret<String>,
    /// The callback's `iss` parameter.
    pub iss: Option<&'a str>,
    /// Whether no other provider has the same redirect URI (IS-03).
    pub own_redirect: bool,
    /// Byte for byte what the authorization request said (OA-02).
    pub redirect_uri: &'a str,
    /// The attempt's PKCE verifier.
    pub verifier: &'a Secret<String>,
    /// The attempt's nonce.
    pub nonce: &'a str,
    /// The `max_age` that the authorization request asked for besides the provider's own.
    pub max_age: Option<Duration>,
}

/// Somebody has signed in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The tokens.
    pub tokens: TokenSet,
    /// The issuer; with the subject, the key of a person.
    pub issuer: Arc<str>,
    /// Claims of the ID token and, where it was asked, of userinfo or introspection. Empty for a provider that tells nothing.
    pub claims: Claims,
    /// When the person last proved who they are, if the ID token says so.
    pub auth_time: Option<UnixTime>,
}

/// What a session knows when it is due for a refresh.
#[derive(Debug)]
pub struct RefreshRequest<'a> {
    /// The session's refresh token. Goes nowhere but to this provider's token endpoint (RF-05).
    pub refresh_token: &'a Secret<String>,
    /// The issuer of the session's identity.
    pub issuer: &'a str,
    /// The session's claims: the new ones have to be about the same person.
    pub claims: &'a Claims,
    /// The nonce of the sign-in.
    pub nonce: Option<&'a str>,
    /// The `auth_time` of the sign-in.
    pub auth_time: Option<UnixTime>,
    /// What is granted so far.
    pub scope: Option<&'a str>,
}

/// A session's next token set.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The tokens; the refresh token is the one to use next, whether it changed or not.
    pub tokens: TokenSet,
    /// The claims that replace the session's; `None`: the identity stays as it is (RF-11).
    pub claims: Option<Claims>,
}

impl Provider {
    /// Redeems a code, proves who signed in, and gathers their claims. The caller has checked the state before (OA-03).
    ///
    /// # Errors
    /// Whatever the provider did wrong, or its absence. In any case the code is spent: it must not be sent again (OA-10).
    pub async fn redeem(&self, exchange: &CodeExchange<'_>) -> Result<SignIn, ProviderError> {
        let sign_in = self.reported(self.redeem_code(exchange).await)?;
        for area in [Area::SignIn, Area::Endpoint(Endpoint::Authorization)] {
            self.transport.standing.works(area);
        }
        Ok(sign_in)
    }

    async fn redeem_code(&self, exchange: &CodeExchange<'_>) -> Result<SignIn, ProviderError> {
        self.check_iss(exchange.iss, exchange.own_redirect).await?;
        let metadata = self.metadata.get(&self.transport).await?;
        let mut form: Vec<(&'static str, Cow<'_, str>)> = vec![
            ("grant_type", "authorization_code".into()),
            ("code", exchange.code.expose().as_str().into()),
            ("redirect_uri", exchange.redirect_uri.into()),
        ];
        if self.settings.pkce {
            form.push(("code_verifier", exchange.verifier.expose().as_str().into()));
        }
        form.extend(self.resources());
        let requested = self.requested_scope();
        let mut tokens = self.request_tokens(&metadata, form, Some(&requested)).await?;
        let (claims, auth_time) = match &self.settings.kind {
            ProviderKind::Oidc { .. } => self.openid_sign_in(&metadata, &tokens, exchange).await?,
            ProviderKind::OAuth2 { identity, .. } => {
                tokens.id_token = None; // there is no telling whose it would be
                (self.plain_claims(&metadata, &mut tokens, *identity).await?, None)
            }
        };
        let issuer = metadata.issuer.of_token(&claims)?;
        // IS-04: the callback may have named another tenant of the same provider.
        if metadata.issuer.is_template() && exchange.iss.is_some_and(|iss| *iss != *issuer) {
            return Err(ProviderError::IssuerMismatch);
        }
        Ok(SignIn { tokens, issuer, claims, auth_time })
    }

    async fn openid_sign_in(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        exchange: &CodeExchange<'_>,
    ) -> Result<(Claims, Option<UnixTime>), ProviderError> {
        let id_token = tokens.id_token.as_ref().ok_or(IdTokenError::Missing)?;
        let signed = self.signed_claims(metadata, id_token.expose()).await?;
        let at_sign_in = AtSignIn {
            nonce: exchange.nonce,
            max_age: self.max_age(exchange.max_age),
            acr_values: &self.settings.acr_values,
        };
        let auth_time = self.expected(metadata, tokens).check_sign_in(&signed, &at_sign_in)?;
        // UI-02: only after the ID token was accepted.
        let mut claims = signed.claims;
        if let Some(told) = self.userinfo_at_sign_in(metadata, tokens, &claims).await? {
            merge(&mut claims, told);
        }
        Ok((claims, auth_time))
    }

    /// Renews a token set: one request, once (RFC 6749 section 6, OpenID Connect Core section 12).
    ///
    /// # Errors
    /// [`ProviderError::class`] says what becomes of the session.
    pub async fn refresh(&self, request: &RefreshRequest<'_>) -> Result<Refreshed, ProviderError> {
        self.reported(self.renew(request).await)
    }

    async fn renew(&self, request: &RefreshRequest<'_>) -> Result<Refreshed, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        // RF-01: without a scope, the granted one stays.
        let mut form: Vec<(&'static str, Cow<'_, str>)> = vec![
            ("grant_type", "refresh_token".into()),
            ("refresh_token", request.refresh_token.expose().as_str().into()),
        ];
        form.extend(self.resources());
        let mut tokens = self.request_tokens(&metadata, form, request.scope).await?;
        // RF-02
        let next = tokens.refresh_token.take().unwrap_or_else(|| request.refresh_token.clone());
        tokens.refresh_token = Some(next);
        // From here on the old refresh token may be spent, so only proof that this is somebody else may lose the new one.
        let refreshed = self.refreshed_claims(&metadata, &mut tokens, request).await;
        let claims = match refreshed.and_then(|claims| self.check_same_person(claims, request)) {
            Ok(claims) => claims,
            Err(error) if error.class() == FailureClass::Over => return Err(error),
            Err(error) => {
                self.transport.standing.failed(&error);
                tracing::debug!(code = error.code(), provider = %self.settings.name, %error, "the identity could not be renewed and stays as it was");
                tokens.id_token = None;
                None
            }
        };
        Ok(Refreshed { tokens, claims })
    }

    /// RF-08 by the claim that names people here: `sub` may stay while another claim, which is mapped, becomes somebody else's.
    fn check_same_person(
        &self,
        claims: Option<Claims>,
        request: &RefreshRequest<'_>,
    ) -> Result<Option<Claims>, ProviderError> {
        let mapping = &self.settings.claims;
        match &claims {
            Some(new) if mapping.subject_of(new) != mapping.subject_of(request.claims) => {
                Err(ProviderError::SubjectChanged)
            }
            _ => Ok(claims),
        }
    }

    async fn refreshed_claims(
        &self,
        metadata: &Metadata,
        tokens: &mut TokenSet,
        request: &RefreshRequest<'_>,
    ) -> Result<Option<Claims>, ProviderError> {
        if let ProviderKind::OAuth2 { identity, .. } = &self.settings.kind {
            tokens.id_token = None;
            let claims = self.plain_claims(metadata, tokens, *identity).await?;
            return Ok((*identity != OAuth2Identity::Nobody).then_some(claims));
        }
        let Some(id_token) = &tokens.id_token else { return Ok(None) };
        let signed = self.signed_claims(metadata, id_token.expose()).await?;
        let before = Before {
            issuer: request.issuer,
            claims: request.claims,
            nonce: request.nonce,
            auth_time: request.auth_time,
        };
        self.expected(metadata, tokens).check_refreshed(&signed, &before)?;
        let mut claims = signed.claims;
        if self.wants_userinfo(metadata, &claims) {
            match self.openid_userinfo(metadata, tokens, &claims).await {
                Ok(told) => merge(&mut claims, told),
                // The token is good; what only userinfo tells stays as it was told last.
                Err(error) if error.is_outage() => merge(&mut claims, request.claims.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(claims))
    }

    async fn plain_claims(
        &self,
        metadata: &Metadata,
        tokens: &mut TokenSet,
        identity: OAuth2Identity,
    ) -> Result<Claims, ProviderError> {
        match identity {
            OAuth2Identity::Userinfo => {
                let claims = self.plain_userinfo(metadata, tokens).await?;
                self.transport.standing.works(Area::Endpoint(Endpoint::Userinfo));
                Ok(claims)
            }
            OAuth2Identity::Introspection => {
                let Some(token) = &tokens.access_token else { return Ok(Claims::new()) };
                let claims = self.introspect(token).await?;
                if let Some(scope) = claims.get("scope").and_then(|s| s.as_str()) {
                    tokens.scope = Some(scope.to_owned());
                }
                Ok(claims)
            }
            OAuth2Identity::Nobody => Ok(Claims::new()),
        }
    }

    fn expected<'a>(&'a self, metadata: &'a Metadata, tokens: &'a TokenSet) -> Expected<'a> {
        Expected {
            issuer: &metadata.issuer,
            client_id: &self.settings.client_id,
            audiences: &self.settings.audiences,
            access_token: tokens.access_token.as_ref().map_or("", |t| t.expose()),
            now: self.clock.now(),
            leeway: self.settings.clock_leeway,
        }
    }

    /// IS-05
    fn resources(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.settings.resource.iter().map(|r| ("resource", r.as_str().into()))
    }
}

/// Adds what is not there yet: what the ID token says, signed, is not replaced.
fn merge(claims: &mut Claims, told: Claims) {
    for (name, value) in told {
        claims.entry(name).or_insert(value);
    }
}
