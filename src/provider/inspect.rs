//! For people who look: whether this provider signed a token, and what it says of itself. Nothing is decided by it.

use crate::provider::Provider;
use crate::provider::error::{IdTokenError, ProviderError};
use crate::provider::jwt::Jws;
use crate::provider::words::printable;

impl Provider {
    /// The algorithm of a signature that a key of this provider made, whatever the token is for: no claim is checked.
    ///
    /// # Errors
    /// [`ProviderError::IdToken`] when it is no signed token or none of its keys signed it; else the keys could not be read.
    pub async fn signature_of(&self, token: &str) -> Result<&'static str, ProviderError> {
        let jws = Jws::parse(token).map_err(IdTokenError::Jwt)?;
        let metadata = self.metadata.get(&self.transport).await?;
        self.check_signature(&metadata, &jws).await?;
        Ok(jws.algorithm.name())
    }

    /// What the provider says of itself: endpoints, and the lists that tell what it can do.
    ///
    /// # Errors
    /// The discovery document cannot be read.
    pub async fn summary(&self) -> Result<Vec<(&'static str, String)>, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        let mut summary = vec![
            ("issuer", metadata.issuer.text().to_string()),
            ("discovered", self.metadata.is_discovered().to_string()),
            ("authorization_endpoint", metadata.authorization_endpoint.to_string()),
            ("token_endpoint", metadata.token_endpoint.to_string()),
        ];
        let lists = LISTS.iter().filter_map(|name| Some((*name, metadata.list(name)?.join(" "))));
        summary.extend(lists.map(|(name, list)| (name, printable(&list, LIST_CAP))));
        Ok(summary)
    }
}

/// Lists of the discovery document ([OpenID Connect Discovery 1.0 section 3](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata)).
const LISTS: [&str; 8] = [
    "scopes_supported",
    "claims_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
    "id_token_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
];
const LIST_CAP: usize = 1000;
