//! UserInfo answers that are signed
//! ([OpenID Connect Core section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.3.2)). They are
//! registered and discovered apart from ID tokens (OpenID Connect Registration section 2), so they have algorithms and errors
//! of their own.

use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::algorithm::Algorithm;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError, UserinfoTokenError};
use crate::provider::id_token::{audiences, time};
use crate::provider::jwt::Jws;
use crate::provider::metadata::Metadata;

impl Provider {
    /// The claims of a signed answer: the signature, and issuer, audience and expiry as far as they are there (UI-03).
    pub(super) async fn signed_userinfo(&self, metadata: &Metadata, token: &str) -> Result<Claims, ProviderError> {
        let jws = Jws::parse(token).map_err(UserinfoTokenError::from)?;
        let allowed = self.allowed_for_userinfo(metadata);
        if !allowed.contains(&jws.algorithm) {
            let expected = allowed.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ");
            return Err(UserinfoTokenError::Algorithm { came: jws.algorithm.name(), expected }.into());
        }
        let signed = self.verified(metadata, &jws).await.map_err(|error| match error {
            ProviderError::IdToken(fault) => UserinfoTokenError::from(fault).into(),
            ProviderError::NoEndpoint(Endpoint::KeySet) => UserinfoTokenError::NoKeySet.into(),
            other => other,
        })?;
        self.check_userinfo(metadata, &signed.claims)?;
        Ok(signed.claims)
    }

    /// Whether answers have to be signed, because the client is registered so (UI-04).
    pub(super) fn expects_signed_userinfo(&self) -> bool {
        !self.userinfo_algorithms.is_empty()
    }

    /// What is configured, else what is discovered for UserInfo, else what ID tokens may be signed with.
    fn allowed_for_userinfo(&self, metadata: &Metadata) -> Vec<Algorithm> {
        if !self.userinfo_algorithms.is_empty() {
            return self.userinfo_algorithms.clone();
        }
        metadata.userinfo_algorithms.clone().unwrap_or_else(|| self.allowed_algorithms(metadata))
    }

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
