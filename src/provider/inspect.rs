//! A token that somebody has at hand: whether this provider signed it. For people who look; nothing is decided by it.

use crate::provider::Provider;
use crate::provider::error::{Endpoint, IdTokenError, ProviderError};
use crate::provider::jwt::Jws;

impl Provider {
    /// The algorithm of a signature that a key of this provider made, whatever the token is for: no claim is checked.
    ///
    /// # Errors
    /// [`ProviderError::IdToken`] when it is no signed token or none of its keys signed it; else the keys could not be read.
    pub async fn signature_of(&self, token: &str) -> Result<&'static str, ProviderError> {
        let jws = Jws::parse(token).map_err(IdTokenError::Jwt)?;
        match (jws.algorithm.secret_length(), &self.hmac_key) {
            (Some(_), Some(key)) if jws.is_signed_by(key) => {}
            (Some(_), _) => return Err(IdTokenError::Signature.into()),
            (None, _) => {
                let metadata = self.metadata.get(&self.transport).await?;
                let url = metadata.jwks_uri.as_ref().ok_or(ProviderError::NoEndpoint(Endpoint::KeySet))?;
                self.keys.verify(&self.transport, url, &jws).await?;
            }
        }
        Ok(jws.algorithm.name())
    }
}
