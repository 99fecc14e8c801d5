//! Why a token of a provider is refused.

use std::time::Duration;

use crate::provider::jwt::JwtError;

/// Why an ID token is refused; one variant for each check, so that the log says which. Received values are printable and capped;
/// the nonce, the subject and the token itself are never repeated.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdTokenError {
    #[error("there is none, although the scope openid was asked for")]
    Missing,
    #[error("{0}")]
    Jwt(JwtError),
    #[error(
        "its signature algorithm is {came}, which is not among the allowed ones ({allowed}): see id_token_algorithms"
    )]
    AlgorithmRefused { came: &'static str, allowed: String },
    #[error("it is a token of another type ({0})")]
    Type(String),
    #[error("its key \"{kid}\" is not in the provider's key set ({known})")]
    KeyUnknown { kid: String, known: String },
    #[error("its key is not in the key set, which was read again a moment ago and is not due yet (jwks_min_interval)")]
    KeyUnknownYet {
        /// When the set may be read again.
        retry_after: Duration,
    },
    #[error("its signature is wrong")]
    Signature,
    #[error("iss is missing")]
    IssuerMissing,
    #[error("iss is \"{came}\", but the configured issuer is \"{expected}\"")]
    Issuer { came: String, expected: String },
    #[error("tid is missing or not a string, and the issuer is a template for tenants")]
    TenantMissing,
    #[error("tid is \"{came}\", which is not in the provider's `allowed_tenants`")]
    TenantNotAllowed { came: String },
    #[error("aud is missing or not a list of strings")]
    AudienceMissing,
    #[error("aud is \"{came}\", which does not name this client, \"{client_id}\"")]
    Audience { came: String, client_id: String },
    #[error("aud names \"{0}\", which is not in the provider's `audiences`")]
    AudienceStranger(String),
    #[error("azp is \"{came}\", not this client, \"{client_id}\"")]
    Azp { came: String, client_id: String },
    #[error("{0} is not a non-negative number")]
    Time(&'static str),
    #[error("exp is missing")]
    ExpiryMissing,
    #[error("it expired {ago} s ago: compare the clocks")]
    Expired { ago: u64 },
    #[error("iat is missing")]
    IssuedMissing,
    #[error("iat is {ahead} s in the future: compare the clocks")]
    IssuedInFuture { ahead: u64 },
    #[error("iat is {ago} s ago")]
    IssuedLongAgo { ago: u64 },
    #[error("nbf is {ahead} s in the future: compare the clocks")]
    NotYetValid { ahead: u64 },
    #[error("nonce is missing")]
    NonceMissing,
    #[error("nonce is not that of this sign-in")]
    Nonce,
    #[error("acr is \"{came}\", but acr_values asks for {wanted}")]
    Acr { came: String, wanted: String },
    #[error("auth_time is missing, although max_age was asked for")]
    AuthTimeMissing,
    #[error("auth_time is {ago} s ago, but max_age is {max_age} s")]
    AuthTimeOld { ago: u64, max_age: u64 },
    #[error("auth_time is {ahead} s in the future: compare the clocks")]
    AuthTimeInFuture { ahead: u64 },
    #[error("sub is missing")]
    SubjectMissing,
    #[error("sub is not a string of 1 to 255 printable ASCII characters")]
    Subject,
    #[error("sub is not that of the sign-in")]
    SubjectChanged,
    #[error("azp is \"{came}\", but was \"{before}\" at the sign-in")]
    AzpChanged { came: String, before: String },
    #[error("at_hash does not fit the access token")]
    AtHash,
}

impl IdTokenError {
    /// A stable reason for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "id_token_missing",
            Self::Jwt(error) => error.code(),
            Self::AlgorithmRefused { .. } => "id_token_alg",
            Self::Type(_) => "id_token_typ",
            Self::KeyUnknown { .. } => "id_token_key_unknown",
            Self::KeyUnknownYet { .. } => "id_token_key_unknown_yet",
            Self::Signature => "id_token_signature",
            Self::IssuerMissing => "id_token_iss_missing",
            Self::Issuer { .. } => "id_token_iss",
            Self::TenantMissing => "id_token_tid",
            Self::TenantNotAllowed { .. } => "id_token_tenant",
            Self::AudienceMissing => "id_token_aud_missing",
            Self::Audience { .. } => "id_token_aud",
            Self::AudienceStranger(_) => "id_token_aud_stranger",
            Self::Azp { .. } => "id_token_azp",
            Self::Time(_) => "id_token_time",
            Self::ExpiryMissing => "id_token_exp_missing",
            Self::Expired { .. } => "id_token_expired",
            Self::IssuedMissing => "id_token_iat_missing",
            Self::IssuedInFuture { .. } => "id_token_iat_future",
            Self::IssuedLongAgo { .. } => "id_token_iat_old",
            Self::NotYetValid { .. } => "id_token_nbf",
            Self::NonceMissing => "id_token_nonce_missing",
            Self::Nonce => "id_token_nonce",
            Self::Acr { .. } => "id_token_acr",
            Self::AuthTimeMissing => "id_token_auth_time_missing",
            Self::AuthTimeOld { .. } => "id_token_auth_time_old",
            Self::AuthTimeInFuture { .. } => "id_token_auth_time_future",
            Self::SubjectMissing => "id_token_sub_missing",
            Self::Subject => "id_token_sub",
            Self::SubjectChanged => "id_token_sub_changed",
            Self::AzpChanged { .. } => "id_token_azp_changed",
            Self::AtHash => "id_token_at_hash",
        }
    }
}

/// Why a signed UserInfo answer is refused.
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
