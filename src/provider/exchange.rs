//! The code exchange: from an authorization code to a signed-in person.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::authorize::CheckedIssuer;
use crate::provider::error::{Area, Endpoint, IdTokenError, ProviderError};
use crate::provider::id_token::{Expected, check_acr};
use crate::provider::metadata::Metadata;
use crate::provider::refresh::{AskedClaims, merge};
use crate::provider::settings::{OAuth2Identity, ProviderKind};
use crate::provider::token::TokenSet;
use crate::provider::transport::Form;
use crate::secret::Secret;

/// The parameters of a callback, and the values that its login attempt kept.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a Secret<String>,
    /// Whose answer the callback is.
    pub issuer: &'a CheckedIssuer,
    /// Byte for byte what the authorization request said (OA-02).
    pub redirect_uri: &'a str,
    /// The attempt's PKCE verifier.
    pub verifier: &'a Secret<String>,
    /// The attempt's nonce.
    pub nonce: &'a str,
    /// The `max_age` that the authorization request asked for besides the provider's own.
    pub max_age: Option<Duration>,
    /// The authentication contexts that it asked for in place of the provider's own: the ID token has to name one of them.
    pub acr_values: &'a [&'a str],
}

/// Somebody has signed in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The tokens.
    pub tokens: TokenSet,
    /// The issuer; with the subject, the key of a person.
    pub issuer: Arc<str>,
    /// Claims of the ID token, and of userinfo or introspection where it was called. Empty for a provider without any of them.
    pub claims: Claims,
    /// Which of the claims come from userinfo or introspection.
    pub asked: Option<AskedClaims>,
    /// When the person last proved who they are, if the ID token says so.
    pub auth_time: Option<UnixTime>,
}

impl Provider {
    /// Redeems a code, validates the ID token, and gathers the claims. The caller has checked the state before (OA-03).
    ///
    /// # Errors
    /// What the provider answered, or its outage. In any case the code is spent: it must not be sent again (OA-10).
    pub async fn redeem(&self, exchange: &CodeExchange<'_>) -> Result<SignIn, ProviderError> {
        let sign_in = self.reported(self.redeem_code(exchange).await)?;
        for area in [Area::SignIn, Area::Endpoint(Endpoint::Authorization)] {
            self.transport.incidents.works(area);
        }
        Ok(sign_in)
    }

    /// The same without a line in the log.
    async fn redeem_code(&self, exchange: &CodeExchange<'_>) -> Result<SignIn, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        let mut form: Form<'_> = vec![
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
        let (claims, asked, auth_time) = match &self.settings.kind {
            ProviderKind::Oidc { .. } => self.openid_sign_in(&metadata, &tokens, exchange).await?,
            ProviderKind::OAuth2 { identity, .. } => {
                tokens.id_token = None; // nothing says whose it would be
                let claims = self.plain_claims(&metadata, &mut tokens, *identity).await?;
                (claims, Some(self.asked(Vec::new())), None)
            }
        };
        let issuer = metadata.issuer.of_token(&claims)?;
        // IS-04: the callback may have named another tenant of the same provider.
        if metadata.issuer.is_template() && exchange.issuer.named().is_some_and(|iss| *iss != *issuer) {
            return Err(ProviderError::IssuerMismatch);
        }
        Ok(SignIn { tokens, issuer, claims, asked, auth_time })
    }

    /// The claims of the ID token and of userinfo, which of them are userinfo's, and `auth_time`.
    async fn openid_sign_in(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        exchange: &CodeExchange<'_>,
    ) -> Result<(Claims, Option<AskedClaims>, Option<UnixTime>), ProviderError> {
        let id_token = tokens.id_token.as_ref().ok_or(IdTokenError::Missing)?;
        let signed = self.signed_claims(metadata, id_token.expose()).await?;
        let (expected, max_age) = (self.expected(metadata, tokens), self.max_age(exchange.max_age));
        let auth_time = expected.check_sign_in(&signed, exchange.nonce, max_age)?;
        check_acr(&signed.claims, exchange.acr_values)?;
        // UI-02: only after the ID token was accepted.
        let mut claims = signed.claims;
        let userinfo = self.userinfo_at_sign_in(metadata, tokens, &claims).await?;
        let asked = userinfo.map(|userinfo| self.asked(merge(&mut claims, userinfo)));
        Ok((claims, asked, auth_time))
    }

    /// The claims of plain OAuth 2.0.
    pub(super) async fn plain_claims(
        &self,
        metadata: &Metadata,
        tokens: &mut TokenSet,
        identity: OAuth2Identity,
    ) -> Result<Claims, ProviderError> {
        match identity {
            OAuth2Identity::Userinfo => {
                let claims = self.plain_userinfo(metadata, tokens).await?;
                self.transport.incidents.works(Area::Endpoint(Endpoint::Userinfo));
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

    /// What an ID token of these tokens must match.
    pub(super) fn expected<'a>(&'a self, metadata: &'a Metadata, tokens: &'a TokenSet) -> Expected<'a> {
        Expected {
            issuer: &metadata.issuer,
            client_id: &self.settings.client_id,
            audiences: &self.settings.audiences,
            acr_values: &self.settings.acr_values,
            access_token: tokens.access_token.as_ref().map_or("", |t| t.expose()),
            now: self.clock.now(),
            leeway: self.settings.clock_leeway,
        }
    }

    /// IS-05
    pub(super) fn resources(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.settings.resource.iter().map(|r| ("resource", r.as_str().into()))
    }
}
