//! The userinfo endpoint (OpenID Connect Core section 5.3), and its plain OAuth 2.0 kin: GET with the access token.
//!
//! Claims by reference (`_claim_sources`) are never followed: that would let a provider send us anywhere (UI-10).

use http::StatusCode;
use serde_json::Value;

use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError};
use crate::provider::id_token::{audiences, time};
use crate::provider::metadata::Metadata;
use crate::provider::settings::UserinfoUse;
use crate::provider::token::TokenSet;

impl Provider {
    /// Whether to ask: always, never, or when a claim that somebody configured is missing.
    pub(super) fn wants_userinfo(&self, metadata: &Metadata, claims: &Claims) -> bool {
        match self.settings.userinfo {
            UserinfoUse::Always => true,
            UserinfoUse::Never => false,
            UserinfoUse::Auto => {
                let mapping = &self.settings.claims;
                let own = [&mapping.subject, &mapping.user, &mapping.email, &mapping.name, &mapping.groups];
                let mut wanted = own.into_iter().chain(&self.settings.needed_claims);
                metadata.userinfo_endpoint.is_some() && wanted.any(|path| path.find(claims).is_none())
            }
        }
    }

    /// Userinfo about the subject of an accepted ID token, and about nobody else (UI-01).
    pub(super) async fn openid_userinfo(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        id_token: &Claims,
    ) -> Result<Claims, ProviderError> {
        let told = self.plain_userinfo(metadata, tokens).await?;
        let same = told.get("sub").is_some_and(|sub| sub.is_string() && Some(sub) == id_token.get("sub"));
        if same { Ok(told) } else { Err(bad(AnswerFault::Subject)) }
    }

    /// Userinfo as it is told; for plain OAuth 2.0 it is the identity.
    pub(super) async fn plain_userinfo(&self, metadata: &Metadata, tokens: &TokenSet) -> Result<Claims, ProviderError> {
        let url = metadata.userinfo_endpoint.as_ref().ok_or(ProviderError::NoEndpoint(Endpoint::Userinfo))?;
        let accept = "application/json, application/jwt;q=0.9";
        let reply = self.transport.get(Endpoint::Userinfo, url, accept, tokens.access_token.as_ref()).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(bad(AnswerFault::Unauthorized)),
            status => return Err(bad(AnswerFault::Status(status.as_u16()))),
        }
        if reply.media_type().as_deref() != Some("application/jwt") {
            return reply.json().map_err(bad);
        }
        let token = std::str::from_utf8(&reply.body).map_err(|_| bad(AnswerFault::Json))?;
        let claims = self.signed_claims(metadata, token.trim()).await?.claims;
        self.check_signed(metadata, &claims).map_err(bad)?;
        Ok(claims)
    }

    /// UI-03: issuer, audience and expiry of a signed answer, as far as they are there.
    fn check_signed(&self, metadata: &Metadata, claims: &Claims) -> Result<(), AnswerFault> {
        let wrong_issuer = claims.get("iss").is_some_and(|iss| iss.as_str() != Some(&*metadata.issuer));
        let wrong_audience = claims.contains_key("aud")
            && !audiences(claims).is_some_and(|list| list.contains(&self.settings.client_id.as_str()));
        let expired = match time(claims, "exp") {
            Ok(exp) => exp.is_some_and(|exp| exp.plus(self.settings.clock_leeway) <= self.clock.now()),
            Err(_) => true,
        };
        // An ID token is signed by the same key; it has no place here (RFC 8725 section 3.12).
        let is_id_token = claims.get("nonce").is_some_and(Value::is_string);
        if (wrong_issuer && metadata.issuer_is_known) || wrong_audience || expired || is_id_token {
            return Err(AnswerFault::SignedClaims);
        }
        Ok(())
    }
}

fn bad(fault: AnswerFault) -> ProviderError {
    ProviderError::BadAnswer { endpoint: Endpoint::Userinfo, fault }
}
