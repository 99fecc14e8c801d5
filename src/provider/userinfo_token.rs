//! UserInfo answers that are signed (OpenID Connect Core section 5.3.2). They are registered and discovered apart from ID tokens
//! (OpenID Connect Registration section 2), so they are judged by algorithms of their own and refused in words of their own.

use std::time::Duration;

use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError};
use crate::provider::id_token::{IdTokenError, audiences, time};
use crate::provider::jwt::{Algorithm, Jws, JwtError};
use crate::provider::metadata::Metadata;
use crate::provider::words::Words;

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

    /// Whether answers have to be signed, because that is what was registered (UI-04).
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
        let wrong_issuer =
            claims.get("iss").is_some_and(|iss| iss.as_str().is_none_or(|iss| !metadata.issuer.covers(iss)));
        let wrong_audience = claims.contains_key("aud")
            && !audiences(claims).is_some_and(|list| list.contains(&self.settings.client_id.as_str()));
        let expires = time(claims, "exp");
        let has_expired = |exp: UnixTime| exp.plus(self.settings.clock_leeway) <= self.clock.now();
        // An ID token is signed by the same key; it has no place here (RFC 8725 section 3.12).
        let is_id_token = claims.get("nonce").is_some_and(Value::is_string);
        let fault = match expires {
            _ if (wrong_issuer && metadata.issuer_is_known) || wrong_audience || is_id_token => {
                AnswerFault::SignedClaims
            }
            Err(_) => AnswerFault::SignedClaims,
            Ok(Some(exp)) if has_expired(exp) => AnswerFault::SignedExpired,
            Ok(_) => return Ok(()),
        };
        Err(ProviderError::BadAnswer { endpoint: Endpoint::Userinfo, fault, words: Words::default() })
    }
}

/// Why a signed UserInfo answer proves nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UserinfoTokenError {
    #[error(
        "it is encrypted, which vestibule does not read: register the client without userinfo_encrypted_response_alg"
    )]
    Encrypted,
    #[error("{0}")]
    Jwt(JwtError),
    #[error(
        "it is signed with {came}, and {expected} is expected: write what is registered as userinfo_signed_response_alg \
         into userinfo_algorithms"
    )]
    Algorithm { came: &'static str, expected: String },
    #[error("it is a token of another type ({0})")]
    Type(String),
    #[error("the provider has no key set to verify it with")]
    NoKeySet,
    #[error("its key \"{kid}\" is not in the provider's key set ({known})")]
    KeyUnknown { kid: String, known: String },
    #[error("its key is not in the key set, which was read again a moment ago and is not due yet (jwks_min_interval)")]
    KeyUnknownYet {
        /// When the set may be read again.
        retry_after: Duration,
    },
    #[error("its signature is wrong")]
    Signature,
    #[error("it is not signed, although userinfo_algorithms asks for it")]
    Unsigned,
}

impl UserinfoTokenError {
    /// A stable reason for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Encrypted => "userinfo_encrypted",
            Self::Jwt(JwtError::AlgorithmUnknown(_)) => "userinfo_alg_unknown",
            Self::Jwt(_) => "userinfo_malformed",
            Self::Algorithm { .. } => "userinfo_alg",
            Self::Type(_) => "userinfo_typ",
            Self::NoKeySet => "userinfo_no_key_set",
            Self::KeyUnknown { .. } => "userinfo_key_unknown",
            Self::KeyUnknownYet { .. } => "userinfo_key_unknown_yet",
            Self::Signature => "userinfo_signature",
            Self::Unsigned => "userinfo_unsigned",
        }
    }
}

impl From<JwtError> for UserinfoTokenError {
    fn from(error: JwtError) -> Self {
        if error == JwtError::Encrypted { Self::Encrypted } else { Self::Jwt(error) }
    }
}

/// What the verification of a signature may find, whatever is signed.
impl From<IdTokenError> for UserinfoTokenError {
    fn from(error: IdTokenError) -> Self {
        match error {
            IdTokenError::Jwt(error) => error.into(),
            IdTokenError::Type(typ) => Self::Type(typ),
            IdTokenError::KeyUnknown { kid, known } => Self::KeyUnknown { kid, known },
            IdTokenError::KeyUnknownYet { retry_after } => Self::KeyUnknownYet { retry_after },
            _ => Self::Signature,
        }
    }
}
