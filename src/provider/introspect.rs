//! Token introspection ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)): whether a token is good, and whose it is. Whatever
//! is not a clear yes is a no (TK-04).

use http::StatusCode;
use serde_json::Value;

use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Area, Endpoint, InactiveReason, ProviderError};
use crate::provider::id_token::{audiences, time};
use crate::provider::metadata::Metadata;
use crate::provider::refusal::refusal;
use crate::secret::Secret;

impl Provider {
    /// Asks about an access token and gives the claims of an active one.
    ///
    /// # Errors
    /// [`ProviderError::Inactive`] when it is not good for us; otherwise the answer could not be had or read.
    pub(super) async fn introspect(&self, token: &Secret<String>) -> Result<Claims, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        let url = metadata
            .endpoints
            .introspection_endpoint
            .as_ref()
            .ok_or(ProviderError::NoEndpoint(Endpoint::Introspection))?;
        let form = vec![("token", token.expose().as_str().into()), ("token_type_hint", "access_token".into())];
        let reply = self.post_as_client(Endpoint::Introspection, url, &metadata, form).await?;
        if reply.status != StatusCode::OK {
            return Err(match refusal(Endpoint::Introspection, &reply) {
                // Its error codes are about the client, not about this token.
                ProviderError::InvalidGrant(_) => {
                    AnswerFault::Status(reply.status.as_u16()).at(Endpoint::Introspection)
                }
                error => error,
            });
        }
        let claims = reply.json().map_err(|fault| fault.at(Endpoint::Introspection))?;
        self.check_active(&metadata, &claims).map_err(ProviderError::Inactive)?;
        self.transport.incidents.works(Area::Endpoint(Endpoint::Introspection));
        Ok(claims)
    }

    /// TK-01, TK-02: `active` is the boolean true; the rest is checked as far as it is there.
    fn check_active(&self, metadata: &Metadata, claims: &Claims) -> Result<(), InactiveReason> {
        if claims.get("active") != Some(&Value::Bool(true)) {
            return Err(InactiveReason::NotActive);
        }
        let (now, leeway) = (self.clock.now(), self.settings.clock_leeway);
        let at = |name| time(claims, name).map_err(|_| InactiveReason::Time);
        if at("exp")?.is_some_and(|exp| exp.plus(leeway) <= now) {
            return Err(InactiveReason::Expired);
        }
        if at("nbf")?.is_some_and(|nbf| nbf > now.plus(leeway)) {
            return Err(InactiveReason::NotYet);
        }
        let own = self.settings.client_id.as_str();
        if claims.get("client_id").is_some_and(|id| id.as_str() != Some(own)) {
            return Err(InactiveReason::Client);
        }
        if metadata.is_contradicted_by(claims) {
            return Err(InactiveReason::Issuer);
        }
        let named = claims.get("aud").filter(|aud| !aud.as_array().is_some_and(Vec::is_empty));
        let ours = |aud: &&str| {
            *aud == own
                || self.settings.audiences.iter().any(|a| a == aud)
                || self.settings.resource.iter().any(|r| r.as_str() == *aud)
        };
        if named.is_some() && !audiences(claims).is_some_and(|list| list.iter().any(ours)) {
            return Err(InactiveReason::Audience);
        }
        Ok(())
    }
}
