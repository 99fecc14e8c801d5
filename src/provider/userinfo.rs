//! The userinfo endpoint
//! ([OpenID Connect Core section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.3)), and that of
//! plain OAuth 2.0: GET with the access token.
//!
//! Claims by reference (`_claim_sources`) are never followed: that would let a provider send us anywhere (UI-10).

use http::StatusCode;
use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::{ClaimPath, Claims};
use crate::provider::Provider;
use crate::provider::algorithm::Algorithm;
use crate::provider::error::{AnswerFault, Area, Endpoint, IdTokenError, ProviderError, UserinfoTokenError};
use crate::provider::id_token::{audiences, time};
use crate::provider::jwt::Jws;
use crate::provider::metadata::Metadata;
use crate::provider::settings::UserinfoUse;
use crate::provider::token::TokenSet;

impl Provider {
    /// Whether to call it: always, never, or when a claim that is used here is missing.
    pub(super) fn wants_userinfo(&self, metadata: &Metadata, claims: &Claims) -> bool {
        match self.settings.userinfo {
            UserinfoUse::Always => true,
            UserinfoUse::Never => false,
            UserinfoUse::Auto => {
                metadata.endpoints.userinfo_endpoint.is_some() && self.missing_claims(claims).next().is_some()
            }
        }
    }

    /// The subject, and the claims that routes use, as far as they are missing. Other claims of the mapping are not used.
    fn missing_claims(&self, claims: &Claims) -> impl Iterator<Item = &ClaimPath> {
        let needed = std::iter::once(&self.settings.claims.subject).chain(&self.settings.needed_claims);
        needed.filter(|path| path.find(claims).is_none_or(Value::is_null))
    }

    /// What userinfo adds to an accepted ID token (UI-02), where it is called. Under `auto` a refusal leaves the missing claims
    /// absent and is a warning: the sign-in does not depend on it (UI-05).
    pub(super) async fn userinfo_at_sign_in(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        id_token: &Claims,
    ) -> Result<Option<Claims>, ProviderError> {
        if !self.wants_userinfo(metadata, id_token) {
            return Ok(None);
        }
        match self.openid_userinfo(metadata, tokens, id_token).await {
            Err(error) => self.without_userinfo(error, id_token).map(|()| None),
            Ok(userinfo) => Ok(Some(userinfo)),
        }
    }

    /// Goes on without userinfo where it refused and nothing depends on it, and warns; other failures stay what they are.
    pub(super) fn without_userinfo(&self, error: ProviderError, id_token: &Claims) -> Result<(), ProviderError> {
        if self.settings.userinfo != UserinfoUse::Auto || !error.is_userinfo_refusal() {
            return Err(error);
        }
        if self.transport.incidents.is_news(&error) {
            let missing: Vec<String> = self.missing_claims(id_token).map(ToString::to_string).collect();
            tracing::warn!(
                code = error.code(), provider = %self.settings.name, %error, missing = missing.join(", "),
                "userinfo was refused: sign-ins go on without the claims that only it has"
            );
        }
        Ok(())
    }

    /// Userinfo about the subject of an accepted ID token; about another subject it is an error (UI-01).
    pub(super) async fn openid_userinfo(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        id_token: &Claims,
    ) -> Result<Claims, ProviderError> {
        let userinfo = self.plain_userinfo(metadata, tokens).await?;
        let same = userinfo.get("sub").is_some_and(|sub| sub.is_string() && Some(sub) == id_token.get("sub"));
        if !same {
            return Err(AnswerFault::Subject.at(Endpoint::Userinfo));
        }
        self.transport.incidents.works(Area::Endpoint(Endpoint::Userinfo));
        Ok(userinfo)
    }

    /// Userinfo as it is answered; for plain OAuth 2.0 it is the identity.
    pub(super) async fn plain_userinfo(&self, metadata: &Metadata, tokens: &TokenSet) -> Result<Claims, ProviderError> {
        let url = metadata.endpoints.userinfo_endpoint.as_ref().ok_or(ProviderError::NoEndpoint(Endpoint::Userinfo))?;
        let accept = "application/json, application/jwt;q=0.9";
        let reply = self.transport.get(Endpoint::Userinfo, url, accept, tokens.access_token.as_ref()).await?;
        let refused = |fault| ProviderError::BadAnswer { endpoint: Endpoint::Userinfo, fault, words: reply.words() };
        match reply.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(refused(AnswerFault::Unauthorized)),
            status => return Err(refused(AnswerFault::Status(status.as_u16()))),
        }
        if reply.media_type().as_deref() == Some("application/jwt") {
            let token = std::str::from_utf8(&reply.body).map_err(|_| AnswerFault::Json.at(Endpoint::Userinfo))?;
            return self.signed_userinfo(metadata, token.trim()).await;
        }
        let claims = reply.json().map_err(|fault| fault.at(Endpoint::Userinfo))?;
        // Some refuse with status 200.
        if claims.get("error").is_some_and(Value::is_string) && self.settings.claims.subject.find(&claims).is_none() {
            return Err(AnswerFault::Unauthorized.at(Endpoint::Userinfo));
        }
        if self.expects_signed_userinfo() {
            return Err(UserinfoTokenError::Unsigned.into());
        }
        Ok(claims)
    }
}

/// Answers that are signed ([OpenID Connect Core section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.3.2)).
/// They are registered and discovered apart from ID tokens, so they have algorithms and errors of their own.
impl Provider {
    /// The claims of a signed answer: the signature, and issuer, audience and expiry as far as they are there (UI-03).
    async fn signed_userinfo(&self, metadata: &Metadata, token: &str) -> Result<Claims, ProviderError> {
        let jws = Jws::parse(token).map_err(UserinfoTokenError::from)?;
        let allowed = self.allowed_for_userinfo(metadata);
        if !allowed.contains(&jws.algorithm) {
            let expected = allowed.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ");
            return Err(UserinfoTokenError::Algorithm { came: jws.algorithm.name(), expected }.into());
        }
        let signed = self.verified(metadata, &jws).await.map_err(|error| match error {
            ProviderError::IdToken(IdTokenError::Jwt(fault)) => UserinfoTokenError::from(fault).into(),
            ProviderError::NoEndpoint(Endpoint::KeySet) => UserinfoTokenError::NoKeySet.into(),
            other => other,
        })?;
        self.check_userinfo(metadata, &signed.claims)?;
        Ok(signed.claims)
    }

    /// Whether answers have to be signed, because the client is registered so (UI-04).
    fn expects_signed_userinfo(&self) -> bool {
        !self.userinfo_algorithms.is_empty()
    }

    /// What is configured, else what is discovered for UserInfo, else what ID tokens may be signed with.
    fn allowed_for_userinfo(&self, metadata: &Metadata) -> Vec<Algorithm> {
        if !self.userinfo_algorithms.is_empty() {
            return self.userinfo_algorithms.clone();
        }
        metadata.userinfo_algorithms.clone().unwrap_or_else(|| self.allowed_algorithms(metadata))
    }

    /// Checks the claims of a signed answer.
    fn check_userinfo(&self, metadata: &Metadata, claims: &Claims) -> Result<(), ProviderError> {
        let wrong_audience = claims.contains_key("aud")
            && !audiences(claims).is_some_and(|list| list.contains(&self.settings.client_id.as_str()));
        let expires = time(claims, "exp");
        let has_expired = |exp: UnixTime| exp.plus(self.settings.clock_leeway) <= self.clock.now();
        // An ID token is signed by the same key; it has no place here (RFC 8725 section 3.12).
        let is_id_token = claims.get("nonce").is_some_and(Value::is_string);
        let fault = match expires {
            _ if metadata.is_contradicted_by(claims) || wrong_audience || is_id_token => AnswerFault::SignedClaims,
            Err(_) => AnswerFault::SignedClaims,
            Ok(Some(exp)) if has_expired(exp) => AnswerFault::SignedExpired,
            Ok(_) => return Ok(()),
        };
        Err(fault.at(Endpoint::Userinfo))
    }
}

impl ProviderError {
    /// Whether the userinfo endpoint refused: neither an outage, nor an answer about another subject or one that cannot be
    /// verified.
    fn is_userinfo_refusal(&self) -> bool {
        matches!(
            self,
            Self::BadAnswer {
                endpoint: Endpoint::Userinfo,
                // Some refuse with a page: a firewall's, or one to sign in with.
                fault: AnswerFault::Unauthorized
                    | AnswerFault::Status(_)
                    | AnswerFault::ContentType
                    | AnswerFault::Json,
                ..
            }
        )
    }
}
