//! A refresh: from a refresh token to the next token set, and to the identity as it is now ([RFC 6749 section 6],
//! [OpenID Connect Core section 12]).
//!
//! 1. One token request, sent once. From its answer on the old refresh token may be spent, so the new one is kept unless
//!    it is proven that the identity is another, or has ended.
//! 2. What the ID token said at the sign-in stays where no new one comes. What userinfo or introspection said is fetched again
//!    (RF-11).
//! 3. Where that fails for now, the tokens are renewed and the identity is not: it stays valid for as long as before.
//!
//! [RFC 6749 section 6]: https://www.rfc-editor.org/rfc/rfc6749#section-6
//! [OpenID Connect Core section 12]: https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokens

use std::sync::Arc;

use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{FailureClass, ProviderError};
use crate::provider::id_token::Before;
use crate::provider::metadata::Metadata;
use crate::provider::settings::{OAuth2Identity, ProviderKind, UserinfoUse};
use crate::provider::token::TokenSet;
use crate::provider::transport::Form;
use crate::secret::Secret;

/// The values of a session that is due for a refresh.
#[derive(Debug)]
pub struct RefreshRequest<'a> {
    /// The session's refresh token. Sent only to this provider's token endpoint (RF-05).
    pub refresh_token: &'a Secret<String>,
    /// The issuer of the session's identity.
    pub issuer: &'a str,
    /// The session's claims: the new ones have to be about the same person.
    pub claims: &'a Claims,
    /// Which of them come from userinfo or introspection.
    pub asked: Option<&'a AskedClaims>,
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
    /// The identity as it is now. An error: it could not be fetched, and the previous one stays valid for as long as before.
    pub identity: Result<RenewedIdentity, Arc<ProviderError>>,
}

/// An identity after a refresh.
#[derive(Clone, Debug)]
pub struct RenewedIdentity {
    /// The claims that replace the session's.
    pub claims: Claims,
    /// Which of them come from userinfo or introspection.
    pub asked: Option<AskedClaims>,
    /// When the person last proved who they are, as far as any ID token said so.
    pub auth_time: Option<UnixTime>,
}

/// The claims of a session that come from userinfo or introspection, not from its ID token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AskedClaims {
    /// Their names. Empty for plain OAuth 2.0, where all claims come from there.
    pub names: Vec<String>,
    /// When they are to be fetched again (`userinfo_every`); `None`: at each refresh.
    pub due: Option<UnixTime>,
}

impl RefreshRequest<'_> {
    /// The claims of the ID token: of the sign-in, or of the last refresh that had one.
    fn signed(&self) -> Claims {
        without_asked(self.claims, self.asked)
    }

    /// The claims of userinfo or introspection.
    fn fetched(&self) -> Claims {
        let names = self.asked.iter().flat_map(|asked| &asked.names);
        names.filter_map(|name| self.claims.get_key_value(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

impl Provider {
    /// Renews a token set: one request, once.
    ///
    /// # Errors
    /// [`ProviderError::class`] says what becomes of the session.
    pub async fn refresh(&self, request: &RefreshRequest<'_>) -> Result<Refreshed, ProviderError> {
        self.reported(self.renew(request).await)
    }

    /// The same without a line in the log.
    async fn renew(&self, request: &RefreshRequest<'_>) -> Result<Refreshed, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        // RF-01: without a scope, the granted one stays.
        let mut form: Form<'_> = vec![
            ("grant_type", "refresh_token".into()),
            ("refresh_token", request.refresh_token.expose().as_str().into()),
        ];
        form.extend(self.resources());
        let mut tokens = self.request_tokens(&metadata, form, request.scope).await?;
        // RF-02
        let next = tokens.refresh_token.take().unwrap_or_else(|| request.refresh_token.clone());
        tokens.refresh_token = Some(next);
        let renewed = self.renewed_identity(&metadata, &mut tokens, request).await;
        let identity = match renewed.and_then(|renewed| self.check_same_person(renewed, request)) {
            Err(error) if error.class() == FailureClass::Over => return Err(error),
            Err(error) => {
                self.transport.incidents.failed(&error);
                tracing::debug!(code = error.code(), provider = %self.settings.name, %error, "the tokens are renewed, but not the identity: it counts until the last access token ends");
                tokens.id_token = None;
                Err(Arc::new(error))
            }
            Ok(renewed) => Ok(renewed),
        };
        Ok(Refreshed { tokens, identity })
    }

    /// RF-08 by the claim that names people here: `sub` may stay while another claim, which is mapped, becomes somebody else's.
    fn check_same_person(
        &self,
        renewed: RenewedIdentity,
        request: &RefreshRequest<'_>,
    ) -> Result<RenewedIdentity, ProviderError> {
        let mapping = &self.settings.claims;
        if mapping.subject_of(&renewed.claims) == mapping.subject_of(request.claims) {
            Ok(renewed)
        } else {
            Err(ProviderError::SubjectChanged)
        }
    }

    /// Who it is now, by the ID token, userinfo or introspection.
    async fn renewed_identity(
        &self,
        metadata: &Metadata,
        tokens: &mut TokenSet,
        request: &RefreshRequest<'_>,
    ) -> Result<RenewedIdentity, ProviderError> {
        if let ProviderKind::OAuth2 { identity, .. } = &self.settings.kind {
            tokens.id_token = None;
            let (claims, asked) = self.plain_claims_again(metadata, tokens, *identity, request).await?;
            return Ok(RenewedIdentity { claims, asked, auth_time: request.auth_time });
        }
        let (mut claims, auth_time) = match &tokens.id_token {
            Some(id_token) => self.refreshed_id_token(metadata, tokens, id_token.expose(), request).await?,
            None => (request.signed(), request.auth_time),
        };
        let asked = self.userinfo_again(metadata, tokens, &mut claims, request).await?;
        Ok(RenewedIdentity { claims, asked, auth_time })
    }

    /// The claims of an ID token that came with a refresh, and the `auth_time` of the sign-in.
    async fn refreshed_id_token(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        id_token: &str,
        request: &RefreshRequest<'_>,
    ) -> Result<(Claims, Option<UnixTime>), ProviderError> {
        let signed = self.signed_claims(metadata, id_token).await?;
        // The token is compared with the token: userinfo may hold an `azp` or an `acr` too.
        let said = request.signed();
        let before =
            Before { issuer: request.issuer, claims: &said, nonce: request.nonce, auth_time: request.auth_time };
        let auth_time = self.expected(metadata, tokens).check_refreshed(&signed, &before)?;
        if auth_time.moved {
            // RF-09
            tracing::info!(
                code = "auth_time_moved",
                provider = %self.settings.name,
                "the auth_time of a refreshed ID token is not that of the sign-in: the older one counts"
            );
        }
        let mut claims = signed.claims;
        // How somebody signed in does not change by a refresh; many providers say it once.
        for name in ["acr", "amr"] {
            if let (None, Some(was)) = (claims.get(name), said.get(name)) {
                claims.insert(name.to_owned(), was.clone());
            }
        }
        Ok((claims, auth_time.at))
    }

    /// Adds what userinfo says now to the claims of an ID token. Where it was a source before, a second refusal ends the session
    /// (UI-05).
    async fn userinfo_again(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        claims: &mut Claims,
        request: &RefreshRequest<'_>,
    ) -> Result<Option<AskedClaims>, ProviderError> {
        let was_source =
            self.settings.userinfo == UserinfoUse::Always || request.asked.is_some_and(|asked| !asked.names.is_empty());
        if self.settings.userinfo == UserinfoUse::Never || !(was_source || self.wants_userinfo(metadata, claims)) {
            return Ok(None);
        }
        if let Some(asked) = request.asked.filter(|asked| !self.is_due(asked)) {
            let names = merge(claims, request.fetched());
            return Ok(Some(AskedClaims { names, ..asked.clone() }));
        }
        match at_most_twice(|| self.openid_userinfo(metadata, tokens, claims)).await {
            Ok(userinfo) => Ok(Some(self.asked(merge(claims, userinfo)))),
            // The sign-in went on without it, so nothing is missing while it is away.
            Err(error) if error.is_outage() && !was_source && self.wants_userinfo(metadata, request.claims) => {
                self.transport.incidents.failed(&error);
                Ok(None)
            }
            Err(error) if error.is_outage() => Err(error),
            Err(error) if was_source => Err(ProviderError::IdentityRefused(Arc::new(error))),
            Err(error) => self.without_userinfo(error, claims).map(|()| None),
        }
    }

    /// The claims of plain OAuth 2.0, all of which come from userinfo or introspection.
    async fn plain_claims_again(
        &self,
        metadata: &Metadata,
        tokens: &mut TokenSet,
        identity: OAuth2Identity,
        request: &RefreshRequest<'_>,
    ) -> Result<(Claims, Option<AskedClaims>), ProviderError> {
        if let Some(asked) = request.asked.filter(|asked| !self.is_due(asked)) {
            return Ok((request.claims.clone(), Some(asked.clone())));
        }
        let claims = match identity {
            OAuth2Identity::Userinfo => match at_most_twice(|| self.plain_userinfo(metadata, tokens)).await {
                Err(error) if !error.is_outage() => Err(ProviderError::IdentityRefused(Arc::new(error))),
                answer => answer,
            },
            other => self.plain_claims(metadata, tokens, other).await,
        };
        Ok((claims?, Some(self.asked(Vec::new()))))
    }

    /// Whether to fetch them again. A moment further ahead than the interval itself was written by a clock that has been set
    /// back since, or under a longer interval.
    fn is_due(&self, asked: &AskedClaims) -> bool {
        let (Some(due), Some(every), now) = (asked.due, self.settings.userinfo_every, self.clock.now()) else {
            return true;
        };
        now >= due || due.since(now) > every
    }

    /// That the claims of these names were fetched just now.
    pub(super) fn asked(&self, names: Vec<String>) -> AskedClaims {
        AskedClaims { names, due: self.settings.userinfo_every.map(|every| self.clock.now().plus(every)) }
    }
}

/// The claims of an ID token, among which userinfo's were merged.
pub(super) fn without_asked(claims: &Claims, asked: Option<&AskedClaims>) -> Claims {
    let mut claims = claims.clone();
    for name in asked.iter().flat_map(|asked| &asked.names) {
        claims.remove(name);
    }
    claims
}

/// Asks, and once more after a refusal: a new access token may not be known everywhere at once (UI-05).
async fn at_most_twice<F>(ask: impl Fn() -> F) -> Result<Claims, ProviderError>
where
    F: Future<Output = Result<Claims, ProviderError>>,
{
    match ask().await {
        Err(error) if !error.is_outage() => ask().await,
        answer => answer,
    }
}

/// Adds the claims that are not there yet and gives their names: signed claims of the ID token are not replaced.
pub(super) fn merge(claims: &mut Claims, more: Claims) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in more {
        if claims.get(&name).is_none_or(Value::is_null) {
            names.push(name.clone());
            claims.insert(name, value);
        }
    }
    names
}
